// GraphViewer: nodes and weighted edges, the neighbours of one node, histograms of degrees and weights.
import { extent, words } from "./scales.mjs";
import { coloured } from "./colours.mjs";
import { projected } from "./space.mjs";
import { drawPoints, radiusOf } from "./points.mjs";
import { mount } from "./stage.mjs";

const DRAWN = 20_000; // edges at most
const FAINT = 0.02; // of the largest weight: fainter edges are not seen
const SHADES = 20;
const GRASP = 18; // pixels from which a node can be pointed at

/** The weights of the first K slots of every node: as given (h is null), or exp(-d^2 / 2 h^2). */
export function weigh({ indices, distances, weights }, K, h) {
  const width = indices.shape[1];
  const count = indices.shape[0];
  const out = new Float32Array(count * K);
  for (let i = 0; i < count; i++) {
    for (let m = 0; m < K; m++) {
      const k = i * width + m;
      if (indices[k] === i) continue; // an empty slot, or the node itself
      out[i * K + m] = h === null || h === undefined ? weights[k] : Math.exp(-((distances[k] / h) ** 2) / 2);
    }
  }
  return out;
}

/** Each edge once, as slots i * K + m, from the heaviest: in SHADES groups; and how many are left out. */
export function edges({ indices }, weights, K, most = DRAWN) {
  const width = indices.shape[1];
  const count = indices.shape[0];
  const [, top] = extent([weights]);
  const groups = Array.from({ length: SHADES }, () => []);
  let total = 0;
  for (let i = 0; i < count; i++) {
    for (let m = 0; m < K; m++) {
      const j = indices[i * width + m];
      if (j === i) continue;
      let back = -1;
      for (let q = 0; q < K; q++) if (indices[j * width + q] === i) back = q;
      const weight = weights[i * K + m];
      if (back >= 0 && (weights[j * K + back] > weight || (weights[j * K + back] === weight && j < i))) continue;
      total++;
      if (weight > FAINT * top) groups[Math.min(SHADES - 1, Math.floor((SHADES * weight) / top))].push(i * K + m);
    }
  }
  let room = most;
  for (let g = SHADES - 1; g >= 0; g--) {
    groups[g] = groups[g].slice(0, room);
    room -= groups[g].length;
  }
  return { groups, top, total, hidden: total - (most - room) };
}

/** What need not be done again while the pointer moves. */
function prepared(view) {
  const { scene, answer, memory, get } = view;
  const [K, h] = [Math.min(get("k"), answer.indices.shape[1]), get("bandwidth")];
  const key = [answer, K, h];
  if (memory.key?.every((part, n) => part === key[n])) return memory;
  const weights = weigh(answer, K, h);
  const degrees = new Float32Array(scene.points.shape[0]);
  let inside = 0;
  for (let k = 0; k < weights.length; k++) {
    const i = Math.floor(k / K);
    degrees[i] += weights[k];
    if (scene.labels && scene.labels[i] === scene.labels[neighbour(answer, k, K)]) inside += weights[k];
  }
  const whole = degrees.reduce((sum, degree) => sum + degree, 0);
  const pure = scene.labels ? inside / (whole || 1) : null;
  Object.assign(memory, { key, K, weights, degrees, pure, mean: whole / degrees.length, ...edges(answer, weights, K) });
  return memory;
}

/** Who stands in slot k = i * K + m. */
function neighbour({ indices }, k, K) {
  return indices[Math.floor(k / K) * indices.shape[1] + (k % K)];
}

/** One path of many lines, so that a shade is drawn at once. */
function stroke(plot, slots, answer, K, xy, colour, alpha, dash) {
  const c = plot.context;
  c.strokeStyle = colour;
  c.globalAlpha = alpha;
  c.setLineDash(dash);
  c.beginPath();
  for (const k of slots) {
    const [i, j] = [2 * Math.floor(k / K), 2 * neighbour(answer, k, K)];
    c.moveTo(xy[i], xy[i + 1]);
    c.lineTo(xy[j], xy[j + 1]);
  }
  c.stroke();
  c.setLineDash([]);
  c.globalAlpha = 1;
}

function nodeColours({ scene, theme }, degrees) {
  if (!scene.labels) return coloured(degrees, extent([degrees]), theme.place);
  return coloured(scene.labels, [0, Math.max(1, scene.names.length - 1)], theme.place);
}

function drawGraph(view) {
  const { plots: { graph: plot }, scene, answer, theme, memory } = view;
  const { groups, K, degrees } = prepared(view);
  const lens = view.lens("graph").fit([scene.points], 2);
  const xy = projected(scene.points, 2, lens.look(plot));
  const mixed = (k) => scene.labels[Math.floor(k / K)] !== scene.labels[neighbour(answer, k, K)];
  plot.inside(() => groups.forEach((slots, g) => {
    const alpha = 0.04 + 0.76 * ((g + 0.5) / SHADES);
    if (!scene.labels) return stroke(plot, slots, answer, K, xy, theme.fg, alpha, []);
    stroke(plot, slots.filter((k) => !mixed(k)), answer, K, xy, theme.classes[2], alpha, []);
    return stroke(plot, slots.filter(mixed), answer, K, xy, theme.classes[1], alpha, [4, 2]);
  }));
  const radius = Math.max(1.2, radiusOf(degrees.length / lens.zoom));
  const nodes = { name: "nodes", points: scene.points, colour: nodeColours(view, degrees) };
  drawPoints(view, "graph", [nodes], { radius, alpha: 1 });
  memory.xy = xy;
  const chosen = memory.hover ?? memory.chosen;
  if (chosen !== undefined) drawNeighbours(plot, view, chosen, radius);
}

