// Where the mass of some points goes under an entropic plan, from its potentials; spread_of in selection.py has the formulas.

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
  const row = new Float64Array(to.rows.length);
  const mean = new Float64Array(dim);
  let [all, entropy, far] = [0, 0, 0];
  for (let m = 0; m < from.rows.length; m++) {
    const i = from.rows[m];
    if (!mask[i] || !(from.masses[i] > 0)) continue;
    const own = from.values[m] / potentials.eps + Math.log(from.masses[i]);
    let [sum, weighted] = [0, 0];
    mean.fill(0);
    for (let n = 0; n < row.length; n++) {
      const j = to.rows[n];
      let s = 0;
      for (let c = 0; c < dim; c++) s += (from.points[i * dim + c] - to.points[j * dim + c]) ** 2;
      const exponent = own + logs[n] - (factor * (power === 2 ? s : Math.sqrt(s))) / potentials.eps;
      const mass = Math.exp(exponent);
      row[n] = mass;
      if (!mass) continue; // log(0) times it would be NaN
      sum += mass;
      weighted += mass * exponent;
      got[j] += mass;
      for (let c = 0; c < dim; c++) mean[c] += mass * to.points[j * dim + c];
    }
    if (!sum) continue;
    all += sum;
    entropy += sum * Math.log(sum) - weighted;
    for (let n = 0; n < row.length; n++) {
      const j = to.rows[n];
      if (row[n] > 1e-9 * sum) for (let c = 0; c < dim; c++) far += row[n] * (to.points[j * dim + c] - mean[c] / sum) ** 2;
    }
  }
  const partners = Math.exp(entropy / all);
  const most = Math.log(to.rows.reduce((count, j) => count + (to.masses[j] > 0), 0));
  const certainty = 1 - entropy / all / (most || 1); // NaN of nothing
  return { got, mass: all, partners, certainty, spread: Math.sqrt(far / all) };
}
