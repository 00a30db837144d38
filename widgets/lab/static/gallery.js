// The tutorials in the user's folders. Nothing here knows JupyterLab: `contents` is its file
// service, or a stand-in.

export const FOLDER = "sparseot-gallery";

/** The tutorials of an index, one list in the order of the gallery. */
export function tutorialsOf(index) {
  if (!Array.isArray(index?.sections)) throw new Error("the index has no list of sections");
  const tutorials = index.sections.flatMap(section =>
    section.tutorials.map(tutorial => ({ ...tutorial, folder: section.name, section: section.title })),
  );
  for (const { name, title, notebook } of tutorials) {
    if (![name, title, notebook].every(text => typeof text === "string" && text)) {
      throw new Error(`an entry lacks its name, title or notebook: ${name ?? title ?? notebook}`);
    }
  }
  return tutorials;
}

/** `name`, or the first of name-1, name-2, ... that is not taken; some disks ignore case. */
export function freeName(name, taken) {
  const used = new Set(taken.map(each => each.toLowerCase()));
  const dot = name.lastIndexOf(".");
  const [stem, suffix] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  let free = name;
  for (let n = 1; used.has(free.toLowerCase()); n++) free = `${stem}-${n}${suffix}`;
  return free;
}

/** A path below another; drives of JupyterLab end with a colon. */
export function join(folder, name) {
  return folder === "" || folder.endsWith(":") ? folder + name : `${folder}/${name}`;
}

/** The gallery's folder that `cwd` is or lies in, so that none is made inside another; or null. */
export function galleryFolder(cwd) {
  const parts = (cwd ?? "").split("/");
  const last = parts.findIndex(part => part === FOLDER || part.endsWith(`:${FOLDER}`));
  return last < 0 ? null : parts.slice(0, last + 1).join("/");
}

/** The names in a folder. */
async function list(contents, folder) {
  return (await contents.get(folder, { content: true })).content;
}

/** Make `name` in a folder that exists, unless it is there. To ask for it would log a 404. */
async function makeFolder(contents, folder, name) {
  const path = join(folder, name);
  const there = (await list(contents, folder)).find(item => item.name === name);
  if (!there) await contents.save(path, { type: "directory" });
  else if (there.type !== "directory") {
    throw new Error(`${path} is a file. A folder of that name is needed: rename or move the file.`);
  }
  return path;
}

/** Write one notebook below `root`; its path, or null where its name is taken and `keep` is set. */
async function copy(contents, read, notebook, root, keep) {
  const parts = notebook.split("/");
  const name = parts.pop();
  let folder = root;
  for (const part of parts) folder = await makeFolder(contents, folder, part);
  const taken = (await list(contents, folder)).map(item => item.name);
  if (keep && taken.includes(name)) return null;
  const path = join(folder, freeName(name, taken));
  await contents.save(path, { type: "notebook", format: "json", content: await read(notebook) });
  return path;
}

/**
 * Copy a tutorial into the gallery's folder and return the path of the copy. The tutorials that
 * its text links to come along where they are missing, so that the links lead somewhere.
 */
export async function copyTutorial(contents, read, tutorial, cwd) {
  const inside = galleryFolder(cwd);
  const root = inside ?? (await makeFolder(contents, cwd ?? "", FOLDER));
  const path = await copy(contents, read, tutorial.notebook, root, false);
  for (const linked of tutorial.linked ?? []) await copy(contents, read, linked, root, true);
  return path;
}
