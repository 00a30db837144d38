// The launcher extension without JupyterLab: its file service and its services are stand-ins.
import assert from "node:assert/strict";
import { test } from "node:test";
import plugins from "../../../widgets/lab/static/extension.js";
import { copyTutorial, freeName, galleryFolder, join, tutorialsOf } from "../../../widgets/lab/static/gallery.js";
import { ICONS } from "../../../widgets/lab/static/icons.js";

const A = { name: "a", title: "On a", notebook: "one/plot_a.ipynb", linked: ["two/plot_b.ipynb"] };
const B = { name: "b", title: "On b", notebook: "two/plot_b.ipynb", linked: [] };
const INDEX = {
  sections: [
    { name: "one", title: "One", tutorials: [A] },
    { name: "graphs", title: "Two", tutorials: [B] },
  ],
};
const read = async path => ({ from: path });

/** A file service in memory: path -> "directory" or a notebook. */
function memory(files = {}) {
  const all = new Map(Object.entries({ "": "directory", ...files }));
  return {
    all,
    get: async folder => {
      assert.equal(all.get(folder), "directory", `${folder} is not there`);
      const inside = [...all.keys()].filter(
        path => path && path.slice(0, Math.max(0, path.lastIndexOf("/"))) === folder,
      );
      const type = path => (all.get(path) === "directory" ? "directory" : "file");
      return { content: inside.map(path => ({ name: path.split("/").pop(), type: type(path) })) };
    },
    save: async (path, { type, content }) => {
      assert(!all.has(path), `${path} is overwritten`);
      await new Promise(resolve => setTimeout(resolve)); // time in which another copy could start
      all.set(path, type === "directory" ? type : content);
    },
  };
}

test("a free name", () => {
  assert.equal(freeName("x.ipynb", []), "x.ipynb");
  assert.equal(freeName("x.ipynb", ["x.ipynb", "x-2.ipynb"]), "x-1.ipynb");
  assert.equal(freeName("x.ipynb", ["x.ipynb", "x-1.ipynb"]), "x-2.ipynb");
  assert.equal(freeName("x.y.ipynb", ["x.y.ipynb"]), "x.y-1.ipynb");
  assert.equal(freeName("x", ["x"]), "x-1");
  assert.equal(freeName("x.ipynb", ["X.IPYNB"]), "x-1.ipynb", "some disks ignore case");
});

test("paths, also on a drive", () => {
  assert.equal(join("", "x"), "x");
  assert.equal(join("a/b", "x"), "a/b/x");
  assert.equal(join("RTC:", "x"), "RTC:x");
});

test("no gallery inside a gallery", () => {
  for (const outside of [undefined, "", "a/b", "my-sparseot-gallery"]) {
    assert.equal(galleryFolder(outside), null);
  }
  assert.equal(galleryFolder("a/sparseot-gallery/one"), "a/sparseot-gallery");
  assert.equal(galleryFolder("RTC:sparseot-gallery"), "RTC:sparseot-gallery");
});

test("an index is one list, in its order", () => {
  const [a, b] = tutorialsOf(INDEX);
  assert.deepEqual(a, { ...A, folder: "one", section: "One" });
  assert.equal(b.name, "b");
});

test("an index of another shape is refused", () => {
  for (const broken of [null, [], {}, { sections: 3 }, { sections: [{ title: "One" }] }]) {
    assert.throws(() => tutorialsOf(broken), Error);
  }
  const untitled = { sections: [{ title: "One", tutorials: [{ name: "a", notebook: "a.ipynb" }] }] };
  assert.throws(() => tutorialsOf(untitled), /lacks its name, title or notebook: a/);
});

test("a copy, then another beside it; linked notebooks come once", async () => {
  const disk = memory({ work: "directory" });
  assert.equal(await copyTutorial(disk, read, A, "work"), "work/sparseot-gallery/one/plot_a.ipynb");
  const second = await copyTutorial(disk, read, A, "work/sparseot-gallery/two");
  assert.equal(second, "work/sparseot-gallery/one/plot_a-1.ipynb");
  assert.deepEqual(
    [...disk.all].filter(([, content]) => content !== "directory"),
    [
      ["work/sparseot-gallery/one/plot_a.ipynb", { from: A.notebook }],
      ["work/sparseot-gallery/two/plot_b.ipynb", { from: B.notebook }],
      ["work/sparseot-gallery/one/plot_a-1.ipynb", { from: A.notebook }],
    ],
  );
});

