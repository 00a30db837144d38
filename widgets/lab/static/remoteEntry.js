// What JupyterLab loads first: a module-federation container, which is an object with `init` and
// `get`. A bundler would write the same; without one, what is read here is what is served.
(() => {
  const url = name => new URL(name, document.currentScript.src).href;
  const extension = url("extension.js");
  const style = url("style.css");
  let shared = {};

  const PACKAGES = ["application", "apputils", "docmanager", "docregistry", "filebrowser", "launcher", "settingregistry", "ui-components"]
    .map(name => `@jupyterlab/${name}`)
    .concat("@lumino/widgets", "@jupyterlab/coreutils");
  const PAGES = "@jupyter-notebook/application"; // Notebook 7 alone has it

  /** A module that JupyterLab shares: the copy in use where there are several. */
  async function take(name) {
    const copies = Object.values(shared[name] ?? {});
    const copy = copies.find(each => each.loaded) ?? copies[0];
    if (!copy) throw new Error(`sparseot: this JupyterLab does not share ${name}`);
    return (await copy.get())();
  }

  const modules = {
    "./extension": async () => {
      const { default: plugins } = await import(extension);
      const found = await Promise.all(PACKAGES.map(take));
      const pages = shared[PAGES] ? [await take(PAGES)] : [];
      return plugins(Object.assign({}, ...found, ...pages));
    },
    "./style": async () => {
      const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: style });
      document.head.append(link);
    },
  };

  (window._JUPYTERLAB ??= {}).sparseot = {
    init: scope => void (shared = scope),
    get: async name => {
      const exports = { __esModule: true, default: await modules[name]() };
      return () => exports; // JupyterLab writes on it, so it cannot be the module itself
    },
  };
})();
