// The readers of files of points: what is in them, and what no page could take.
import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { cellsOf } from "../../../widgets/lab/static/readers/lines.js";
import { readNpy } from "../../../widgets/lab/static/readers/npy.js";
import { unpacked } from "../../../widgets/lab/static/readers/npz.js";
import { half } from "../../../widgets/lab/static/readers/numbers.js";
import { readPly } from "../../../widgets/lab/static/readers/ply.js";
import { read, Unreadable } from "../../../widgets/lab/static/readers/read.js";
import { evenly, inBytes, unnamed } from "../../../widgets/lab/static/readers/table.js";
import { numberOf } from "../../../widgets/lab/static/readers/text.js";

const text = string => new TextEncoder().encode(string);

test("half precision: signs, subnormals, the ends", () => {
  const pairs = [[0x0000, 0], [0x3c00, 1], [0xc000, -2], [0x3555, 0.333251953125], [0x0001, 2 ** -24], [0x7bff, 65504], [0xfc00, -Infinity]];
  for (const [bits, value] of pairs) assert.equal(half(bits), value);
  assert(Number.isNaN(half(0x7e00)));
});

test("numbers in cells", () => {
  const cells = { "1.5": 1.5, "-2": -2, "+.5": 0.5, "3.": 3, "1e-3": 1e-3, "2E5": 2e5, inf: Infinity, "-Inf": -Infinity };
  for (const [cell, value] of Object.entries(cells)) assert.equal(numberOf(cell), value);
  for (const cell of ["", " ", "NA", "nan", "0x10", "1,5", "12 m", "1_000"]) assert(Number.isNaN(numberOf(cell)), cell);
  assert.equal(numberOf("1,5", true), 1.5);
  assert.deepEqual(cellsOf('a,"b, ""c""",,3', ","), ["a", 'b, "c"', "", "3"]);
});

test("rows are taken evenly, each once", () => {
  const { rows, row } = evenly(10, 4);
  assert.deepEqual(Array.from({ length: rows }, (_, i) => row(i)), [0, 2, 5, 7]);
  assert.equal(evenly(3, Infinity).rows, 3);
  assert.equal(evenly(0, 5).rows, 0);
  assert.deepEqual([unnamed(0), unnamed(11)], ["x₁", "x₁₂"]);
  assert.deepEqual([inBytes(999), inBytes(1_200_000_000)], ["999 bytes", "1.2 GB"]);
});

/** The bytes of a .npy file. */
function npy(shape, bytes) {
  const header = text(`{'descr': '|u1', 'fortran_order': False, 'shape': (${shape.join(", ")},), }\n`);
  return Uint8Array.of(0x93, ...text("NUMPY"), 1, 0, header.length, 0, ...header, ...new Uint8Array(bytes));
}

test("one long row is a line of points, and more columns than a page can tell of are refused", async () => {
  const { columns, count, notes } = readNpy(npy([1, 1000], 1000), Infinity);
  assert.deepEqual([columns.length, count], [1, 1000]);
  assert.match(notes[0], /its row is taken as points on a line/);
  for (const shape of [[0, 5e6], [0, 4, 5e6]]) assert.throws(() => readNpy(npy(shape, 0), Infinity), /^Error: it has 5,000,000 columns, and a page takes 100,000 at most$/);
  const wide = "1,".repeat(100_001);
  await assert.rejects(read("x.csv", text(`${wide}\n${wide}\n`)), error => error instanceof Unreadable && /100,00\d columns/.test(error.message));
});

test("arrays too large when they are unpacked, or larger than they say, are not unpacked", async () => {
  const entry = { name: "x", method: 8, packed: 1, local: 0 };
  await assert.rejects(unpacked(new Uint8Array(40), { ...entry, size: 6e10 }), /^Error: the array x is 60 GB large when it is unpacked, and a page takes 1 GB at most$/);
  const packed = deflateRawSync(new Uint8Array(1e6));
  const zip = Uint8Array.of(0x50, 0x4b, 3, 4, ...new Uint8Array(26), ...packed);
  assert.equal((await unpacked(zip, { ...entry, packed: packed.length, size: 1e6 })).length, 1e6);
  await assert.rejects(unpacked(zip, { ...entry, packed: packed.length, size: 5e5 }), /damaged/);
});

test("a .ply that promises more elements than bytes, or lists of less than nothing, ends at once", () => {
  const file = (count, rest) => Uint8Array.of(...text(`ply\nformat binary_little_endian 1.0\nelement face ${count}\nproperty list char char i\nelement vertex 1\nproperty char x\nend_header\n`), ...rest);
  assert.throws(() => readPly(file(2e12, []), 9), /promises 2,000,000,000,000 elements face, more than the file has bytes/);
  assert.throws(() => readPly(file(2, [255, 255, 255, 255]), 9), /elements face have a list of -1 numbers/);
  assert.equal(readPly(file(2, [0, 1, 7, 5]), 9).column(0)[0], 5);
});
