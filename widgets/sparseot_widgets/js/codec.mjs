// Arrays as they come from Python: codec.py writes what is read here.

const TYPES = { float32: Float32Array, int32: Int32Array, uint16: Uint16Array, uint8: Uint8Array };

/** The bytes of a base64 text. */
export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = binary.charCodeAt(k);
  return bytes;
}

/** One array: its numbers, with `shape` beside them. */
function decodeArray({ buffer, base64, dtype, shape }) {
  const bytes = base64 === undefined
    ? new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength)
    : fromBase64(base64);
  const numbers = new TYPES[dtype](bytes.slice().buffer); // a copy is aligned, a view may not be
  return Object.assign(numbers, { shape });
}

/** Levels between lo and hi, as numbers; with `each`, every so many rows have their own bounds. */
function unquantised({ levels, lo, hi, each }) {
  const whole = decodeArray(levels);
  const top = whole instanceof Uint8Array ? 255 : 65535;
  const out = Object.assign(new Float32Array(whole.length), { shape: whole.shape });
  if (!each) {
    for (let k = 0; k < out.length; k++) out[k] = lo + (whole[k] * (hi - lo)) / top;
    return out;
  }
  const [low, high] = [decode(lo), decode(hi)];
  const width = whole.shape[1];
  for (let k = 0; k < out.length; k++) {
    const b = Math.floor(k / (each * width)) * width + (k % width);
    out[k] = low[b] + (whole[k] * (high[b] - low[b])) / top;
  }
  return out;
}

/** A message with typed arrays where Python had arrays. */
export function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== "object") return value;
  if (value.dtype && value.shape) return decodeArray(value);
  if (value.levels && value.lo !== undefined) return unquantised(value);
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, decode(part)]));
}
