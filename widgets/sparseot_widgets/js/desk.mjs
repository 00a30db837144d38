// What lies around the picture: tools that select, the card under the pointer, buttons that save and enlarge, a shared camera.
import { make } from "./controls.mjs";
import { Card } from "./hover.mjs";
import { keep, sheetOf, svgOf } from "./save.mjs";
import { Selection } from "./select.mjs";
import { icon, ICONS, Tools } from "./tools.mjs";

/** A button whose name a screen reader says and a pointer shows. */
const button = (words, name, onclick) => make("button", { type: "button", title: name, "aria-label": name, onclick }, words);

/** Fill the screen with an element, where the page may. */
function screenButton(root) {
  const full = () => document.fullscreenElement === root;
  const screen = button(icon(ICONS.screen), "full screen", () => (full() ? document.exitFullscreen() : root.requestFullscreen()));
  screen.hidden = !document.fullscreenEnabled;
  const show = () => { screen.title = full() ? "leave full screen" : "full screen"; screen.setAttribute("aria-label", screen.title); };
  document.addEventListener("fullscreenchange", show);
  return { screen, clean: () => document.removeEventListener("fullscreenchange", show) };
}

/**
 * Set the desk of a viewer; `draw` draws at once, `redraw` in the next frame, `lens()` is that of its first panel that has one.
 *
 * `view.selection` and `view.tool` come from here. A viewer's draw may return `chosen`, words about what is selected.
 */
export function desk({ model, view, viewer, root, draw, redraw, lens }) {
  const selection = new Selection(model);
  const tools = new Tools(view, selection);
  const card = new Card(view, viewer);
  Object.assign(view, { selection, tool: (_, event) => { card.hear(event); return tools.hear(event); } });
  root.view = view; // for tests, and for whoever looks in the console
  const plots = () => Object.values(view.plots);
  const png = () => keep(model.get("title"), "png", sheetOf(root, plots(), view.theme).toDataURL());
  const svg = () => {
    const { text, images } = svgOf(root, plots(), view.theme, draw);
    const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    keep(model.get("title"), "svg", url);
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    if (images) tools.tell(`In the SVG ${images === 1 ? "one cloud is an image" : images + " clouds are images"}: so many circles would be too many.`);
  };
  const { screen, clean } = screenButton(root);
  const seen = () => {
    const given = model.get("_camera");
    if (lens() && given?.zoom) Object.assign(lens(), structuredClone(given));
    redraw();
  };
  const on = { ...Object.fromEntries(Object.keys(selection.clouds).map((trait) => [trait, redraw])), _image: redraw, _camera: seen };
  for (const [name, action] of Object.entries(on)) model.on(`change:${name}`, action);
  return {
    bar: tools.bar,
    buttons: [button("PNG", "save the picture as PNG", png), button("SVG", "save the picture as SVG", svg), screen],
    say: (chosen) => tools.say(chosen),
    /** Let linked viewers look from where this one does. */
    share() {
      if (!lens() || !model.get("_shared")?._camera?.length) return;
      const { camera, zoom, pan } = lens();
      model.set("_camera", structuredClone({ camera, zoom, pan }));
      model.save_changes();
    },
    clean() {
      clean();
      for (const [name, action] of Object.entries(on)) model.off(`change:${name}`, action);
    },
  };
}
