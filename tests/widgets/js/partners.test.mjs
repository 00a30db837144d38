import assert from "node:assert/strict";
import { test } from "node:test";

const { given } = await import(new URL("../../../widgets/sparseot_widgets/js/partners.mjs", import.meta.url));
const bytes = (numbers) => new Uint8Array(Float32Array.from(numbers).buffer);
const near = (a, b, error = 1e-6) => assert.ok(Math.abs(a - b) < error, `${a} is not ${b}`);

// Two points on the line give to three; the third one has no weight.
const problem = { x: bytes([0, 1]), y: bytes([0, 1, 7]), x_mass: bytes([0.5, 0.5]), y_mass: bytes([0.5, 0.5, 0]), dim: 1, factor: 0.5, power: 2 };
const potentials = (eps, rows = [0, 1], columns = [0, 1, 2]) => ({ eps, f: bytes(rows.map(() => 0)), g: bytes(columns.map(() => 0)), x: rows, y: columns });

test("masses follow the formula of the plan, for both powers and from both sides", () => {
  for (const [power, factor] of [[2, 0.5], [1, 1]]) {
    const { got, mass } = given({ problem: { ...problem, power, factor }, potentials: potentials(0.3) }, [1, 0]);
    const far = 0.25 * Math.exp(-factor / 0.3);
    near(got[0], 0.25);
    near(got[1], far);
    assert.equal(got[2], 0);
    near(mass, 0.25 + far);
    near(given({ problem: { ...problem, power, factor }, potentials: potentials(0.3) }, [0, 1, 0], true).got[0], far);
  }
});

test("one partner is certain; even shares of all are not", () => {
  const sharp = given({ problem, potentials: potentials(1e-4) }, [1, 1]);
  near(sharp.certainty, 1);
  near(sharp.partners, 1);
  near(sharp.spread, 0);
  const even = given({ problem, potentials: potentials(1e6) }, [1, 1]);
  near(even.certainty, 0, 1e-5);
  near(even.partners, 2, 1e-5);
  near(even.spread, 0.5, 1e-5);
});

test("points that a sketch leaves out give and get nothing", () => {
  const { got, mass } = given({ problem, potentials: potentials(0.3, [1], [1]) }, [1, 1]);
  assert.deepEqual([got[0], mass > 0], [0, true]);
  assert.ok(Number.isNaN(given({ problem, potentials: potentials(0.3, [1], [1]) }, [1, 0]).certainty));
});
