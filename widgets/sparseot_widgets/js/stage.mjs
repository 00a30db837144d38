// The frame around every viewer: panels, controls, status, themes; live or recorded.
import { decode } from "./codec.mjs";
import { nearestStop, recordedKey } from "./scales.mjs";
import { DARK, LIGHT, maps, rgb } from "./colours.mjs";
import { Plot } from "./plot.mjs";
import { Lens } from "./space.mjs";
import { listen } from "./hands.mjs";
import { controlRow, make, player } from "./controls.mjs";
import { desk } from "./desk.mjs";

const REST = 250; // milliseconds after which a picture that moved is at rest
const PATIENCE = 5000; // milliseconds after which a kernel that says nothing is taken for gone

/** The colours of the page that the viewer stands in. */
function readTheme(root, plot) {
  const style = getComputedStyle(root);
  const pick = (name) => {
    plot.context.fillStyle = "#808080";
    plot.context.fillStyle = style.getPropertyValue(name).trim();
    return plot.context.fillStyle;
  };
  const bg = pick("--sov-bg");
  const [r, g, b] = bg.startsWith("#") ? rgb(bg) : [255, 255, 255];
  const dark = 0.3 * r + 0.6 * g + 0.1 * b < 128;
  const names = { fg: "--sov-fg", muted: "--sov-muted", grid: "--sov-grid" };
  const theme = Object.fromEntries(Object.entries(names).map(([key, name]) => [key, pick(name)]));
  return { ...theme, bg, dark, classes: dark ? DARK : LIGHT, ...maps(dark) };
}

/** The answer for the values of the controls: recorded, or the last one that Python gave. */
class Answers {
  constructor(model) {
    this.model = model;
    this.seen = new Map();
  }

  #decoded(name, part = null) {
    const whole = this.model.get(name);
    const raw = part === null ? whole : whole?.[part];
    if (!raw) return null;
    const key = `${name} ${part}`;
    if (this.seen.get(key)?.raw !== raw) this.seen.set(key, { raw, value: decode(raw) });
    return this.seen.get(key).value;
  }

  get scene() {
    return this.#decoded("_scene");
  }

  recorded() {
    const get = (name) => this.model.get(name);
    return this.#decoded("_recorded", recordedKey(get("_controls"), get));
  }

  current() {
    return this.recorded() ?? this.#decoded("_answer");
  }
}

/**
 * Bring a viewer to life in `el`; returns what cleans up after it.
 *
 * `viewer.panels` lists { name, label, aspect, weight, fresh: it begins a row, drags: touches drag }; `viewer.draw(view)` draws on
 * `view.plots[name]`, leaves `view.places` (points.mjs) and may return a readout and a summary of its own, where local controls change
 * the words; `viewer.gesture(view, event)`, if there is one, gets moves, drags, clicks and keys
 * on a panel and says by `true` that the picture changed. It may move a control: `view.set(name, value)`.
 *
 * Events are those of hands.mjs. A tool that is at work, `view.tool(view, event)`, sees them first, then the viewer, then the lens
 * of the panel, if `view.lens(panel)` gave one; who answers `true` ends the round.
 */
