// PlanViewer: two clouds with the pairs of most mass; the plan as a matrix with its marginals.
import { extent } from "./scales.mjs";
import { coloured } from "./colours.mjs";
import { drawTripod, nearness, projected } from "./space.mjs";
import { drawPoints, radiusOf } from "./points.mjs";
import { mount } from "./stage.mjs";

function drawClouds(view) {
  const { plots: { clouds: plot }, scene, answer, theme } = view;
  const dim = scene.x.shape[1];
  const lens = view.lens("clouds").fit([scene.x, scene.y], dim);
  const matrix = lens.look(plot);
  const ends = [scene.x, scene.y].map((points) => ({ xy: projected(points, dim, matrix), near: dim > 2 ? nearness(points, matrix) : null }));
  const [from, to] = ends;
  const top = answer.mass[0] || 1;
  plot.inside(() => {
    for (let k = answer.mass.length - 1; k >= 0; k--) {
      const [i, j] = [answer.from[k], answer.to[k]];
      const seen = dim > 2 ? 0.15 + 0.425 * (from.near[i] + to.near[j]) : 1;
      const alpha = (0.05 + 0.45 * Math.sqrt(answer.mass[k] / top)) * seen;
      plot.line([from.xy[2 * i], from.xy[2 * i + 1], to.xy[2 * j], to.xy[2 * j + 1]], theme.fg, { alpha });
    }
  });
  const count = Math.max(from.xy.length, to.xy.length) / 2;
  const clouds = [["source", scene.x], ["target", scene.y]].map(([name, points], k) => ({ name, points, colour: theme.classes[k] }));
  drawPoints(view, "clouds", clouds, { radius: Math.max(1.2, radiusOf(count / lens.zoom)), alpha: 1 });
  if (dim > 2) drawTripod(plot, lens.camera, ["x₁", "x₂", "x₃"]);
  const left = dim > 2 ? 70 : 8;
  plot.text("● source", left, 14, { colour: theme.classes[0] });
  plot.text("● target", left + 72, 14, { colour: theme.classes[1] });
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
