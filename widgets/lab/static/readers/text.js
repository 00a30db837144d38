// Points as text: .xyz, .csv, .tsv, .pts, .asc, .txt. How the cells are divided, which line names them.
import { asUtf8, cellsOf, indexLines } from "./lines.js";
import { checkColumns, counted, evenly, grouped, numbersOf, unnamed, Unreadable } from "./table.js";

const LOOKED_AT = 50; // lines that decide what is a column
const DELIMITERS = ["\t", ";", ",", "|"];
const MISSING = /^(|-|\?|na|n\/a|nan|null|none)$/i;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^[+-]?(inf|infinity)$/i;
const COMMA = /^[+-]?\d*,\d+(e[+-]?\d+)?$/i; // a decimal comma

/** The number that a cell holds; NaN for what is missing or no number. */
export function numberOf(cell, comma = false) {
  const text = comma ? cell.replace(",", ".") : cell;
  if (!NUMBER.test(text)) return NaN;
  return /i/i.test(text) ? (text[0] === "-" ? -Infinity : Infinity) : Number(text);
}

const isNumber = (cell, comma) => !Number.isNaN(numberOf(cell, comma));
const isWord = (cell, comma) => !MISSING.test(cell) && !isNumber(cell, comma);

/** The sign between cells: one that is in every line, else white space. */
function delimiterOf(sample) {
  const outside = sample.map(line => line.replace(/"[^"]*"/g, ""));
  return DELIMITERS.find(sign => outside.every(line => line.includes(sign))) ?? " ";
}

/** The number of cells that most lines have. */
function widthOf(cells) {
  const times = new Map();
  for (const { length } of cells) times.set(length, (times.get(length) ?? 0) + 1);
  return [...times].reduce((best, each) => (each[1] > best[1] ? each : best))[0];
}

/**
 * A first line with the number of points alone, and in chemistry a second one with words: how many lines
 * to pass over, and how many points were promised.
 */
function countLine(lines) {
  if (lines.count < 2 || !/^\d+$/.test(lines.text(0).trim())) return { skip: 0, promised: null };
  const promised = Number(lines.text(0));
  const [second, third] = [1, 2].map(k => (k < lines.count ? lines.text(k) : ""));
  const shape = line => cellsOf(line, delimiterOf([line])).map(cell => isNumber(cell)).join();
  if (shape(second) === shape(third) || lines.count === promised + 1) {
    return cellsOf(second, delimiterOf([second])).length > 1 ? { skip: 1, promised } : { skip: 0, promised: null };
  }
  return { skip: 2, promised };
}

/** The part of landmarks between braces (version, n_points, { ... }), or all. */
function braces(lines) {
  for (let k = 0; k < Math.min(4, lines.count); k++) if (lines.text(k).trim() === "{") return k + 1;
  return 0;
}

/** Where the points begin and end, and how the file names its columns: { first, count, names, delimiter, comma, width, notes }. */
function layoutOf(lines, ending) {
  const notes = [];
  if (/^ncols\s+\d+/i.test(lines.text(0))) throw new Unreadable("it is a grid of heights (ESRI ASCII), and points are wanted");
  const { skip, promised } = countLine(lines);
  let first = braces(lines) || skip;
  let last = lines.count;
  if (first && lines.text(last - 1).trim() === "}") last--;
  const sample = Array.from({ length: Math.min(LOOKED_AT, last - first, promised || LOOKED_AT) }, (_, k) => lines.text(first + k));
  if (!sample.length) throw new Unreadable("it holds no points");
  const delimiter = delimiterOf(sample);
  const cells = sample.map(line => cellsOf(line, delimiter));
  const width = widthOf(cells.length > 1 ? cells.slice(1) : cells);
  const comma = delimiter !== "," && cells.slice(1).flat().some(cell => COMMA.test(cell));
  const below = cells.slice(1);
  const numeric = k => 2 * below.filter(row => isNumber(row[k] ?? "", comma)).length > below.length;
  const heading = cells[0].some((cell, k) => isWord(cell, comma) && (!below.length || numeric(k)));
  let names = heading ? cells[0] : null;
  if (heading) first++;
  if (!names && lines.remark) {
    const words = cellsOf(lines.remark, delimiterOf([lines.remark]));
    if (words.length === width && words.every(word => isWord(word))) names = words;
  }
  let count = last - first;
  if (promised !== null && promised < count) {
    notes.push(`the first ${grouped(promised)} of ${counted(count, "line")}, as its first line says`);
    count = promised;
  } else if (promised !== null && promised > count) {
    notes.push(`its first line promises ${counted(promised, "point")}, and ${grouped(count)} follow`);
  }
  return { first, count, names: names ?? defaultNames(cells, width, ending, comma), named: Boolean(names), delimiter, comma, width, notes };
}

/** What columns without names are called: x y z in files that are always so. */
function defaultNames(cells, width, ending, comma) {
  const names = Array.from({ length: width }, (_, k) => unnamed(k));
  if (!["xyz", "pts", "asc"].includes(ending)) return names;
  let next = 0;
  names.forEach((_, k) => {
    const word = cells.every(row => isWord(row[k] ?? "", comma));
    if (word && k === 0) names[k] = "element";
    else if (!word && next < 3) names[k] = "xyz"[next++];
  });
  return names;
}

/** The rows that are shown, divided into cells, each once. */
function cellRows(lines, { first, width, delimiter }, { rows, row }) {
  let ragged = 0;
  const cells = Array.from({ length: rows }, (_, i) => {
    const found = cellsOf(lines.text(first + row(i)), delimiter);
    const extra = found.length === width + 1 && found[width] === ""; // a delimiter ends the line
    if (found.length !== width && !extra) ragged++;
    return found;
  });
  return { cells, ragged };
}

/** The table of a text; `ending` is that of its name. */
export function readText(given, limit, ending = "txt") {
  if (given.subarray(0, 4096).includes(0) && given[0] < 0xfe) throw new Unreadable("it is no text: it holds bytes that no text has");
  const { bytes, encoding } = asUtf8(given);
  const lines = indexLines(bytes);
  if (!lines.count) throw new Unreadable(bytes.length ? "it holds remarks alone, and no points" : "it is empty");
  const layout = layoutOf(lines, ending);
  const remarks = lines.below ? [`${counted(lines.below, "line")} below its first one taken for ${lines.below === 1 ? "a remark" : "remarks"}`] : [];
  if (layout.count < 1) throw new Unreadable(["it names its columns, and no points follow", ...remarks].join("; "));
  checkColumns(layout.width);
  layout.notes.push(...remarks);
  const taken = evenly(layout.count, limit);
  const { cells, ragged } = cellRows(lines, layout, taken);
  if (2 * ragged > taken.rows) {
    throw new Unreadable(`most of its lines do not have the ${counted(layout.width, "cell")} of the others: is it a table?`);
  }
  if (ragged) layout.notes.push(`${counted(ragged, "line")} with more or fewer than ${counted(layout.width, "cell")}`);
  const words = k => cells.map(row => row[k] ?? "");
  const isText = k => {
    const there = cells.slice(0, 1000).map(row => row[k] ?? "").filter(cell => !MISSING.test(cell));
    return there.length > 0 && 2 * there.filter(cell => isNumber(cell, layout.comma)).length <= there.length;
  };
  const names = Array.from({ length: layout.width }, (_, k) => layout.names[k] || unnamed(k));
  const columns = names.map((name, k) => ({ name, text: isText(k) }));
  return {
    kind: "text",
    count: layout.count, ...taken, named: layout.named, notes: layout.notes, columns,
    column: k => (columns[k].text ? words(k) : numbersOf(taken.rows, i => numberOf(cells[i][k] ?? "", layout.comma))),
    source: {
      form: "text",
      delimiter: layout.delimiter,
      comma: layout.comma,
      ragged: ragged > 0,
      signs: lines.signs,
      hashed: lines.hash && !lines.below && !ragged, // what looks like a remark is in cells
      quoted: lines.quoted,
      encoding,
      skip: lines.before(layout.first),
      most: layout.first + layout.count < lines.count ? layout.count : null,
      count: layout.count,
    },
  };
}
