// JupyterLab opens a document in a tab. Notebook 7 gives each a page of its own: "docmanager:open" would
// make a tab for it first and throw that away while it still loads, which ends in an error.

/** Open { path, factory }; `lab` has `defaultNotebookPathOpener` in Notebook 7 alone. */
export async function openOn(app, lab, { path, factory }) {
  const pages = lab.defaultNotebookPathOpener;
  if (!pages) return app.commands.execute("docmanager:open", factory ? { path, factory } : { path });
  const route = path.endsWith(".ipynb") ? "notebooks" : "edit";
  const searchParams = factory ? new URLSearchParams({ factory }) : undefined;
  pages.open({ prefix: `${lab.PageConfig.getBaseUrl()}${route}`, path, searchParams });
  return undefined;
}
