// How points are laid on a plot: the clouds of every viewer are drawn here, by Canvas or, crowds, by WebGL.
import { rgb } from "./colours.mjs";
import { CROWD, stamps } from "./plot.mjs";
import { farToNear, nearness, projected } from "./space.mjs";
import { webPainter } from "./webgl.mjs";

const FOG = 0.45; // of the background that the farthest points take on
const MOST = 20; // points for one that is drawn while the picture moves
const FRAME = 50; // milliseconds that a frame may take while it moves

/** How large points are drawn, if there are so many. */
export const radiusOf = (count) => Math.max(0.7, Math.min(4, 18 / Math.max(1, count) ** 0.27));

/** Colours of points on their way into the fog. */
function fogged(colours, near, veil) {
  const out = new Uint8Array(colours.length);
  for (let n = 0, k = 0; n < near.length; n++) {
    const share = FOG * (1 - near[n]);
    for (let c = 0; c < 3; c++, k++) out[k] = colours[k] + share * (veil[c] - colours[k]);
  }
  return out;
}

/** Bytes of one colour for every point. */
const even = (hex, count) => {
  const [bytes, colour] = [new Uint8Array(3 * count), rgb(hex)];
  for (let k = 0; k < bytes.length; k += 3) bytes.set(colour, k);
  return bytes;
};

/**
 * Paint a crowd into the bytes of an image: in space the nearest point of each pixel is seen, in the plane points lie
 * over each other, `alpha` opaque. One in `every` points is drawn; `matrix` leads to pixels of the plot, of which `ratio` is one.
 */
export function crowd(image, width, height, { points, dim, colours, matrix: m, radius, alpha, fog, veil, every, ratio }) {
  const size = Math.max(0.5, radius * ratio);
  const discs = stamps(size, width, true);
  const edge = Math.ceil(size + 0.5) + 1;
  const deep = dim > 2;
  const nearest = deep ? new Float32Array(width * height).fill(-1) : null;
  const owner = deep ? new Uint32Array(width * height) : null;
  const count = points.length / dim;
  for (let n = 0; n < count; n += every) {
    const k = n * dim;
    const [px, py, pz] = [points[k], points[k + 1], deep ? points[k + 2] : 0];
    const x = Math.round(4 * (ratio * (m[0] * px + m[1] * py + m[2] * pz + m[3]) - 0.5));
    const y = Math.round(4 * (ratio * (m[4] * px + m[5] * py + m[6] * pz + m[7]) - 0.5));
    const [left, top] = [x >> 2, y >> 2];
    if (!(left >= edge && left < width - edge && top >= edge && top < height - edge)) continue;
    const { at } = discs[(x & 3) + 4 * (y & 3)];
    const start = top * width + left;
    if (deep) {
      const depth = Math.min(1, Math.max(0, m[8] * px + m[9] * py + m[10] * pz + m[11]));
      for (let q = 0; q < at.length; q++) {
        const pixel = start + at[q];
        if (depth > nearest[pixel]) {
          nearest[pixel] = depth;
          owner[pixel] = n;
        }
      }
    } else {
      for (let q = 0; q < at.length; q++) {
        const [old, c] = [4 * (start + at[q]), 3 * n];
        for (let b = 0; b < 3; b++) image[old + b] = alpha * colours[c + b] + (1 - alpha) * image[old + b];
        image[old + 3] = 255 * alpha + (1 - alpha) * image[old + 3];
      }
    }
  }
  for (let p = 0, q = 0; p < width * height; p++, q += 4) {
    if (deep && nearest[p] >= 0) {
      const share = fog * (1 - nearest[p]);
      for (let b = 0; b < 3; b++) image[q + b] = colours[3 * owner[p] + b] + share * (veil[b] - colours[3 * owner[p] + b]);
      image[q + 3] = 255;
    } else if (image[q + 3] && image[q + 3] < 255) {
      for (let b = 0; b < 3; b++) image[q + b] = (255 * image[q + b]) / image[q + 3]; // bytes of an image are not premultiplied
    }
  }
}

const merges = new WeakMap(); // clouds that are drawn as one, since they hide each other, by the first of them

