// FlowViewer: particles on their way to a target, at a time; and the loss along the way.
import { extent, nearestStop, padded, words } from "./scales.mjs";
import { coloured, mixed } from "./colours.mjs";
import { drawTripod, projected } from "./space.mjs";
import { drawPoints, radiusOf } from "./points.mjs";
import { mount } from "./stage.mjs";

const BANDS = 8; // groups of particles of a density
const BINS = 320; // places at which a density is drawn
const DRAWN = 250; // paths or arrows at most

/** The coordinates of all particles at the k-th time. */
function cloudAt({ path }, k) {
  const size = path.shape[1] * path.shape[2];
  return path.subarray(k * size, (k + 1) * size);
}

/** The density of points on the line over evenly spaced places, smoothed by a Gaussian; `share` is its mass. */
export function density(points, [lo, hi], bandwidth, share, bins = BINS) {
  const counts = new Float64Array(bins);
  const step = (hi - lo) / (bins - 1);
  for (const point of points) {
    const at = (point - lo) / step;
    const k = Math.floor(at);
    if (k >= 0 && k < bins) counts[k] += 1 - at + k;
    if (k >= -1 && k + 1 < bins) counts[k + 1] += at - k;
  }
  const reach = Math.ceil((4 * bandwidth) / step);
  const bell = Array.from({ length: 2 * reach + 1 }, (_, m) => Math.exp(-0.5 * (((m - reach) * step) / bandwidth) ** 2));
  const scaled = share / (points.length * step * bell.reduce((sum, v) => sum + v, 0));
  const out = new Float64Array(bins);
  for (let k = 0; k < bins; k++) {
    if (!counts[k]) continue;
    for (let m = Math.max(0, k - reach); m <= Math.min(bins - 1, k + reach); m++) {
      out[m] += counts[k] * scaled * bell[m - k + reach];
    }
  }
  return out;
}

const shade = (bytes, k) => `rgb(${bytes[3 * k]},${bytes[3 * k + 1]},${bytes[3 * k + 2]})`;

/** Stacked densities of groups of equal rank, over that of the target. */
function drawLine({ plots: { cloud: plot }, scene, answer, theme }, k) {
  const smooth = (points, share = 1) => density(points, scene.window, scene.bandwidth, share);
  const flow = cloudAt(answer, k);
  const target = smooth(scene.target);
  const [, top] = extent([target, smooth(cloudAt(answer, 0))]);
  plot.axes({ x: scene.window, y: [0, 1.6 * top], ylabel: "density" });
  const [left, step] = [plot.box.left, plot.box.width / (BINS - 1)];
  const edge = (heights) => Array.from(heights, (v, m) => [left + m * step, plot.y(Math.min(v, 1.6 * top))]);
  const fill = (low, high, colour, alpha) => plot.fill([...edge(high), ...edge(low).reverse()].flat(), colour, { alpha });
  let below = new Float64Array(BINS);
  fill(below, target, theme.muted, 0.4);
  const ranks = Array.from(flow.keys()).sort((i, j) => answer.place[i] - answer.place[j]);
  for (let b = 0; b < BANDS; b++) {
    const members = ranks.slice((b * flow.length) / BANDS, ((b + 1) * flow.length) / BANDS);
    if (!members.length) continue;
    const layer = smooth(members.map((i) => flow[i]), members.length / flow.length);
    const above = below.map((v, m) => v + layer[m]);
    fill(below, above, shade(coloured([b + 0.5], [0, BANDS], theme.place), 0), 0.9);
    below = above;
  }
  plot.line(edge(below).flat(), theme.fg);
}

