// PlanViewer: two clouds with the pairs of most mass; the plan as a matrix with its marginals.
import { extent, padded } from "./scales.mjs";
import { coloured } from "./colours.mjs";
import { mount } from "./stage.mjs";

/** How large points are drawn, if there are so many. */
const radius = (count) => Math.max(1.2, Math.min(4, 60 / Math.sqrt(count)));

function drawClouds({ plots, scene, answer, theme }) {
  const plot = plots.clouds;
  const xs = extent([scene.x, scene.y], 0, 2);
  const ys = extent([scene.x, scene.y], 1, 2);
  plot.axes({ x: padded(xs), y: padded(ys), equal: true, bare: true });
  const [from, to] = [plot.pixels(scene.x), plot.pixels(scene.y)];
  const top = answer.mass[0] || 1;
  for (let k = answer.mass.length - 1; k >= 0; k--) {
    const [i, j] = [2 * answer.from[k], 2 * answer.to[k]];
    const alpha = 0.05 + 0.45 * Math.sqrt(answer.mass[k] / top);
    plot.line([from[i], from[i + 1], to[j], to[j + 1]], theme.fg, { alpha });
  }
  plot.discs(from, theme.classes[0], radius(from.length / 2));
  plot.discs(to, theme.classes[1], radius(to.length / 2));
  plot.text("● source", 8, 14, { colour: theme.classes[0] });
  plot.text("● target", 80, 14, { colour: theme.classes[1] });
}

/** Bars along one side of the matrix: filled what the plan has, a line what was asked for. */
function drawMarginal(plot, pairs, colour, place) {
  const [, top] = extent([pairs]);
  const count = pairs.length / 2;
  const wanted = [];
  for (let k = 0; k < count; k++) {
    const [has, asked] = [pairs[2 * k] / top, pairs[2 * k + 1] / top];
    plot.context.fillStyle = colour;
    plot.context.globalAlpha = 0.55;
    plot.context.fillRect(...place.bar(k / count, 1 / count, has));
    plot.context.globalAlpha = 1;
    wanted.push(...place.point(k / count, asked), ...place.point((k + 1) / count, asked));
  }
  plot.line(wanted, plot.theme.fg);
}

function drawMatrix({ plots, answer, theme }) {
  const plot = plots.matrix;
  const side = Math.min(plot.width - 60, plot.height - 74);
  const box = { left: 52, top: 52, width: side, height: side };
  const [rows, columns] = answer.heat.shape;
  const shades = answer.heat.map(Math.sqrt);
  plot.image(coloured(shades, [0, extent([shades])[1]], theme.amount), rows, columns, box);
  plot.context.strokeStyle = theme.grid;
  plot.context.strokeRect(box.left, box.top, side, side);
  const depth = 28;
  drawMarginal(plot, answer.rows, theme.classes[0], {
    bar: (at, size, has) => [box.left - 4 - depth * has, box.top + at * side, depth * has, size * side],
    point: (at, asked) => [box.left - 4 - depth * asked, box.top + at * side],
  });
  drawMarginal(plot, answer.columns, theme.classes[1], {
    bar: (at, size, has) => [box.left + at * side, box.top - 4 - depth * has, size * side, depth * has],
    point: (at, asked) => [box.left + at * side, box.top - 4 - depth * asked],
  });
  plot.text("target", box.left + side, 12, { colour: theme.classes[1], align: "right" });
  plot.text("source", 4, box.top + side + 6, { colour: theme.classes[0], baseline: "top" });
}

const panels = [
  { name: "clouds", label: "The clouds, and the pairs that exchange most mass", aspect: 0.75, weight: 1.3 },
  { name: "matrix", label: "The plan as a matrix, with its marginals", aspect: 0.98 },
];

function draw(view) {
  drawClouds(view);
  drawMatrix(view);
}

export default { render: (context) => mount(context, { panels, draw }) };
