// One canvas with axes, and what is drawn on it.
import { logTicks, scale, ticks, words } from "./scales.mjs";
import { rgb } from "./colours.mjs";

const FONT = '12px system-ui, -apple-system, "Segoe UI", sans-serif';

export const CROWD = 20_000; // discs from which on they need no soft edges

/** The pixels that a disc covers, and how much of each, for 4 x 4 places of its centre in a pixel. */
export function stamps(radius, width, crisp) {
  const reach = Math.ceil(radius + 0.5);
  return Array.from({ length: 16 }, (_, place) => {
    const [u, v, share] = [[], [], []];
    for (let y = -reach; y <= reach + 1; y++) {
      for (let x = -reach; x <= reach + 1; x++) {
        const cover = radius + 0.5 - Math.hypot(x - (place & 3) / 4, y - (place >> 2) / 4);
        if (cover <= (crisp ? 0.45 : 0)) continue;
        u.push(x);
        v.push(y);
        share.push(crisp ? 1 : Math.min(cover, 1));
      }
    }
    return { u, v, share: Float32Array.from(share), at: Int32Array.from(u, (x, k) => v[k] * width + x) };
  });
}

/**
 * Lay discs over an image of r g b a bytes.
 *
 * xy holds the places in pixels; `colour` is [r, g, b] or the bytes of one colour for each point;
 * `order`, if given, says who is drawn first.
 */
export function splat(image, width, height, xy, colour, radius, order = null) {
  const whole = new Uint32Array(image.buffer, image.byteOffset, width * height);
  const discs = stamps(radius, width, xy.length > 2 * CROWD);
  const edge = Math.ceil(radius + 0.5) + 1;
  const each = colour.length > 3;
  const count = xy.length / 2;
  for (let n = 0; n < count; n++) {
    const i = order ? order[n] : n;
    const x = xy[2 * i];
    const y = xy[2 * i + 1];
    if (!(x > -edge && x < width + edge && y > -edge && y < height + edge)) continue; // nor NaN
    const [u4, v4] = [Math.round(4 * x), Math.round(4 * y)];
    const left = u4 >> 2;
    const top = v4 >> 2;
    const inside = left >= edge && left < width - edge && top >= edge && top < height - edge;
    const { u, v, share, at } = discs[(u4 & 3) + 4 * (v4 & 3)];
    const c = each ? 3 * i : 0;
    const r = colour[c];
    const g = colour[c + 1];
    const b = colour[c + 2];
    const paint = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    const start = top * width + left;
    for (let m = 0; m < share.length; m++) {
      if (!inside && (left + u[m] < 0 || left + u[m] >= width || top + v[m] < 0 || top + v[m] >= height)) continue;
      const pixel = start + at[m];
      if (share[m] === 1) whole[pixel] = paint;
      else blend(image, 4 * pixel, r, g, b, share[m]);
    }
  }
}

/** Mix a colour into one pixel. */
function blend(image, at, r, g, b, share) {
  const old = image[at + 3] ? 1 - share : 0;
  image[at] = old * image[at] + (1 - old) * r;
  image[at + 1] = old * image[at + 1] + (1 - old) * g;
  image[at + 2] = old * image[at + 2] + (1 - old) * b;
  image[at + 3] = Math.max(image[at + 3], 255 * share);
}

