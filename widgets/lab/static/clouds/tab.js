// A tab with a point cloud: the file read, a line of choosers, what was done, and the viewer.
import { fromBase64, read, Unreadable } from "../readers/read.js";
import { grouped, inBytes } from "../readers/table.js";
import { numeric, ownColours, suggested } from "./choice.js";
import { PageModel } from "./model.js";
import { stateOf } from "./scene.js";

const MOST_BYTES = 250e6; // JupyterLab hands over a file whole, as a text a third longer
const LISTED = 500; // columns in a chooser

/** The bytes of a file, by the contents manager; what is too large for a page is not asked for. */
export async function bytesOf(contents, path) {
  const { size, name } = await contents.get(path, { content: false });
  if (size > MOST_BYTES) {
    const fix = "Look at a part of it in a notebook: CloudViewer(np.load(...)[::100]) of sparseot_widgets";
    throw new Unreadable(`it is ${inBytes(size)} large, and a page takes ${inBytes(MOST_BYTES)} at most. ${fix}`);
  }
  const file = await contents.get(path, { type: "file", format: "base64", content: true });
  return fromBase64(file.content ?? "", name);
}

/** What is said of an error: a sentence, with the name of the file. */
export function sentence(path, error) {
  const name = path.split("/").pop();
  const reason = error instanceof Unreadable ? error.message : `${error?.message ?? error}`;
  return `${name} cannot be shown as points: ${reason.replace(/\.$/, "")}.`;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A chooser with its name; `options` are [value, words]. */
function chooser(label, options, value, change) {
  const select = element("select", { "aria-label": label, "data-lm-suppress-shortcuts": "true" });
  for (const [key, words] of options) select.append(element("option", { value: key }, words));
  select.value = value;
  select.addEventListener("change", () => change(select.value));
  return element("label", {}, element("span", {}, label), select);
}

/** The content of a tab: a Lumino widget for a document's context. */
export const cloudContent = (lab, { contents, settings, viewer }) => class extends lab.Widget {
  constructor(context) {
    super();
    this.context = context;
    this.addClass("sparseot-Cloud");
    this.bar = element("div", { class: "sparseot-bar" });
    this.said = element("div", { class: "sparseot-said", role: "status" });
    this.view = element("div", { class: "sparseot-view" });
    this.node.append(this.bar, this.said, this.view);
    this.array = null;
    this.asked = 0;
    this.found = null; // { table, choice }
    this.again = () => void this.load();
    this.changed = () => void this.open(); // other settings
    void context.ready.then(this.again);
    context.fileChanged.connect(this.again);
    settings.on(this.changed);
  }

  dispose() {
    if (this.isDisposed) return;
    settings.off(this.changed);
    this.context.fileChanged.disconnect(this.again);
    this.clear();
    super.dispose();
  }

  /** What is seen: { path, table, choice }, or null. */
  get shown() {
    return this.found && { path: this.context.path, ...this.found };
  }

  /** Ask for the file and show it. */
  async load() {
    if (!this.context.isReady) return;
    const asked = ++this.asked;
    this.said.textContent = "loading";
    try {
      const bytes = await bytesOf(contents, this.context.path);
      if (asked !== this.asked || this.isDisposed) return;
      this.bytes = bytes;
      await this.open();
    } catch (error) {
      if (asked === this.asked && !this.isDisposed) this.fail(error);
    }
  }

  /** Read the bytes that are here: another array, or another limit. */
  async open() {
    if (!this.bytes) return;
    const asked = ++this.asked;
    const options = { limit: settings.get().rowLimit, array: this.array };
    try {
      const { table, arrays, array } = await read(this.context.path, this.bytes, options);
      if (asked !== this.asked || this.isDisposed) return;
      const columns = JSON.stringify([array, table.columns]);
      const choice = columns === this.columns ? this.found.choice : suggested(table);
      Object.assign(this, { arrays, array, columns, found: { table, choice } });
      await this.show().catch(error => { // other columns may do
        if (!this.isDisposed) this.fail(error, true);
      });
    } catch (error) {
      if (asked === this.asked && !this.isDisposed) this.fail(error);
    }
  }

  /** Draw the table as it is chosen now. */
  async show() {
    const { table, choice } = this.found;
    this.showBar();
    const state = stateOf(table, choice, settings.get(), this.model);
    const { render } = await viewer();
    if (this.isDisposed) return;
    this.said.textContent = state.notes.join("; ");
    const { notes, drawn, ...values } = state;
    if (this.model) for (const [name, value] of Object.entries(values)) this.model.set(name, value);
    else {
      this.model = new PageModel({ ...values, title: "", _status: {} });
      this.view.replaceChildren();
      this.clean = render({ model: this.model, el: this.view });
    }
    this.node.dataset.drawn = drawn;
    delete this.node.dataset.failed;
  }

  /** A sentence where the picture would be. Columns can still be chosen if they are what is wrong, and arrays. */
  fail(error, keep = false) {
    this.clear();
    if (!keep) Object.assign(this, { found: null, columns: null, arrays: error.arrays ?? [], array: error.array ?? null });
    this.showBar();
    this.said.textContent = "";
    this.view.replaceChildren(element("p", { class: "sparseot-failed", role: "alert" }, sentence(this.context.path, error)));
    this.node.dataset.failed = "";
    delete this.node.dataset.drawn;
    if (!(error instanceof Unreadable)) console.warn("sparseot:", error);
  }

  clear() {
    this.clean?.();
    this.clean = this.model = null;
  }

  showBar() {
    const parts = [];
    const { arrays = [], found } = this;
    if (arrays.length > 1) {
      parts.push(chooser("array", arrays.map(name => [name, name]), this.array, name => {
        this.array = name;
        void this.open();
      }));
    }
    if (found) parts.push(...this.columnChoosers(found));
    this.bar.replaceChildren(...parts);
  }

  columnChoosers({ table, choice }) {
    const change = changes => {
      Object.assign(choice, changes);
      this.show().catch(error => this.fail(error, true));
    };
    const option = k => [String(k), table.columns[k].name];
    const numbers = numeric(table).slice(0, LISTED);
    const parts = [];
    if (table.columns.length > 3 && !table.named) {
      const ways = [["columns", "columns"], ["principal", "principal axes"]];
      parts.push(chooser("coordinates", ways, choice.principal ? "principal" : "columns", way => change({ principal: way === "principal" })));
    }
    if (!choice.principal) {
      ["x", "y", "z"].forEach((name, place) => {
        const options = place < 1 ? numbers.map(option) : [["none", "none"], ...numbers.map(option)];
        parts.push(chooser(name, options, String(choice.axes[place] ?? "none"), value => {
          const axes = [...choice.axes];
          if (value === "none") axes.length = place;
          else axes[Math.min(place, axes.length)] = Number(value);
          change({ axes });
        }));
      });
    }
    const colours = [["none", "none"], ...(ownColours(table) ? [["own", "colours of the file"]] : []), ...[...table.columns.keys()].slice(0, LISTED).map(option)];
    parts.push(chooser("values or classes", colours, String(choice.colour ?? "none"), value => change({ colour: value === "none" ? null : value === "own" ? value : Number(value) })));
    return parts;
  }
};
