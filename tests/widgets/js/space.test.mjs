// Run by tests/widgets/test_javascript.py, or by hand: node --test tests/widgets/js
import assert from "node:assert/strict";
import { test } from "node:test";

const js = new URL("../../../widgets/sparseot_widgets/js/", import.meta.url);
const { Lens, camera, farToNear, nearness, projected, rotated } = await import(new URL("space.mjs", js));
const { scale } = await import(new URL("scales.mjs", js));

const near = (a, b, error = 1e-12) => a.forEach((v, k) => assert.ok(Math.abs(v - b[k]) < error, `${a} is not ${b}`));

/** What a lens needs of a plot of 400 x 300 pixels. */
function plot() {
  const box = { left: 50, top: 10, width: 300, height: 250 };
  return {
    box,
    room: () => box,
    axes({ x, y }) {
      this.x = scale(x, [box.left, box.left + box.width]);
      this.y = scale(y, [box.top + box.height, box.top]);
      this.unit = box.width / (x[1] - x[0]);
    },
  };
}

test("a camera stays orthonormal, and turns come back", () => {
  let seen = camera();
  for (let k = 0; k < 60; k++) seen = rotated(seen, Math.PI / 30, 0);
  near(seen, camera());
  for (let k = 0; k < 60; k++) seen = rotated(seen, 0, Math.PI / 30);
  near(seen, camera());
  seen = rotated(seen, 0.3, -1.1);
  const row = (k) => seen.slice(3 * k, 3 * k + 3);
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      const dot = row(i).reduce((sum, v, k) => sum + v * row(j)[k], 0);
      assert.ok(Math.abs(dot - (i === j)) < 1e-12);
    }
  }
});

test("dragging to the right and downwards moves the near side so", () => {
  const front = camera().slice(6); // the point that is nearest to the eye
  const seen = (turn, tilt) => {
    const [a, b, c, d, e, f] = rotated(camera(), turn, tilt);
    return [...projected(front, 3, [a, b, c, 0, d, e, f, 0, 0, 0, 0, 0])];
  };
  near(seen(0.1, 0), [Math.sin(0.1), 0], 1e-6);
  near(seen(0, 0.1), [0, -Math.sin(0.1)], 1e-6);
});

test("points are drawn from far to near", () => {
  const depth = Float32Array.from({ length: 5000 }, (_, k) => Math.sin(37 * k));
  const order = farToNear(depth);
  assert.equal(new Set(order).size, depth.length);
  for (let n = 1; n < order.length; n++) {
    assert.ok(depth[order[n - 1]] <= depth[order[n]] + 2 / 4095);
  }
  assert.deepEqual([...farToNear(Float32Array.of(3, 3, 3))], [0, 1, 2]);
});

test("a lens lays a plane where its axes say, and space into the box", () => {
  const there = plot();
  const flat = Float32Array.of(0, 0, 4, 1, 2, 3);
  const xy = projected(flat, 2, new Lens().fit([flat], 2).look(there));
  for (let n = 0; n < 3; n++) near([xy[2 * n], xy[2 * n + 1]], [there.x(flat[2 * n]), there.y(flat[2 * n + 1])], 1e-3);
  const solid = Float32Array.from({ length: 300 }, (_, k) => 5 + Math.sin(k * k));
  const lens = new Lens().fit([solid], 3);
  for (let turn = 0; turn < 20; turn++) {
    lens.gesture({ type: "drag", dx: 37, dy: 11 }, there);
    const matrix = lens.look(there);
    const seen = projected(solid, 3, matrix);
    const deep = nearness(solid, matrix);
    for (let n = 0; n < 100; n++) {
      assert.ok(seen[2 * n] > 50 && seen[2 * n] < 350 && seen[2 * n + 1] > 10 && seen[2 * n + 1] < 260);
      assert.ok(deep[n] > -1e-6 && deep[n] < 1 + 1e-6);
    }
  }
});

test("a zoom leaves the point under the pointer where it is, a drag takes it along, Home goes back", () => {
  for (const dim of [2, 3]) {
    const there = plot();
    const points = Float32Array.from({ length: 6 * dim }, (_, k) => Math.cos(3 * k));
    const lens = new Lens().fit([points], dim);
    const place = () => [...projected(points, dim, lens.look(there)).slice(2, 4)];
    const first = place();
    assert.ok(lens.gesture({ type: "zoom", x: first[0], y: first[1], factor: 2.5 }, there));
    near(place(), first, 1e-3);
    assert.ok(lens.gesture({ type: "drag", dx: 20, dy: -7, shift: true }, there));
    near(place(), [first[0] + 20, first[1] - 7], 1e-3);
    assert.ok(lens.gesture({ type: "zoom", x: 90, y: 80, dx: 5, dy: 6, factor: 1 }, there));
    near(place(), [first[0] + 25, first[1] - 1], 1e-3);
    assert.ok(lens.gesture({ type: "key", key: "Home" }, there));
    near(place(), first, 1e-3);
    assert.ok(!lens.gesture({ type: "move", x: 9, y: 9 }, there));
    assert.ok(!lens.gesture({ type: "key", key: "a" }, there));
  }
});

test("the first look, in space too, begins where a link stands, and Home leaves it", () => {
  for (const dim of [2, 3]) {
    const start = { camera: camera(0.3, 0.2), zoom: 3, pan: [0.1, -0.2] };
    const points = Float32Array.from({ length: 6 * dim }, (_, k) => Math.cos(3 * k));
    const lens = new Lens(start).fit([points], dim);
    assert.deepEqual([lens.camera, lens.zoom, lens.pan], [start.camera, 3, [0.1, -0.2]]);
    lens.gesture({ type: "zoom", x: 90, y: 80, factor: 2 }, (lens.look(plot()), plot()));
    assert.deepEqual(start.pan, [0.1, -0.2]);
    lens.reset();
    assert.equal(lens.fit([points.slice()], dim).zoom, 1);
  }
});

test("one point, and points on a line, have a place", () => {
  for (const points of [[3, 4], [1e-30, 0], [0, 0, 5, 0], [2, 2, 2, 9]]) {
    const there = plot();
    const flat = Float32Array.from(points);
    for (const v of projected(flat, 2, new Lens().fit([flat], 2).look(there))) assert.ok(Number.isFinite(v) && v > 0 && v < 400);
  }
});
