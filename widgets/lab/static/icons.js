// One icon for each folder of the gallery, in the classes by which JupyterLab recolours them with
// its theme; the colours written here show only where there is none.

const dot = (kind, colour) => (x, y, r = 6) =>
  `<circle class="${kind}" fill="${colour}" cx="${x}" cy="${y}" r="${r}"/>`;
const blue = dot("jp-icon-brand1", "#1976d2");
const orange = dot("jp-icon-warn1", "#f57c00");
const line = (path, width = 3) =>
  `<path class="jp-icon3" stroke="#616161" stroke-width="${width}" stroke-linecap="round"
    stroke-linejoin="round" style="fill: none" d="${path}"/>`;
const box = (kind, colour) => (x, y, width, height, opacity = 1) =>
  `<rect class="${kind}" fill="${colour}" x="${x}" y="${y}" width="${width}" height="${height}"
    rx="1.5" opacity="${opacity}"/>`;
const blueBox = box("jp-icon-brand1", "#1976d2");
const orangeBox = box("jp-icon-warn1", "#f57c00");
const greyBox = box("jp-icon3", "#616161");

const svg = (...shapes) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 64 64">${shapes.join("")}</svg>`;

// A kernel matrix: the nearer the points, the larger the entry.
const entries = [0, 1, 2, 3].flatMap(i =>
  [0, 1, 2, 3].map(j => {
    const [x, y] = [9 + 12 * j, 9 + 12 * i];
    return i === j ? orangeBox(x, y, 10, 10) : blueBox(x, y, 10, 10, [1, 0.75, 0.4, 0.18][Math.abs(i - j)]);
  }),
);

const spokes = [[12, 16], [34, 8], [54, 24], [46, 52], [16, 48]];

export const ICONS = {
  // A file of points.
  cloud: svg(
    blue(14, 40), blue(24, 26, 5), blue(30, 44, 5), blue(38, 30), blue(22, 53, 4), blue(44, 47, 5), blue(53, 37, 4), blue(40, 14, 4),
    orange(31, 16, 5), orange(51, 23, 5), orange(11, 25, 4), orange(38, 56, 4),
  ),
  // Two point clouds and the few pairs that matter between them.
  sparseot: svg(
    line("M25 9 55 20M24 29 42 38M10 38 40 56", 3.4),
    blue(25, 9), blue(9, 18), blue(24, 29), blue(10, 38),
    orange(55, 20), orange(42, 37), orange(56, 45), orange(40, 56),
  ),
  // Particles that follow a gradient.
  gradient_flows: svg(
    line("M10 10C30 10 32 17 45 17M41 13 45 17 41 21"),
    line("M10 32 45 33M41 29 45 33 41 37"),
    line("M10 54C30 54 32 49 45 49M41 45 45 49 41 53"),
    blue(10, 10), blue(10, 32), blue(10, 54), orange(55, 17, 5), orange(55, 33, 5), orange(55, 49, 5),
  ),
  // A transport plan with its marginals.
  transport: svg(
    blueBox(6, 24, 10, 8), blueBox(3, 34, 13, 8), blueBox(9, 44, 7, 8), blueBox(6, 54, 10, 5),
    orangeBox(20, 9, 8, 9), orangeBox(30, 4, 8, 14), orangeBox(40, 7, 8, 11), orangeBox(50, 11, 8, 7),
    greyBox(20, 24, 8, 8), greyBox(30, 24, 8, 8, 0.35), greyBox(30, 34, 8, 8), greyBox(40, 34, 8, 8, 0.5),
    greyBox(40, 44, 8, 8), greyBox(50, 54, 8, 5), greyBox(50, 44, 8, 8, 0.35),
  ),
  // A valley, a point on its slope, and its lowest place.
  curvature: svg(line("M5 9C14 68 48 68 59 9", 3.6), line("M7 30 27 62", 2), blue(16, 41), orange(33, 53)),
  kernel_matrices: svg(...entries),
  // A point and its nearest neighbours.
  graphs: svg(
    line(spokes.map(([x, y]) => `M32 30 ${x} ${y}`).join("") + "M12 16 34 8M46 52 16 48"),
    ...spokes.map(([x, y]) => blue(x, y)), orange(32, 30, 7.5),
  ),
};
