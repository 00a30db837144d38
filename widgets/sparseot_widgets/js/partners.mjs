// Where the mass of some points goes under an entropic plan, from its potentials; spread_of in selection.py has the formulas.
import { decode } from "./codec.mjs";
import { words } from "./scales.mjs";

const FAINT = -60; // logarithm of a mass that is none

/** The numbers of an array that came as bytes, so that no page cuts them to steps. */
const exact = (bytes) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

/** A problem and its potentials, made ready: from whom the mass goes, and to whom. */
function sides({ problem, potentials }, fromTarget) {
  const side = (cloud, potential, rows) => ({
    points: exact(problem[cloud]), masses: exact(problem[`${cloud}_mass`]), values: exact(potentials[potential]), rows: potentials[rows],
  });
  const both = [side("x", "f", "x"), side("y", "g", "y")];
  return fromTarget ? both.reverse() : both;
}

/**
 * The mass that some points give (or, `fromTarget`, get): of whom `mask` says, over the points of the cloud.
 *
 * P_ij = a_i b_j exp((f_i + g_j - C_ij) / eps) with C = factor |x - y|^power. Returns the mass that each point of the other
 * cloud gets of it (zero where it is not in a sketch), all of it, and the means over its rows of certainty, partners and spread.
 */
export function given({ problem, potentials }, mask, fromTarget = false) {
  const [from, to] = sides({ problem, potentials }, fromTarget);
  const { dim, factor, power } = problem;
  const got = new Float64Array(to.masses.length);
  const logs = Float64Array.from(to.rows, (j, n) => to.values[n] / potentials.eps + Math.log(to.masses[j]));
  const mean = new Float64Array(dim);
  let [all, entropy, far] = [0, 0, 0];
  for (let m = 0; m < from.rows.length; m++) {
    const i = from.rows[m];
    if (!mask[i] || !(from.masses[i] > 0)) continue;
    const own = from.values[m] / potentials.eps + Math.log(from.masses[i]);
    let [sum, weighted, square] = [0, 0, 0];
    mean.fill(0);
    for (let n = 0; n < logs.length; n++) {
      const j = to.rows[n];
      let s = 0;
      for (let c = 0; c < dim; c++) s += (from.points[i * dim + c] - to.points[j * dim + c]) ** 2;
      const exponent = own + logs[n] - (factor * (power === 2 ? s : Math.sqrt(s))) / potentials.eps;
      if (!(exponent > FAINT)) continue;
      const mass = Math.exp(exponent);
      sum += mass;
      weighted += mass * exponent;
      got[j] += mass;
      for (let c = 0; c < dim; c++) {
        const y = to.points[j * dim + c];
        mean[c] += mass * y;
        square += mass * y * y;
      }
    }
    if (!sum) continue;
    all += sum;
    entropy += sum * Math.log(sum) - weighted;
    far += Math.max(0, square - mean.reduce((most, v) => most + v * v, 0) / sum);
  }
  const partners = Math.exp(entropy / all);
  const most = Math.log(to.rows.reduce((count, j) => count + (to.masses[j] > 0), 0));
  const certainty = 1 - entropy / all / (most || 1); // NaN of nothing
  return { got, mass: all, partners, certainty, spread: Math.sqrt(far / all) };
}

const CLOUDS = [["source", "x", "selected"], ["target", "y", "selected_target"]];

/** The part of each point's mass that comes from a selection: by JavaScript, or by Python where the cost is not a power of the distance. */
function partOf({ scene, answer, get }, mask, side) {
  const [, other] = CLOUDS[1 - side];
  const count = scene[other].shape[0];
  if (!scene.problem) {
    const python = decode(get("_image") ?? {})[CLOUDS[side][2]];
    return python && { ...python, share: Float32Array.from(python.shares) };
  }
  const found = given({ problem: scene.problem, potentials: answer.potentials }, mask, side === 1);
  const share = new Float32Array(count);
  const masses = { x: exact(answer.masses.x), y: exact(answer.masses.y) };
  answer.potentials[other].forEach((j, n) => { share[j] = found.got[j] / (masses[other][n] || 1); });
  return { ...found, share, mass: found.mass / masses.x.reduce((sum, v) => sum + v, 0) };
}

/**
 * The image of what is selected of the source; if there is nothing, the preimage of what is selected of the target; or null.
 *
 * { side: 0 or 1, whose selection it is; share of each point of the other cloud; top, the largest one; first, who is drawn first; ... }
 */
export function imageOf(view) {
  const { scene, answer, selection, memory, get } = view;
  const masks = CLOUDS.map(([name, cloud]) => selection.maskOf(name, scene[cloud].shape[0], scene[`${cloud}_index`]));
  const key = [answer, ...masks, get("_image")];
  if (memory.image?.key.every((part, k) => part === key[k])) return memory.image.value;
  const side = masks[0] ? 0 : 1;
  let value = masks[side] && { side, masks, ...partOf(view, masks[side], side) };
  if (value?.share) {
    const { share } = value;
    const top = share.reduce((most, v) => Math.max(most, v), 0);
    value = { ...value, top, first: Uint32Array.from(share.keys()).sort((i, j) => share[i] - share[j]) };
  }
  memory.image = { key, value };
  return value;
}

const percent = (share) => `${words(100 * share)} %`;

/** What is to be read of an image: pairs for the readout, and a few words for those who listen. */
export function imageWords({ side, mass, share, certainty, partners, spread, masks }, unit, alone) {
  if (!share) return { readout: [["where its mass goes", alone ? "needs a kernel" : "is being computed"]], chosen: "" };
  if (!(mass > 0)) return { readout: [["selected", "no mass"]], chosen: "no mass" };
  const [whose, other] = [CLOUDS[side][0], CLOUDS[1 - side][0]];
  const far = `${words(spread, 2)}${unit ? ` ${unit}` : ""}`;
  const readout = [
    [`selected, of the ${whose}'s mass`, percent(mass)],
    [side ? "certain where it comes from" : "certain where it goes", `${percent(certainty)}: ${words(partners, 2)} partners a point, ± ${far}`],
  ];
  const there = masks[1 - side];
  if (there) readout.push([`selected ${other} points with a part of it`, `${there.reduce((sum, one, k) => sum + (one && share[k] > 0.01 ? 1 : 0), 0)}`]);
  return { readout, chosen: `${percent(mass)} of the mass, ${percent(certainty)} certain` };
}