export function mount({ model, el }, viewer) {
  const root = make("div", { class: "sov" });
  const title = make("div", { class: "sov-title" });
  const stage = make("div", { class: "sov-stage" });
  const rows = make("div", { class: "sov-rows" });
  const readout = make("div", { class: "sov-readout" });
  const status = make("span", { class: "sov-status", "aria-live": "polite" });
  const answers = new Answers(model);
  const lenses = {};
  const view = { plots: {}, places: {}, tool: null, alone: Boolean(model.recordedOnly), get: (name) => model.get(name), memory: {} };
  // The first lens is the one that links share: it begins where they stand.
  view.lens = (panel) => (lenses[panel] ??= new Lens(Object.keys(lenses).length ? null : model.get("_camera")));
  const off = [];
  let controls = [];
  let waiting = 0;
  let planned = 0;
  let resting = 0;

  const stopButton = make("button", {
    type: "button", class: "sov-stop", onclick: () => model.send({ do: "stop" }),
  }, "Stop");
  const resetButton = make("button", {
    type: "button", hidden: "", title: "see all of it again (Home)", "aria-label": "reset the view",
    onclick: () => { for (const lens of Object.values(lenses)) lens.reset(); around.share(); redraw(); },
  }, "Reset");

  for (const { name, label, aspect = 0.75, weight = 1, fresh, drags } of viewer.panels) {
    if (fresh) stage.append(make("div", { class: "sov-break" }));
    const canvas = make("canvas", { role: "img", tabindex: 0, "aria-label": label });
    canvas.style.aspectRatio = `${1 / aspect}`;
    if (drags) canvas.style.touchAction = "none";
    const panel = make("figure", {}, make("figcaption", {}, label), canvas);
    panel.style.flex = `${weight} 1 ${Math.round(weight * 170)}px`;
    stage.append(panel);
    view.plots[name] = new Plot(canvas);
    listen(canvas, name, tell);
  }
  const around = desk({ model, view, viewer, root, draw, redraw: () => redraw(), lens: () => Object.values(lenses)[0] });
  const foot = make("div", { class: "sov-foot" }, status, stopButton, resetButton, ...around.buttons);
  root.append(make("div", { class: "sov-head" }, title, around.bar), stage, rows, readout, foot);
  el.replaceChildren(root);

  function draw() {
    planned = 0;
    const plots = Object.values(view.plots);
    view.theme = readTheme(root, plots[0]);
    view.answer = answers.current();
    view.scene = answers.scene;
    if (!view.answer || !root.isConnected) return;
    for (const plot of plots) {
      plot.begin(view.theme);
      if (!plot.canvas.clientWidth) watch(plot.canvas);
    }
    Object.assign(view, { places: {}, thinned: false });
    const told = { ...view.answer, ...viewer.draw(view) };
    resetButton.hidden = !Object.keys(lenses).length;
    for (const [panel, { dim }] of Object.entries(lenses)) {
      view.plots[panel].canvas.style.touchAction = dim > 2 ? "none" : "pan-y"; // a page can still be scrolled over a plane
    }
    const { note, summary, readout: said = [], number = 0, coarse = false, chosen } = told;
    around.say(chosen);
    if (note) plots[0].text(note, 8, plots[0].height - 8, { colour: view.theme.muted });
    for (const plot of plots) {
      if (summary) plot.canvas.setAttribute("aria-label", summary);
      Object.assign(plot.canvas.dataset, { answer: number, coarse });
    }
    root.dataset.whole = !view.thinned;
    root.dataset.drawn = Number(root.dataset.drawn ?? 0) + 1;
    showReadout(said);
  }
  const redraw = () => { planned ||= requestAnimationFrame(draw); };

  /** The picture moves, and will be drawn whole when it has come to rest. */
  function moves() {
    view.moving = true;
    clearTimeout(resting);
    resting = setTimeout(() => {
      view.moving = false;
      if (view.thinned) redraw();
    }, REST);
    return true;
  }

  function showReadout(pairs) {
    const parts = pairs.map(([term, value]) => make("span", {}, make("span", {}, term), " ", make("b", {}, value)));
    readout.replaceChildren(...parts);
  }

  function showStatus() {
    clearTimeout(waiting);
    root.classList.remove("sov-gone");
    const { busy = false, error = "" } = model.get("_status") ?? {};
    root.classList.toggle("sov-busy", busy);
    root.classList.toggle("sov-failed", Boolean(error));
    status.textContent = error || (busy ? "computing" : "");
  }

  function gone() {
    root.classList.add("sov-gone");
    status.textContent = "No answer from the kernel: run the cell again to move this slider.";
  }

  /** Whether what a control asks for is here already. */
  const known = (control) => control.local || Boolean(answers.recorded());

  function change(control, value) {
    model.set(control.name, value);
    model.save_changes();
    clearTimeout(waiting);
    if (!known(control) && !model.recordedOnly) waiting = setTimeout(gone, PATIENCE);
  }

  view.set = (name, value) => {
    const control = model.get("_controls").find((one) => one.name === name);
    const stop = control.stops[nearestStop(control.stops, value)];
    if (stop !== model.get(name)) change(control, stop);
  };

  function showControls() {
    for (const { clean } of controls) clean();
    controls = (model.get("_controls") ?? []).map((control) => {
      const row = controlRow(control, (value) => change(control, value));
      const show = () => {
        row.show(model.get(control.name));
        if (known(control)) redraw(); // else there is nothing new before the answer
      };
      const play = control.play ? player(control, () => model.get(control.name), (v) => change(control, v)) : null;
      if (play) row.row.prepend(play.button);
      row.row.classList.toggle("sov-asks", !control.local);
      model.on(`change:${control.name}`, show);
      show();
      return { ...row, clean: () => { model.off(`change:${control.name}`, show); play?.stop(); } };
    });
    rows.replaceChildren(...controls.map(({ row }) => row));
  }

  /** An event goes to the tool that is at work, to the viewer, to the lens of its panel: to the first that takes it. */
  function tell(event) {
    let done = view.tool?.(view, event) || viewer.gesture?.(view, event);
    if (!done && lenses[event.panel]?.gesture(event, view.plots[event.panel])) {
      done = moves();
      around.share();
    }
    if (done) redraw();
    return done;
  }

  function on(name, action) {
    model.on(name, action);
    off.push(() => model.off(name, action));
  }
  const showTitle = () => { title.textContent = model.get("title") ?? ""; };
  on("change:title", showTitle);
  on("change:_controls", showControls);
  on("change:_status", showStatus);
  for (const name of ["_answer", "_scene", "_recorded"]) on(`change:${name}`, redraw);
  on("change:_answer", showStatus); // whoever answers is not gone
  showTitle();
  showControls();
  showStatus();

  const sizes = new ResizeObserver(redraw);
  // Canvases too: while a theme's style sheet is exchanged they are of other sizes, and root is not.
  for (const node of [root, ...root.querySelectorAll("canvas")]) sizes.observe(node);
  /** Draws again when a canvas without a size has one, even if it had the same one before: within one frame. */
  const watch = (canvas) => { sizes.unobserve(canvas); sizes.observe(canvas); };
  const themes = new MutationObserver(redraw);
  for (const node of [document.documentElement, document.body]) {
    themes.observe(node, { attributes: true, attributeFilter: ["data-theme", "data-mode", "data-jp-theme-name", "data-jp-theme-light", "class"] });
  }
  const night = matchMedia("(prefers-color-scheme: dark)");
  night.addEventListener("change", redraw);
  document.addEventListener("sparseot-repaint", redraw); // a card was lost, or came back

  return () => {
    for (const action of off) action();
    for (const { clean } of controls) clean();
    around.clean();
    sizes.disconnect();
    themes.disconnect();
    night.removeEventListener("change", redraw);
    document.removeEventListener("sparseot-repaint", redraw);
    clearTimeout(waiting);
    clearTimeout(resting);
    cancelAnimationFrame(planned);
  };
}
