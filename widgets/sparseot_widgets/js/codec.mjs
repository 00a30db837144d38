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

/** Levels between lo and hi, as numbers. */
function unquantised({ levels, lo, hi }) {
  const whole = decodeArray(levels);
  const step = (hi - lo) / (whole instanceof Uint8Array ? 255 : 65535);
  return Object.assign(Float32Array.from(whole, (level) => lo + level * step), { shape: whole.shape });
}

/** A message with typed arrays where Python had arrays. */
export function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== "object") return value;
  if (value.dtype && value.shape) return decodeArray(value);
  if (value.levels && value.lo !== undefined) return unquantised(value);
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, decode(part)]));
}
