// Files of points in JupyterLab: their types, the tab that shows them, the commands, the settings.
import { ICONS } from "../icons.js";
import { addCommands } from "./commands.js";
import { DEFAULTS, FACTORY, OTHERS, PLUGIN, TEXTS, TYPES } from "./files.js";
import { cloudContent } from "./tab.js";

/** Settings that follow the editor of JupyterLab, or stay at their defaults where it has none. */
export async function watched(registry) {
  const actions = new Set();
  const settings = { values: { ...DEFAULTS }, get: () => settings.values, on: action => actions.add(action), off: action => actions.delete(action) };
  try {
    const found = await registry?.load(PLUGIN);
    if (!found) return settings;
    const take = () => {
      settings.values = { ...DEFAULTS, ...found.composite };
      for (const action of actions) action();
    };
    found.changed.connect(take);
    take();
  } catch (error) {
    console.warn(`sparseot: point clouds have their default settings. ${error?.message ?? error}`);
  }
  return settings;
}

/** A model without content: the tab asks for the bytes itself. */
const modelFactory = lab => new (class extends lab.Base64ModelFactory {
  get name() {
    return "sparseot-points";
  }

  get fileFormat() {
    return null;
  }

  createNew(options) {
    return Object.assign(super.createNew(options), { readOnly: true });
  }
})();

/** Keep JupyterLab from saving over a file and from copying it into its checkpoints: nothing here edits it. */
function onlyShown(context, lab) {
  const told = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(context), "contentsModel")?.get;
  const refuse = () => lab.showErrorMessage("Point clouds are only shown", "Copy, rename or download the file in the file browser.");
  Object.defineProperties(context, {
    canSave: { get: () => false },
    contentsModel: { get: () => { const model = told?.call(context); return model && { ...model, writable: false }; } },
    save: { value: refuse },
    saveAs: { value: refuse },
  });
}

let loaded = null;
/** The module that draws, the same as in notebooks; loaded with the first cloud. */
const viewer = () => (loaded ??= import(new URL("../viewers/cloud.js", import.meta.url)).then(found => found.default));

function documentFactory(app, lab, settings, types) {
  const Content = cloudContent(lab, { contents: app.serviceManager.contents, settings, viewer });
  const button = id => new lab.CommandToolbarButton({ commands: app.commands, id, label: app.commands.label(id, { short: true }) });
  return new (class extends lab.ABCWidgetFactory {
    createNewWidget(context) {
      onlyShown(context, lab);
      const made = new lab.DocumentWidget({ content: new Content(context), context });
      made.addClass("sparseot-CloudTab");
      return made;
    }
  })({
    name: FACTORY, modelName: "sparseot-points", readOnly: true,
    fileTypes: [...Object.keys(types), ...TEXTS], defaultFor: Object.keys(TYPES),
    toolbarFactory: () => ["sparseot:compare-cloud", "sparseot:cloud-notebook"].map(id => ({ name: id.slice(9), widget: button(id) })),
  });
}

async function activate(app, lab, palette, launcher, browser, manager, registry, restorer) {
  const settings = await watched(registry);
  const icon = new lab.LabIcon({ name: "sparseot:cloud", svgstr: ICONS.cloud });
  const { docRegistry } = app;
  const types = { ...TYPES, ...OTHERS };
  for (const [name, displayName] of Object.entries(types)) {
    const text = !["npy", "npz", "ply"].includes(name);
    docRegistry.addFileType({ name, displayName, extensions: [`.${name}`], fileFormat: text ? "text" : "base64", contentType: "file", mimeTypes: [], icon });
  }
  docRegistry.addModelFactory(modelFactory(lab));
  const tracker = new lab.WidgetTracker({ namespace: "sparseot-clouds" });
  addCommands(app, lab, { palette, launcher, browser, manager, tracker, icon, settings });
  const factory = documentFactory(app, lab, settings, types);
  factory.widgetCreated.connect((_, tab) => {
    tab.title.icon = icon;
    tab.context.pathChanged.connect(() => void tracker.save(tab));
    void tracker.add(tab);
  });
  docRegistry.addWidgetFactory(factory);
  void restorer?.restore(tracker, {
    command: "docmanager:open",
    args: tab => ({ path: tab.context.path, factory: FACTORY }),
    name: tab => tab.context.path,
  });
}

/** The plugin. */
export default lab => ({
  id: PLUGIN,
  description: "Opens files of points",
  autoStart: true,
  optional: [
    lab.ICommandPalette, lab.ILauncher, lab.IDefaultFileBrowser, lab.IDocumentManager, lab.ISettingRegistry, lab.ILayoutRestorer,
  ],
  activate: (app, ...services) => activate(app, lab, ...services),
});
