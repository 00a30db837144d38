// NumPy's .npy: a dictionary in Python's syntax, then the numbers.
import { numberType, viewOf } from "./numbers.js";
import { checkColumns, evenly, grouped, inBytes, numbersOf, unnamed, Unreadable } from "./table.js";

const MAGIC = "\x93NUMPY";
const LONG = 16; // a matrix of up to three rows longer than this has its points in columns
const NAMES = { b1: "bool", f2: "float16", f4: "float32", f8: "float64" };

export const isNpy = bytes => String.fromCharCode(...bytes.subarray(0, 6)) === MAGIC;

/** What the header says: { descr or fields, fortran, shape, start of the numbers }. */
export function npyHeader(bytes) {
  if (!isNpy(bytes)) throw new Unreadable("it does not begin as a .npy file does; was it saved by numpy.save?");
  const wide = bytes[6] > 1;
  if (bytes.length < 12) throw new Unreadable("it ends within its header");
  const begin = wide ? 12 : 10;
  const start = begin + (wide ? viewOf(bytes).getUint32(8, true) : viewOf(bytes).getUint16(8, true));
  if (start > bytes.length) throw new Unreadable("it ends within its header");
  const text = new TextDecoder().decode(bytes.subarray(begin, start));
  const descr = text.match(/['"]descr['"]\s*:\s*(?:['"]([^'"]*)['"]|\[(.*)\])/s);
  const order = text.match(/['"]fortran_order['"]\s*:\s*(True|False)/);
  const sizes = text.match(/['"]shape['"]\s*:\s*\(([\dL,\s]*)\)/);
  if (!descr || !order || !sizes) throw new Unreadable("its header lacks descr, fortran_order or shape");
  const shape = (sizes[1].match(/\d+/g) ?? []).map(Number);
  return { descr: descr[1], fields: descr[2], fortran: order[1] === "True", shape, start };
}

/** One number of a dtype such as "<f4". */
function scalar(descr) {
  const parts = descr.match(/^([<>|=]?)([a-zA-Z])(\d*)/);
  const type = parts && numberType(parts[2] + parts[3], parts[1] !== ">");
  if (type) return type;
  const what = { O: "Python objects", U: "text", S: "text", c: "complex numbers", M: "dates" }[parts?.[2]];
  throw new Unreadable(`it holds ${what ?? `numbers of dtype ${descr}`}, and real numbers of at most 64 bits are wanted`);
}

/** The columns of a structured dtype: [('x', '<f4'), ('colour', '|u1', (3,))]. */
function structured(fields) {
  const columns = [];
  let size = 0;
  for (const [, name, descr, sub] of fields.matchAll(/\(\s*'([^']*)'\s*,\s*'([^']*)'\s*(?:,\s*\(([\d,\s]*)\)\s*)?\)/g)) {
    const count = (sub?.match(/\d+/g) ?? []).reduce((product, n) => product * Number(n), 1);
    const blank = descr.match(/^\|V(\d+)$/);
    if (blank) size += count * Number(blank[1]);
    else {
      checkColumns(columns.length + count);
      const type = scalar(descr);
      for (let k = 0; k < count; k++, size += type.size) columns.push({ name: sub ? `${name}[${k}]` : name, type, offset: size });
    }
  }
  if (!columns.length) throw new Unreadable("it is a structured array without fields of numbers");
  return { columns, size };
}

/** How a plain array is laid out: points and coordinates, and the step from one to the next. */
function plain({ shape, fortran }, size) {
  if (!shape.length) throw new Unreadable("it holds a single number, and points are wanted");
  const steps = new Array(shape.length);
  const order = [...shape.keys()];
  if (!fortran) order.reverse();
  let step = size;
  for (const axis of order) [steps[axis], step] = [step, step * shape[axis]];
  if (shape.length === 1) return { count: shape[0], dim: 1, leading: shape, steps, along: 0, shift: 0 };
  const turned = shape.length === 2 && [1, 2, 3].includes(shape[0]) && shape[1] > LONG;
  const last = turned ? 0 : shape.length - 1;
  const leading = shape.filter((_, axis) => axis !== last);
  return {
    count: leading.reduce((product, n) => product * n, 1),
    dim: shape[last],
    leading,
    steps: steps.filter((_, axis) => axis !== last),
    along: steps[last],
    turned,
  };
}

/** Where row r begins, for leading axes of C order. */
function placeOf({ leading, steps }) {
  if (leading.length === 1) return r => r * steps[0];
  return r => {
    let place = 0;
    for (let axis = leading.length - 1; axis >= 0; axis--) {
      place += (r % leading[axis]) * steps[axis];
      r = Math.floor(r / leading[axis]);
    }
    return place;
  };
}

function checkLength(bytes, { shape, start }, size, words) {
  const wanted = shape.reduce((product, n) => product * n, size);
  const there = bytes.length - start;
  if (there >= wanted) return;
  const promised = `${shape.map(grouped).join(" × ")} numbers of ${words} (${inBytes(wanted)})`;
  throw new Unreadable(`its header promises ${promised}, and ${inBytes(there)} follow: the file was cut off`);
}

/** The table of a .npy file. */
export function readNpy(bytes, limit) {
  const header = npyHeader(bytes);
  const record = header.fields === undefined ? null : structured(header.fields);
  const type = record ? null : scalar(header.descr);
  const words = record ? "a structured type" : NAMES[type.code] ?? `${type.code[0] === "u" ? "u" : ""}int${8 * type.size}`;
  checkLength(bytes, header, record?.size ?? type.size, words);
  const layout = plain(header, record?.size ?? type.size);
  if (record && header.shape.length > 1) throw new Unreadable("it is a structured array of more than one axis");
  checkColumns(layout.dim);
  const columns = record?.columns ?? Array.from({ length: layout.dim }, (_, k) => ({ name: unnamed(k), type, offset: k * layout.along }));
  const { rows, row } = evenly(layout.count, limit);
  const [view, place] = [viewOf(bytes.subarray(header.start)), placeOf(layout)];
  const notes = [];
  if (layout.turned) notes.push(header.shape[0] === 1 ? "its row is taken as points on a line" : `its ${header.shape[0]} rows are taken as coordinates`);
  if (header.shape.length > 2) notes.push(`${header.shape.map(grouped).join(" × ")} numbers are taken as ${grouped(layout.count)} points`);
  return {
    kind: `array of ${words}, ${header.shape.map(grouped).join(" × ")}`,
    count: layout.count, rows, row, named: Boolean(record), notes,
    columns: columns.map(({ name }) => ({ name, text: false })),
    column(k) {
      const { type: { read }, offset } = columns[k];
      return numbersOf(rows, i => read(view, place(row(i)) + offset));
    },
    source: { form: "npy", shape: header.shape, turned: Boolean(layout.turned), record: Boolean(record) },
  };
}
