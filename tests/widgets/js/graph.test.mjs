// Run by tests/widgets/test_javascript.py, or by hand: node --test tests/widgets/js
import assert from "node:assert/strict";
import { test } from "node:test";

const js = new URL("../../../widgets/sparseot_widgets/js/", import.meta.url);
const { around, edges, nodeAt, weigh } = await import(new URL("graph.mjs", js));

// A path 0 - 1 - 2, where 2 also has node 0, which has it not; slots of two, the last one empty.
const answer = {
  indices: Object.assign([1, 0, 0, 2, 1, 0], { shape: [3, 2] }),
  distances: [1, 0, 1, 2, 2, 3],
  weights: [0.9, 0, 0.9, 0.5, 0.5, 0.2],
};

test("weights are given, or follow the bandwidth; an empty slot has none", () => {
  assert.deepEqual([...weigh(answer, 2, null)].map((w) => +w.toFixed(6)), [0.9, 0, 0.9, 0.5, 0.5, 0.2]);
  assert.deepEqual([...weigh(answer, 1, 2)].map((w) => +w.toFixed(6)), [1, 1, 4].map((s) => +Math.exp(-s / 8).toFixed(6)));
});

test("an edge that both ends have is drawn once, and the heaviest are drawn", () => {
  const all = edges(answer, weigh(answer, 2, null), 2);
  assert.deepEqual([all.total, all.hidden], [3, 0]);
  const one = edges(answer, weigh(answer, 2, null), 2, 1);
  assert.equal(one.hidden, 2);
  assert.deepEqual(one.groups.flat(), [0]);
});

test("edges of hardly any weight are not drawn, but counted", () => {
  const faint = edges(answer, weigh(answer, 2, 0.5), 2);
  assert.equal(faint.total, 3);
  assert.equal(faint.hidden, 2);
});

test("the node that is pointed at, and the next one in a direction", () => {
  const xy = [0, 0, 10, 1, 20, 0, 0, 30];
  assert.equal(nodeAt(xy, [9, 0], 18), 1);
  assert.equal(nodeAt(xy, [100, 100], 18), undefined);
  assert.equal(nodeAt(xy, [0, 0], Infinity, [1, 0]), 1);
  assert.equal(nodeAt(xy, [0, 0], Infinity, [0, 1]), 3);
  assert.equal(nodeAt(xy, [0, 0], Infinity, [-1, 0]), undefined);
});

test("neighbours of a selection, and the weight that stays inside it", () => {
  const weights = weigh(answer, 2, null); // 0-1 and 1-0 of 0.9; 1-2, 2-1 and 2-0 of 0.5, 0.5 and 0.2
  const one = around(answer, weights, 2, Uint8Array.of(1, 0, 0));
  assert.deepEqual([[...one.near], one.count, one.inside], [[0, 1, 0], 1, 0]);
  const two = around(answer, weights, 2, Uint8Array.of(1, 1, 0));
  assert.deepEqual([[...two.near], two.count], [[0, 0, 1], 1]);
  assert.ok(Math.abs(two.inside - 1.8 / 2.3) < 1e-6);
  assert.equal(around(answer, weights, 2, Uint8Array.of(1, 1, 1)).inside, 1);
});
