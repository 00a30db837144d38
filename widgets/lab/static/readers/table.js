// What every reader returns, a table, and what it throws.
//
//   kind      words: what the file is
//   count     rows of the file; `rows` of them are taken, evenly, and `row(i)` says which
//   columns   [{ name, text: whether it holds words }]
//   named     whether the file names its columns
//   notes     sentences about what was done with the file
//   column(k) the numbers of the rows that are taken (Float64Array), or their words (array)
//   source    how Python finds the same numbers: see clouds/python.js

/** A file that is not what it should be; the message is for the reader of the tab. */
export class Unreadable extends Error {}

/** At most `limit` rows of `count`, evenly: how many, and the row of each. */
export function evenly(count, limit) {
  const rows = Math.min(count, Math.max(1, Math.floor(limit)));
  return { rows, row: i => Math.floor((i * count) / rows) };
}

/** The numbers at(0), at(1), ...; a loop is some times faster than `from`. */
export function numbersOf(count, at) {
  const numbers = new Float64Array(count);
  for (let i = 0; i < count; i++) numbers[i] = at(i);
  return numbers;
}

const MOST_COLUMNS = 100_000; // of which a page can tell

/** Refuse a file of more columns than a page can tell of. */
export function checkColumns(count) {
  if (count > MOST_COLUMNS) throw new Unreadable(`it has ${grouped(count)} columns, and a page takes ${grouped(MOST_COLUMNS)} at most`);
}

/** 12345 as 12,345. */
export const grouped = count => count.toLocaleString("en-US");

/** "1 point", "12,345 points". */
export const counted = (count, what) => `${grouped(count)} ${what}${count === 1 ? "" : "s"}`;

/** A number of bytes in words. */
export function inBytes(size) {
  const [unit, name] = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]].find(([unit]) => size >= unit) ?? [1, "bytes"];
  return `${Number((size / unit).toPrecision(3))} ${name}`;
}

/** What a column without a name is called: x₁, x₂, ... */
export const unnamed = k => `x${[...String(k + 1)].map(digit => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("")}`;