/** A canvas that knows its theme, its size in device pixels, and its axes. */
export class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layer = canvas.ownerDocument.createElement("canvas"); // where discs are laid
  }

  /** Start a picture: `theme` has fg, muted, grid, bg. */
  begin(theme) {
    const { canvas, context } = this;
    this.theme = theme;
    this.ratio = globalThis.devicePixelRatio || 1;
    this.width = canvas.clientWidth || 300;
    this.height = canvas.clientHeight || 240;
    const [w, h] = [Math.round(this.width * this.ratio), Math.round(this.height * this.ratio)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.font = FONT;
  }

  /** The part of the picture that axes leave free: `margin` as [top, right, bottom, left]. */
  room({ bare = false, margin = null }) {
    const [top, right, bottom, left] = margin ?? (bare ? [6, 6, 6, 6] : [10, 12, 38, 54]);
    return { left, top, width: this.width - left - right, height: this.height - top - bottom };
  }

  /**
   * Put axes over the ranges x and y.
   *
   * Options: `equal` units on both; `bare` without axes; `line` without numbers for y; `log` as "x", "y" or "xy"; the labels `xlabel`
   * and `ylabel`; `margin` as [top, right, bottom, left].
   */
  axes({ x, y, equal = false, bare = false, line = false, log = "", xlabel = "", ylabel = "", margin = null }) {
    this.box = this.room({ bare, margin });
    const { left, top } = this.box;
    [x, y] = [[...x], [...y]];
    if (equal) {
      const unit = Math.max((x[1] - x[0]) / this.box.width, (y[1] - y[0]) / this.box.height);
      for (const [range, length] of [[x, this.box.width], [y, this.box.height]]) {
        const extra = (unit * length - (range[1] - range[0])) / 2;
        range[0] -= extra;
        range[1] += extra;
      }
    }
    this.x = scale(x, [left, left + this.box.width], log.includes("x"));
    this.y = scale(y, [top + this.box.height, top], log.includes("y"));
    this.unit = this.box.width / (x[1] - x[0]);
    if (!bare) this.#drawAxes(x, line ? [0, 0] : y, log, xlabel, ylabel);
    return this;
  }

  #drawAxes(x, y, log, xlabel, ylabel) {
    const { context: c, box, theme } = this;
    const [right, bottom] = [box.left + box.width, box.top + box.height];
    c.lineWidth = 1;
    c.fillStyle = theme.muted;
    c.strokeStyle = theme.grid;
    const xs = log.includes("x") ? logTicks(x) : ticks(x, box.width / 70);
    const ys = log.includes("y") ? logTicks(y) : ticks(y, box.height / 45);
    c.textBaseline = "top";
    c.textAlign = "center";
    for (const tick of xs) {
      this.line([this.x(tick), box.top, this.x(tick), bottom], theme.grid);
      c.fillText(words(tick), this.x(tick), bottom + 5);
    }
    c.textBaseline = "middle";
    c.textAlign = "right";
    for (const tick of ys) {
      this.line([box.left, this.y(tick), right, this.y(tick)], theme.grid);
      if (ys.length > 1) c.fillText(words(tick), box.left - 6, this.y(tick));
    }
    c.fillStyle = theme.fg;
    c.textAlign = "center";
    c.textBaseline = "bottom";
    c.fillText(xlabel, box.left + box.width / 2, this.height - 2);
    c.save();
    c.translate(10, box.top + box.height / 2);
    c.rotate(-Math.PI / 2);
    c.textBaseline = "middle";
    c.fillText(ylabel, 0, 0);
    c.restore();
  }

  /** A line through pixels x y x y ... */
  line(xy, colour, { width = 1, dash = [], alpha = 1 } = {}) {
    const c = this.context;
    c.globalAlpha = alpha;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.setLineDash(dash);
    c.beginPath();
    for (let k = 0; k < xy.length; k += 2) c.lineTo(xy[k], xy[k + 1]);
    c.stroke();
    c.setLineDash([]);
    c.globalAlpha = 1;
  }

  /** A filled shape through pixels x y x y ... */
  fill(xy, colour, { alpha = 1 } = {}) {
    const c = this.context;
    c.globalAlpha = alpha;
    c.fillStyle = colour;
    c.beginPath();
    for (let k = 0; k < xy.length; k += 2) c.lineTo(xy[k], xy[k + 1]);
    c.fill();
    c.globalAlpha = 1;
  }

  /** An arrow between two pixels; one too short for its head is a line. */
  arrow([x, y, u, v], colour, { width = 1.2, head = 5, alpha = 1 } = {}) {
    this.line([x, y, u, v], colour, { width, alpha });
    const length = Math.hypot(u - x, v - y);
    if (length < head) return;
    const [a, b] = [(head * (u - x)) / length, (head * (v - y)) / length];
    this.fill([u, v, u - a - b / 2, v - b + a / 2, u - a + b / 2, v - b - a / 2], colour, { alpha });
  }

  /** A curve y(x) in the units of the axes. */
  curve(xs, ys, colour, options) {
    const pixels = [];
    for (let k = 0; k < xs.length; k++) pixels.push(this.x(xs[k]), this.y(ys[k]));
    this.line(pixels, colour, options);
  }

  /** Points x y x y ... (units of the axes) as pixels. */
  pixels(points, width = 2) {
    const out = new Float32Array((2 * points.length) / width);
    for (let k = 0, n = 0; k < points.length; k += width, n += 2) {
      out[n] = this.x(points[k]);
      out[n + 1] = this.y(points[k + 1]);
    }
    return out;
  }

  /** Discs at pixels x y x y ...; `colour` is "#rrggbb" or three bytes a point. */
  discs(xy, colour, radius, order = null) {
    const places = xy.map((v) => v * this.ratio - 0.5);
    const paint = typeof colour === "string" ? rgb(colour) : colour;
    this.splashed((image, width, height) => splat(image, width, height, places, paint, radius * this.ratio, order));
  }

  /** What `paint(bytes, width, height)` lays into an image of device pixels. */
  splashed(paint) {
    const { layer, context } = this;
    Object.assign(layer, { width: this.canvas.width, height: this.canvas.height });
    const pen = layer.getContext("2d");
    const image = pen.createImageData(layer.width, layer.height);
    paint(image.data, layer.width, layer.height);
    pen.putImageData(image, 0, 0);
    context.drawImage(layer, 0, 0, this.width, this.height);
  }

  /** Draw what does not leave the box. */
  inside(action) {
    const { context: c, box } = this;
    c.save();
    c.beginPath();
    c.rect(box.left, box.top, box.width, box.height);
    c.clip();
    action(c);
    c.restore();
  }

  /** A matrix (rows downwards) as an image over the box, from bytes r g b of its entries. */
  image(bytes, rows, columns, box = this.box) {
    const { layer, context } = this;
    Object.assign(layer, { width: columns, height: rows });
    const pen = layer.getContext("2d");
    const image = pen.createImageData(columns, rows);
    for (let k = 0, n = 0; n < image.data.length; k += 3, n += 4) {
      for (let c = 0; c < 3; c++) image.data[n + c] = bytes[k + c];
      image.data[n + 3] = 255;
    }
    pen.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(layer, box.left, box.top, box.width, box.height);
  }

  /** Words at a pixel, on a veil that keeps them readable. */
  text(words, x, y, { colour = this.theme.fg, align = "left", baseline = "alphabetic" } = {}) {
    const c = this.context;
    Object.assign(c, { textAlign: align, textBaseline: baseline, lineJoin: "round" });
    c.strokeStyle = this.theme.bg;
    c.lineWidth = 4;
    c.strokeText(words, x, y);
    c.lineWidth = 1;
    c.fillStyle = colour;
    c.fillText(words, x, y);
  }
}
