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

/** Places and colours of some points, from far to near if `near` says how near each point of the rows is. */
export function chosenOf(xy, colour, rows, near = null) {
  const order = near ? Uint32Array.from(near.keys()).sort((i, j) => near[i] - near[j]).map((n) => rows[n]) : rows;
  const [places, bytes] = [new Float32Array(2 * rows.length), new Uint8Array(3 * rows.length)];
  order.forEach((k, n) => {
    places.set(xy.subarray(2 * k, 2 * k + 2), 2 * n);
    bytes.set(colour.subarray(3 * k, 3 * k + 3), 3 * n);
  });
  return { xy: places, colour: bytes };
}

/** A bar of colours with what its ends mean, below on the right; it is shorter where there is little room for its name. */
export function colourBar(plot, table, ends, name) {
  const [right, bottom, colour] = [plot.width - 8, plot.height - 10, plot.theme.muted];
  const wide = (text) => plot.context.measureText(text).width;
  const length = Math.max(36, Math.min(90, right - wide(ends[0]) - wide(ends[1]) - wide(name) - 28));
  const left = right - wide(ends[1]) - 6 - length;
  plot.text(ends[1], right, bottom, { align: "right", colour });
  plot.image(table, 1, 256, { left, top: bottom - 10, width: length, height: 10 });
  plot.text(ends[0], left - 6, bottom, { align: "right", colour });
  plot.text(name, left - wide(ends[0]) - 14, bottom, { align: "right" });
}
