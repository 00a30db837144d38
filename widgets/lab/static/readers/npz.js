// NumPy's .npz: a zip of .npy files, as they are or deflated.
import { viewOf } from "./numbers.js";
import { inBytes, Unreadable } from "./table.js";

const [END, ENTRY, LOCAL, WIDE, WIDE_LOCATOR] = [0x06054b50, 0x02014b50, 0x04034b50, 0x06064b50, 0x07064b50];
const FULL = 0xffffffff; // the number stands elsewhere, in 64 bits
const MOST_BYTES = 1e9; // of one array, unpacked
const PREFERRED = ["x", "points", "positions", "xyz", "pos", "coords", "X", "data"];

export const isZip = bytes => bytes.length > 3 && [0x03, 0x05].includes(bytes[2]) && bytes[0] === 0x50 && bytes[1] === 0x4b;

const wide = (view, at) => Number(view.getBigUint64(at, true));

/** Where the list of contents is, and how many entries it has. */
function directory(view) {
  const last = Math.max(0, view.byteLength - 22 - 0xffff);
  let end = view.byteLength - 22;
  while (end >= last && view.getUint32(end, true) !== END) end--;
  if (end < last || end < 0) throw new Unreadable("the end of the .npz file is missing: it was cut off");
  const [count, at] = [view.getUint16(end + 10, true), view.getUint32(end + 16, true)];
  if (end < 20 || view.getUint32(end - 20, true) !== WIDE_LOCATOR) return { count, at };
  const far = wide(view, end - 12);
  if (far + 56 > view.byteLength || view.getUint32(far, true) !== WIDE) throw new Unreadable("its list of contents is damaged");
  return { count: wide(view, far + 32), at: wide(view, far + 48) };
}

/** Sizes and place of an entry; numbers too large for 32 bits stand in its extra field. */
function placed(view, at, nameLength) {
  const entry = { packed: view.getUint32(at + 20, true), size: view.getUint32(at + 24, true), local: view.getUint32(at + 42, true) };
  const stop = at + 46 + nameLength + view.getUint16(at + 30, true);
  for (let extra = at + 46 + nameLength; extra + 4 <= stop; extra += 4 + view.getUint16(extra + 2, true)) {
    if (view.getUint16(extra, true) !== 1) continue;
    let field = extra + 4;
    for (const key of ["size", "packed", "local"]) {
      if (entry[key] === FULL) [entry[key], field] = [wide(view, field), field + 8];
    }
  }
  return entry;
}

/** The arrays in a .npz file: [{ name, method, packed, size, local }]. */
export function npzArrays(bytes) {
  const view = viewOf(bytes);
  const damaged = new Unreadable("its list of contents is damaged");
  if (bytes.length < 22) throw new Unreadable("the end of the .npz file is missing: it was cut off");
  let { count, at } = directory(view);
  const found = [];
  for (; count > 0; count--) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== ENTRY) throw damaged;
    const [length, extra, comment] = [28, 30, 32].map(place => view.getUint16(at + place, true));
    const next = at + 46 + length + extra + comment;
    if (next > bytes.length) throw damaged;
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + length));
    if (name.endsWith(".npy")) found.push({ name: name.slice(0, -4), method: view.getUint16(at + 10, true), ...placed(view, at, length) });
    at = next;
  }
  if (!found.length) throw new Unreadable("it holds no arrays");
  return found;
}

/** The array that is shown first: by its name, else the one of most bytes. */
export function firstArray(arrays) {
  const preferred = PREFERRED.map(name => arrays.find(array => array.name === name)).find(Boolean);
  return preferred ?? arrays.reduce((best, array) => (array.size > best.size ? array : best));
}

/** The .npy file of one array. */
export async function unpacked(bytes, { name, method, packed, size, local }) {
  if (size > MOST_BYTES) throw new Unreadable(`the array ${name} is ${inBytes(size)} large when it is unpacked, and a page takes ${inBytes(MOST_BYTES)} at most`);
  const view = viewOf(bytes);
  if (local + 30 > bytes.length || view.getUint32(local, true) !== LOCAL) throw new Unreadable(`the array ${name} is not where it should be`);
  const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  const part = bytes.subarray(start, start + packed);
  if (part.length < packed) throw new Unreadable(`the array ${name} was cut off`);
  if (method === 0) return part;
  if (method !== 8) throw new Unreadable(`the array ${name} is packed in a way that browsers do not know`);
  try {
    let left = size;
    const counted = new TransformStream({
      transform(chunk, to) {
        left -= chunk.length;
        if (left < 0) to.error(new Error("more than its list of contents promises"));
        else to.enqueue(chunk);
      },
    });
    const stream = new Blob([part]).stream().pipeThrough(new DecompressionStream("deflate-raw")).pipeThrough(counted);
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new Unreadable(`the array ${name} is damaged and cannot be unpacked`);
  }
}
