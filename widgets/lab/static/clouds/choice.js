// Which columns of a table are the coordinates, and where that puts the points.

const AXES = [/^(x|longitude|lon|lng|easting)$/, /^(y|latitude|lat|northing)$/, /^(z|elevation|altitude|height)$/];
const CLASSES = 24; // words in a column that is worth a colour from the start
const WIDEST = 1024; // columns that principal axes are made of
const SAMPLED = 1_000_000; // numbers that they are found from
const SWEEPS = 60;
const FAR = 1000; // extents away from zero, single precision would round the points

/** "Pos_X [m]" is "x": the bare name of a column. */
const bare = name => name.toLowerCase().replace(/[([].*$/, "").trim().replace(/^.*[_.\s:](?=[xyz]$)/, "");

/** The columns of red, green and blue, where a table has them. */
export function ownColours({ columns }) {
  const found = ["red", "green", "blue"].map(name => columns.findIndex(column => !column.text && [name, name[0]].includes(bare(column.name))));
  return found.every(k => k >= 0) ? found : null;
}

/** The columns of numbers of a table. */
export const numeric = ({ columns }) => [...columns.keys()].filter(k => !columns[k].text);

/** The first so many columns that pass; if none does, the first ones. */
function firstOf(columns, passes, count) {
  const found = [];
  for (let k = 0; k < columns.length && found.length < count; k++) if (passes(columns[k])) found.push(columns[k]);
  return found.length ? found : columns.slice(0, count);
}

/**
 * What is shown at first: { axes, principal, colour }.
 *
 * The coordinates are the columns called x, y, z, or the first three that hold a finite number; a matrix without
 * names and with more of them is seen along its principal axes. The colour is that of the file ("own"), or a column of few words, or the
 * only number that is left.
 */
export function suggested(table) {
  const numbers = numeric(table);
  const finite = k => table.column(k).some(Number.isFinite);
  const named = AXES.map(pattern => numbers.find(k => pattern.test(bare(table.columns[k].name)) && finite(k)));
  const found = named[0] !== undefined && named[1] !== undefined;
  const axes = found ? named.filter(k => k !== undefined) : firstOf(numbers, finite, 3);
  const principal = !table.named && !found && table.source.form === "npy" && numbers.length > 3;
  const rest = numbers.filter(k => !axes.includes(k));
  const words = [...table.columns.keys()].find(k => table.columns[k].text && new Set(table.column(k)).size <= CLASSES);
  if (ownColours(table)) return { axes, principal, colour: "own" };
  const colour = words ?? (!principal && rest.length === 1 && finite(rest[0]) ? rest[0] : null);
  return { axes, principal, colour };
}

/** Rows in which all of some columns are finite. */
function finiteRows(columns, rows) {
  const kept = [];
  for (let i = 0; i < rows; i++) if (columns.every(column => Number.isFinite(column[i]))) kept.push(i);
  return Int32Array.from(kept);
}

/** Make vectors orthonormal, one after the other. */
function orthonormal(vectors) {
  vectors.forEach((vector, k) => {
    for (const before of vectors.slice(0, k)) {
      const along = before.reduce((sum, value, j) => sum + value * vector[j], 0);
      before.forEach((value, j) => { vector[j] -= along * value; });
    }
    const length = Math.hypot(...vector) || 1;
    vector.forEach((value, j) => { vector[j] = value / length; });
  });
  return vectors;
}

/**
 * The mean of a cloud and its first three principal axes, by powers of its covariance (orthogonal iteration).
 *
 * `columns` are its coordinates, `kept` the rows that count.
 */
export function principalAxes(columns, kept) {
  const dim = columns.length;
  const centre = columns.map(column => kept.reduce((sum, i) => sum + column[i], 0) / kept.length);
  const step = Math.max(1, Math.ceil((kept.length * dim) / SAMPLED));
  const rows = kept.filter((_, n) => n % step === 0);
  const scale = Math.max(...columns.map((column, j) => rows.reduce((most, i) => Math.max(most, Math.abs(column[i] - centre[j])), 0))) || 1;
  const centred = columns.map((column, j) => Float64Array.from(rows, i => (column[i] - centre[j]) / scale));
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647 - 0.5;
  let axes = orthonormal(Array.from({ length: 3 }, () => Float64Array.from({ length: dim }, random)));
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    axes = orthonormal(axes.map(axis => {
      const seen = new Float64Array(rows.length);
      centred.forEach((column, j) => { for (let n = 0; n < seen.length; n++) seen[n] += axis[j] * column[n]; });
      return Float64Array.from(centred, column => column.reduce((sum, value, n) => sum + value * seen[n], 0));
    }));
  }
  for (const axis of axes) {
    const largest = axis.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best));
    if (largest < 0) axis.forEach((value, j) => { axis[j] = -value; });
  }
  return { centre, axes };
}

/** Points, or values, as they are drawn, near zero where single precision would round them: { points, notes }. */
export function nearZero(columns, kept, names) {
  const points = new Float32Array(columns.length * kept.length);
  const moved = [];
  columns.forEach((column, k) => {
    let [lo, hi] = [Infinity, -Infinity];
    for (const i of kept) { // NaN is neither
      if (column[i] < lo) lo = column[i];
      if (column[i] > hi) hi = column[i];
    }
    const size = Math.max(Math.abs(lo), Math.abs(hi));
    const shift = hi > lo && size > FAR * (hi - lo) ? Number(((lo + hi) / 2).toPrecision(6)) : 0;
    if (shift) moved.push(`${names[k]} ${shift < 0 ? "+" : "−"} ${Math.abs(shift).toLocaleString("en-US")}`);
    kept.forEach((i, n) => { points[columns.length * n + k] = column[i] - shift; });
  });
  return { points, notes: moved.length ? [`shown are ${moved.join(", ")}`] : [] };
}

/**
 * Where the points of a table are drawn: { points (Float32Array), dim, kept (rows that are drawn), names, notes }.
 *
 * Rows with NaN or infinity are left out. One coordinate becomes the first of two, the other zero.
 */
export function placed(table, { axes, principal }) {
  const chosen = principal ? numeric(table).slice(0, WIDEST) : axes;
  let columns = chosen.map(k => table.column(k));
  const kept = finiteRows(columns, table.rows);
  const notes = [];
  if (kept.length < table.rows) notes.push(`${(table.rows - kept.length).toLocaleString("en-US")} rows with NaN or infinity left out`);
  let names = chosen.map(k => table.columns[k].name);
  if (principal && kept.length) {
    const { centre, axes: found } = principalAxes(columns, kept);
    const all = columns;
    columns = found.map(axis => {
      const along = new Float64Array(table.rows);
      all.forEach((column, j) => { for (const i of kept) along[i] += axis[j] * (column[i] - centre[j]); });
      return along;
    });
    names = ["axis 1", "axis 2", "axis 3"];
    notes.push(`seen along the first 3 principal axes of ${chosen.length} columns`);
  }
  if (columns.length === 1) [columns, names] = [[columns[0], new Float64Array(table.rows)], [names[0], ""]];
  const { points, notes: moved } = nearZero(columns, kept, names);
  return { points, dim: columns.length, kept, names, notes: [...notes, ...moved] };
}
