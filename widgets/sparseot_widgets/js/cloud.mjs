// CloudViewer: a cloud as it is, in the plane or in space, by place, by a value or by a class.
//
// The scene, made by viewers/cloud.py and by whoever opens a file without a kernel:
//   points    (N, 2 or 3) numbers: where they are drawn, in the caller's units
//   values    (N,) numbers, optional: for the colour bar; NaN is drawn in grey
//   labels    (N,) whole numbers, optional: the class of each point, as a place in `classes`
//   classes   the words of the classes; classes[labels[i]] is that of point i
//   names     2 or 3 words, optional: what the coordinates are called
//   of        a word, optional: what the values are
//   unit      a word, optional: the unit of the coordinates
//   index     (N,) whole numbers, optional: the row that each point had, where some were left out
//   total     how many points there were; more than N if it was thinned
// The answer is { summary, note, readout }; the controls, all local, are `colour` ("value", "class", or
// "along " and the name of a coordinate) and `size` (a factor).
import { extent, ticks, words } from "./scales.mjs";
import { coloured, rgb } from "./colours.mjs";
import { drawTripod } from "./space.mjs";
import { drawPoints, radiusOf } from "./points.mjs";
import { mount } from "./stage.mjs";

const BAR = 120; // height of a colour bar in pixels
const LISTED = 12; // classes in a legend

/** Bytes r g b of the classes of points, which take turns with the colours where there are more of them. */
export function classColours(labels, classes) {
  const table = classes.map(rgb);
  const out = new Uint8Array(3 * labels.length);
  for (let n = 0; n < labels.length; n++) out.set(table[labels[n] % table.length], 3 * n);
  return out;
}

const namesOf = ({ names }) => names ?? ["x₁", "x₂", "x₃"];

/** How the cloud is coloured now: the bytes, and what the bar beside it says. */
function paints({ scene, theme, get, memory }) {
  const by = get("colour");
  const key = [scene, by, theme.dark];
  if (memory.key?.every((part, k) => part === key[k])) return memory;
  const bar = {};
  if (by === "class") return Object.assign(memory, { key, bar: null, colours: classColours(scene.labels, theme.classes) });
  let values = scene.values;
  if (by !== "value") {
    const dim = scene.points.shape[1];
    const k = Math.max(0, namesOf(scene).indexOf(by.slice(6)));
    values = Float32Array.from({ length: scene.points.length / dim }, (_, n) => scene.points[n * dim + k]);
  }
  bar.range = extent([values]);
  bar.name = by === "value" ? scene.of || "value" : by.slice(6);
  const colours = coloured(values, bar.range, theme.place);
  return Object.assign(memory, { key, bar, colours });
}

function drawBar(plot, { range, name }, table) {
  const [left, top] = [plot.width - 24, 22];
  const rising = Uint8Array.from(table, (_, k) => table[3 * (255 - Math.floor(k / 3)) + (k % 3)]); // the largest on top
  plot.image(rising, 256, 1, { left, top, width: 12, height: BAR });
  plot.text(name, plot.width - 12, 14, { align: "right" });
  [range[1], (range[0] + range[1]) / 2, range[0]].forEach((value, k) => {
    plot.text(words(value), left - 5, top + 4 + (k * (BAR - 8)) / 2, { align: "right", baseline: "middle", colour: plot.theme.muted });
  });
}

/** A bar of a round length. */
function drawMeasure(plot, unit = "") {
  const length = ticks([0, 110 / plot.unit], 3).at(-1);
  const [right, bottom] = [plot.width - 12, plot.height - 10];
  const left = right - length * plot.unit;
  plot.line([left, bottom - 4, left, bottom, right, bottom, right, bottom - 4], plot.theme.muted, { width: 1.5 });
  plot.text(`${words(length)} ${unit}`.trim(), (left + right) / 2, bottom - 5, { align: "center", colour: plot.theme.muted });
}

function drawLegend(plot, { classes: names }, { classes: colours }) {
  names.slice(0, LISTED).forEach((name, k) => {
    plot.text("●", plot.width - 14, 16 + 17 * k, { align: "right", colour: colours[k % colours.length] });
    plot.text(name, plot.width - 30, 16 + 17 * k, { align: "right" });
  });
  if (names.length > LISTED) plot.text(`and ${names.length - LISTED} more`, plot.width - 14, 16 + 17 * LISTED, { align: "right", colour: plot.theme.muted });
}

function draw(view) {
  const { plots: { cloud: plot }, scene, theme, get } = view;
  const dim = scene.points.shape[1];
  const { bar, colours } = paints(view);
  const lens = view.lens("cloud").fit([scene.points], dim);
  const names = namesOf(scene).map((name) => (name && scene.unit && dim < 3 ? `${name} (${scene.unit})` : name));
  lens.look(plot, dim > 2 ? { bare: true } : { xlabel: names[0], ylabel: names[1], line: !names[1] });
  const radius = get("size") * radiusOf(scene.points.length / dim / lens.zoom);
  drawPoints(view, "cloud", [{ name: "x", points: scene.points, colour: colours, index: scene.index }], { radius });
  if (dim > 2) {
    drawTripod(plot, lens.camera, names);
    drawMeasure(plot, scene.unit);
  }
  if (bar) drawBar(plot, bar, theme.place);
  else drawLegend(plot, scene, theme);
}

const panels = [{ name: "cloud", label: "The cloud: drag, wheel and keys move it", aspect: 0.62 }];

export default { render: (context) => mount(context, { panels, draw }) };
