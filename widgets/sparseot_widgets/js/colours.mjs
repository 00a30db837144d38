// Colours that survive colour blindness: Okabe and Ito (2008) for classes, viridis for amounts.

/** Classes; the first is the source, the second the target. */
export const LIGHT = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000"];
export const DARK = ["#56B4E9", "#F28E3D", "#2EC4A0", "#F0C04F", "#E29BC3", "#9AD4F5", "#F2F2F2"];

const VIRIDIS = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6dcd59", "#b4de2c", "#fde725"];
const SIGNED_LIGHT = ["#8c3b00", "#D55E00", "#f3b98b", "#f7f7f7", "#8fc4e3", "#0072B2", "#004166"];
const SIGNED_DARK = ["#ffb27a", "#e0762f", "#7a451f", "#22272e", "#255a7a", "#56B4E9", "#b7e0fa"];
// Points need a zero that is seen on the page: grey between two classes.
const POLES_LIGHT = ["#8c3b00", "#D55E00", "#dd9c6f", "#b4b8bd", "#6da7cb", "#0072B2", "#004166"];
const POLES_DARK = ["#ffb27a", "#ee8433", "#a86b41", "#666d77", "#3f86ad", "#56B4E9", "#b7e0fa"];

/** Red, green and blue of "#rrggbb". */
export function rgb(hex) {
  const n = parseInt(hex.slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

/** "#rrggbb", a share of the way to another. */
export function mixed(from, to, share) {
  const [a, b] = [rgb(from), rgb(to)];
  return "#" + a.map((v, c) => Math.round(v + share * (b[c] - v)).toString(16).padStart(2, "0")).join("");
}

/** 256 colours through some anchors, as bytes r g b r g b ... */
export function ramp(anchors) {
  const stops = anchors.map(rgb);
  const table = new Uint8Array(768);
  for (let k = 0; k < 256; k++) {
    const at = (k / 255) * (stops.length - 1);
    const i = Math.min(Math.floor(at), stops.length - 2);
    for (let c = 0; c < 3; c++) {
      table[3 * k + c] = Math.round(stops[i][c] + (at - i) * (stops[i + 1][c] - stops[i][c]));
    }
  }
  return table;
}

/** Colour maps of a theme: `amount` from nothing to much, `signed` from minus through zero, `poles` so for points. */
export function maps(dark) {
  const nothing = dark ? "#1b2028" : "#ffffff";
  const viridis = dark ? VIRIDIS : [...VIRIDIS].reverse();
  return {
    place: ramp(VIRIDIS.slice(dark ? 1 : 0, dark ? 10 : 9)),
    amount: ramp([nothing, ...viridis.slice(dark ? 1 : 0)]),
    signed: ramp(dark ? SIGNED_DARK : SIGNED_LIGHT),
    poles: ramp(dark ? POLES_DARK : POLES_LIGHT),
  };
}

/** The bytes of the colours of some values between lo and hi; grey of what is missing. */
export function coloured(values, [lo, hi], table) {
  const out = new Uint8Array(3 * values.length);
  const slope = 255 / (hi - lo || 1);
  for (let k = 0; k < values.length; k++) {
    const place = Math.round((values[k] - lo) * slope);
    if (place !== place) { // no number
      out.fill(128, 3 * k, 3 * k + 3);
      continue;
    }
    const level = 3 * Math.max(0, Math.min(255, place));
    out[3 * k] = table[level];
    out[3 * k + 1] = table[level + 1];
    out[3 * k + 2] = table[level + 2];
  }
  return out;
}
