// Files of points in JupyterLab, without JupyterLab: settings, commands and tabs on stand-ins.
import assert from "node:assert/strict";
import { test } from "node:test";
import { suggested } from "../../../widgets/lab/static/clouds/choice.js";
import { addCommands, folderOf, pythonKernel } from "../../../widgets/lab/static/clouds/commands.js";
import { DEFAULTS } from "../../../widgets/lab/static/clouds/files.js";
import { PageModel } from "../../../widgets/lab/static/clouds/model.js";
import { watched } from "../../../widgets/lab/static/clouds/plugin.js";
import { relative } from "../../../widgets/lab/static/clouds/python.js";
import { classesOf, stateOf } from "../../../widgets/lab/static/clouds/scene.js";
import { bytesOf, cloudContent, sentence } from "../../../widgets/lab/static/clouds/tab.js";
import { openOn } from "../../../widgets/lab/static/pages.js";
import { fromBase64, read, Unreadable } from "../../../widgets/lab/static/readers/read.js";

const text = string => new TextEncoder().encode(string);
const CSV = "x,y,kind\n0,1,a\n2,3,b\n4,5,a\n";

test("words become classes, the most frequent first, and rare ones are the others", () => {
  const { labels, classes } = classesOf(["b", "a", "b", ""]);
  assert.deepEqual([[...labels], classes], [[0, 2, 0, 1], ["b", "(empty)", "a"]]);
  const many = classesOf(Array.from({ length: 400 }, (_, k) => `w${k}`));
  assert.equal(many.classes.length, 256);
  assert.equal(many.classes[255], "others");
  assert.equal(many.labels[399] <= 255, true);
});

test("a file that is too large for a page is not asked for", async () => {
  const asked = [];
  const contents = { get: async (path, options) => (asked.push(options), { size: 3e9 }) };
  await assert.rejects(bytesOf(contents, "big.npy"), error => {
    assert(error instanceof Unreadable);
    assert.match(sentence("a/big.npy", error), /^big\.npy cannot be shown as points: it is 3 GB large, and a page takes 250 MB at most\./);
    return true;
  });
  assert.deepEqual(asked, [{ content: false }]);
});

test("bytes come by the contents manager, in base64 with or without line breaks", async () => {
  const contents = { get: async (path, { content }) => (content ? { content: "AAEC\n/w==\n" } : { size: 4 }) };
  assert.deepEqual([...(await bytesOf(contents, "x"))], [0, 1, 2, 255]);
  assert.deepEqual([...fromBase64("")], []);
});

test("what the reader chose stays when a file is read again", async () => {
  const { table } = await read("x.csv", text(CSV));
  const choice = { axes: [0, 1], principal: false, colour: 2 };
  const first = stateOf(table, choice, { ...DEFAULTS, pointSize: 2 });
  assert.deepEqual([first.colour, first.size, first.drawn], ["class", 2, 3]);
  const model = new PageModel({ colour: "along y", size: 0.5 });
  const second = stateOf(table, { ...choice, colour: null }, DEFAULTS, model);
  assert.deepEqual([second.colour, second.size], ["along y", 0.5]);
  assert.deepEqual(second._controls.map(({ name }) => name), ["colour", "size"]);
  assert.equal(stateOf(table, choice, { ...DEFAULTS, colourMap: "orange to blue" })._scene.map, "poles");
});

test("a model tells who listens, until they stop, and only of changes", () => {
  const seen = [];
  const model = new PageModel({ size: 1 });
  const action = () => seen.push(model.get("size"));
  model.on("change:size", action);
  model.set("size", 2);
  model.set("size", 2);
  model.off("change:size", action);
  model.set("size", 3);
  assert.deepEqual(seen, [2]);
});