/** Particles over the target, in the plane or in space. */
function drawCloud(view, k) {
  const { plots: { cloud: plot }, scene, answer, theme, get } = view;
  const dim = scene.window.shape[1];
  view.memory.first ??= cloudAt(answer, 0);
  const lens = view.lens("cloud").fit(dim > 2 ? [scene.target, view.memory.first] : [scene.window], dim);
  const matrix = lens.look(plot);
  const pixels = (points) => projected(points, dim, matrix);
  const colours = coloured(answer.place, [0, 255], theme.place);
  const now = cloudAt(answer, k);
  const every = Math.ceil(now.length / dim / DRAWN);
  const radius = (count) => Math.max(1.3, radiusOf(count / lens.zoom));
  const lines = () => plot.inside(() => {
    if (get("draw") === "paths") {
      const before = Array.from({ length: k + 1 }, (_, m) => pixels(cloudAt(answer, m)));
      for (let i = 0; i < now.length / dim; i += every) {
        plot.line(before.flatMap((xy) => [xy[2 * i], xy[2 * i + 1]]), shade(colours, i), { alpha: 0.55 });
      }
    }
    if (get("draw") === "velocities") drawVelocities(plot, scene, answer, k, every, pixels, (i) => shade(colours, i));
  });
  const count = now.length / dim;
  const target = { name: "target", points: scene.target, colour: dim > 2 ? mixed(theme.muted, theme.bg, 0.5) : theme.muted };
  const particles = { name: "particles", points: now, colour: colours };
  if (dim > 2) {
    lines();
    drawPoints(view, "cloud", [target, particles], { radius: radius(count) });
    drawTripod(plot, lens.camera, ["x₁", "x₂", "x₃"]);
  } else {
    drawPoints(view, "cloud", [target], { radius: 0.85 * radius(scene.target.length / dim), alpha: 0.45 });
    lines();
    drawPoints(view, "cloud", [particles], { radius: radius(count), alpha: 1 });
  }
}

/** Arrows: how far each particle would come in the time that is written below them. */
function drawVelocities(plot, { times }, answer, k, every, pixels, colour) {
  const [from, to] = k + 1 < times.length ? [k, k + 1] : [k - 1, k];
  const [here, there, now] = [from, to, k].map((m) => pixels(cloudAt(answer, m)));
  const ahead = 0.25; // of a unit of time
  const factor = ahead / (times[to] - times[from]);
  for (let i = 0; i < now.length; i += 2 * every) {
    const [x, y] = [now[i], now[i + 1]];
    const tip = [x + factor * (there[i] - here[i]), y + factor * (there[i + 1] - here[i + 1])];
    plot.arrow([x, y, ...tip], colour(i / 2), { alpha: 0.7 });
  }
  plot.text(`arrows: the way in ${ahead} of time, at this speed`, 8, plot.height - 10, { colour: plot.theme.muted });
}

function drawCurve({ plots: { curve: plot }, scene, answer, theme }, k) {
  const values = answer.curve.map((v) => 10 ** v);
  const [lo, hi] = extent([answer.curve]);
  const [bottom, top] = padded([lo, Math.max(hi, lo + 0.3)], 0.06);
  const until = scene.times.at(-1);
  plot.axes({ x: [0, until], y: [10 ** bottom, 10 ** top], log: "y", xlabel: "time t" });
  plot.curve(scene.times, values, theme.classes[0], { width: 2 });
  const [x, y] = [plot.x(scene.times[k]), plot.y(values[k])];
  plot.line([x, plot.box.top, x, plot.box.top + plot.box.height], theme.fg, { dash: [4, 3], alpha: 0.7 });
  plot.discs(Float32Array.of(x, y), theme.classes[1], 4.5);
}

function draw(view) {
  const { scene, answer, theme, plots } = view;
  const k = nearestStop(Array.from(scene.times), view.get("time"));
  (scene.window.length === 2 ? drawLine : drawCloud)(view, k);
  const lost = `${words(100 * answer.outside[k], 2)} % outside`;
  if (answer.outside[k] > 0.005) plots.cloud.text(lost, plots.cloud.width - 8, 14, { colour: theme.muted, align: "right" });
  drawCurve(view, k);
  const [time, loss] = [words(scene.times[k]), words(10 ** answer.curve[k])];
  const readout = [["time", time], ["loss", loss], ...answer.readout];
  return { readout, summary: `${answer.summary}; at time ${time} it is ${loss}` };
}

/** A drag along the curve moves the time. */
function gesture(view, { type, panel, x }) {
  if (panel !== "curve" || (type !== "down" && type !== "drag")) return false;
  const { left, width } = view.plots.curve.box;
  view.set("time", ((x - left) / width) * view.scene.times.at(-1));
  return true;
}

const panels = [
  { name: "cloud", label: "Particles, coloured by their place at t = 0, and the target (grey)", aspect: 0.75, weight: 1.3 },
  { name: "curve", label: "The loss along the way", aspect: 0.98, drags: true },
];

export default { render: (context) => mount(context, { panels, draw, gesture }) };
