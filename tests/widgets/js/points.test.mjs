// Run by tests/widgets/test_javascript.py, or by hand: node --test tests/widgets/js
import assert from "node:assert/strict";
import { test } from "node:test";

const js = new URL("../../../widgets/sparseot_widgets/js/", import.meta.url);
const { crowd, drawPoints, radiusOf } = await import(new URL("points.mjs", js));
const { mixed } = await import(new URL("colours.mjs", js));
const { Lens } = await import(new URL("space.mjs", js));
const { classColours } = await import(new URL("cloud.mjs", js));

const FLAT = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
const DEEP = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]; // the third coordinate is how near a point is

function painted(points, dim, colours, options = {}) {
  const image = new Uint8ClampedArray(4 * 400);
  const work = { points, dim, colours: Uint8Array.from(colours), matrix: dim > 2 ? DEEP : FLAT, ratio: 1 };
  crowd(image, 20, 20, { ...work, radius: 1, alpha: 1, fog: 0, veil: [255, 255, 255], every: 1, ...options });
  return (x, y) => [...image.slice(4 * (20 * y + x), 4 * (20 * y + x) + 4)];
}

test("in space the nearest point is seen, whoever comes first, and far ones stand in fog", () => {
  for (const flip of [false, true]) {
    const points = [10.5, 10.5, 0.25, 10.5, 10.5, 0.75];
    const colours = [200, 0, 0, 0, 100, 0];
    const at = flip ? painted([...points.slice(3), ...points.slice(0, 3)], 3, [...colours.slice(3), ...colours.slice(0, 3)]) : painted(points, 3, colours);
    assert.deepEqual(at(10, 10), [0, 100, 0, 255]);
    assert.deepEqual(at(15, 10), [0, 0, 0, 0]);
  }
  const fog = painted([10.5, 10.5, 0.5], 3, [0, 100, 200], { fog: 0.4, veil: [255, 255, 255] });
  assert.deepEqual(fog(10, 10), [51, 131, 211, 255]); // a fifth of the way to the background
});

test("in the plane points lie over each other", () => {
  const twice = painted([10.5, 10.5, 10.5, 10.5], 2, [200, 0, 0, 0, 0, 200], { alpha: 0.5 });
  const [r, g, b, a] = twice(10, 10);
  assert.ok(Math.abs(a - 191) < 2 && Math.abs(r - 67) < 3 && g === 0 && Math.abs(b - 133) < 3);
  assert.deepEqual(painted([10.5, 10.5, 3, 3], 2, [9, 9, 9, 7, 7, 7], { every: 2 })(3, 3), [0, 0, 0, 0]);
});

test("what is nowhere, or outside, is not painted", () => {
  const at = painted([NaN, 5, 0.5, -40, 5, 0.5, 5, Infinity, 0.5, 1e9, 1e9, 0.5], 3, new Array(12).fill(90));
  for (let x = 0; x < 20; x++) for (let y = 0; y < 20; y++) assert.equal(at(x, y)[3], 0);
});

test("fewer points are larger, within bounds", () => {
  const sizes = [1, 100, 1e4, 1e6, 1e8].map(radiusOf);
  sizes.slice(1).forEach((size, k) => assert.ok(size <= sizes[k]));
  assert.ok(sizes[0] === 4 && sizes[4] === 0.7);
});

test("colours are mixed by their bytes", () => {
  assert.equal(mixed("#000a14", "#640a00", 0.5), "#320a0a");
  assert.equal(mixed("#123456", "#ffffff", 0), "#123456");
});

test("classes take turns with the colours", () => {
  assert.deepEqual([...classColours([0, 1, 2], ["#010203", "#040506"])], [1, 2, 3, 4, 5, 6, 1, 2, 3]);
});

test("each cloud leaves its places", () => {
  const drawn = [];
  const plot = {
    theme: { bg: "#ffffff" }, box: { left: 0, top: 0, width: 200, height: 100 }, ratio: 1, unit: 1,
    room() { return this.box; },
    axes({ x }) { this.unit = 200 / (x[1] - x[0]); },
    inside: (action) => action({}),
    discs: (xy) => drawn.push(xy.length / 2),
  };
  const lens = new Lens();
  const view = { plots: { here: plot }, places: {}, lens: () => lens };
  for (const dim of [2, 3]) {
    const clouds = [4, 3].map((count, k) => ({
      name: "ab"[k], points: Float32Array.from({ length: dim * count }, (_, n) => Math.sin(n + k)), colour: "#336699",
    }));
    clouds[1].index = Uint16Array.of(7, 8, 9);
    lens.fit(clouds.map((cloud) => cloud.points), dim).look(plot);
    view.places = {};
    drawPoints(view, "here", clouds);
    const places = view.places.here;
    assert.deepEqual(places.map(({ name, count }) => [name, count]), [["a", 4], ["b", 3]]);
    assert.equal(places[1].index, clouds[1].index);
    assert.ok(places.every(({ xy, count }) => xy.length === 2 * count && xy.every((v) => v >= 0 && v <= 200)));
    assert.equal(places[0].xy, places[0].xy, "they are computed once");
  }
  assert.deepEqual(drawn, [4, 3, 7], "in space both clouds are one, so that they hide each other");
});