function drawNeighbours(plot, { answer, theme, memory }, i, radius) {
  const { xy, K } = memory;
  const place = (j) => [xy[2 * j], xy[2 * j + 1]];
  const near = Array.from({ length: K }, (_, m) => neighbour(answer, i * K + m, K)).filter((j) => j !== i);
  for (const j of near) plot.line([...place(i), ...place(j)], theme.fg, { width: 2 });
  plot.discs(Float32Array.from(near.flatMap(place)), theme.classes[0], radius + 2);
  plot.discs(Float32Array.from(place(i)), theme.fg, radius + 4);
  plot.discs(Float32Array.from(place(i)), theme.bg, radius + 2);
}

/** Bars for how often values occur; `mark` is where the chosen node stands. */
function histogram(plot, values, xlabel, ylabel, mark) {
  const [lo, hi] = extent([values]);
  const bins = 24;
  const width = (hi - lo || 1) / bins;
  const counts = new Float32Array(bins);
  for (const value of values) counts[Math.min(bins - 1, Math.floor((value - lo) / width))]++;
  plot.axes({ x: [lo, lo + bins * width], y: [0, 1.05 * extent([counts])[1]], xlabel, ylabel, margin: [10, 12, 38, 62] });
  plot.context.fillStyle = plot.theme.classes[0];
  counts.forEach((count, b) => {
    const [left, right] = [plot.x(lo + b * width), plot.x(lo + (b + 1) * width)];
    plot.context.fillRect(left, plot.y(count), right - left - 1, plot.y(0) - plot.y(count));
  });
  if (mark !== undefined) plot.line([plot.x(mark), plot.y(0), plot.x(mark), plot.box.top], plot.theme.classes[1], { width: 2 });
}

/** The words that depend on local controls and on the node that is chosen. */
function said({ scene, answer, memory, get }) {
  const { K, pure, mean, total, hidden, weights } = memory;
  const readout = [["mean degree", words(mean)], ["edges drawn", `${words(total - hidden)} of ${words(total)}`]];
  if (answer.recall) readout.unshift(["recall", `${(100 * answer.recall[K - 1]).toFixed(1)} %`]);
  if (pure !== null) readout.push(["weight within a label", `${(100 * pure).toFixed(1)} %`]);
  const name = (i) => (scene.labels ? `${i} (${scene.names[scene.labels[i]]})` : `${i}`);
  const i = memory.hover ?? memory.chosen;
  let summary = `${answer.summary}, K ${K}, mean degree ${words(mean)}`;
  readout.push(...answer.readout);
  if (i !== undefined) {
    const slots = Array.from({ length: K }, (_, m) => m).filter((m) => neighbour(answer, i * K + m, K) !== i);
    const list = slots.map((m) => {
      const far = answer.distances[i * answer.indices.shape[1] + m];
      return `${name(neighbour(answer, i * K + m, K))} ${far > 0 ? "at " + words(far, 2) : "with " + words(weights[i * K + m], 2)}`;
    });
    const near = list.slice(0, 6).join(", ") + (list.length > 6 ? ` and ${list.length - 6} more` : "");
    readout.push([`node ${name(i)}`, near || "no neighbours"]);
    summary = `Node ${name(i)}, neighbours ${near}. ${summary}`;
  }
  return { readout, summary };
}

/** The node nearest to a place, among those that lie in a direction, if one is asked for. */
export function nodeAt(xy, [x, y], reach, [dx, dy] = [0, 0]) {
  let best;
  let least = reach ** 2;
  for (let i = 0; i < xy.length / 2; i++) {
    const [u, v] = [xy[2 * i] - x, xy[2 * i + 1] - y];
    const far = u * u + v * v;
    const ahead = u * dx + v * dy;
    if ((dx || dy) && (ahead <= 0 || 2 * ahead * ahead < far)) continue; // within 45 degrees
    if (far < least) [best, least] = [i, far];
  }
  return best;
}

function gesture({ memory, plots }, { type, panel, key, x, y }) {
  if (panel !== "graph" || !memory.xy) return false;
  const { xy } = memory;
  const before = [memory.hover, memory.chosen];
  if (type === "move" || type === "down") memory.hover = nodeAt(xy, [x, y], GRASP);
  if (type === "down") memory.chosen = memory.hover;
  if (type === "leave") memory.hover = undefined;
  if (type === "key") {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    if (!step) return false;
    const { chosen } = memory;
    const here = chosen === undefined ? [plots.graph.width / 2, plots.graph.height / 2] : [xy[2 * chosen], xy[2 * chosen + 1]];
    memory.hover = undefined;
    memory.chosen = nodeAt(xy, here, Infinity, chosen === undefined ? undefined : step) ?? chosen;
    return true;
  }
  return memory.hover !== before[0] || memory.chosen !== before[1];
}

const panels = [
  { name: "graph", label: "Nodes and edges; point at a node, or use arrow keys", aspect: 0.85, weight: 1.3 },
  { name: "degrees", label: "Degrees: sums of weights", aspect: 1.1, weight: 0.8 },
  { name: "weights", label: "Weights of the edges", aspect: 1.1, weight: 0.8 },
];

function draw(view) {
  drawGraph(view);
  const { memory, plots } = view;
  const chosen = memory.hover ?? memory.chosen;
  histogram(plots.degrees, memory.degrees, "degree", "nodes", chosen === undefined ? chosen : memory.degrees[chosen]);
  histogram(plots.weights, memory.weights, "weight", "edges");
  return said(view);
}

export default { render: (context) => mount(context, { panels, draw, gesture }) };