test("settings: those of JupyterLab and their changes, or the defaults", async () => {
  let tell;
  const found = { composite: { rowLimit: 500 }, changed: { connect: action => (tell = action) } };
  const settings = await watched({ load: async () => found });
  const seen = [];
  settings.on(() => seen.push(settings.get().rowLimit));
  assert.deepEqual(settings.get(), { ...DEFAULTS, rowLimit: 500 });
  found.composite = { rowLimit: 600 };
  tell();
  assert.deepEqual(seen, [600]);
  const warnings = [];
  console.warn = words => warnings.push(words);
  const missing = await watched({ load: async () => { throw new Error("no schema"); } });
  assert.deepEqual([missing.get(), (await watched(null)).get()], [DEFAULTS, DEFAULTS]);
  assert.match(warnings[0], /default settings. no schema/);
});

test("paths as a notebook sees them", () => {
  assert.equal(relative("a/b/x.npy", "a/b"), "x.npy");
  assert.equal(relative("a/c/x.npy", "a/b"), "../c/x.npy");
  assert.equal(relative("x.npy", "a/b"), "../../x.npy");
  assert.equal(relative("a/b/x.npy", ""), "a/b/x.npy");
  assert.deepEqual(["x", "a/x", "RTC:x", "RTC:a/x"].map(folderOf), ["", "a", "RTC:", "RTC:a"]);
});

test("Notebook 7 gets pages of its own, JupyterLab tabs", async () => {
  const seen = [];
  const app = { commands: { execute: async (id, args) => seen.push([id, args]) } };
  await openOn(app, {}, { path: "a.npy", factory: "F" });
  await openOn(app, {}, { path: "a.ipynb" });
  assert.deepEqual(seen, [["docmanager:open", { path: "a.npy", factory: "F" }], ["docmanager:open", { path: "a.ipynb" }]]);
  const pages = [];
  const lab = { PageConfig: { getBaseUrl: () => "/base/" }, defaultNotebookPathOpener: { open: page => pages.push({ ...page, searchParams: `${page.searchParams ?? ""}` }) } };
  await openOn(app, lab, { path: "a b.npy", factory: "Point cloud" });
  await openOn(app, lab, { path: "a.ipynb" });
  assert.equal(seen.length, 2, "a tab was made and thrown away");
  assert.deepEqual(pages, [
    { prefix: "/base/edit", path: "a b.npy", searchParams: "factory=Point+cloud" },
    { prefix: "/base/notebooks", path: "a.ipynb", searchParams: "" },
  ]);
});

test("the kernel of a notebook is one of Python", () => {
  const spec = (name, language) => ({ name, language, display_name: name });
  const kernelspecs = { ir: spec("ir", "R"), other: spec("other", "python"), mine: spec("mine", "Python") };
  assert.equal(pythonKernel({ default: "mine", kernelspecs }).name, "mine");
  assert.equal(pythonKernel({ default: "ir", kernelspecs }).name, "other");
  assert.equal(pythonKernel({ default: "ir", kernelspecs: { ir: kernelspecs.ir } }), null);
  assert.equal(pythonKernel(undefined), null);
});

