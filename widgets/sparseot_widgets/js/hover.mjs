// What lies under the pointer: its row of numbers, beside it.
import { make } from "./controls.mjs";
import { nearest } from "./select.mjs";
import { words } from "./scales.mjs";

const UNDER = 10; // pixels
const FULL = 4; // coordinates that are written out

/** The row of one point: its index, its coordinates, and what the viewer knows of it. */
export function rowOf(view, viewer, { place, k }) {
  const index = place.index ? place.index[k] : k;
  const row = view.scene.shuffled ? "" : index.toLocaleString("en-US"); // a page of very many points forgot the rows
  const rows = [[place.name.endsWith("s") ? place.name.slice(0, -1) : `${place.name} point`, row]];
  const { points, dim = 2 } = place;
  if (points) {
    const numbers = Array.from({ length: Math.min(dim, FULL) }, (_, c) => words(points[k * dim + c]));
    rows.push(["at", numbers.join(", ") + (dim > FULL ? " …" : "")]);
  }
  return rows.concat(viewer.describe?.(view, place, k) ?? []);
}

/** A small card beside the pointer; `hear(event)` moves it, and it is nothing that a pointer could hit. */
export class Card {
  constructor(view, viewer) {
    Object.assign(this, { view, viewer });
    this.element = make("div", { class: "sov-card", "aria-hidden": true });
    this.element.hidden = true;
  }

  hear({ type, panel, x, y }) {
    const places = type === "move" ? this.view.places?.[panel] : null;
    const hit = places && nearest(places, x, y, UNDER);
    this.element.hidden = !hit;
    if (!hit) return;
    const { canvas } = this.view.plots[panel];
    const rows = rowOf(this.view, this.viewer, hit).map(([term, value]) => make("div", {}, make("span", {}, term), " ", String(value)));
    this.element.replaceChildren(...rows);
    if (this.element.parentElement !== canvas.parentElement) canvas.parentElement.append(this.element);
    const left = x > canvas.clientWidth / 2; // it must not leave the picture
    const [u, v] = [hit.place.xy[2 * hit.k], hit.place.xy[2 * hit.k + 1]];
    const { style } = this.element;
    style.left = left ? "auto" : `${canvas.offsetLeft + u + 12}px`;
    style.right = left ? `${canvas.clientWidth - u + 12}px` : "auto";
    style.top = `${canvas.offsetTop + Math.min(v + 8, canvas.clientHeight - this.element.offsetHeight)}px`;
  }
}