/** Several clouds as one, the same one as long as they are the same. */
function together(clouds) {
  if (clouds.length < 2) return clouds[0];
  const parts = clouds.flatMap(({ points, colours }) => [points, colours]);
  const held = merges.get(parts[0]);
  if (held?.parts.every((part, k) => part === parts[k])) return held.whole;
  const joined = (kind, from) => {
    const whole = new kind(from.reduce((sum, part) => sum + part.length, 0));
    from.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
    return whole;
  };
  const points = joined(Float32Array, clouds.map((cloud) => cloud.points));
  const whole = { points, colours: joined(Uint8Array, clouds.map((cloud) => cloud.colours)) };
  merges.set(parts[0], { parts, whole });
  return whole;
}

const uniforms = new Map(); // bytes of one colour, which are asked for again in the next frame

function bytesOf(colour, count) {
  if (typeof colour !== "string") return colour;
  const key = `${colour} ${count}`;
  if (!uniforms.has(key)) uniforms.set(key, even(colour, count));
  return uniforms.get(key);
}

/** A crowd on a plot, by the card where there is one; thinner while it moves, if a frame takes long. */
function drawCrowd(view, lens, work) {
  const { plot } = work;
  const count = work.points.length / work.dim;
  const every = view.moving ? Math.min(MOST, Math.ceil(((lens.cost ?? 0) * count) / FRAME) || 1) : 1;
  const painter = webPainter();
  const options = { ...work, every, width: plot.width, height: plot.height, ratio: plot.ratio };
  const start = performance.now();
  plot.inside((pen) => {
    if (painter) {
      const { canvas, left, top, width, height } = painter.paint(options);
      pen.drawImage(canvas, left, top, width, height, 0, 0, plot.width, plot.height);
    } else plot.splashed((image, width, height) => crowd(image, width, height, options));
  });
  // A card works on when its orders were given; the frame after the next one comes when it is done.
  requestAnimationFrame(() => requestAnimationFrame((now) => {
    lens.cost = lens.painted ? (now - start) / (count / every) : 0; // what the first frame took was spent on loading
    lens.painted = true;
  }));
  plot.canvas.dataset.painter = painter ? "webgl" : "canvas";
  if (every > 1) {
    view.thinned = true;
    plot.text(`while it moves, 1 of ${every} points`, plot.box.left + 4, plot.box.top + plot.box.height - 6, { colour: plot.theme.muted });
  }
}

/**
 * Draw clouds in a panel as its lens looks at them, and leave their places to whoever points at them.
 *
 * view.places[panel] = [{ name, xy, count, index? }] is the contract with hit tests, lassos and hovers: one entry a
 * cloud, in the order in which they were drawn; xy holds CSS pixels x y x y ... in the panel, NaN where a point is
 * hidden, and is computed when it is first asked for; index[k] is the row of the caller's array that the
 * k-th point is, k itself where there is no index.
 *
 * A cloud is { name, points, colour: "#rrggbb" or three bytes a point, index? }. Clouds in space hide each other by their depth,
 * those of the plane in their order. Above `CROWD` points they have no soft edges, and WebGL draws them if it can.
 */
export function drawPoints(view, panel, clouds, { radius, alpha } = {}) {
  const [plot, lens] = [view.plots[panel], view.lens(panel)];
  const { matrix, dim } = lens;
  const entries = clouds.map(({ name, points, index }) => {
    let places = null;
    return { name, count: points.length / dim, index, get xy() { return (places ??= projected(points, dim, matrix)); } };
  });
  view.places[panel] = [...(view.places[panel] ?? []), ...entries];
  clouds = clouds.map((cloud, k) => ({ ...cloud, colours: bytesOf(cloud.colour, entries[k].count) }));
  const veil = rgb(plot.theme.bg);
  for (const cloud of dim > 2 ? [together(clouds)] : clouds) {
    const { points, colours } = cloud;
    const seen = points.length / dim / lens.zoom;
    const size = radius ?? radiusOf(seen);
    const full = (4 * seen * size ** 2) / (plot.box.width * plot.box.height);
    const opaque = alpha ?? (dim > 2 ? 1 : Math.min(1, Math.max(0.25, 1 / Math.sqrt(full))));
    const work = { plot, points, dim, colours, matrix, radius: size, alpha: opaque, fog: dim > 2 ? FOG : 0, veil };
    if (points.length / dim > CROWD) drawCrowd(view, lens, work);
    else plot.inside((pen) => {
      pen.globalAlpha = opaque;
      const near = dim > 2 ? nearness(points, matrix) : null;
      plot.discs(projected(points, dim, matrix), near ? fogged(colours, near, veil) : colours, size, near && farToNear(near));
    });
  }
  return entries;
}
