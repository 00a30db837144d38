// HessianViewer: two Hessians and their difference as images; a row of both on the cloud.
import { extent, nearestStop, padded, words } from "./scales.mjs";
import { coloured } from "./colours.mjs";
import { drawPoints } from "./points.mjs";
import { mount } from "./stage.mjs";

const DECADES = 10; // of the difference, below the largest entry
const LEAST = 18; // as in hessian.py

/** The symmetric matrix of an upper triangle, row by row. */
export function unpacked(upper, rows) {
  const out = new Float64Array(rows * rows);
  for (let i = 0, n = 0; i < rows; i++) {
    for (let j = i; j < rows; j++, n++) out[i * rows + j] = out[j * rows + i] = upper[n];
  }
  return out;
}

/** Numbers from their signed logarithms. */
export const decoded = (codes) => Float64Array.from(codes, (v) => Math.sign(v) * 10 ** (Math.abs(v) - LEAST));

/** Both matrices and their difference at the k-th stop, kept until another answer or stop is shown. */
function matrices({ answer, memory }, k) {
  if (memory.answer !== answer || memory.k !== k) {
    const exact = unpacked(answer.matrix, answer.rows);
    const gap = unpacked(decoded(answer.gaps[k]), answer.rows); // in units of the largest entry
    const loop = exact.map((v, n) => v + answer.largest * gap[n]);
    const logs = gap.map((v) => Math.log10(Math.abs(v) + 1e-30));
    Object.assign(memory, { answer, k, exact, loop, logs });
  }
  return memory;
}

function drawMatrix(plot, values, rows, row, range, table, ends) {
  const side = Math.min(plot.width - 2, plot.height - 26);
  const box = { left: 1 + (plot.width - 2 - side) / 2, top: 1, width: side, height: side };
  plot.box = box;
  plot.image(coloured(values, range, table), rows, rows, box);
  const [pen, { fg, grid, muted: colour }] = [plot.context, plot.theme];
  for (const [edge, top, height] of [[grid, 1, side], [fg, 1 + (row * side) / rows, side / rows]]) {
    Object.assign(pen, { strokeStyle: edge, lineWidth: 1 });
    pen.strokeRect(box.left, top, side, height);
  }
  const [right, bottom] = [box.left + side, plot.height - 8];
  plot.text(ends[1], right, bottom, { align: "right", colour });
  const left = right - pen.measureText(ends[1]).width - 66;
  plot.image(table, 1, 256, { left, top: bottom - 10, width: 60, height: 10 });
  plot.text(ends[0], left - 6, bottom, { align: "right", colour });
}

/** The entries of a row as vectors in the plane, x y x y ... */
function vectors(matrix, row, { rows, each }, axes) {
  const out = [];
  for (let j = 0; j < rows; j += each) {
    for (let u = 0; u < 2; u++) {
      let sum = 0;
      for (let c = 0; c < each; c++) sum += matrix[row * rows + j + c] * axes[2 * c + u];
      out.push(sum);
    }
  }
  return out;
}

/** An arrow for each point; that of the row's own point, by far the longest, is cut. */
function drawArrows(plot, points, own, lists, colours) {
  const sizes = lists[0].map((v, n) => (n % 2 ? 0 : Math.hypot(v, lists[0][n + 1])));
  const top = Math.max(...sizes.filter((_, n) => n !== 2 * own)) || 1;
  lists.forEach((list, which) => {
    for (let i = 0; i < list.length; i += 2) {
      const size = Math.hypot(list[i], list[i + 1]);
      const [x, y] = [points[i], points[i + 1]];
      const scale = (0.12 * plot.width * Math.min(1, (1.6 * top) / (size || 1))) / top;
      const tip = [x + scale * list[i], y - scale * list[i + 1]];
      plot.arrow([x, y, ...tip], colours[which], { width: which ? 1.2 : 4 });
    }
  });
  ["→ implicit", "→ unrolled", "(that of □ is cut)"].forEach((text, n) => plot.text(text, 8, 14 + 16 * n, { colour: colours[n] }));
}

