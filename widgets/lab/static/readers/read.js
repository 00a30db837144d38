// A file as a table, by what its first bytes say, else by the ending of its name.
import { firstArray, isZip, npzArrays, unpacked } from "./npz.js";
import { isNpy, readNpy } from "./npy.js";
import { isPly, readPly } from "./ply.js";
import { Unreadable } from "./table.js";
import { readText } from "./text.js";

export { Unreadable } from "./table.js";

/** "a/b.tar.GZ" is "gz". */
export const endingOf = path => path.split("/").pop().split(".").pop().toLowerCase();

/** The bytes of a text in base64, with or without line breaks. */
export function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = binary.charCodeAt(k);
  return bytes;
}

function single(ending, bytes, limit) {
  if (ending === "npy" || isNpy(bytes)) return readNpy(bytes, limit);
  if (ending === "ply" || isPly(bytes)) return readPly(bytes, limit);
  return readText(bytes, limit, ending);
}

/** The .npz: its arrays, and the one that was asked for. */
async function several(bytes, { limit, array }) {
  if (!isZip(bytes)) throw new Unreadable("it does not begin as a .npz file does; was it saved by numpy.savez?");
  const entries = npzArrays(bytes);
  const chosen = entries.find(({ name }) => name === array) ?? firstArray(entries);
  const arrays = entries.map(({ name }) => name);
  try {
    const table = readNpy(await unpacked(bytes, chosen), limit);
    table.source.array = chosen.name;
    return { table, arrays, array: chosen.name };
  } catch (error) {
    throw Object.assign(error, { arrays, array: chosen.name });
  }
}

/**
 * Read a file.
 *
 * `limit` is how many rows are taken at most; `array` the one of a .npz that is wanted. Returns { table, arrays, array }: the
 * names of all arrays of a .npz, and the one that was read. What cannot be read throws an Unreadable,
 * which has `arrays` too where others may be chosen.
 */
export async function read(path, bytes, { limit = Infinity, array = null } = {}) {
  if (!bytes.length) throw new Unreadable("it is empty");
  const ending = endingOf(path);
  try {
    if (ending === "npz" || isZip(bytes)) return await several(bytes, { limit, array });
    return { table: single(ending, bytes, limit), arrays: [], array: null };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a place that a damaged header names, outside of the file
    throw Object.assign(new Unreadable("it is damaged: its header does not fit what follows"), { arrays: error.arrays, array: error.array });
  }
}
