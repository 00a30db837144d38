// Lines of a text and the cells of a line, found in bytes: only the lines that are shown become words.

const [TAB, NEWLINE, RETURN, SPACE, QUOTE, HASH, PERCENT, SLASH] = [9, 10, 13, 32, 34, 35, 37, 47];

const PIECE = 1 << 20; // bytes that become words at once

/** Whether bytes are UTF-8. */
function isUtf8(bytes) {
  if (bytes.every(byte => byte < 128)) return true;
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for (let at = 0; at < bytes.length; at += PIECE) decoder.decode(bytes.subarray(at, at + PIECE), { stream: true });
    decoder.decode();
    return true;
  } catch {
    return false;
  }
}

/** A text as the bytes of UTF-8 without a mark of the byte order, and what Python calls its encoding (null: UTF-8). */
export function asUtf8(bytes) {
  const written = name => new TextEncoder().encode(new TextDecoder(name).decode(bytes));
  const wide = { "255 254": "utf-16le", "254 255": "utf-16be" }[bytes.subarray(0, 2).join(" ")];
  if (wide) return { bytes: written(wide), encoding: "utf-16" };
  if (!isUtf8(bytes)) return { bytes: written("latin1"), encoding: "latin1" };
  const marked = bytes.subarray(0, 3).join(" ") === "239 187 191";
  return { bytes: marked ? bytes.subarray(3) : bytes, encoding: marked ? "utf-8-sig" : null };
}

/** Whether a line is a remark: it begins with #, % or //. */
function isComment(bytes, at, end) {
  return bytes[at] === HASH || bytes[at] === PERCENT || (bytes[at] === SLASH && at + 1 < end && bytes[at + 1] === SLASH);
}

/** A list of whole numbers that grows. */
class Growing {
  #numbers = new Uint32Array(1024);
  length = 0;

  push(value) {
    if (this.length === this.#numbers.length) {
      const more = new Uint32Array(2 * this.length);
      more.set(this.#numbers);
      this.#numbers = more;
    }
    this.#numbers[this.length++] = value;
  }

  at(k) {
    return this.#numbers[k];
  }
}

/** Every line that holds something: calls `found(start, end)`; the end of a quoted cell may be lines below. */
function scan(bytes, quoted, found) {
  const end = bytes.includes(NEWLINE) ? NEWLINE : RETURN;
  let [start, inside] = [0, false];
  for (let k = 0; k <= bytes.length; k++) {
    if (quoted && bytes[k] === QUOTE) inside = !inside;
    if (k < bytes.length && (bytes[k] !== end || inside)) continue;
    let [from, to] = [start, k];
    while (from < to && (bytes[from] === SPACE || bytes[from] === RETURN)) from++;
    while (to > from && (bytes[to - 1] <= SPACE && bytes[to - 1] !== TAB)) to--;
    let blank = from;
    while (blank < to && bytes[blank] === TAB) blank++;
    if (blank < to) found(from, to, start);
    start = k + 1;
  }
  return !inside;
}

/**
 * The lines of a text that are neither empty nor remarks.
 *
 * Returns their `count`, `text(k)`, the line of the file `before(k)` (how many stand above it), the last remark above the first
 * one (`remark`), which signs began remarks, how many remarks stand `below` the first line that is none, and whether a line that is none
 * holds a `hash`.
 */
export function indexLines(bytes, { comments = true } = {}) {
  const [quoted, hashes] = [QUOTE, HASH].map(sign => bytes.includes(sign));
  const index = quotes => {
    const [starts, ends, signs] = [new Growing(), new Growing(), new Set()];
    let [remark, below, hash] = [null, 0, false];
    const whole = scan(bytes, quotes, (from, to) => {
      if (comments && isComment(bytes, from, to)) {
        signs.add(bytes[from] === SLASH ? "//" : String.fromCharCode(bytes[from]));
        if (starts.length) below++;
        else remark = [from, to];
        return;
      }
      hash ||= hashes && bytes.subarray(from, to).includes(HASH);
      starts.push(from);
      ends.push(to);
    });
    return { starts, ends, signs, remark, below, hash, whole };
  };
  let found = index(quoted);
  if (!found.whole) found = index(false); // a quotation mark without its second
  const { starts, ends, signs, remark, below, hash } = found;
  const decoder = new TextDecoder();
  const words = (from, to) => decoder.decode(bytes.subarray(from, to));
  const end = bytes.includes(NEWLINE) ? NEWLINE : RETURN;
  return {
    count: starts.length,
    quoted,
    signs: [...signs],
    below,
    hash,
    remark: remark && words(...remark).replace(/^(#+|%+|\/\/+)\s*/, ""),
    text: k => words(starts.at(k), ends.at(k)),
    before(k) {
      let lines = 0;
      const stop = k < starts.length ? starts.at(k) : bytes.length;
      for (let at = 0; at < stop; at++) if (bytes[at] === end) lines++;
      return lines;
    },
  };
}

/** The cells of a line; a space stands for white space of any length. Cells in quotes may hold anything. */
export function cellsOf(line, delimiter) {
  if (!line.includes('"')) {
    return delimiter === " " ? line.trim().split(/\s+/) : line.split(delimiter).map(cell => cell.trim());
  }
  const cells = [];
  const pattern = delimiter === " " ? /"((?:[^"]|"")*)"|(\S+)/g : new RegExp(`(?:^|[${delimiter}])\\s*(?:"((?:[^"]|"")*)"[^${delimiter}]*|([^${delimiter}]*))`, "g");
  for (const [, quoted, bare] of line.matchAll(pattern)) cells.push((quoted?.replaceAll('""', '"') ?? bare).trim());
  return cells;
}
