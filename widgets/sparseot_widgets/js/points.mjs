// How points are laid on a plot: every viewer's clouds are drawn here.
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
 * `cloud` is { name, points, dim, index? }; `matrix` comes from Lens.look; `colour` is "#rrggbb" or three bytes a point.
 */
export function drawPoints(view, panel, cloud, matrix, { colour, radius = radiusOf(cloud.points.length / cloud.dim), alpha = 1 }) {
  const plot = view.plots[panel];
  const { name, points, dim, index } = cloud;
  let places = null;
  const entry = { name, count: points.length / dim, index, get xy() { return (places ??= projected(points, dim, matrix)); } };
  (view.places[panel] ??= []).push(entry);
  const order = dim > 2 ? farToNear(nearness(points, matrix)) : null;
  plot.context.globalAlpha = alpha;
  plot.discs(entry.xy, colour, radius, order);
  plot.context.globalAlpha = 1;
  return entry.xy;
}
