// .ply: a header in words, then vertices as text or as bytes in either order.
import { cellsOf, indexLines } from "./lines.js";
import { numberType, viewOf } from "./numbers.js";
import { counted, evenly, grouped, inBytes, numbersOf, Unreadable } from "./table.js";

const TYPES = {
  char: "i1", uchar: "u1", short: "i2", ushort: "u2", int: "i4", uint: "u4", float: "f4", double: "f8",
  int8: "i1", uint8: "u1", int16: "i2", uint16: "u2", int32: "i4", uint32: "u4", float32: "f4", float64: "f8",
};
const FORMATS = ["ascii", "binary_little_endian", "binary_big_endian"];
const LONGEST = 1 << 20; // bytes of a header

export const isPly = bytes => bytes.length > 3 && String.fromCharCode(...bytes.subarray(0, 3)) === "ply" && bytes[3] < 32;

/** The lines up to end_header, and the place after it. */
function headerOf(bytes) {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, LONGEST));
  const end = text.match(/(?:^|[\r\n])end_header[ \t]*(\r\n|\n|\r)/);
  if (!end) throw new Unreadable("its header has no line end_header");
  return { lines: text.slice(0, end.index).split(/\r\n|\n|\r/), start: end.index + end[0].length };
}

/** One property of an element: { name, type }, or { list: [type of its length, type of its numbers] }. */
function property(words, little) {
  const listed = words[1] === "list";
  const types = (listed ? words.slice(2, 4) : words.slice(1, 2)).map(word => numberType(TYPES[word], little));
  const name = words[listed ? 4 : 2];
  if (!name || !types.every(Boolean)) throw new Unreadable(`its header has a property that cannot be read: ${words.join(" ")}`);
  return listed ? { name, list: types } : { name, type: types[0] };
}

/** What the header says: { format, elements: [{ name, count, properties }], start }. */
export function plyHeader(bytes) {
  const { lines, start } = headerOf(bytes);
  const elements = [];
  let format = "";
  for (const line of lines.slice(1)) {
    const words = line.trim().split(/\s+/);
    if (words[0] === "format") format = words[1];
    if (words[0] === "element") elements.push({ name: words[1], count: Number(words[2]), properties: [] });
    if (words[0] === "property") {
      if (!elements.length) throw new Unreadable("its header has a property before the first element");
      elements.at(-1).properties.push(property(words, format !== "binary_big_endian"));
    }
  }
  if (!FORMATS.includes(format)) throw new Unreadable(`its format is ${format || "not given"}, and one of ${FORMATS.join(", ")} is wanted`);
  const odd = elements.find(({ count }) => !Number.isInteger(count) || count < 0);
  if (odd) throw new Unreadable(`its header has no number of ${odd.name} elements`);
  const many = elements.find(({ count, properties }) => properties.length && count > bytes.length);
  if (many) throw new Unreadable(`its header promises ${grouped(many.count)} elements ${many.name}, more than the file has bytes: it was cut off or is damaged`);
  return { format, elements, start };
}

/** The place after an element of bytes, list by list where it has lists. */
function skipped(view, at, { name, count, properties }) {
  if (properties.every(({ type }) => type)) return at + count * properties.reduce((sum, { type }) => sum + type.size, 0);
  for (; count > 0; count--) {
    for (const { type, list } of properties) {
      if (type) at += type.size;
      else {
        if (at + list[0].size > view.byteLength) throw new Unreadable(`it ends within its elements ${name}: the file was cut off`);
        const length = list[0].read(view, at);
        if (length < 0) throw new Unreadable(`its elements ${name} have a list of ${length} numbers: it is damaged`);
        at += list[0].size + length * list[1].size;
      }
    }
  }
  return at;
}

/** Vertices as bytes. */
function binary(bytes, header, vertex, before) {
  const view = viewOf(bytes);
  const start = before.reduce((at, element) => skipped(view, at, element), header.start);
  const offsets = [];
  let size = 0;
  for (const { type } of vertex.properties) size = (offsets.push(size), size + type.size);
  const [wanted, there] = [vertex.count * size, Math.max(0, bytes.length - start)];
  if (there < wanted) {
    const promised = `${counted(vertex.count, "point")} of ${size} bytes (${inBytes(wanted)})`;
    throw new Unreadable(`its header promises ${promised}, and ${inBytes(there)} follow: the file was cut off`);
  }
  const little = header.format === "binary_little_endian";
  return {
    numbers: (k, { rows, row }) => numbersOf(rows, i => vertex.properties[k].type.read(view, start + row(i) * size + offsets[k])),
    source: { form: "bytes", start, size, offsets, codes: vertex.properties.map(({ type }) => (type.size > 1 ? (little ? "<" : ">") : "|") + type.code) },
  };
}

/** Vertices as lines of text. */
function ascii(bytes, header, vertex, before) {
  const lines = indexLines(bytes.subarray(header.start), { comments: false });
  const first = before.reduce((sum, { count }) => sum + count, 0);
  const there = Math.max(0, lines.count - first);
  if (there < vertex.count) {
    throw new Unreadable(`its header promises ${counted(vertex.count, "point")}, and ${counted(there, "line")} of them follow: the file was cut off`);
  }
  const width = vertex.properties.length;
  let taken = null;
  const cells = ({ rows, row }) => (taken ??= Array.from({ length: rows }, (_, i) => {
    const found = cellsOf(lines.text(first + row(i)), " ");
    if (found.length < width) {
      throw new Unreadable(`its point ${grouped(row(i) + 1)} has ${counted(found.length, "number")}, and the header promises ${width}`);
    }
    return found;
  }));
  return {
    numbers: (k, taken) => numbersOf(taken.rows, i => Number(cells(taken)[i][k])),
    source: { form: "text", delimiter: " ", skip: lines.before(first) + headerLines(bytes, header.start), most: vertex.count },
  };
}

const headerLines = (bytes, start) => new TextDecoder("latin1").decode(bytes.subarray(0, start)).split(/\r\n|\n|\r/).length - 1;

/** The table of a .ply file: its vertices. */
export function readPly(bytes, limit) {
  if (!isPly(bytes)) throw new Unreadable("it does not begin with the line ply");
  const header = plyHeader(bytes);
  const place = header.elements.findIndex(({ name }) => name === "vertex");
  if (place < 0) throw new Unreadable("it has no element called vertex");
  const [vertex, before] = [header.elements[place], header.elements.slice(0, place)];
  if (!vertex.properties.length) throw new Unreadable("its points have no properties");
  if (vertex.properties.some(({ list }) => list)) throw new Unreadable("its points have lists as properties, and numbers are wanted");
  const { numbers, source } = (header.format === "ascii" ? ascii : binary)(bytes, header, vertex, before);
  const taken = evenly(vertex.count, limit);
  return {
    kind: `.ply, ${header.format.replaceAll("_", " ")}`,
    count: vertex.count, ...taken, named: true, notes: [],
    columns: vertex.properties.map(({ name }) => ({ name, text: false })),
    column: k => numbers(k, taken),
    source: { ...source, count: vertex.count },
  };
}
