// From numbers to places on an axis, and to words.

/** The smallest and the largest number of some arrays, or of every `step`-th from `start`. */
export function extent(arrays, start = 0, step = 1) {
  let lo = Infinity;
  let hi = -Infinity;
  for (const array of arrays) {
    for (let k = start; k < array.length; k += step) {
      if (array[k] < lo) lo = array[k];
      if (array[k] > hi) hi = array[k];
    }
  }
  return lo <= hi ? [lo, hi] : [0, 1];
}

/** A range a little wider, and never empty. */
export function padded([lo, hi], share = 0.05) {
  const pad = (hi - lo) * share || Math.abs(hi) * share || 1;
  return [lo - pad, hi + pad];
}

/** A map from [lo, hi] to [from, to]. */
export function scale([lo, hi], [from, to], log = false) {
  const f = log ? Math.log : (v) => v;
  const slope = (to - from) / (f(hi) - f(lo) || 1);
  return (value) => from + (f(value) - f(lo)) * slope;
}

/** About `count` round numbers from lo to hi. */
export function ticks([lo, hi], count = 5) {
  const raw = (hi - lo) / Math.max(count, 1);
  if (!(raw > 0)) return [lo];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
  const found = [];
  for (let k = Math.ceil(lo / step - 1e-9); k * step <= hi + 1e-9 * step; k++) {
    found.push(Number((k * step).toPrecision(12)));
  }
  return found;
}

/** Powers of ten from lo to hi, at most `count`; with fewer than two, 1-2-5 steps. */
export function logTicks([lo, hi], count = 6) {
  const first = Math.ceil(Math.log10(lo) - 1e-9);
  const last = Math.floor(Math.log10(hi) + 1e-9);
  const stride = Math.max(1, Math.ceil((last - first + 1) / count));
  const found = [];
  for (let e = first; e <= last; e += stride) found.push(Number(`1e${e}`));
  if (found.length > 1) return found;
  const fine = [];
  for (let e = first - 1; e <= last + 1; e++) for (const m of [1, 2, 5]) fine.push(m * 10 ** e);
  return fine.filter((v) => v >= lo && v <= hi);
}

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** A number in few letters: 0.05, 1,000, 2.5·10⁻⁷. */
export function words(value, digits = 3) {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return value !== value ? "none" : value < 0 ? "−∞" : "∞";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e6) {
    const text = Number(value.toPrecision(size >= 1000 ? Math.max(digits, 6) : digits));
    return text.toLocaleString("en-US", { maximumFractionDigits: 6 }).replace("-", "−");
  }
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const ten = "10" + [...String(Number(power))].map((c) => SUPERSCRIPT[c]).join("");
  const factor = Number(mantissa);
  return factor === 1 ? ten : `${String(factor).replace("-", "−")}·${ten}`;
}

/** The index of the stop nearest to a value, in ratio where all are positive; null is itself. */
export function nearestStop(stops, value) {
  const same = stops.indexOf(value);
  if (same >= 0 || typeof value !== "number") return Math.max(same, 0);
  const numbers = stops.filter((s) => s !== null);
  const log = value > 0 && numbers.every((s) => s > 0);
  const far = (s) => (s === null ? Infinity : Math.abs(log ? Math.log(s / value) : s - value));
  return stops.reduce((best, s, k) => (far(s) < far(stops[best]) ? k : best), 0);
}

/** Which recorded answer belongs to the values of the controls: "3/0". */
export function recordedKey(controls, get) {
  const asked = controls.filter((control) => !control.local);
  return asked.map((control) => nearestStop(control.stops, get(control.name))).join("/");
}
