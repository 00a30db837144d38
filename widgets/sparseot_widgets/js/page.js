// Brings the viewers of a page to life without a kernel. A classic script: it works from file://.
(() => {
  const models = []; // of all viewers of the page

  /** What anywidget's model is to a viewer, over the state that stands in the page. */
  class PageModel {
    constructor(state) {
      this.state = state;
      this.actions = new Map();
      this.recordedOnly = true;
      models.push(this);
    }

    /** Names of the traits that are linked by a channel. */
    linked(channel) {
      return Object.entries(this.state._shared ?? {}).filter(([, all]) => all.includes(channel)).map(([name]) => name);
    }

    get(name) {
      return this.state[name];
    }

    set(name, value) {
      if (this.state[name] === value) return;
      this.state[name] = value;
      for (const action of this.actions.get(`change:${name}`) ?? []) action();
      for (const channel of this.state._shared?.[name] ?? []) {
        for (const other of models) if (other !== this) for (const there of other.linked(channel)) other.set(there, value);
      }
    }

    on(name, action) {
      this.actions.set(name, [...(this.actions.get(name) ?? []), action]);
    }

    off(name, action) {
      this.actions.set(name, (this.actions.get(name) ?? []).filter((other) => other !== action));
    }

    save_changes() {}

    send() {}
  }

  const loaded = new Map();
  /** The text of a module, which came compressed. */
  function unpacked(name) {
    const bytes = Uint8Array.from(atob(window.sparseotViewers[name]), (sign) => sign.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  }

  /** A viewer's module: what all share, and its own. */
  function load(name) {
    if (!loaded.has(name)) {
      const parts = Promise.all(["shared", name].map(unpacked));
      loaded.set(name, parts.then((texts) => import(URL.createObjectURL(new Blob(texts, { type: "text/javascript" })))));
    }
    return loaded.get(name);
  }

  async function start() {
    for (const holder of document.querySelectorAll(".sparseot-viewer:not([data-live])")) {
      holder.dataset.live = "";
      const state = JSON.parse(holder.querySelector("script").textContent);
      const { default: viewer } = await load(holder.dataset.module);
      const el = document.createElement("div");
      holder.append(el);
      viewer.render({ model: new PageModel(state), el });
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
