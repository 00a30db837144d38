// The lines of Python that load what a tab shows, by NumPy alone, and the notebooks made of them.
import { grouped, Unreadable } from "../readers/table.js";
import { numeric } from "./choice.js";

const MOST = 2000; // points of a cloud in a notebook, which one waits for
const quoted = text => JSON.stringify(text);
const tuple = numbers => `(${numbers.join(", ")}${numbers.length === 1 ? "," : ""})`;

/** The columns between the brackets of an index. */
function indexed(columns, dim) {
  const run = columns.every((k, j) => k === columns[0] + j);
  if (run && columns.length === dim) return "";
  const last = columns[0] + columns.length;
  return run ? `${columns[0] || ""}:${last < dim ? last : ""}` : `[${columns.join(", ")}]`;
}

/** [::step, columns], or nothing where all is taken. */
function index(step, columns, dim) {
  const [rows, across] = [step > 1 ? `::${step}` : "", indexed(columns, dim)];
  return rows || across ? `[${rows || ":"}${across && `, ${across}`}]` : "";
}

function fromNpy(path, { source, columns }, chosen, step) {
  const { shape, turned, record, array } = source;
  const loaded = `np.load(${quoted(path)})${array === undefined ? "" : `[${quoted(array)}]`}`;
  if (record) return `structured_to_unstructured(${loaded})${index(step, chosen, columns.length)}`;
  if (shape.length === 1) return `${loaded}[${step > 1 ? `::${step}` : ":"}, None]`;
  const matrix = turned ? `${loaded}.T` : shape.length > 2 ? `${loaded}.reshape(-1, ${shape.at(-1)})` : loaded;
  return matrix + index(step, chosen, columns.length);
}

function fromBytes(path, { source, columns }, chosen, step) {
  const { start, size, offsets, codes, count } = source;
  const [first, second = chosen[0]] = chosen;
  const gap = offsets[second] - offsets[first];
  if (chosen.every((k, j) => codes[k] === codes[first] && offsets[k] === offsets[first] + j * gap)) {
    const shape = `(${count}, ${chosen.length}), ${quoted(codes[first])}`;
    return `np.ndarray(${shape}, np.fromfile(${quoted(path)}, "u1"), ${start + offsets[first]}, (${size}, ${gap}))${index(step, [0], 1)}`;
  }
  const of = list => `[${chosen.map(k => list(k)).join(", ")}]`;
  const names = of(k => quoted(columns[k].name));
  const dtype = `{"names": ${names}, "formats": ${of(k => quoted(codes[k]))}, "offsets": ${of(k => offsets[k])}, "itemsize": ${size}}`;
  return `structured_to_unstructured(np.fromfile(${quoted(path)}, ${dtype}, ${count}, offset=${start}))${index(step, [0], 1)}`;
}

