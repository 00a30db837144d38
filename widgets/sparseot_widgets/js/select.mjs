// Selection: which points of each cloud are chosen, and the lasso, the box and the keys that choose.
import { decode } from "./codec.mjs";
import { make } from "./controls.mjs";

const ARROW = 8; // pixels that an arrow key moves the edge of a box by
const CLICK = 10; // pixels from which a point can be clicked
const GAP = 3; // pixels between two corners of a lasso

/** Whether places lie in a polygon x y x y ... (even-odd); it looks at the edges of one row of pixels only. */
export function inPolygon(path) {
  const rows = new Map();
  const n = path.length / 2;
  for (let k = 0; k < n; k++) {
    const [x0, y0] = [path[2 * k], path[2 * k + 1]];
    const [x1, y1] = [path[2 * ((k + 1) % n)], path[2 * ((k + 1) % n) + 1]];
    const edge = y0 < y1 ? [x0, y0, x1, y1] : [x1, y1, x0, y0];
    if (edge[1] === edge[3]) continue; // level: no row crosses it
    for (let r = Math.floor(edge[1]); r <= Math.floor(edge[3]); r++) {
      if (!rows.has(r)) rows.set(r, []);
      rows.get(r).push(edge);
    }
  }
  return (x, y) => {
    let inside = false;
    for (const [x0, y0, x1, y1] of rows.get(Math.floor(y)) ?? []) {
      if (y >= y0 && y < y1 && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
    }
    return inside;
  };
}

/** The corners of a box, x y x y ... */
export const corners = (x0, y0, x1, y1) => [x0, y0, x1, y0, x1, y1, x0, y1];

/** What modifiers mean: "new" takes the place of what was, "add" adds to it, "less" takes away. */
export const howOf = ({ shift, alt }) => (alt ? "less" : shift ? "add" : "new");

/** Indices after some were found: sorted, each once. */
export function combined(before, found, how) {
  const kept = new Set(how === "new" ? [] : before);
  for (const i of found) how === "less" ? kept.delete(i) : kept.add(i);
  return Int32Array.from(kept).sort();
}

/** Who of the places drawn lies inside, as indices into the cloud as its caller gave it. */
export function found({ xy, count, index }, inside) {
  const out = [];
  for (let k = 0; k < count; k++) {
    const [x, y] = [xy[2 * k], xy[2 * k + 1]];
    if (x === x && y === y && inside(x, y)) out.push(index ? index[k] : k); // NaN is hidden
  }
  return out;
}

/** Who of some clouds is nearest to a place, not farther than `reach`: { place, k }, or null. */
export function nearest(places, x, y, reach) {
  let best = null;
  let least = reach ** 2;
  for (const place of places) {
    for (let k = 0; k < place.count; k++) {
      const far = (place.xy[2 * k] - x) ** 2 + (place.xy[2 * k + 1] - y) ** 2;
      if (far <= least) [best, least] = [{ place, k }, far];
    }
  }
  return best;
}

/** For each of `count` points that are drawn, 1 if it is among the chosen; null if nothing is chosen. */
export function maskOf(chosen, count, index = null) {
  if (!chosen.length) return null;
  const mask = new Uint8Array(count);
  if (!index) for (const i of chosen) { if (i < count) mask[i] = 1; }
  else {
    const every = new Set(chosen);
    for (let k = 0; k < count; k++) if (every.has(index[k])) mask[k] = 1;
  }
  return mask;
}

/** A box after a key: arrows size it about its middle, with Shift they move it. */
export function sized([x0, y0, x1, y1], key, move) {
  const [dx, dy] = { ArrowLeft: [-ARROW, 0], ArrowRight: [ARROW, 0], ArrowUp: [0, -ARROW], ArrowDown: [0, ARROW] }[key];
  if (move) return [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
  const wide = Math.max(ARROW, (x1 - x0) / 2 + dx);
  const high = Math.max(ARROW, (y1 - y0) / 2 - dy);
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return [x - wide, y - high, x + wide, y + high];
}

/** What is chosen in the clouds of a model: its traits of indices, `_selects` says which and how many points. */
export class Selection {
  #seen = new Map();

  constructor(model) {
    this.model = model;
    this.cloud = Object.keys(this.clouds)[0]; // the trait that lasso and box set
  }

  get clouds() {
    return this.model.get("_selects") ?? {};
  }

  /** The indices of a trait. */
  of(trait) {
    const raw = this.model.get(trait);
    if (!raw) return new Int32Array(0);
    if (this.#seen.get(trait)?.raw !== raw) this.#seen.set(trait, { raw, value: decode(raw) });
    return this.#seen.get(trait).value;
  }

  /** The mask of a trait over what is drawn, as `maskOf` has it: the same one until something changes. */
  mask(trait, count, index = null) {
    const chosen = this.of(trait);
    const last = this.#seen.get(`${trait} mask`);
    if (last?.chosen === chosen && last.count === count && last.index === index) return last.mask;
    const mask = maskOf(chosen, count, index);
    this.#seen.set(`${trait} mask`, { chosen, count, index, mask });
    return mask;
  }

  /** The mask of the cloud of this name; null if nothing of it is chosen, or nothing can be. */
  maskOf(name, count, index = null) {
    const trait = Object.keys(this.clouds).find((one) => this.clouds[one].name === name);
    return trait ? this.mask(trait, count, index) : null;
  }

  get any() {
    return Object.keys(this.clouds).some((trait) => this.of(trait).length);
  }

  set(trait, indices) {
    const buffer = new DataView(indices.buffer, indices.byteOffset, indices.byteLength);
    this.model.set(trait, { buffer, dtype: "int32", shape: [indices.length] });
  }

  /** Choose what lies inside; a new choice in one cloud ends that in others. */
  take(places, inside, how) {
    const name = this.clouds[this.cloud].name;
    const hits = places.filter((place) => place.name === name).flatMap((place) => found(place, inside));
    if (how === "new") for (const trait of Object.keys(this.clouds)) if (trait !== this.cloud) this.set(trait, new Int32Array(0));
    this.set(this.cloud, combined(this.of(this.cloud), hits, how));
    this.model.save_changes();
  }

  clear() {
    for (const trait of Object.keys(this.clouds)) this.set(trait, new Int32Array(0));
    this.model.save_changes();
  }

  /** What is chosen, in words: "25 of 300 source points". */
  words() {
    const said = Object.entries(this.clouds).filter(([trait]) => this.of(trait).length).map(([trait, { name, count }]) => {
      const kind = name === "points" ? "" : `${name} `;
      return `${this.of(trait).length.toLocaleString("en-US")} of ${count.toLocaleString("en-US")} ${kind}points`;
    });
    return said.length ? `${said.join(" and ")} selected` : "";
  }
}

export const ICONS = {
  move: "M8 1v14M1 8h14M8 1 6 3M8 1l2 2M8 15l-2-2M8 15l2-2M1 8l2-2M1 8l2 2M15 8l-2-2M15 8l-2 2",
  lasso: "M5 11C2 10 1 8 2 5.5 3.5 2 9 1 12.5 3c3 2 2.5 6-.5 7.5C10 12 7 12 5 11c-1.5-.5-2.5.5-2 2 .3.8 1 1.5 1 2",
  box: "M2 2h2M7 2h2M12 2h2v2M14 7v2M14 12v2h-2M9 14H7M4 14H2v-2M2 9V7M2 4V2",
  screen: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
};

/** A small drawing of lines, in the colour of the words around it. */
export function icon(path) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  const attributes = { viewBox: "0 0 16 16", width: 16, height: 16, fill: "none", stroke: "currentColor", "stroke-width": 1.4, "aria-hidden": true };
  for (const [name, value] of Object.entries(attributes)) picture.setAttribute(name, value);
  picture.append(document.createElementNS(space, "path"));
  picture.firstChild.setAttribute("d", path);
  return picture;
}

/** The line around what is being chosen, above a canvas: drawing it draws no point again. */
class Outline {
  constructor(canvas) {
    const space = "http://www.w3.org/2000/svg";
    this.canvas = canvas;
    this.picture = document.createElementNS(space, "svg");
    this.picture.setAttribute("class", "sov-outline");
    this.picture.append(document.createElementNS(space, "polygon"));
    canvas.parentElement.append(this.picture);
  }

  show(path) {
    const { offsetLeft: left, offsetTop: top, clientWidth: width, clientHeight: height } = this.canvas;
    Object.assign(this.picture.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    this.picture.firstChild.setAttribute("points", path.join(" "));
  }

  remove() {
    this.picture.remove();
  }
}

/**
 * The buttons that choose a tool, and the ear for what is done on the canvases.
 *
 * `hear(event)` gets every event of a panel before the viewer, and says by `true` that it was for a tool.
 */
export class Tools {
  constructor(view, selection) {
    Object.assign(this, { view, selection, tool: "move", drawn: null });
    const names = { move: "move and turn", lasso: "select with a lasso", box: "select with a box" };
    this.buttons = Object.entries(names).map(([tool, name]) => {
      const button = make("button", { type: "button", title: name, "aria-label": name, onclick: () => this.choose(tool) });
      button.append(icon(ICONS[tool]));
      button.dataset.tool = tool;
      return button;
    });
    this.which = make("select", { "aria-label": "cloud to select from", onchange: () => { selection.cloud = this.which.value; } });
    for (const [trait, { name }] of Object.entries(selection.clouds)) this.which.append(make("option", { value: trait }, name));
    this.which.hidden = Object.keys(selection.clouds).length < 2;
    this.said = make("span", { class: "sov-selected", role: "status" });
    this.bar = make("div", { class: "sov-tools", role: "group", "aria-label": "selection" }, ...this.buttons, this.which, this.said);
    this.bar.hidden = !selection.cloud;
    this.choose("move");
  }

  choose(tool) {
    this.tool = tool;
    this.#leave();
    for (const button of this.buttons) button.setAttribute("aria-pressed", button.dataset.tool === tool);
    for (const { canvas } of Object.values(this.view.plots)) canvas.classList.toggle("sov-aims", tool !== "move");
    this.say();
  }

  /** Say what is chosen, with what the viewer knows of it, or how to choose. */
  say(chosen = "") {
    const help = this.tool === "move" ? "" : "Drag around points: Shift adds, Alt takes away, Escape clears.";
    const words = this.selection.words();
    this.tell(words ? [words, chosen].filter(Boolean).join(": ") : help);
  }

  /** Words for those who read and for those who listen. */
  tell(text) {
    if (this.said.textContent !== text) this.said.textContent = text;
  }

  #leave() {
    this.drawn?.outline.remove();
    this.drawn = null;
  }

  #begin(panel, path, rest) {
    this.#leave();
    this.drawn = { panel, path, outline: new Outline(this.view.plots[panel].canvas), ...rest };
    this.drawn.outline.show(path);
  }

  #take(event) {
    const { panel, path, from, far } = this.drawn;
    this.#leave();
    let inside = inPolygon(path);
    if (from && !far) { // a click: the point below it, and those that are equal
      const name = this.selection.clouds[this.selection.cloud].name;
      const hit = nearest(this.view.places[panel].filter((place) => place.name === name), ...from, CLICK);
      const [u, v] = hit ? hit.place.xy.subarray(2 * hit.k, 2 * hit.k + 2) : [NaN, NaN];
      inside = (x, y) => x === u && y === v;
    }
    this.selection.take(this.view.places[panel], inside, howOf(event));
  }

  hear(event) {
    const { panel, type } = event;
    if (!this.selection.cloud || !this.view.places?.[panel]?.length) return false;
    return type === "key" ? this.#key(event) : this.#pointer(event);
  }

  #pointer({ type, panel, x, y, ...event }) {
    if (type === "down" && this.tool !== "move") {
      this.#begin(panel, this.tool === "box" ? corners(x, y, x, y) : [x, y], { from: [x, y], held: true });
      return true;
    }
    if (!this.drawn?.held) return false;
    const { path, from, outline } = this.drawn;
    if (type === "drag" && this.tool === "box") this.drawn.path = corners(...from, x, y);
    else if (type === "drag" && Math.hypot(x - path.at(-2), y - path.at(-1)) >= GAP) path.push(x, y);
    if (type === "drag") {
      this.drawn.far ||= Math.hypot(x - from[0], y - from[1]) > GAP;
      outline.show(this.drawn.path);
    }
    if (type === "up") this.#take({ type, ...event });
    if (type === "cancel") this.#leave();
    return true;
  }

  #key({ panel, key, ...event }) {
    if (key === "Escape") {
      const busy = this.drawn || this.selection.any;
      if (!this.drawn && this.selection.any) this.selection.clear();
      this.#leave();
      return Boolean(busy);
    }
    const box = this.drawn?.box;
    if (!box) {
      if (key.toLowerCase() !== "s") return false;
      const { width, height } = this.view.plots[panel];
      const [x, y] = this.view.focus?.[panel] ?? [width / 2, height / 2];
      const begun = [x - 3 * ARROW, y - 3 * ARROW, x + 3 * ARROW, y + 3 * ARROW];
      this.#begin(panel, corners(...begun), { box: begun });
      this.tell("Arrow keys size the box, with Shift they move it; Enter takes it, Escape leaves it.");
      return true;
    }
    if (key === "Enter") {
      this.#take(event);
      this.say();
    } else if (key.startsWith("Arrow")) {
      this.drawn.box = sized(box, key, event.shift);
      this.drawn.path = corners(...this.drawn.box);
      this.drawn.outline.show(this.drawn.path);
    }
    return true; // other keys are not for the viewer while a box is open
  }
}
