// Points in the plane and in space as they are looked at: a camera, a zoom, and where all of it comes to lie.
import { extent } from "./scales.mjs";

const LAYERS = 4096; // of depth, for the order in which points are drawn
const STEP = Math.PI / 30; // that an arrow key rotates by
const NEAREST = 1e4; // times that a picture can be enlarged
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

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

/** Places x y ... of points under a matrix of three rows (right, down, near) and four columns, the last a shift. */
export function projected(points, dim, m) {
  const count = points.length / dim;
  const xy = new Float32Array(2 * count);
  for (let n = 0, k = 0; n < count; n++, k += dim) {
    const z = dim > 2 ? points[k + 2] : 0;
    xy[2 * n] = m[0] * points[k] + m[1] * points[k + 1] + m[2] * z + m[3];
    xy[2 * n + 1] = m[4] * points[k] + m[5] * points[k + 1] + m[6] * z + m[7];
  }
  return xy;
}

/** How near points are to the eye: 0 at the back of the sphere that holds all of them, 1 in front. */
export function nearness(points, m) {
  const out = new Float32Array(points.length / 3);
  for (let n = 0, k = 0; n < out.length; n++, k += 3) {
    out[n] = m[8] * points[k] + m[9] * points[k + 1] + m[10] * points[k + 2] + m[11];
  }
  return out;
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

/** The distance of the farthest point from a centre. */
function farthest(clouds, centre) {
  const dim = centre.length;
  let most = 0;
  for (const points of clouds) {
    for (let n = 0; n < points.length; n += dim) {
      let square = 0;
      for (let k = 0; k < dim; k++) square += (points[n + k] - centre[k]) ** 2;
      if (square > most) most = square;
    }
  }
  return Math.sqrt(most) || 1;
}

/**
 * Where a panel is looked at from. `fit` it to clouds, `look` gives the matrix that lays them into a plot, and `gesture`
 * pans, zooms and turns: a drag pans the plane and turns space (with Shift it pans), the wheel and
 * two fingers zoom, as + and - do; arrow keys do what a drag does, Home and 0 go back.
 */
export class Lens {
  /** `start`, if given, is { camera, zoom, pan } for the first look. */
  constructor(start = null) {
    this.start = structuredClone(start);
    this.dim = 2;
    this.clouds = [];
    this.reset();
  }

  /** As at first. */
  reset() {
    Object.assign(this, { camera: camera(), zoom: 1, pan: [0, 0] });
  }

  /** Find centre and size of clouds, arrays of `dim` coordinates a point; nothing is done for the same ones again. */
  fit(clouds, dim) {
    if (clouds.length === this.clouds.length && clouds.every((cloud, k) => cloud === this.clouds[k])) return this;
    if (dim !== this.dim) this.reset();
    Object.assign(this, this.start, { start: null });
    const ranges = Array.from({ length: dim }, (_, k) => extent(clouds, k, dim));
    this.centre = ranges.map(([lo, hi]) => (lo + hi) / 2);
    this.half = ranges.map(([lo, hi]) => (hi - lo) / 2);
    if (!(Math.max(...this.half) > 0)) this.half = this.half.map(() => 1); // one point
    this.size = dim > 2 ? farthest(clouds, this.centre) : Math.hypot(...this.half);
    return Object.assign(this, { clouds, dim });
  }

  /** The matrix from the points to the pixels of a plot, whose axes are put where they belong. */
  look(plot, options = { bare: true }) {
    const { camera: c, centre, half, size, dim } = this;
    const pan = this.pan.map((v) => v * size); // so that it holds for other points
    const box = plot.room(options);
    const [wide, high] = dim > 2 ? [1.03 * size, 1.03 * size] : half.map((h) => 1.06 * h);
    const unit = this.zoom * Math.min(box.width / (2 * wide || 1e-30), box.height / (2 * high || 1e-30));
    const middle = dim > 2 ? pan : [centre[0] + pan[0], centre[1] + pan[1]];
    const reach = [box.width / 2 / unit, box.height / 2 / unit];
    const [x, y] = middle.map((m, k) => [m - reach[k], m + reach[k]]);
    plot.axes({ ...options, x, y });
    const left = box.left + box.width / 2 - unit * middle[0];
    const top = box.top + box.height / 2 + unit * middle[1];
    if (dim < 3) return (this.matrix = [unit, 0, 0, left, 0, -unit, 0, top, 0, 0, 0, 1]);
    const row = (k, scale, shift) => {
      const [p, q, r] = c.slice(k, k + 3).map((v) => scale * v);
      return [p, q, r, shift - p * centre[0] - q * centre[1] - r * centre[2]];
    };
    return (this.matrix = [...row(0, unit, left), ...row(3, -unit, top), ...row(6, 0.5 / size, 0.5)]);
  }

  #enlarge(factor, plot, x, y) {
    const before = plot.unit;
    const zoom = Math.min(NEAREST, Math.max(0.1, this.zoom * factor));
    const after = (before * zoom) / this.zoom;
    const { left, top, width, height } = plot.box;
    const gain = (1 / before - 1 / after) / this.size;
    this.pan[0] += (x - left - width / 2) * gain;
    this.pan[1] -= (y - top - height / 2) * gain;
    this.zoom = zoom;
  }

  #shift(dx, dy, plot) {
    this.pan[0] -= dx / plot.unit / this.size;
    this.pan[1] += dy / plot.unit / this.size;
  }

  /** What a hand or a key asks for; whether anything changed. */
  gesture({ type, key, x, y, dx = 0, dy = 0, factor = 1, shift }, plot) {
    if (!plot.box || !this.clouds.length) return false;
    const { left, top, width, height } = plot.box;
    const turns = this.dim > 2 && !shift;
    if (type === "drag" && turns) this.camera = rotated(this.camera, dx / 120, dy / 120);
    else if (type === "drag") this.#shift(dx, dy, plot);
    else if (type === "zoom") {
      this.#shift(dx, dy, plot);
      this.#enlarge(factor, plot, x, y);
    } else if (type !== "key") return false;
    else if (ARROWS[key]) {
      const [right, down] = ARROWS[key];
      if (turns) this.camera = rotated(this.camera, STEP * right, STEP * down);
      else this.#shift(-0.1 * width * right, -0.1 * height * down, plot);
    } else if ("+=-_".includes(key)) this.#enlarge("+=".includes(key) ? 1.25 : 0.8, plot, left + width / 2, top + height / 2);
    else if (key === "Home" || key === "0") this.reset();
    else return false;
    return true;
  }
}

/** The three axes, in a corner. */
export function drawTripod(plot, camera, names) {
  const [x, y] = [34, 34];
  for (let k = 0; k < 3; k++) {
    const [u, v] = [x + 22 * camera[k], y - 22 * camera[3 + k]];
    plot.line([x, y, u, v], plot.theme.muted, { width: 1.5 });
    plot.text(names[k], x + 1.4 * (u - x), y + 1.4 * (v - y), { align: "center", baseline: "middle", colour: plot.theme.muted });
  }
}
