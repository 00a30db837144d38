// The tools that select: buttons, and the lasso, the box and the keys on the canvases.
import { make } from "./controls.mjs";
import { corners, howOf, inPolygon, nearest, sized } from "./select.mjs";

const SIDE = 48; // pixels of a box that a key opens
const CLICK = 10; // pixels from which a point can be clicked
const GAP = 3; // pixels between two corners of a lasso

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
      const begun = [x - SIDE / 2, y - SIDE / 2, x + SIDE / 2, y + SIDE / 2];
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
