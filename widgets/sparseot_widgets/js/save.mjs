// Pictures to keep: all panels as they stand on the screen, as PNG, or as SVG with words and lines.
import { make } from "./controls.mjs";

const CIRCLES = 5_000; // discs of one cloud; more are an image in the SVG

let clips = 0; // so that each has a name of its own

const SAFE = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
/** Any text as a piece of XML. */
export const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => SAFE[sign]).replace(/[^\P{Cc}\t\n]/gu, "");
const short = (number) => String(Math.round(100 * number) / 100);

/** Takes what a plot draws, as a canvas's context does, and writes it down as SVG. */
export class SvgPen {
  #kept = [];
  #path = [];
  #begun = false;
  #veil = null;

  constructor(real) {
    this.real = real; // it knows how wide words are
    this.parts = [];
    this.images = 0; // clouds that became an image
    Object.assign(this, { ink: "#000000", edge: "#000000", lineWidth: 1, globalAlpha: 1, textAlign: "left", textBaseline: "alphabetic", transform: "", dash: [], clipped: null });
    this.font = real.font;
  }

  // The canvas reads colours as the page has them, and writes them as #rrggbb.
  #read(colour) {
    this.real.fillStyle = colour;
    return this.real.fillStyle;
  }
  get fillStyle() { return this.ink; }
  set fillStyle(colour) { this.ink = this.#read(colour); }
  get strokeStyle() { return this.edge; }
  set strokeStyle(colour) { this.edge = this.#read(colour); }

  #put(element, attributes, inside = "") {
    const all = { ...attributes, ...(this.globalAlpha < 1 && { opacity: short(this.globalAlpha) }), ...(this.transform && { transform: this.transform }), ...(this.clipped && { "clip-path": `url(#${this.clipped})` }) };
    const said = Object.entries(all).map(([name, value]) => ` ${name}="${escaped(value)}"`).join("");
    this.parts.push(inside ? `<${element}${said}>${inside}</${element}>` : `<${element}${said}/>`);
  }

  #line() {
    const dash = this.dash.length ? { "stroke-dasharray": this.dash.join(" ") } : {};
    return { fill: "none", stroke: this.strokeStyle, "stroke-width": short(this.lineWidth), ...dash };
  }

  setTransform() {} // pixels of the screen are the unit
  clearRect() {}
  setLineDash(dash) { this.dash = dash; }
  save() { this.#kept.push({ ...this }); }
  restore() {
    const { parts, images } = this;
    Object.assign(this, this.#kept.pop(), { parts, images });
  }
  translate(x, y) { this.transform += `translate(${short(x)} ${short(y)})`; }
  rotate(angle) { this.transform += `rotate(${short((angle * 180) / Math.PI)})`; }
  scale(x, y) { this.transform += `scale(${x} ${y})`; }
  measureText(words) {
    this.real.font = this.font;
    return this.real.measureText(words);
  }

  beginPath() { [this.#path, this.#begun] = [[], false]; }
  moveTo(x, y) { this.#path.push(`M${short(x)} ${short(y)}`); this.#begun = true; }
  lineTo(x, y) {
    if (!this.#begun) return this.moveTo(x, y);
    return this.#path.push(`L${short(x)} ${short(y)}`);
  }
  closePath() { this.#path.push("Z"); }
  rect(x, y, w, h) { this.#path.push(`M${short(x)} ${short(y)}h${short(w)}v${short(h)}h${short(-w)}Z`); }
  arc(x, y, r, from, to) {
    if (Math.abs(to - from) >= 2 * Math.PI) this.#path.push(`M${short(x - r)} ${short(y)}a${short(r)} ${short(r)} 0 1 0 ${short(2 * r)} 0a${short(r)} ${short(r)} 0 1 0 ${short(-2 * r)} 0`);
    else {
      const [u, v] = [x + r * Math.cos(to), y + r * Math.sin(to)];
      this.lineTo(x + r * Math.cos(from), y + r * Math.sin(from));
      this.#path.push(`A${short(r)} ${short(r)} 0 ${Number(to - from > Math.PI)} 1 ${short(u)} ${short(v)}`);
    }
    this.#begun = true;
  }
  stroke() { if (this.#path.length) this.#put("path", { d: this.#path.join(""), ...this.#line() }); }
  fill() { if (this.#path.length) this.#put("path", { d: this.#path.join(""), fill: this.fillStyle }); }
  strokeRect(x, y, w, h) { this.#put("rect", { x: short(x), y: short(y), width: short(w), height: short(h), ...this.#line() }); }
  fillRect(x, y, w, h) {
    const box = { x: short(Math.min(x, x + w)), y: short(Math.min(y, y + h)), width: short(Math.abs(w)), height: short(Math.abs(h)) };
    this.#put("rect", { ...box, fill: this.fillStyle });
  }

  /** The veil behind words: it is drawn with the words that follow. */
  strokeText(words, x, y) {
    this.#veil = { at: [words, x, y].join(), stroke: this.strokeStyle, "stroke-width": this.lineWidth, "stroke-linejoin": "round", "paint-order": "stroke" };
  }
  fillText(words, x, y) {
    const anchor = { center: "middle", right: "end", end: "end" }[this.textAlign];
    const drop = { top: 0.8, hanging: 0.8, middle: 0.35, bottom: -0.2 }[this.textBaseline] ?? 0;
    const size = Number(/([\d.]+)px/.exec(this.font)?.[1] ?? 12);
    const { at, ...veil } = this.#veil?.at === [words, x, y].join() ? this.#veil : {};
    this.#veil = null;
    this.#put("text", { x: short(x), y: short(y + drop * size), ...(size !== 12 && { "font-size": size }), ...(anchor && { "text-anchor": anchor }), fill: this.fillStyle, ...veil }, escaped(words) || " ");
  }

  clip() {
    this.clipped = `sov-clip-${++clips}`;
    this.parts.push(`<clipPath id="${this.clipped}"><path d="${this.#path.join("")}"/></clipPath>`);
  }

  drawImage(source, ...box) {
    let [left, top, width, height] = box;
    if (box.length > 4) { // a part of it
      const part = Object.assign(document.createElement("canvas"), { width: box[2], height: box[3] });
      part.getContext("2d").drawImage(source, -box[0], -box[1]);
      [source, left, top, width, height] = [part, ...box.slice(4)];
      this.images++;
    }
    this.#put("image", { x: short(left), y: short(top), width: short(width), height: short(height), preserveAspectRatio: "none", style: "image-rendering:pixelated", href: source.toDataURL() });
  }

  /** Discs as circles; `false` where they are so many that an image is better. */
  discs(xy, colour, radius, order = null) {
    const count = xy.length / 2;
    if (count > CIRCLES) return false;
    const circles = [];
    for (let n = 0; n < count; n++) {
      const k = order ? order[n] : n;
      const [x, y] = [xy[2 * k], xy[2 * k + 1]];
      const fill = typeof colour === "string" ? "" : ` fill="rgb(${colour[3 * k]},${colour[3 * k + 1]},${colour[3 * k + 2]})"`;
      if (x === x && y === y) circles.push(`<circle cx="${short(x)}" cy="${short(y)}" r="${short(radius)}"${fill}/>`);
    }
    if (circles.length) this.#put("g", typeof colour === "string" ? { fill: colour } : {}, circles.join(""));
    return true;
  }
}

/** Where title, captions and panels stand, relative to the corner of the sheet. */
function layout(root, plots) {
  const frame = root.getBoundingClientRect();
  const at = (node) => {
    const { left, top, width, height } = node.getBoundingClientRect();
    return { left: left - frame.left, top: top - frame.top, width, height };
  };
  const panels = plots.map((plot) => ({ plot, ...at(plot.canvas) }));
  const words = [...root.querySelectorAll(".sov-title, .sov-stage figcaption")].filter((node) => node.textContent).map((node) => {
    const { fontSize, fontWeight, color } = getComputedStyle(node);
    return { text: node.textContent, ...at(node), size: parseFloat(fontSize), weight: fontWeight, colour: color };
  });
  const below = Math.max(...panels.map(({ top, height }) => top + height)) + 12;
  return { panels, words, width: Math.round(frame.width), height: Math.round(below) };
}

/** All panels as the text of an SVG, and how many clouds in it are images. `draw` draws them all again. */
export function svgOf(root, plots, theme, draw) {
  const { panels, words, width, height } = layout(root, plots);
  const real = plots.map((plot) => plot.context);
  try {
    for (const plot of plots) plot.context = new SvgPen(plot.context);
    draw();
    const drawn = panels.map(({ plot, left, top, width: w, height: h }) => `<svg x="${short(left)}" y="${short(top)}" width="${short(w)}" height="${short(h)}">${plot.context.parts.join("\n")}</svg>`);
    const texts = words.map(({ text, left, top, height: h, size, weight, colour }) => `<text x="${short(left)}" y="${short(top + h / 2 + 0.35 * size)}" font-size="${size}" font-weight="${weight}" fill="${escaped(colour)}">${escaped(text)}</text>`);
    const images = plots.reduce((sum, plot) => sum + plot.context.images, 0);
    const name = images ? `<desc>${images} of its clouds have more than ${CIRCLES} points and are images.</desc>` : "";
    const head = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, 'Segoe UI', sans-serif" font-size="12">`;
    return { text: [head, name, `<rect width="100%" height="100%" fill="${escaped(theme.bg)}"/>`, ...texts, ...drawn, "</svg>"].join("\n"), images };
  } finally {
    plots.forEach((plot, k) => { plot.context = real[k]; });
  }
}

/** All panels as one canvas, in the pixels of the screen. */
export function sheetOf(root, plots, theme) {
  const { panels, words, width, height } = layout(root, plots);
  const ratio = globalThis.devicePixelRatio || 1;
  const sheet = Object.assign(document.createElement("canvas"), { width: width * ratio, height: height * ratio });
  const pen = sheet.getContext("2d");
  pen.scale(ratio, ratio);
  pen.fillStyle = theme.bg;
  pen.fillRect(0, 0, width, height);
  pen.textBaseline = "middle";
  for (const { text, left, top, height: h, size, weight, colour } of words) {
    Object.assign(pen, { font: `${weight} ${size}px system-ui, "Segoe UI", sans-serif`, fillStyle: colour });
    pen.fillText(text, left, top + h / 2);
  }
  for (const { plot, left, top, width: w, height: h } of panels) pen.drawImage(plot.canvas, left, top, w, h);
  return sheet;
}

/** Hand a file to the reader. */
export function keep(name, ending, url) {
  make("a", { download: `${name || "sparseot"}.${ending}`, href: url }).click();
}
