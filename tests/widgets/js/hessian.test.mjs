import assert from "node:assert/strict";
import { test } from "node:test";

const { decoded, unpacked } = await import(new URL("../../../widgets/sparseot_widgets/js/hessian.mjs", import.meta.url));

test("an upper triangle becomes a symmetric matrix", () => {
  assert.deepEqual([...unpacked([1, 2, 3, 4, 5, 6], 3)], [1, 2, 3, 2, 4, 5, 3, 5, 6]);
});

test("signed logarithms keep what is small", () => {
  const [plus, minus, none] = decoded([18, -6, 0]);
  assert.equal(plus, 1);
  assert.ok(Math.abs(minus + 1e-12) < 1e-24 && none === 0);
});
