"""A gradient flow, one panel for each time."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparseot.errors import bad_input

from .clouds import Floats, Points, array, place, scatter
from .densities import density_1d
from .style import GREY


def flow_panels(
    snapshots: Mapping[float, Points],
    target: Points,
    *,
    title: str = "",
    unit: str = "side of the square = 1",
    window: tuple[float, float] = (0.0, 1.0),
    bandwidth: float = 0.005,
    columns: int = 3,
) -> Figure:
    """A gradient flow as a table of panels, one for each time, coloured by initial place.

    Points of the plane are drawn as discs over the target's (grey); points of the line as stacked
    densities, the target's in grey behind. All panels share their axes, so that sizes compare;
    what a panel cannot hold is told in its corner: the share of the points that left the window,
    or the largest value of a density that was cut.

    Args:
        snapshots: the moving cloud at each time, (N, D) points with D = 1 or 2; the first entry
            gives the colours.
        target: (M, D) points.
        title: title of the figure.
        unit: what one unit of length is, for the labels.
        window: ends of the axes, in that unit.
        bandwidth: of the densities, in that unit (D = 1 only).
        columns: number of panels in a row.

    Returns:
        The figure, with its panels in the order of ``snapshots``.

    Raises:
        TypeError: when ``snapshots`` is not a mapping.
        ValueError: when there is no snapshot, when the points have neither one nor two
            coordinates, or when those of the cloud and of the target differ.
    """
    clouds, goal = read(snapshots, target)
    colour = place(next(iter(clouds.values())))
    flat = goal.shape[1] == 1
    rows = -(-len(clouds) // columns)
    fig, grid = plt.subplots(
        rows,
        columns,
        figsize=(9.0, rows * (1.75 if flat else 3.0) + 0.7),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    panels: Sequence[Axes] = list(grid.flat)
    kwargs: dict[str, Any] = {"bandwidth": bandwidth, "window": window}
    peaks = []
    for ax, (t, x) in zip(panels, clouds.items(), strict=False):
        if flat:
            height = density_1d(ax, goal, GREY, label="target", **kwargs)
            peaks.append(density_1d(ax, x, colour, **kwargs))
        else:
            scatter(ax, goal, GREY, label="target", alpha=0.45)
            scatter(ax, x, colour)
        ax.set_title(f"$t = {t:g}$", loc="left")
        outside = ((x < window[0]) | (x > window[1])).any(axis=1).mean()
        if outside > 0.005:
            note(ax, f"{outside:.0%} outside")
    panels[0].set_xlim(*window)
    if flat:
        top = 1.5 * max(height, peaks[0])
        panels[0].set_ylim(0.0, top)
        for ax, peak in zip(panels, peaks, strict=False):
            if peak > top:
                told = ax.get_title(loc="right")
                note(ax, f"peak {peak:.0f}" + (f", {told}" if told else ""))
    else:
        panels[0].set_ylim(*window)
    for ax in panels[len(clouds) :]:
        ax.set_axis_off()
    _label(fig, panels, flat, unit)
    fig.suptitle(title)
    return fig


def _label(fig: Figure, panels: Sequence[Axes], flat: bool, unit: str) -> None:
    """What the axes are, once for all panels, and a legend in the first."""
    right = f"$x$ ({unit})" if flat else f"$x_1$ ({unit})"
    up = "density" if flat else f"$x_2$ ({unit})"
    if len(panels) == 1:
        panels[0].set(xlabel=right, ylabel=up)
    else:
        fig.supxlabel(right, fontsize=11)
        fig.supylabel(up, fontsize=11)
    corner: dict[str, Any] = {"loc": "upper center" if flat else "lower right"}
    panels[0].legend(**corner, markerscale=3, handletextpad=0.3, borderpad=0.1)


def read(snapshots: Mapping[float, Points], target: Points) -> tuple[dict[float, Floats], Floats]:
    """The clouds at each time and the target as arrays, or a refusal of what cannot be drawn."""
    if not isinstance(snapshots, Mapping):
        fix = "Give each cloud its time, as in {0.0: x}."
        raise bad_input("snapshots", f"a {type(snapshots).__name__}", "a dict", fix, TypeError)
    if not snapshots:
        raise bad_input("snapshots", "none", "a cloud for at least one time")
    goal = array(target)
    if goal.ndim != 2 or goal.shape[1] not in (1, 2) or goal.size == 0:
        fix = "Points of the line are y[:, None]." if goal.ndim == 1 else ""
        raise bad_input("target", f"shape {goal.shape}", "(M, 1) or (M, 2), not empty", fix)
    clouds = {t: array(x) for t, x in snapshots.items()}
    for t, x in clouds.items():
        if x.ndim != 2 or x.shape[1] != goal.shape[1] or x.size == 0:
            fix = "Points of the line are x[:, None]." if x.ndim == 1 else ""
            wanted = f"(N, {goal.shape[1]}), as the target has, not empty"
            raise bad_input(f"snapshots[{t!r}]", f"shape {x.shape}", wanted, fix)
    return clouds, goal


def note(ax: Axes, text: str) -> None:
    """A remark in the upper right corner of a panel, in small grey letters."""
    ax.set_title(text, loc="right", fontsize=9, color="#555555")
