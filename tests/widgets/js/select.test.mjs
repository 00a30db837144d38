// Run by tests/widgets/test_javascript.py, or by hand: node --test tests/widgets/js
import assert from "node:assert/strict";
import { test } from "node:test";

const js = new URL("../../../widgets/sparseot_widgets/js/", import.meta.url);
const { combined, corners, found, howOf, inPolygon, maskOf, nearest, Selection, sized } = await import(new URL("select.mjs", js));

/** Even-odd by every edge, one point at a time. */
function slowly(path, x, y) {
  let inside = false;
  for (let k = 0, j = path.length - 2; k < path.length; j = k, k += 2) {
    const [x0, y0, x1, y1] = [path[k], path[k + 1], path[j], path[j + 1]];
    if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
  }
  return inside;
}

test("a lasso holds what even-odd says, also where it crosses itself", () => {
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  let both = 0;
  for (let round = 0; round < 20; round++) {
    const path = Array.from({ length: 14 }, () => 60 * random() - 10);
    const inside = inPolygon(path);
    for (let n = 0; n < 100; n++) {
      const [x, y] = [50 * random() - 5, 50 * random() - 5];
      assert.equal(inside(x, y), slowly(path, x, y));
      both += inside(x, y);
    }
  }
  assert.ok(both > 200 && both < 1800, "some are inside, some outside");
  const level = inPolygon([0, 5, 10, 5, 10, 5, 0, 5]);
  assert.ok(!level(5, 5), "a line holds nothing");
});

test("a star's middle lies outside of its even-odd inside, a box is closed", () => {
  const star = Array.from({ length: 5 }, (_, k) => [50 + 40 * Math.sin((4 * k * Math.PI) / 5), 50 - 40 * Math.cos((4 * k * Math.PI) / 5)]).flat();
  assert.ok(!inPolygon(star)(50, 50));
  assert.ok(inPolygon(star)(50, 20));
  const box = inPolygon(corners(1, 2, 5, 7));
  assert.ok(box(3, 4) && !box(0.5, 4) && !box(3, 7.5) && !box(6, 4));
});

test("modifiers, and what they make of a selection", () => {
  assert.equal(howOf({}), "new");
  assert.equal(howOf({ shift: true }), "add");
  assert.equal(howOf({ shift: true, alt: true }), "less");
  assert.deepEqual([...combined([1, 5], [10, 2], "new")], [2, 10]);
  assert.deepEqual([...combined([5, 100], [20, 5], "add")], [5, 20, 100], "in numerical order, each once");
  assert.deepEqual([...combined([1, 5, 9], [5, 7], "less")], [1, 9]);
});

test("what is found are rows of the caller's array; what is hidden is not found", () => {
  const place = { xy: Float32Array.of(1, 1, NaN, NaN, 3, 3, 20, 20), count: 4, index: Int32Array.of(7, 8, 9, 10) };
  assert.deepEqual(found(place, inPolygon(corners(0, 0, 5, 5))), [7, 9]);
  assert.deepEqual(found({ ...place, index: undefined }, () => true), [0, 2, 3]);
});

test("a mask tells who is drawn of those that are chosen", () => {
  assert.equal(maskOf([], 4), null);
  assert.deepEqual([...maskOf([1, 3, 90], 4)], [0, 1, 0, 1]);
  assert.deepEqual([...maskOf([7, 500], 3, Int32Array.of(5, 7, 500))], [0, 1, 1]);
});

test("the nearest point of several clouds", () => {
  const places = [{ xy: [0, 0, 10, 0], count: 2 }, { xy: [4, 0, NaN, 0], count: 2 }];
  assert.equal(nearest(places, 100, 0, 10), null);
  assert.equal(nearest(places, 5, 0, 10).place, places[1]);
  assert.deepEqual([nearest(places, 8, 1, 10).k, nearest(places, 8, 1, 10).place], [1, places[0]]);
});

test("arrow keys size a box about its middle, or move it, and never turn it inside out", () => {
  assert.deepEqual(sized([10, 10, 30, 30], "ArrowRight", false), [2, 10, 38, 30]);
  assert.deepEqual(sized([10, 10, 30, 30], "ArrowUp", false), [10, 2, 30, 38]);
  assert.deepEqual(sized([10, 10, 30, 30], "ArrowDown", true), [10, 18, 30, 38]);
  let box = [10, 10, 30, 30];
  for (let k = 0; k < 9; k++) box = sized(box, "ArrowLeft", false);
  assert.ok(box[0] < box[2] && box[0] + box[2] === 40);
});

/** What anywidget's model is, over a plain object. */
function modelOf(state) {
  return { state, saved: 0, get: (name) => state[name], set(name, value) { state[name] = value; }, save_changes() { this.saved++; } };
}

test("a selection speaks the traits of its model, one a cloud, and a new one ends the other", () => {
  const selects = { selected: { name: "source", count: 4 }, selected_target: { name: "target", count: 2_500 } };
  const model = modelOf({ _selects: selects });
  const selection = new Selection(model);
  const places = [
    { name: "source", xy: [0, 0, 9, 9, 0, 1, 9, 8], count: 4 },
    { name: "target", xy: [0, 0, 1, 1], count: 2, index: [20, 2400] },
  ];
  const corner = (x, y) => x < 5 && y < 5;
  assert.ok(!selection.any && selection.words() === "");
  selection.take(places, corner, "new");
  assert.deepEqual([...selection.of("selected")], [0, 2]);
  assert.equal(model.state.selected.dtype, "int32");
  assert.deepEqual(model.state.selected.shape, [2]);
  assert.equal(selection.words(), "2 of 4 source points selected");
  assert.equal(selection.mask("selected", 4), selection.mask("selected", 4), "computed once");
  selection.cloud = "selected_target";
  selection.take(places, corner, "add");
  assert.equal(selection.words(), "2 of 4 source points and 2 of 2,500 target points selected");
  selection.take(places, (x) => x > 0, "new");
  assert.deepEqual([[...selection.of("selected")], [...selection.of("selected_target")]], [[], [2400]]);
  assert.deepEqual([...selection.mask("selected_target", 2, places[1].index)], [0, 1]);
  selection.clear();
  assert.ok(!selection.any && model.saved === 4);
});
