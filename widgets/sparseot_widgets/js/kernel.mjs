// KernelViewer: a cloud coloured by an eigenvector, its kernel matrix, its eigenvalues.
import { extent, padded, words } from "./scales.mjs";
import { coloured } from "./colours.mjs";
import { drawTripod } from "./space.mjs";
import { drawPoints } from "./points.mjs";
import { mount } from "./stage.mjs";

/** One eigenvector at every point that is drawn: between the three nearest that were solved for. */
export function onPoints({ near, share }, vectors, j) {
  const width = vectors.shape[1];
  const count = near ? near.length / 3 : vectors.shape[0];
  const out = new Float32Array(count);
  for (let n = 0; n < count; n++) {
    if (!near) out[n] = vectors[n * width + j];
    else for (let m = 3 * n; m < 3 * n + 3; m++) out[n] += (share[m] / 255) * vectors[near[m] * width + j];
  }
  return out;
}

/** The kernel matrix of a few points, from their distances: exp(-d^2 / 2 sigma^2) or exp(-d / sigma). */
export function kernelMatrix(distances, sigma, gaussian) {
  return distances.map((d) => Math.exp(gaussian ? -((d / sigma) ** 2) / 2 : -d / sigma));
}

const spectral = (view) => view.get("coordinates") === "spectral coordinates";

/** Where the points stand: in space, or the first eigenvectors as coordinates. */
function placesOf(view) {
  const { scene, answer } = view;
  if (!spectral(view)) return { points: scene.points, dim: scene.points.shape[1] };
  const dim = Math.min(3, Math.max(2, answer.vectors.shape[1]));
  const axes = Array.from({ length: dim }, (_, j) => onPoints(scene, answer.vectors, Math.min(j, answer.vectors.shape[1] - 1)));
  const points = new Float32Array(dim * axes[0].length);
  axes.forEach((axis, j) => { for (let n = 0; n < axis.length; n++) points[dim * n + j] = axis[n]; });
  return { points, dim };
}

/** What need not be done again while the cloud rotates. */
function prepared(view) {
  const { scene, answer, theme, memory } = view;
  const key = [answer, view.get("vector"), view.get("coordinates"), theme.dark];
  if (memory.key?.every((part, k) => part === key[k])) return memory;
  const values = onPoints(scene, answer.vectors, view.get("vector") - 1);
  const { points, dim } = placesOf(view);
  const top = extent([values.map(Math.abs)])[1];
  const colours = coloured(values, [-top, top], theme.poles);
  return Object.assign(memory, { key, points, dim, colours });
}

function drawCloud(view) {
  const { plots: { cloud: plot }, theme, answer } = view;
  const { points, dim, colours } = prepared(view);
  const lens = view.lens("cloud").fit([points], dim);
  const radius = Math.max(1, Math.min(4, 110 / Math.sqrt(points.length / dim)));
  lens.look(plot);
  drawPoints(view, "cloud", [{ name: "x", points, colour: colours }], { radius: radius * Math.min(4, Math.sqrt(lens.zoom)) });
  if (dim > 2) drawTripod(plot, lens.camera, [..."₁₂₃"].map((n) => (spectral(view) ? "f" : "x") + n));
  const bend = plot.unit * answer.sigma;
  if (spectral(view) || bend > plot.height / 3) return;
  const [x, y] = [plot.width - 10 - bend, 10 + bend];
  plot.context.strokeStyle = theme.fg;
  plot.context.beginPath();
  plot.context.arc(x, y, bend, 0, 2 * Math.PI);
  plot.context.stroke();
  plot.text("σ", x - bend - 5, Math.max(y, 12), { align: "right", baseline: "middle" });
}

function drawMatrix({ plots: { matrix: plot }, scene, answer, theme, get }) {
  const count = scene.rows.length;
  const width = answer.vectors.shape[1];
  const value = Float32Array.from(scene.rows, (row) => answer.vectors[row * width + get("vector") - 1]);
  const order = get("order") === "the eigenvector"
    ? Uint16Array.from(value, (_, k) => k).sort((p, q) => value[p] - value[q])
    : scene.along;
  const entries = kernelMatrix(scene.apart, get("sigma"), scene.gaussian);
  const shown = new Float32Array(count * count);
  for (let r = 0; r < count; r++) for (let c = 0; c < count; c++) shown[r * count + c] = entries[order[r] * count + order[c]];
  const side = Math.min(plot.width, plot.height - 18) - 8;
  const box = { left: (plot.width - side) / 2, top: 4, width: side, height: side };
  plot.image(coloured(shown, [0, 1], theme.amount), count, count, box);
  plot.context.strokeStyle = theme.grid;
  plot.context.strokeRect(box.left, box.top, side, side);
  plot.text(`${count} points, by ${get("order")}`, plot.width / 2, box.top + side + 4, { align: "center", baseline: "top", colour: theme.muted });
}

function drawSpectrum({ plots: { spectrum: plot }, answer, theme, get }) {
  const [numbers, chosen] = [[...answer.values.keys()], get("vector")];
  plot.axes({ x: [-0.6, numbers.length - 0.4], y: padded([0, extent([answer.values])[1]], 0.08), xlabel: "number", ylabel: "eigenvalue λ" });
  const at = [plot.x(chosen), plot.y(answer.values[chosen])];
  plot.line([at[0], plot.y(0), ...at], theme.classes[1], { width: 2 });
  const places = Float32Array.from(numbers.flatMap((n) => [plot.x(n), plot.y(answer.values[n])]));
  plot.discs(places, theme.classes[0], 3.5);
  plot.discs(Float32Array.from(at), theme.classes[1], 6);
}

/** The words for the eigenvector that is chosen. */
function said({ scene, answer, get }) {
  const j = get("vector");
  const value = `${words(answer.values[j], 4)} ± ${words(answer.residuals[j], 1)}`;
  const drawn = scene.points.shape[0];
  const few = drawn < scene.total ? `${drawn.toLocaleString("en-US")} of ${scene.total.toLocaleString("en-US")} points` : "";
  return {
    readout: [[`eigenvalue ${j}`, value], ...answer.readout],
    summary: `${answer.summary}; coloured by eigenvector ${j}, eigenvalue ${words(answer.values[j])}`,
    note: [few, answer.note].filter(Boolean).join("; "),
  };
}

function gesture(view, { type, panel, key, x }) {
  const { plots } = view;
  if (panel === "spectrum" && view.answer) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    const asked = type === "down" ? Math.round((x - plots.spectrum.x(0)) / (plots.spectrum.x(1) - plots.spectrum.x(0))) : view.get("vector") + step;
    if ((type === "down" || step) && asked >= 1 && asked < view.answer.values.length) view.set("vector", asked);
    return Boolean(step);
  }
  return false;
}

const panels = [
  { name: "cloud", label: "The cloud, coloured by the eigenvector", aspect: 0.78, weight: 1.25 },
  { name: "matrix", label: "The kernel matrix", aspect: 1.07, weight: 0.85 },
  { name: "spectrum", label: "Smallest eigenvalues of its graph", aspect: 1.07, weight: 0.8 },
];

function draw(view) {
  drawCloud(view);
  drawMatrix(view);
  drawSpectrum(view);
  return said(view);
}

export default { render: (context) => mount(context, { panels, draw, gesture }) };