/** The commands on stand-ins: files by path, a tab with the first, the file that the dialog answers with. */
async function commanded(files, { dialog, shown = true, folder = [] } = {}) {
  const seen = { commands: {}, palette: [], cards: [], opened: [], saved: {}, errors: [] };
  const [path] = Object.keys(files);
  const { table } = await read(path, text(files[path]));
  const tab = { content: { shown: shown ? { path, table, choice: { axes: [0, 1], principal: false, colour: null } } : null } };
  const contents = {
    get: async (asked, { content, format }) => {
      if (format) return { content: Buffer.from(files[asked]).toString("base64") };
      return content ? { content: folder.map(name => ({ name })) } : { size: files[asked].length };
    },
    save: async (saved, { content }) => (seen.saved[saved] = content),
  };
  const app = {
    serviceManager: { contents, kernelspecs: { specs: null } },
    shell: { currentWidget: tab },
    commands: { addCommand: (id, command) => (seen.commands[id] = command), notifyCommandChanged: () => {}, execute: async (id, args) => seen.opened.push(args) },
  };
  const lab = {
    FileDialog: { getOpenFiles: async options => ((seen.filter = options.filter), { button: { accept: Boolean(dialog) }, value: [{ path: dialog, type: "file" }] }) },
    showErrorMessage: async (title, error) => seen.errors.push(`${title}: ${error.message}`),
  };
  addCommands(app, lab, {
    palette: { addItem: item => seen.palette.push(item) }, launcher: { add: item => seen.cards.push(item) },
    browser: { selectedItems: () => [{ path: "dir", type: "directory" }, { path: "chosen.csv", type: "file" }][Symbol.iterator]() },
    tracker: { currentWidget: tab, currentChanged: { connect: () => {} } }, settings: { get: () => DEFAULTS },
  });
  return { ...seen, seen, app };
}
const source = notebook => notebook.cells.map(cell => cell.source.join(""));

