// The launcher cards and the palette entries.

import { copyTutorial, tutorialsOf } from "./gallery.js";
import { ICONS } from "./icons.js";
import { openOn } from "./pages.js";

const COMMAND = "sparseot:open-tutorial";
const NAME = "sparseot";
const packaged = path => new URL(`gallery/${path}`, import.meta.url);

/** A JSON file that came with this extension. */
async function read(path) {
  const response = await fetch(packaged(path));
  if (!response.ok) throw new Error(`${packaged(path).pathname}: ${response.status}`);
  return response.json();
}

async function activate(app, lab, launcher, palette, browser) {
  let tutorials;
  try {
    tutorials = tutorialsOf(await read("index.json"));
  } catch (error) {
    console.warn(`sparseot: no launcher cards, for the list of tutorials can't be read. ${error}`);
    return;
  }
  const byName = new Map(tutorials.map(tutorial => [tutorial.name, tutorial]));
  const icon = name => new lab.LabIcon({ name: `${NAME}:${name}`, svgstr: ICONS[name] });
  const icons = Object.fromEntries(Object.keys(ICONS).map(name => [name, icon(name)]));
  const contents = app.serviceManager.contents;
  let last = Promise.resolve(); // one copy after the other: two at once would find one free name

  app.commands.addCommand(COMMAND, {
    label: ({ tutorial, inPalette }) => {
      const title = byName.get(tutorial)?.title ?? tutorial;
      return inPalette ? `${NAME}: Open a tutorial: ${title}` : title;
    },
    caption: ({ tutorial }) => {
      const { section, title } = byName.get(tutorial) ?? {};
      return title ? `${title}\n${section}` : "";
    },
    icon: ({ tutorial, inPalette }) =>
      inPalette ? undefined : (icons[byName.get(tutorial)?.folder] ?? icons.sparseot),
    execute: async ({ tutorial, cwd }) => {
      const known = byName.get(tutorial);
      try {
        if (!known) throw new Error(`There is no tutorial called ${tutorial}.`);
        const folder = cwd ?? browser?.model.path;
        const turn = last.then(() => copyTutorial(contents, read, known, folder));
        last = turn.catch(() => {});
        return await openOn(app, lab, { path: await turn });
      } catch (error) {
        await lab.showErrorMessage("The tutorial can't be opened", error);
      }
    },
  });

  tutorials.forEach(({ name }, rank) => {
    const args = { tutorial: name };
    launcher?.add({ command: COMMAND, category: NAME, categoryRank: 30, rank, args });
    palette?.addItem({ command: COMMAND, category: NAME, rank, args: { ...args, inPalette: true } });
  });
}

/** The plugin. Notebook 7 has no launcher, so it is optional. */
export default lab => ({
  id: "sparseot:tutorials",
  description: "Cards that open the tutorials of sparseot",
  autoStart: true,
  optional: [lab.ILauncher, lab.ICommandPalette, lab.IDefaultFileBrowser],
  activate: (app, ...services) => void activate(app, lab, ...services),
});
