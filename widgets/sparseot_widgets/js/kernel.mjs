// KernelViewer: a cloud coloured by an eigenvector, its kernel matrix, its eigenvalues.
import { extent, padded, words } from "./scales.mjs";
import { coloured } from "./colours.mjs";
import { mount } from "./stage.mjs";

const LAYERS = 4096; // of depth, for the order in which points are drawn
const STEP = Math.PI / 30; // that an arrow key rotates by

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

/** A camera above the horizon, the third axis upwards: rows right, up, towards the eye. */
export function camera(azimuth = -1.05, elevation = 0.45) {
  const [ca, sa, ce, se] = [Math.cos(azimuth), Math.sin(azimuth), Math.cos(elevation), Math.sin(elevation)];
  return [-sa, ca, 0, -se * ca, -se * sa, ce, ce * ca, ce * sa, se];
}

/** A camera after a turn about the vertical and a tilt about the horizontal axis of the picture. */
export function rotated([a, b, c, d, e, f, g, h, i], turn, tilt) {
  const [ct, st, cl, sl] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
  const right = [ct * a + st * g, ct * b + st * h, ct * c + st * i];
  const eye = [ct * g - st * a, ct * h - st * b, ct * i - st * c];
  const mix = (p, up, q, towards) => up.map((value, k) => p * value + q * towards[k]);
  return [...right, ...mix(cl, [d, e, f], -sl, eye), ...mix(sl, [d, e, f], cl, eye)];
}

/** Points x y z ... as a camera sees them: places x y ..., and how near each is. */
export function projected(points, camera, [x0, y0, z0]) {
  const [a, b, c, d, e, f, g, h, i] = camera;
  const count = points.length / 3;
  const plane = new Float32Array(2 * count);
  const depth = new Float32Array(count);
  for (let n = 0; n < count; n++) {
    const x = points[3 * n] - x0;
    const y = points[3 * n + 1] - y0;
    const z = points[3 * n + 2] - z0;
    plane[2 * n] = a * x + b * y + c * z;
    plane[2 * n + 1] = d * x + e * y + f * z;
    depth[n] = g * x + h * y + i * z;
  }
  return { plane, depth };
}

/** Numbers of the points from far to near: counted into layers, which takes two passes. */
export function farToNear(depth) {
  const [lo, hi] = extent([depth]);
  const slope = (LAYERS - 1) / (hi - lo || 1);
  const layer = new Uint16Array(depth.length);
  const start = new Uint32Array(LAYERS + 1);
  for (let n = 0; n < depth.length; n++) {
    layer[n] = (depth[n] - lo) * slope;
    start[layer[n] + 1]++;
  }
  for (let l = 0; l < LAYERS; l++) start[l + 1] += start[l];
  const order = new Uint32Array(depth.length);
  for (let n = 0; n < depth.length; n++) order[start[layer[n]]++] = n;
  return order;
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

/** The distance of the farthest point, a little more: it stays on the picture however that rotates. */
function farthest(points, centre) {
  const dim = centre.length;
  let most = 0;
  for (let n = 0; n < points.length; n += dim) {
    let square = 0;
    for (let k = 0; k < dim; k++) square += (points[n + k] - centre[k]) ** 2;
    if (square > most) most = square;
  }
  return 1.03 * Math.sqrt(most) || 1;
}

/** What need not be done again while the cloud rotates. */
function prepared(view) {
  const { scene, answer, theme, memory } = view;
  const key = [answer, view.get("vector"), view.get("coordinates"), theme.dark];
  if (memory.key?.every((part, k) => part === key[k])) return memory;
  const values = onPoints(scene, answer.vectors, view.get("vector") - 1);
  const { points, dim } = placesOf(view);
  const ranges = Array.from({ length: dim }, (_, k) => extent([points], k, dim));
  const centre = ranges.map(([lo, hi]) => (lo + hi) / 2);
  const top = extent([values.map(Math.abs)])[1];
  const colours = coloured(values, [-top, top], theme.poles);
  Object.assign(memory, { key, points, dim, ranges, centre, size: farthest(points, centre), colours });
  memory.camera ??= camera();
  return memory;
}

function drawCloud(view) {
  const { plots: { cloud: plot }, theme, answer } = view;
  const { points, dim, ranges, centre, size, colours, camera } = prepared(view);
  const radius = Math.max(1, Math.min(4, 110 / Math.sqrt(points.length / dim)));
  if (dim === 2) {
    plot.axes({ x: padded(ranges[0]), y: padded(ranges[1]), equal: true, bare: true });
    plot.discs(plot.pixels(points), colours, radius);
  } else {
    plot.axes({ x: [-size, size], y: [-size, size], equal: true, bare: true });
    const { plane, depth } = projected(points, camera, centre);
    plot.discs(plot.pixels(plane), colours, radius, farToNear(depth));
    drawTripod(plot, camera, spectral(view) ? "f" : "x");
  }
  const bend = plot.unit * answer.sigma;
  if (spectral(view) || bend > plot.height / 3) return;
  const [x, y] = [plot.width - 10 - bend, 10 + bend];
  plot.context.strokeStyle = theme.fg;
  plot.context.beginPath();
  plot.context.arc(x, y, bend, 0, 2 * Math.PI);
  plot.context.stroke();
  plot.text("σ", x - bend - 5, Math.max(y, 12), { align: "right", baseline: "middle" });
}

/** The three axes, in a corner. */
function drawTripod(plot, camera, letter) {
  const [x, y] = [34, 34];
  for (let k = 0; k < 3; k++) {
    const [u, v] = [x + 22 * camera[k], y - 22 * camera[3 + k]];
    plot.line([x, y, u, v], plot.theme.muted, { width: 1.5 });
    const name = letter + "₁₂₃"[k];
    plot.text(name, x + 1.4 * (u - x), y + 1.4 * (v - y), { align: "center", baseline: "middle", colour: plot.theme.muted });
  }
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

function gesture(view, { type, panel, key, x, dx, dy }) {
  const { memory, plots } = view;
  if (panel === "cloud" && memory.dim === 3) {
    const keys = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const [turn, tilt] = type === "drag" ? [dx / 120, dy / 120] : keys[key] ?? [0, 0];
    if (key === "Home") memory.camera = camera();
    else memory.camera = rotated(memory.camera, turn, tilt);
    return key === "Home" || turn !== 0 || tilt !== 0;
  }
  if (panel === "spectrum" && view.answer) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    const asked = type === "down" ? Math.round((x - plots.spectrum.x(0)) / (plots.spectrum.x(1) - plots.spectrum.x(0))) : view.get("vector") + step;
    if ((type === "down" || step) && asked >= 1 && asked < view.answer.values.length) view.set("vector", asked);
    return Boolean(step);
  }
  return false;
}

const panels = [
  { name: "cloud", label: "The cloud, coloured by the eigenvector", aspect: 0.78, weight: 1.25, drags: true },
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
