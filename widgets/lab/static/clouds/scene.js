// A table and a choice of its columns, as js/cloud.mjs takes them.
import { grouped, Unreadable } from "../readers/table.js";
import { nearZero, ownColours, placed } from "./choice.js";

export const SIZES = [0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4]; // of the points, as in viewers/cloud.py
const MAPS = { viridis: "place", "orange to blue": "poles" };
const MOST_CLASSES = 256;

/** The colour maps of the settings. */
export const COLOUR_MAPS = Object.keys(MAPS);

/** An array as it travels from Python. */
const wire = (numbers, dtype, shape) => ({ buffer: numbers.buffer, dtype, shape });

/** Words as places in a list of them, the most frequent first; what comes after 255 of them is one more. */
export function classesOf(words) {
  const times = new Map();
  for (const word of words) times.set(word, (times.get(word) ?? 0) + 1);
  const ranked = [...times].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([word]) => word);
  const kept = ranked.length > MOST_CLASSES ? [...ranked.slice(0, MOST_CLASSES - 1), "others"] : ranked;
  const place = new Map(ranked.map((word, k) => [word, Math.min(k, kept.length - 1)]));
  return { labels: Uint8Array.from(words, word => place.get(word)), classes: kept.map(word => word || "(empty)") };
}

/** Red, green and blue of points, as bytes: given up to 1, to 255 or to 65535. */
function bytesOfColours(table, kept) {
  const columns = ownColours(table).map(k => table.column(k));
  const most = Math.max(...columns.map(column => kept.reduce((top, i) => (column[i] > top ? column[i] : top), 0)));
  const unit = most <= 1 ? 255 : most <= 255 ? 1 : 255 / 65535;
  const bytes = new Uint8ClampedArray(3 * kept.length);
  columns.forEach((column, c) => kept.forEach((i, n) => { bytes[3 * n + c] = unit * column[i]; }));
  return bytes;
}

/** What is said of a table, in front of the notes. */
function sampled(table) {
  return table.rows < table.count ? [`${grouped(table.rows)} of ${grouped(table.count)} points, evenly`] : [];
}

/**
 * The state of a viewer: { _scene, _answer, _controls, colour, size }, and `notes`, what was done with the file.
 *
 * `settings` has pointSize and colourMap; `before`, if given, is a model whose colour and size stay. A table without a point
 * that can be drawn throws an Unreadable.
 */
export function stateOf(table, choice, settings, before = null) {
  if (!choice.axes.length) throw new Unreadable("none of its columns holds numbers");
  const { points, dim, kept, names, notes } = placed(table, choice);
  if (!kept.length) throw new Unreadable(table.count ? "none of its points has finite coordinates" : "it holds no points");
  const scene = { points: wire(points, "float32", [kept.length, dim]), names, total: table.count, map: MAPS[settings.colourMap] };
  const paints = [];
  if (kept.length < table.count) scene.index = wire(Int32Array.from(kept, i => table.row(i)), "int32", [kept.length]);
  if (choice.colour === "own") {
    scene.rgb = wire(bytesOfColours(table, kept), "uint8", [kept.length, 3]);
    paints.push("own colours");
  } else if (choice.colour !== null) {
    const { name, text } = table.columns[choice.colour];
    const column = table.column(choice.colour);
    paints.push(text ? "class" : "value");
    if (text) {
      const { labels, classes } = classesOf(Array.from(kept, i => column[i]));
      Object.assign(scene, { labels: wire(labels, "uint8", [kept.length]), classes });
    } else {
      const { points: values, notes: moved } = nearZero([column], kept, [name]);
      Object.assign(scene, { values: wire(values, "float32", [kept.length]), of: name });
      notes.push(...moved);
    }
  }
  paints.push(...names.filter(Boolean).map(name => `along ${name}`));
  const [colour, size] = ["colour", "size"].map(name => before?.get(name));
  const control = (name, label, stops, initial, kind) => ({ name, label, kind, stops, initial, symbol: "", unit: "", none: "", local: true, play: false });
  const start = paints.includes(colour) && !(choice.colour !== null && colour?.startsWith("along")) ? colour : paints[0];
  const count = `${grouped(kept.length)} points in ${dim === 2 ? "the plane" : "space"}`;
  return {
    _scene: scene,
    _answer: { summary: count, note: sampled(table).join(), readout: [], number: 0, coarse: false },
    _controls: [
      control("colour", "colour by", paints, paints[0], "choice"),
      control("size", "size of the points", SIZES, 1, "slider"),
    ],
    colour: start,
    size: size ?? settings.pointSize,
    notes: [`${table.kind}, ${grouped(table.count)} points`, ...sampled(table), ...table.notes, ...notes],
    drawn: kept.length,
  };
}
