// Run by tests/widgets/test_javascript.py, or by hand: node --test tests/widgets/js
import assert from "node:assert/strict";
import { test } from "node:test";

const js = new URL("../../../widgets/sparseot_widgets/js/", import.meta.url);
const { onPoints } = await import(new URL("kernel.mjs", js));
const { splat } = await import(new URL("plot.mjs", js));

const near = (a, b, error = 1e-12) => a.forEach((v, k) => assert.ok(Math.abs(v - b[k]) < error, `${a} is not ${b}`));

test("values between the points that were solved for", () => {
  const vectors = Object.assign(Float32Array.of(0, 10, 1, 20, 2, 30), { shape: [3, 2] });
  assert.deepEqual([...onPoints({}, vectors, 1)], [10, 20, 30]);
  const hang = { near: Uint16Array.of(0, 1, 2, 2, 2, 2), share: Uint8Array.of(51, 102, 102, 255, 0, 0) };
  near([...onPoints(hang, vectors, 0)], [0.2 * 0 + 0.4 * 1 + 0.4 * 2, 2], 1e-6);
});

test("a crowd of discs is drawn without soft edges, in its order", () => {
  const count = 20_001;
  const xy = Float32Array.from({ length: 2 * count }, () => 5);
  const colour = new Uint8Array(3 * count).fill(200);
  colour.set([9, 8, 7], 0);
  const order = Uint32Array.from({ length: count }, (_, k) => count - 1 - k); // the first one last
  const image = new Uint8ClampedArray(4 * 100);
  splat(image, 10, 10, xy, colour, 1, order);
  assert.deepEqual([...image.slice(4 * 55, 4 * 56)], [9, 8, 7, 255]);
  for (let k = 3; k < image.length; k += 4) assert.ok(image[k] === 0 || image[k] === 255);
  const inked = image.filter((v, k) => k % 4 === 3 && v).length;
  assert.equal(inked, 5);
});

test("discs that are nowhere are not drawn", () => {
  const image = new Uint8ClampedArray(4 * 100);
  splat(image, 10, 10, [NaN, 5, -50, 5, 5, Infinity], [1, 2, 3], 1);
  assert.ok(image.every((v) => v === 0));
});
