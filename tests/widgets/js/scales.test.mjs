// Run by tests/widgets/test_javascript.py, or by hand: node --test tests/widgets/js
import assert from "node:assert/strict";
import { test } from "node:test";

const js = new URL("../../../widgets/sparseot_widgets/js/", import.meta.url);
const { extent, logTicks, nearestStop, padded, recordedKey, scale, ticks, words } = await import(new URL("scales.mjs", js));
const { coloured, maps, ramp } = await import(new URL("colours.mjs", js));
const { splat } = await import(new URL("plot.mjs", js));

test("ticks are round and inside", () => {
  assert.deepEqual(ticks([0, 1], 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks([-0.31, 0.32], 4), [-0.2, 0, 0.2]);
  assert.deepEqual(ticks([3, 3], 4), [3]);
});

test("logarithmic ticks are powers of ten, or finer where there are few", () => {
  assert.deepEqual(logTicks([1e-3, 1]), [0.001, 0.01, 0.1, 1]);
  assert.deepEqual(logTicks([0.2, 0.9]), [0.2, 0.5]);
  assert.ok(logTicks([1e-12, 1], 4).length <= 4);
});

test("numbers are written shortly", () => {
  assert.equal(words(0), "0");
  assert.equal(words(0.05), "0.05");
  assert.equal(words(-1234.4), "−1,234.4");
  assert.equal(words(2.5e-7), "2.5·10⁻⁷");
  assert.equal(words(1e-8), "10⁻⁸");
});

test("the nearest stop is nearest in ratio, and null is a stop", () => {
  assert.equal(nearestStop([0.01, 0.1, 1], 0.04), 1);
  assert.equal(nearestStop([-1, 0, 4], 1.9), 1);
  assert.equal(nearestStop([0.1, 1, null], null), 2);
  assert.equal(nearestStop([0.1, 1, null], 500), 1);
  assert.equal(nearestStop(["a", "b"], "b"), 1);
});

test("a recorded answer is found by the controls that ask for one", () => {
  const controls = [
    { name: "blur", stops: [0.01, 0.1] },
    { name: "time", stops: [0, 1, 2], local: true },
    { name: "loss", stops: ["a", "b"] },
  ];
  const state = { blur: 0.09, time: 2, loss: "b" };
  assert.equal(recordedKey(controls, (name) => state[name]), "1/1");
});

test("scales run both ways, also in logarithms", () => {
  assert.equal(scale([0, 2], [10, 20])(1), 15);
  assert.ok(Math.abs(scale([1, 100], [0, 1], true)(10) - 0.5) < 1e-12);
  assert.ok(Number.isFinite(scale([1, 1], [0, 1])(1)));
});

test("ranges", () => {
  assert.deepEqual(extent([[3, 0, 1, 9]], 0, 2), [1, 3]);
  assert.deepEqual(extent([[]]), [0, 1]);
  assert.ok(padded([2, 2])[0] < 2);
});

test("colour maps end at their anchors", () => {
  const table = ramp(["#000000", "#ff0000"]);
  assert.deepEqual([...table.slice(0, 3), ...table.slice(765)], [0, 0, 0, 255, 0, 0]);
  assert.deepEqual([...coloured([0, 5], [0, 1], table)], [0, 0, 0, 255, 0, 0]);
  for (const dark of [true, false]) {
    const { signed } = maps(dark);
    const middle = signed.slice(3 * 127, 3 * 128);
    assert.ok(Math.max(...middle) - Math.min(...middle) < 20, "zero has no colour");
  }
});

test("what is missing is grey, and said", () => {
  const black = new Uint8Array(768);
  assert.deepEqual([...coloured([0, NaN, 1], [0, 1], black)], [0, 0, 0, 128, 128, 128, 0, 0, 0]);
  assert.deepEqual([NaN, Infinity, -Infinity].map((value) => words(value)), ["none", "∞", "−∞"]);
});

test("discs are round, clipped at the edges, and the last one lies on top", () => {
  const image = new Uint8ClampedArray(4 * 100);
  splat(image, 10, 10, [5, 5, 0, 0], [255, 0, 0], 2);
  const at = (x, y) => [...image.slice(4 * (10 * y + x), 4 * (10 * y + x) + 4)];
  assert.deepEqual(at(5, 5), [255, 0, 0, 255]);
  assert.deepEqual(at(0, 0), [255, 0, 0, 255]);
  assert.equal(at(9, 9)[3], 0);
  assert.equal(at(7, 7)[3], 0);
  splat(image, 10, 10, [5, 5], [0, 0, 255], 2);
  assert.deepEqual(at(5, 5), [0, 0, 255, 255]);
});