test("a file in the way is named", async () => {
  const disk = memory({ "sparseot-gallery": "mine" });
  await assert.rejects(copyTutorial(disk, read, A, ""), /sparseot-gallery is a file/);
  assert.equal(disk.all.get("sparseot-gallery"), "mine");
});

/** Activate the plugin on stand-ins; `answer` is what the server says for a path. */
async function activated(answer, disk = memory()) {
  const seen = { commands: {}, cards: [], entries: [], opened: [], errors: [], warnings: [] };
  globalThis.fetch = async url => answer(url.pathname.split("/static/gallery/")[1]);
  console.warn = text => seen.warnings.push(text);
  const lab = {
    LabIcon: class {
      constructor(options) {
        Object.assign(this, options);
      }
    },
    showErrorMessage: async (title, error) => seen.errors.push(error.message),
  };
  const app = {
    serviceManager: { contents: disk },
    commands: {
      addCommand: (id, command) => (seen.commands[id] = command),
      execute: async (id, { path }) => seen.opened.push(path),
    },
  };
  const launcher = { add: item => seen.cards.push(item) };
  const palette = { addItem: item => seen.entries.push(item) };
  plugins(lab)[0].activate(app, launcher, palette, { model: { path: "here" } });
  await new Promise(resolve => setTimeout(resolve)); // after all that was promised
  return seen;
}
const ok = content => ({ ok: true, json: async () => content });
const served = path => ok(path === "index.json" ? INDEX : { from: path });

test("a card and an entry for each tutorial", async () => {
  const seen = await activated(served);
  const command = seen.commands["sparseot:open-tutorial"];
  assert.deepEqual(seen.cards.map(card => [card.category, card.rank, command.label(card.args)]), [
    ["sparseot", 0, "On a"],
    ["sparseot", 1, "On b"],
  ]);
  assert.equal(command.label(seen.entries[1].args), "sparseot: Open a tutorial: On b");
  assert.equal(command.caption(seen.cards[1].args), "On b\nTwo");
  assert.equal(command.icon(seen.cards[0].args).svgstr, ICONS.sparseot, "no icon of its own");
  assert.equal(command.icon(seen.cards[1].args).svgstr, ICONS.graphs);
});

test("two clicks at once make two notebooks", async () => {
  const disk = memory({ here: "directory" });
  const seen = await activated(served, disk);
  const { execute } = seen.commands["sparseot:open-tutorial"];
  await Promise.all([execute({ tutorial: "b" }), execute({ tutorial: "b", cwd: "here" })]);
  const two = "here/sparseot-gallery/two/plot_b";
  assert.deepEqual(seen.opened, [`${two}.ipynb`, `${two}-1.ipynb`]);
});

test("what goes wrong is shown, and the next click works", async () => {
  const disk = memory({ here: "directory" });
  const seen = await activated(path => (path.includes("_a") ? { ok: false, status: 404 } : served(path)), disk);
  const { execute } = seen.commands["sparseot:open-tutorial"];
  await execute({ tutorial: "a" });
  await execute({ tutorial: "gone" });
  await execute({ tutorial: "b" });
  assert.match(seen.errors[0], /plot_a.ipynb: 404/);
  assert.match(seen.errors[1], /no tutorial called gone/);
  assert.equal(seen.opened.length, 1);
});

test("without an index there is a warning and nothing else", async () => {
  for (const answer of [() => ({ ok: false, status: 404 }), () => ok({})]) {
    const seen = await activated(answer);
    assert.equal(seen.warnings.length, 1);
    assert.match(seen.warnings[0], /no launcher cards/);
    assert.deepEqual([seen.cards, seen.entries, seen.commands], [[], [], {}]);
  }
});

test("icons follow the theme", () => {
  for (const [name, svg] of Object.entries(ICONS)) {
    const shapes = svg.match(/<(circle|path|rect)[^>]*>/g);
    assert(shapes.length > 2, name);
    for (const shape of shapes) assert.match(shape, /class="jp-icon(3|-brand1|-warn1)"/);
    assert.doesNotMatch(svg, /NaN|undefined/);
  }
});