function fromText(path, { source }, chosen, step, missing) {
  const { delimiter, comma, ragged, signs = [], hashed, quoted: quotes, encoding, skip, most } = source;
  const free = missing || ragged; // only genfromtxt takes cells that are empty or words
  if (free && quotes) throw new Unreadable("it has quotation marks and cells without numbers: load it by pandas.read_csv");
  const options = [delimiter !== " " && `delimiter=${quoted(delimiter)}`, skip && `${free ? "skip_header" : "skiprows"}=${skip}`];
  options.push(most !== null && `max_rows=${most}`, `usecols=${tuple(chosen)}`, "ndmin=2");
  if (hashed) options.push("comments=None");
  else if (signs.some(sign => sign !== "#")) options.push(`comments=${free ? quoted(signs[0]) : JSON.stringify(signs)}`);
  if (quotes) options.push(`quotechar='"'`);
  if (encoding) options.push(`encoding=${quoted(encoding)}`);
  if (comma) options.push(`converters=${free ? `dict.fromkeys(${tuple(chosen)}, ` : ""}lambda cell: float(cell.replace(",", "."))${free ? ")" : ""}`);
  if (ragged) options.push("invalid_raise=False");
  return `np.${free ? "genfromtxt" : "loadtxt"}(${[quoted(path), ...options.filter(Boolean)].join(", ")})${index(step, [0], 1)}`;
}

const FORMS = { npy: fromNpy, bytes: fromBytes, text: fromText };

/** Columns that a notebook loads: those that are seen, or all where that is principal axes. */
export const loadedColumns = (table, { axes, principal }) => (principal ? numeric(table) : axes);

/**
 * An expression that gives the columns of a table as an array (N, D) in double precision.
 *
 * `path` is seen from the notebook; at most `most` rows, every so many; rows with NaN are left out.
 */
export function loading(path, table, columns, most = MOST) {
  const step = Math.max(1, Math.ceil(table.count / most));
  const missing = columns.some(k => !table.column(k).every(Number.isFinite));
  let loaded = FORMS[table.source.form](path, table, columns, step, missing);
  if (missing) loaded = `np.ma.compress_rows(np.ma.masked_invalid(${loaded}))`;
  return table.source.form === "text" ? loaded : `${loaded}.astype(float)`;
}

/** A path as it is seen from a folder of the same drive. */
export function relative(path, folder) {
  const [from, to] = [folder.split("/").filter(Boolean), path.split("/").filter(Boolean)];
  let same = 0;
  while (same < from.length && same < to.length - 1 && from[same] === to[same]) same++;
  return [...from.slice(same).map(() => ".."), ...to.slice(same)].join("/");
}

const words = path => path.split("/").pop();
const thinned = ({ table }) => (table.count > MOST ? [`one point in ${grouped(Math.ceil(table.count / MOST))}`] : []);

function cell(kind, lines) {
  const source = lines.map((line, k) => (k < lines.length - 1 ? `${line}\n` : line));
  return kind === "markdown"
    ? { cell_type: kind, metadata: {}, source }
    : { cell_type: kind, metadata: {}, source, outputs: [], execution_count: null };
}

function notebook(kernel, cells) {
  const metadata = { language_info: { name: "python" }, ...(kernel ? { kernelspec: kernel } : {}) };
  return { cells, metadata, nbformat: 4, nbformat_minor: 4 };
}

function imports(lines, viewers) {
  const records = lines.some(line => line.includes("structured_to_unstructured"));
  return [
    "import numpy as np",
    ...(records ? ["from numpy.lib.recfunctions import structured_to_unstructured"] : []),
    "",
    "import sparseot as so",
    `from sparseot_widgets import ${viewers}`,
  ].filter(line => viewers !== "GraphViewer, KernelViewer" || !line.startsWith("import sparseot"));
}

/** Text of a file as Markdown shows it, whatever signs it has. */
const plain = text => text.replace(/[\\`*_{}[\]<>()#!|$]/g, "\\$&");

/** How many coordinates two tabs have in common; those of the first ones. */
function inCommon(a, b) {
  const [of, to] = [a, b].map(({ table, choice }) => loadedColumns(table, choice));
  const dim = Math.min(of.length, to.length);
  return { columns: [of.slice(0, dim), to.slice(0, dim)], cut: of.length === to.length ? [] : [`the first ${dim} coordinates of each`] };
}

/**
 * A notebook that transports one cloud to another: six lines.
 *
 * `a` and `b` are { path, table, choice } with paths as seen from the notebook.
 */
export function comparison(a, b, kernel) {
  const { columns, cut } = inCommon(a, b);
  const [x, y] = [a, b].map(({ path, table }, k) => loading(path, table, columns[k]));
  const lines = [
    `x = ${x}`,
    `y = ${y}`,
    "scale = so.suggest_blur(x, y)",
    "transport = so.solve_sample(x, y, blur=max(2 * scale.spacing, scale.diameter / 20))",
    'print(transport, f"The cost lies between {transport.lower:.6g} and {transport.upper:.6g}.", sep="\\n")',
    "PlanViewer(transport)",
  ];
  const said = [[a, b].flatMap(one => thinned(one).map(text => `${text} of ${plain(words(one.path))}`)), cut].flat();
  const text = [`# ${plain(words(a.path))} beside ${plain(words(b.path))}`, "", `What it costs to move one cloud onto the other, and where each point goes.${said.length ? ` Loaded: ${said.join(", ")}.` : ""}`];
  return notebook(kernel, [cell("markdown", text), cell("code", imports(lines, "PlanViewer")), cell("code", lines)]);
}

/** A notebook with the kernel matrix and the neighbour graph of a cloud. */
export function kernelAndGraph(a, kernel) {
  const loaded = [`x = ${loading(a.path, a.table, loadedColumns(a.table, a.choice))}`, "KernelViewer(x)"];
  const said = thinned(a).map(text => ` Loaded: ${text}.`).join("");
  const text = [`# Kernel and graph of ${plain(words(a.path))}`, "", `Which points are near each other: by a kernel, and by their nearest neighbours.${said}`];
  return notebook(kernel, [
    cell("markdown", text),
    cell("code", imports(loaded, "GraphViewer, KernelViewer")),
    cell("code", loaded),
    cell("code", ["GraphViewer(x)"]),
  ]);
}
