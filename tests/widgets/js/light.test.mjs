import assert from "node:assert/strict";
import { test } from "node:test";

const js = new URL("../../../widgets/sparseot_widgets/js/", import.meta.url);
const { chosenOf, faded, glow } = await import(new URL("light.mjs", js));
const { rowOf } = await import(new URL("hover.mjs", js));

test("what is not chosen gives way to the paper, what is keeps its colour", () => {
  const bytes = faded("#102030", 2, [1, 0], "#ffffff");
  assert.deepEqual([...bytes.slice(0, 3)], [0x10, 0x20, 0x30]);
  bytes.slice(3).forEach((v, c) => assert.ok(v > 190 && v < 255, `${c}`));
  const each = faded(Uint8Array.of(10, 0, 0, 0, 200, 0), 2, [0, 1], "#000000");
  assert.deepEqual([each[0] < 10, [...each.slice(3)]], [true, [0, 200, 0]]);
});

test("a glow ends at its colour, and rises all the way", () => {
  const table = glow("#d55e00", "#ffffff");
  assert.deepEqual([...table.slice(-3)], [0xd5, 0x5e, 0]);
  for (let k = 1; k < 256; k++) assert.ok(table[3 * k + 2] <= table[3 * k - 1]);
});

test("those that are chosen, from far to near", () => {
  const xy = Float32Array.of(0, 1, 2, 3, 4, 5);
  const colours = Uint8Array.of(1, 1, 1, 2, 2, 2, 3, 3, 3);
  const rows = Uint32Array.of(0, 2);
  assert.deepEqual([...chosenOf(xy, colours, rows).xy], [0, 1, 4, 5]);
  const found = chosenOf(xy, colours, rows, Float32Array.of(0.9, 0.1));
  assert.deepEqual([[...found.xy], [...found.colour]], [[4, 5, 0, 1], [3, 3, 3, 1, 1, 1]]);
});

test("the row of a point: the caller's index, coordinates, what the viewer knows", () => {
  const place = { name: "source", index: [5, 1_234], points: [0, 0, 0.5, -2], dim: 2 };
  const describe = () => [["label", "<b>"]];
  assert.deepEqual(rowOf({ scene: {} }, { describe }, { place, k: 1 }), [["source point", "1,234"], ["at", "0.5, −2"], ["label", "<b>"]]);
  assert.deepEqual(rowOf({ scene: { shuffled: true } }, {}, { place: { name: "points" }, k: 1 }), [["point", ""]]);
});
