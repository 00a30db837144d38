// How points are laid on a plot: every viewer's clouds are drawn here.
import { chosenOf, faded } from "./light.mjs";
import { farToNear, nearness, projected } from "./space.mjs";

/** How large points are drawn, if there are so many. */
export const radiusOf = (count) => Math.max(0.8, Math.min(4, 75 / Math.sqrt(count)));

/**
 * Draw a cloud in a panel, and leave its places to whoever points at it.
 *
 * view.places[panel] = [{ name, xy, count, index? }] is the contract with hit tests, lassos and hovers: one entry a
 * cloud, in the order in which they were drawn; xy holds CSS pixels x y x y ... in the panel, NaN where a point is
 * hidden, and is computed when it is first asked for; index[k] is the row of the caller's array that the
 * k-th point is, itself where there is no index.
 *
 * Points that are selected get an edge, others fade, but for those of the mask `near` (or "all"); `first` says who is drawn first in the plane.
 *
 * `cloud` is { name, points, dim, index? }; `matrix` comes from Lens.look; `colour` is "#rrggbb" or three bytes a point.
 */
export function drawPoints(view, panel, cloud, matrix, { colour, radius = radiusOf(cloud.points.length / cloud.dim), alpha = 1, near = null, first = null }) {
  const plot = view.plots[panel];
  const { name, points, dim, index } = cloud;
  let places = null;
  const entry = { name, points, dim, count: points.length / dim, index, get xy() { return (places ??= projected(points, dim, matrix)); } };
  (view.places[panel] ??= []).push(entry);
  const order = dim > 2 ? farToNear(nearness(points, matrix)) : first;
  const mask = view.selection.maskOf(name, entry.count, index);
  plot.context.globalAlpha = alpha;
  plot.discs(entry.xy, mask && near !== "all" ? fadedOnce(view, `${panel} ${name}`, colour, entry.count, mask, near) : colour, radius, order);
  plot.context.globalAlpha = 1;
  if (mask) drawChosen(plot, chosenOf(entry.xy, colour, mask, order), radius);
  return entry.xy;
}

/** The colours beside a selection, computed anew only where one of these is another. */
function fadedOnce(view, name, colour, count, mask, near) {
  const [kept, key] = [(view.memory.faded ??= {}), [colour, count, mask, near, view.theme.bg]];
  if (!kept[name]?.key.every((part, k) => part === key[k])) {
    const bright = near ? near.map((there, k) => there || mask[k]) : mask;
    kept[name] = { key, bytes: faded(colour, count, bright, view.theme.bg) };
  }
  return kept[name].bytes;
}

/** What is chosen, with an edge. */
function drawChosen(plot, { xy, colour }, radius) {
  plot.discs(xy, plot.theme.fg, radius + 1.5);
  plot.discs(xy, colour, radius + 0.5);
}
