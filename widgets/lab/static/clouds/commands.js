// What can be done with clouds: open one, compare two, make a notebook of one.
import { freeName, join } from "../gallery.js";
import { openOn } from "../pages.js";
import { endingOf, read } from "../readers/read.js";
import { suggested } from "./choice.js";
import { ENDINGS, FACTORY } from "./files.js";
import { comparison, kernelAndGraph, relative } from "./python.js";
import { bytesOf, sentence } from "./tab.js";

const NAME = "sparseot";

/** The folder of a path, with its drive. */
export function folderOf(path) {
  const [drive, local] = path.includes(":") ? [path.slice(0, path.indexOf(":") + 1), path.slice(path.indexOf(":") + 1)] : ["", path];
  return drive + local.split("/").slice(0, -1).join("/");
}

const driveOf = path => (path.includes(":") ? path.slice(0, path.indexOf(":")) : "");
const stemOf = path => path.split("/").pop().replace(/\.[^.]*$/, "");

/** The kernel that notebooks of Python start with, if the server says. */
export function pythonKernel(specs) {
  const known = Object.values(specs?.kernelspecs ?? {}).filter(Boolean);
  const python = known.filter(({ language }) => language?.toLowerCase() === "python");
  const chosen = python.find(({ name }) => name === specs.default) ?? python[0];
  return chosen ? { name: chosen.name, display_name: chosen.display_name, language: "python" } : null;
}

/** Write a notebook into a folder, under a free name; its path. */
async function written(contents, folder, name, content) {
  const { content: items } = await contents.get(folder, { content: true });
  const path = join(folder, freeName(`${name}.ipynb`, items.map(item => item.name)));
  await contents.save(path, { type: "notebook", format: "json", content });
  return path;
}

/** A file that no tab shows, as one would. */
async function asShown(contents, path, limit) {
  const { table } = await read(path, await bytesOf(contents, path), { limit });
  return { path, table, choice: suggested(table) };
}

/** The commands; each is { id, label, caption, needs: a tab, run(args) }. */
function commandsOf(app, lab, { browser, manager, tracker, settings }) {
  const { contents, kernelspecs } = app.serviceManager;
  const tabOf = () => tracker.currentWidget?.content;
  const kernel = () => pythonKernel(kernelspecs?.specs);

  async function chosenFile(title, folder) {
    const found = await lab.FileDialog.getOpenFiles({
      manager, title, defaultPath: folder, filter: item => (item.type === "directory" || ENDINGS.includes(endingOf(item.name)) ? {} : null),
    });
    return found.button.accept ? found.value?.find(item => item.type !== "directory")?.path : undefined;
  }

  async function openCloud({ path, selected }) {
    const here = selected ? [...(browser?.selectedItems?.() ?? [])].find(item => item.type !== "directory")?.path : null;
    const chosen = path ?? here ?? (await chosenFile("Open a point cloud", browser?.model?.path));
    return chosen && openOn(app, lab, { path: chosen, factory: FACTORY });
  }

  async function compare({ other }) {
    const first = tabOf()?.shown;
    if (!first) throw new Error("Open a point cloud first: this tab shows none.");
    const path = other ?? (await chosenFile(`Compare ${first.path.split("/").pop()} with`, folderOf(first.path)));
    if (!path) return undefined;
    if (driveOf(path) !== driveOf(first.path)) throw new Error("Both files must lie on one drive: the notebook reads them from disk.");
    let second;
    try {
      second = await asShown(contents, path, settings.get().rowLimit);
    } catch (error) {
      throw new Error(sentence(path, error), { cause: error });
    }
    const folder = folderOf(first.path);
    const local = one => ({ ...one, path: relative(one.path.slice(one.path.indexOf(":") + 1), folder.slice(folder.indexOf(":") + 1)) });
    const made = comparison(local(first), local(second), kernel());
    const name = `${stemOf(first.path)}-and-${stemOf(path)}`;
    return openOn(app, lab, { path: await written(contents, folder, name, made) });
  }

  async function cloudNotebook() {
    const shown = tabOf()?.shown;
    if (!shown) throw new Error("Open a point cloud first: this tab shows none.");
    const made = kernelAndGraph({ ...shown, path: shown.path.split(/[/:]/).pop() }, kernel());
    return openOn(app, lab, { path: await written(contents, folderOf(shown.path), `${stemOf(shown.path)}-kernel`, made) });
  }

  return [
    { id: "open-cloud", label: "Open a Point Cloud …", caption: "Show a file of points: .npy, .npz, .ply, .xyz, .pts, .csv or text", run: openCloud },
    { id: "compare-cloud", label: "Compare with …", long: "Compare This Cloud with …", caption: "A notebook with the transport plan from this cloud to another", needs: true, run: compare },
    { id: "cloud-notebook", label: "Kernel and Graph of This Cloud", caption: "A notebook with the kernel matrix and the neighbour graph of this cloud", needs: true, run: cloudNotebook },
  ];
}

/** Add the commands, with their places in the palette and in the launcher. */
export function addCommands(app, lab, services) {
  const { palette, launcher, tracker, icon } = services;
  for (const { id, label, long = label, caption, needs, run } of commandsOf(app, lab, services)) {
    const command = `${NAME}:${id}`;
    app.commands.addCommand(command, {
      label: ({ inPalette }) => (inPalette ? `${NAME}: ${long}` : label),
      caption,
      icon: ({ inPalette }) => (inPalette || needs ? undefined : icon),
      isEnabled: () => !needs || Boolean(tracker.currentWidget && tracker.currentWidget === app.shell.currentWidget),
      execute: async args => {
        try {
          return await run(args ?? {});
        } catch (error) {
          return lab.showErrorMessage(label.replace(" …", ""), error);
        }
      },
    });
    palette?.addItem({ command, category: NAME, rank: 0, args: { inPalette: true } });
    if (!needs) launcher?.add({ command, category: NAME, categoryRank: 30, rank: -1 });
  }
  tracker.currentChanged.connect(() => {
    for (const id of ["compare-cloud", "cloud-notebook"]) app.commands.notifyCommandChanged(`${NAME}:${id}`);
  });
}
