// How a selection is seen: what is chosen keeps its colour and gets an edge, the rest gives way to the paper.
import { rgb } from "./colours.mjs";

const LEFT = 0.22; // of a colour that gives way

/** Bytes r g b of points, of which those that `bright` names keep theirs and the others fade into the paper. */
export function faded(colour, count, bright, paper) {
  const [each, back] = [typeof colour === "string" ? rgb(colour) : colour, rgb(paper)];
  const out = new Uint8Array(3 * count);
  for (let n = 0; n < count; n++) {
    const from = each.length === 3 ? 0 : 3 * n;
    for (let c = 0; c < 3; c++) out[3 * n + c] = bright[n] ? each[from + c] : Math.round(LEFT * each[from + c] + (1 - LEFT) * back[c]);
  }
  return out;
}

/** A table of 256 colours from one that gives way to `colour`: how much a point gets. */
export function glow(colour, paper) {
  const [top, back] = [rgb(colour), rgb(paper)];
  const table = new Uint8Array(768);
  for (let k = 0; k < 256; k++) {
    const share = LEFT * 0.6 + (1 - LEFT * 0.6) * (k / 255);
    for (let c = 0; c < 3; c++) table[3 * k + c] = Math.round(share * top[c] + (1 - share) * back[c]);
  }
  return table;
}

/** Places and colours of those that a mask names, in the order in which they are to be drawn. */
export function chosenOf(xy, colour, mask, order = null) {
  const rows = [];
  for (let n = 0; n < mask.length; n++) if (mask[order ? order[n] : n]) rows.push(order ? order[n] : n);
  const each = typeof colour !== "string" && colour.length > 3;
  const [places, bytes] = [new Float32Array(2 * rows.length), each ? new Uint8Array(3 * rows.length) : colour];
  rows.forEach((k, n) => {
    places.set([xy[2 * k], xy[2 * k + 1]], 2 * n);
    if (each) bytes.set([colour[3 * k], colour[3 * k + 1], colour[3 * k + 2]], 3 * n);
  });
  return { xy: places, colour: bytes };
}

/** A bar of colours with what its ends mean, in the lower right corner of a plot, or where it is told. */
export function colourBar(plot, table, ends, name, { right = plot.width - 8, bottom = plot.height - 10, length = 90 } = {}) {
  const colour = plot.theme.muted;
  plot.text(ends[1], right, bottom, { align: "right", colour });
  const left = right - plot.context.measureText(ends[1]).width - 6 - length;
  plot.image(table, 1, 256, { left, top: bottom - 10, width: length, height: 10 });
  const first = left - 6;
  plot.text(ends[0], first, bottom, { align: "right", colour });
  if (name) plot.text(name, first - plot.context.measureText(ends[0]).width - 8, bottom, { align: "right" });
}
