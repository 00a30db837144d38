// Numbers of any width in either byte order.

/** A half-precision number from its 16 bits (IEEE 754). */
export function half(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}

const READ = {
  b1: (view, at) => view.getUint8(at),
  i1: (view, at) => view.getInt8(at),
  u1: (view, at) => view.getUint8(at),
  i2: (view, at, little) => view.getInt16(at, little),
  u2: (view, at, little) => view.getUint16(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  f2: (view, at, little) => half(view.getUint16(at, little)),
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
};

/** How a type (kind and bytes: "f4") is read: its size, and a function of a view and a place; or null. */
export function numberType(code, little) {
  const read = READ[code];
  return read ? { code, little, size: Number(code[1]), read: (view, at) => read(view, at, little) } : null;
}

/** The bytes of an array as a view, in which the reader may look anywhere. */
export const viewOf = bytes => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
