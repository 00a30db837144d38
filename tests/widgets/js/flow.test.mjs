import assert from "node:assert/strict";
import { test } from "node:test";

const { density } = await import(new URL("../../../widgets/sparseot_widgets/js/flow.mjs", import.meta.url));

test("a density has the mass that it is given, and stands where the points are", () => {
  const heights = density([0.25, 0.25, 0.75, 0.75], [0, 1], 0.02, 0.5, 401);
  const sum = (from, to) => heights.slice(from, to).reduce((all, v) => all + v, 0) / 400;
  assert.ok(Math.abs(sum(0, 401) - 0.5) < 1e-9);
  assert.ok(Math.abs(sum(0, 200) - 0.25) < 1e-9);
  assert.ok(Math.abs(heights[100] - 0.25 / (0.02 * Math.sqrt(2 * Math.PI))) < 1e-2 * heights[100]);
});

test("a point outside of the window is not drawn inside", () => {
  assert.equal(Math.max(...density([3, -2], [0, 1], 0.01, 1)), 0);
});
