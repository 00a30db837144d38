// PlanViewer: two clouds with the pairs of most mass; the plan as a matrix with its marginals.
import { extent, words } from "./scales.mjs";
import { coloured } from "./colours.mjs";
import { colourBar, glow } from "./light.mjs";
import { imageOf, imageWords } from "./partners.mjs";
import { drawTripod, nearness, projected } from "./space.mjs";
import { drawPoints, radiusOf } from "./points.mjs";
import { mount } from "./stage.mjs";

/** The colour of a cloud; the one that gets the mass of a selection shines by its share. */
function paintOf(image, side, theme) {
  if (!image?.share || image.side === side) return { colour: theme.classes[side] };
  if (image.paper !== theme.bg) {
    const table = glow(theme.classes[side], theme.bg);
    Object.assign(image, { paper: theme.bg, table, colour: coloured(image.share, [0, image.top], table) });
  }
  return { colour: image.colour, near: "all", first: image.first };
}

function drawClouds(view, image) {
  const { plots: { clouds: plot }, scene, answer, theme } = view;
  const dim = scene.x.shape[1];
  const lens = view.lens("clouds").fit([scene.x, scene.y], dim);
  const matrix = lens.look(plot, { bare: true, margin: [22, 6, 26, 6] }); // words stand above and below
  const ends = [scene.x, scene.y].map((points) => ({ xy: projected(points, dim, matrix), near: dim > 2 ? nearness(points, matrix) : null }));
  const [from, to] = ends;
  const top = answer.mass[0] || 1;
  const [mask, own] = image ? [image.masks[image.side], image.side ? answer.to : answer.from] : [];
  plot.inside(() => {
    for (let k = answer.mass.length - 1; k >= 0; k--) {
      const [i, j] = [answer.from[k], answer.to[k]];
      const seen = dim > 2 ? 0.15 + 0.425 * (from.near[i] + to.near[j]) : 1;
      const lit = mask ? (mask[own[k]] ? 1.8 : 0.15) : 1; // of a selection its own lines
      const alpha = Math.min(1, (0.05 + 0.45 * Math.sqrt(answer.mass[k] / top)) * seen * lit);
      plot.line([from.xy[2 * i], from.xy[2 * i + 1], to.xy[2 * j], to.xy[2 * j + 1]], theme.fg, { alpha });
    }
  });
  const count = Math.max(from.xy.length, to.xy.length) / 2;
  const clouds = [["source", scene.x, scene.x_index], ["target", scene.y, scene.y_index]].map(([name, points, index], side) => ({ name, points, index, ...paintOf(image, side, theme) }));
  drawPoints(view, "clouds", clouds, { radius: Math.max(1.2, radiusOf(count / lens.zoom)), alpha: 1 });
  if (dim > 2) drawTripod(plot, lens.camera, ["x₁", "x₂", "x₃"]);
  const left = dim > 2 ? 70 : 8;
  plot.text("● source", left, 14, { colour: theme.classes[0] });
  plot.text("● target", left + 72, 14, { colour: theme.classes[1] });
  if (image?.share) {
    const name = `${image.side ? "source" : "target"}: part that ${image.side ? "goes there" : "comes from it"}`;
    colourBar(plot, image.table, ["0", `${words(100 * image.top)} %`], name);
  }
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
  const image = imageOf(view);
  drawClouds(view, image);
  drawMatrix(view);
  if (!image) return {};
  const { readout, chosen } = imageWords(image, view.get("_controls")[0].unit, view.alone);
  return { chosen, readout: [...readout, ...view.answer.readout], summary: [view.answer.summary, chosen].filter(Boolean).join("; selected: ") };
}

export default { render: (context) => mount(context, { panels, draw }) };