test("compare: a dialog for the second file, then a notebook of six lines beside the first", async () => {
  const files = { "a/one.csv": CSV, "b/two_$.csv": "u;v;w\n1,5;2;7\n2,5;3;8\n" };
  const { seen, commands } = await commanded(files, { dialog: "b/two_$.csv", folder: ["one-and-two_$.ipynb"] });
  await commands["sparseot:compare-cloud"].execute({});
  assert.deepEqual(seen.errors, []);
  assert.deepEqual(seen.opened, [{ path: "a/one-and-two_$-1.ipynb" }], "an older notebook is kept");
  const [words, imports, lines] = source(seen.saved["a/one-and-two_$-1.ipynb"]);
  assert.match(words, /^# one\.csv beside two\\_\\\$\.csv/);
  assert.match(words, /the first 2 coordinates of each/);
  assert.match(imports, /^import numpy as np\n\nimport sparseot as so\nfrom sparseot_widgets import PlanViewer$/);
  assert.equal(lines.split("\n").length, 6);
  assert.match(lines, /^x = np\.loadtxt\("one\.csv", delimiter=",", skiprows=1, usecols=\(0, 1\), ndmin=2\)\ny = np\.loadtxt\("\.\.\/b\/two_\$\.csv"/);
  assert.match(lines, /PlanViewer\(transport\)$/);
  assert.deepEqual(["x.npy", "x.PLY", "x.pdf"].map(name => seen.filter({ name, type: "file" })), [{}, {}, null]);
  assert.deepEqual(seen.filter({ name: "x", type: "directory" }), {});
});

test("kernel and graph: a notebook that imports what it uses", async () => {
  const { seen, commands } = await commanded({ "RTC:a/one.csv": CSV });
  await commands["sparseot:cloud-notebook"].execute({});
  const cells = source(seen.saved["RTC:a/one-kernel.ipynb"]);
  assert.deepEqual(cells.slice(2), ['x = np.loadtxt("one.csv", delimiter=",", skiprows=1, usecols=(0, 1), ndmin=2)\nKernelViewer(x)', "GraphViewer(x)"]);
  assert.doesNotMatch(cells[1], /sparseot as so/);
});

test("a second file that is broken, none, or on another drive: a sentence, and no notebook", async () => {
  const files = { "one.csv": CSV, "bad.ply": "ply\nformat ascii 1.0\n", "RTC:two.csv": CSV };
  for (const [other, pattern] of [["bad.ply", /Compare with: bad\.ply cannot be shown as points: its header/], ["RTC:two.csv", /one drive/]]) {
    const { seen, commands } = await commanded(files);
    await commands["sparseot:compare-cloud"].execute({ other });
    assert.match(seen.errors[0], pattern);
    assert.deepEqual(seen.saved, {});
  }
  const { seen, commands } = await commanded(files); // the dialog was cancelled
  await commands["sparseot:compare-cloud"].execute({});
  assert.deepEqual([seen.errors, seen.opened], [[], []]);
  const without = await commanded(files, { shown: false });
  for (const id of ["compare-cloud", "cloud-notebook"]) await without.commands[`sparseot:${id}`].execute({});
  assert.equal(without.seen.errors.filter(error => /Open a point cloud first/.test(error)).length, 2);
});

test("commands: labels, captions, places, and when they are enabled", async () => {
  const { seen, commands, app } = await commanded({ "one.csv": CSV }, { dialog: "two.csv" });
  assert.equal(seen.palette.length, 3);
  assert.deepEqual(seen.cards.map(card => card.command), ["sparseot:open-cloud"]);
  for (const { command, args } of seen.palette) {
    assert.match(commands[command].label(args), /^sparseot: \w/);
    assert(commands[command].caption.length > 20);
    assert(commands[command].isEnabled());
  }
  app.shell.currentWidget = {};
  assert.deepEqual(Object.values(commands).map(command => command.isEnabled()), [true, false, false]);
  await commands["sparseot:open-cloud"].execute({ selected: true });
  await commands["sparseot:open-cloud"].execute({});
  assert.deepEqual(seen.opened, ["chosen.csv", "two.csv"].map(path => ({ path, factory: "Point cloud" })));
});

const GAPS = "a,b,c,d\n1,,2,3\n4,,5,6\n7,,8,9\n";

test("a column without a number is no coordinate, unless there is no other", async () => {
  const choice = async string => suggested((await read("x.csv", text(string))).table);
  assert.deepEqual((await choice(GAPS)).axes, [0, 2, 3]);
  assert.deepEqual(await choice("x,y,z,u\n,1,2,\n,3,4,\n"), { axes: [1, 2], principal: false, colour: null });
  const none = { columns: [{ name: "a" }, { name: "b" }], column: () => [NaN], named: true, source: { form: "npy" } };
  assert.deepEqual(suggested(none).axes, [0, 1]);
});

/** As much of an element of a page as a tab asks for. */
function element() {
  const children = [];
  const append = (...more) => children.push(...more);
  return { children, append, dataset: {}, setAttribute: () => {}, addEventListener: () => {}, replaceChildren: (...all) => children.splice(0, Infinity, ...all) };
}

test("a tab whose columns have no points says so, and keeps its choosers", async () => {
  globalThis.document = { createElement: element };
  try {
    const Widget = class { node = element(); addClass() {} };
    const settings = { on: () => {}, off: () => {}, get: () => DEFAULTS };
    const contents = { get: async (path, { content }) => (content ? { content: Buffer.from("x,y,u\n,1,2\n3,,4\n").toString("base64") } : { size: 9 }) };
    const Tab = cloudContent({ Widget }, { contents, settings, viewer: async () => ({}) });
    const tab = new Tab({ path: "a.csv", isReady: true, ready: new Promise(() => {}), fileChanged: { connect: () => {} } });
    await tab.load();
    assert.match(tab.view.children[0].children[0], /none of its points has finite coordinates/);
    assert.equal(tab.bar.children.length, 4, "x, y, z and the colour");
    assert.deepEqual(tab.shown.choice.axes, [0, 1]);
  } finally {
    delete globalThis.document;
  }
});

test("values far from zero keep their colours", async () => {
  const { table } = await read("x.csv", text("x,y,time\n0,1,1700000001\n2,3,1700000002\n4,5,1700000003\n6,7,\n"));
  const { _scene: { values, of }, notes } = stateOf(table, { axes: [0, 1], principal: false, colour: 2 }, DEFAULTS);
  const [first, second, third, missing] = new Float32Array(values.buffer);
  assert.deepEqual([second - first, third - second, missing, of], [1, 1, NaN, "time"]);
  assert.match(notes.at(-1), /shown are time − 1,700,000,000/);
});
