// Selection: which points of each cloud are chosen, and what lassos, boxes and modifiers make of that.
import { decode } from "./codec.mjs";

const ARROW = 8; // pixels that an arrow key moves the edge of a box by

/** Whether places lie in a polygon x y x y ... (even-odd); it looks at the edges of one row of pixels only. */
export function inPolygon(path) {
  const heights = path.filter((_, k) => k % 2);
  const low = Math.floor(Math.min(...heights));
  const rows = Array.from({ length: Math.floor(Math.max(...heights)) - low + 1 }, () => []);
  for (let k = 0; k < path.length; k += 2) {
    const [x0, y0] = [path[k], path[k + 1]];
    const [x1, y1] = [path[(k + 2) % path.length], path[(k + 3) % path.length]];
    if (y0 === y1) continue; // level: no row crosses it
    const edge = y0 < y1 ? [y0, y1, x0, (x1 - x0) / (y1 - y0)] : [y1, y0, x1, (x0 - x1) / (y0 - y1)];
    for (let r = Math.floor(edge[0]); r <= Math.floor(edge[1]); r++) rows[r - low].push(edge);
  }
  return (x, y) => {
    const edges = rows[Math.floor(y) - low];
    let inside = false;
    if (edges) {
      for (let k = 0; k < edges.length; k++) {
        const edge = edges[k];
        if (y >= edge[0] && y < edge[1] && x < edge[2] + (y - edge[0]) * edge[3]) inside = !inside;
      }
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
  if (how === "new") return Int32Array.from(found).sort(); // no place has two points of one row
  const kept = new Set(before);
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
      const kind = name.endsWith("s") ? name : `${name} points`; // points, particles
      return `${this.of(trait).length.toLocaleString("en-US")} of ${count.toLocaleString("en-US")} ${kind}`;
    });
    return said.length ? `${said.join(" and ")} selected` : "";
  }
}