function drawCloud(view, { exact, loop }, row) {
  const { plots: { cloud: plot }, scene, answer, theme } = view;
  const [whole, other] = answer.cloud === "x" ? [scene.x, "y"] : [scene.y, "x"];
  view.lens("cloud").fit([whole], 2).look(plot, { bare: true, margin: [34, 34, 34, 34] }); // room for arrows
  const kept = Float32Array.from(Array.from(answer.kept).flatMap((i) => [whole[2 * i], whole[2 * i + 1]]));
  const mine = { name: answer.cloud, points: kept, colour: theme.muted, index: answer.kept };
  const own = Math.floor(row / answer.each);
  drawPoints(view, "cloud", [{ name: other, points: scene[other], colour: theme.muted }], { radius: 2.5, alpha: 0.45 });
  const [{ xy: points }] = drawPoints(view, "cloud", [mine], { radius: answer.weights ? 6.2 : 2.5, alpha: 1 });
  if (answer.weights) {
    const values = loop.subarray(row * answer.rows, (row + 1) * answer.rows);
    plot.discs(points, coloured(values, [-answer.shade, answer.shade], theme.signed), 5.5);
  } else {
    const lists = [exact, loop].map((matrix) => vectors(matrix, row, answer, scene.axes));
    drawArrows(plot, points, own, lists, [...theme.classes.slice(0, 2), theme.muted]);
  }
  plot.context.strokeStyle = theme.fg;
  plot.context.lineWidth = 1.5;
  plot.context.strokeRect(points[2 * own] - 8, points[2 * own + 1] - 8, 16, 16);
}

function drawCurve({ plots: { curve: plot }, scene, answer, theme }, k) {
  const [bottom, top] = padded(extent([answer.errors]), 0.08);
  plot.axes({ x: [0.9, 1.1 * scene.updates.at(-1)], y: [10 ** bottom, 10 ** top], log: "xy", xlabel: "updates" });
  const values = answer.errors.map((v) => 10 ** v);
  plot.curve(scene.updates.slice(0, values.length), values, theme.classes[1], { width: 2 });
  const marks = Array.from(values).flatMap((v, n) => [plot.x(scene.updates[n]), plot.y(v)]);
  plot.discs(Float32Array.from(marks), theme.classes[1], 3);
  plot.discs(Float32Array.from(marks.slice(2 * k, 2 * k + 2)), theme.fg, 5);
}

function draw(view) {
  const { answer, scene, theme, plots } = view;
  const k = Math.min(nearestStop(scene.updates, view.get("updates")), answer.gaps.length - 1); // a sketch has fewer
  const row = Math.min(view.get("row"), answer.rows - 1);
  const { exact, loop, logs } = matrices(view, k);
  const range = [-answer.shade, answer.shade];
  const image = (plot, values, ...look) => drawMatrix(plot, values, answer.rows, row, ...look);
  const signed = [range, theme.signed, range.map((v) => words(v, 2))];
  image(plots.implicit, exact, ...signed);
  image(plots.unrolled, loop, ...signed);
  image(plots.difference, logs, [-DECADES, 0], theme.amount, [words(10 ** -DECADES), "1"]);
  drawCloud(view, { exact, loop }, row);
  drawCurve(view, k);
  const largest = `${words(10 ** answer.errors[k], 2)} of the largest entry`;
  const part = answer.each > 1 ? `, coordinate ${row % answer.each}` : "";
  const name = `${row}: point ${Math.floor(row / answer.each)}${part}`;
  return {
    readout: [[`largest difference after ${scene.updates[k]}`, largest], ["row", name], ...answer.readout],
    summary: `${answer.summary}; after ${scene.updates[k]} updates the unrolled one differs by ${largest}`,
  };
}

/** The row under the pointer on a matrix, or the next one by an arrow key. */
function gesture(view, { type, panel, y, key }) {
  const { rows } = view.answer;
  const { top, height } = view.plots[panel].box;
  const move = { ArrowUp: -1, ArrowDown: 1 }[key];
  if (panel === "cloud" || panel === "curve" || type === "leave" || (type === "key" && !move)) return false;
  const row = type === "key" ? Math.min(view.get("row"), rows - 1) + move : Math.floor(((y - top) / height) * rows);
  if (row < 0 || row >= rows) return false;
  view.set("row", row);
  return true;
}

const matrix = (name, label) => ({ name, label, aspect: 1.08, weight: 0.85 });
const panels = [
  matrix("implicit", "Implicit: solve, then differentiate"),
  matrix("unrolled", "Unrolled: differentiate the loop"),
  matrix("difference", "Difference, relative to the largest entry"),
  { name: "cloud", label: "The row on the cloud, □ its own point", aspect: 0.62, weight: 1.5, fresh: true },
  { name: "curve", label: "Largest difference after so many updates", aspect: 0.62, weight: 1.5 },
];

export default { render: (context) => mount(context, { panels, draw, gesture }) };
