"""The pictures of the tutorials: point clouds, gradient flows and densities, drawn by matplotlib.

Every helper draws one thing on the axes that it is given, or lays out one figure; none of them
computes a transport. Classes are told apart by the colours of Okabe and Ito (2008), values by
viridis, and both survive the common forms of colour blindness and a grey printer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from matplotlib.ticker import LogLocator, NullFormatter

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "RED",
    "SKY",
    "arrows",
    "curves",
    "density",
    "density_1d",
    "flow_panels",
    "pictures",
    "place",
    "scatter",
    "use_style",
]

Floats = npt.NDArray[np.float64]
Points = torch.Tensor | npt.NDArray[Any]

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#9A9A9A"
CLASSES = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, "black")

# viridis without its palest tenth, which does not show on white
PLACE_MAP = LinearSegmentedColormap.from_list(
    "place", plt.get_cmap("viridis")(np.linspace(0.0, 0.9, 256))
)

STYLE: Any = {
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.size": 11.0,
    "axes.titlesize": 11.0,
    "figure.titlesize": 13.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "mathtext.fontset": "cm",
}


def use_style() -> None:
    """Set the look of the tutorials (fonts, lines, margins) for every later figure of the script.

    Example:
        >>> use_style()
    """
    plt.rcParams.update(STYLE)


def place(x: Points) -> Floats:
    """Where each point stands in its cloud: its rank along the longest axis, from 0 to 1.

    Given as a colour at a later time, it shows who came from where. Ranks, not coordinates, so
    that each part of the colour map is used by as many points.

    Args:
        x: (N, D) points.

    Returns:
        (N,) ranks, evenly spaced from 0 to 1.

    Example:
        >>> place(np.array([[0.0], [5.0], [1.0]])).tolist()
        [0.0, 1.0, 0.5]
    """
    points = _array(x)
    centred = points - points.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    axis = axis * np.sign(axis[np.abs(axis).argmax()])  # the sign of a singular vector is free
    rank = (centred @ axis).argsort(kind="stable").argsort(kind="stable")
    ranks: Floats = rank / max(len(points) - 1, 1)
    return ranks


def scatter(
    ax: Axes,
    x: Points,
    color: str | Floats = BLUE,
    *,
    label: str | None = None,
    size: float | None = None,
    alpha: float = 0.8,
) -> PathCollection:
    """Draw a cloud in the plane, as small discs on axes of equal scale.

    Args:
        ax: where to draw.
        x: (N, 2) points.
        color: one colour, or (N,) values between 0 and 1 such as those of :func:`place`.
        label: name of the cloud in the legend.
        size: area of a disc in points squared; the default keeps the ink about constant in N.
        alpha: opacity.

    Returns:
        The collection of discs.
    """
    points = _array(x)
    if size is None:
        size = float(np.clip(6_000 / len(points), 0.5, 24.0))
    fill = {"color": color} if isinstance(color, str) else {"c": PLACE_MAP(color)}
    discs = ax.scatter(
        points[:, 0], points[:, 1], s=size, label=label, alpha=alpha, linewidths=0, **fill
    )
    ax.set_aspect("equal")
    return discs


def arrows(ax: Axes, x: Points, v: Points, color: str | Floats = GREY) -> Quiver:
    """Draw arrows from ``x`` to ``x + v``, at the scale of the axes.

    Args:
        ax: where to draw.
        x: (N, 2) feet of the arrows.
        v: (N, 2) displacements, in the unit of ``x``.
        color: one colour, or (N,) values between 0 and 1 such as those of :func:`place`.

    Returns:
        The collection of arrows.
    """
    quiver = ax.quiver(
        *_array(x).T,
        *_array(v).T,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.003,
        headwidth=5,
        headlength=6,
        color=color if isinstance(color, str) else PLACE_MAP(color),
    )
    ax.set_aspect("equal")
    return quiver


def pictures(
    images: Mapping[str, Points],
    *,
    columns: int | None = None,
    width: float = 9.4,
    cmap: str = "gray",
) -> Figure:
    """Images under their names, in rows, without axes.

    Args:
        images: (H, W) values or (H, W, 3) colours for each name, between 0 and 1: what is outside
            is drawn like the nearer end, and NaN is left white.
        columns: number of images in a row; the default puts all of them in one.
        width: of the figure, in inches; its height follows from the first image.
        cmap: colour map of the values.

    Returns:
        The figure, with its axes in the order of ``images``.
    """
    shown = {name: np.clip(_array(image), 0, 1) for name, image in images.items()}
    columns = columns or len(shown)
    rows = -(-len(shown) // columns)
    high, wide = next(iter(shown.values())).shape[:2]
    size = (width, rows * (width / columns * high / wide + 0.3))
    fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, image) in zip(axes.flat, shown.items(), strict=False):
        ax.imshow(image, cmap=cmap, vmin=0, vmax=1)
        ax.set_title(name)
    return fig


def density(x: Points, grid: Floats, bandwidth: float) -> Floats:
    r"""The Gaussian kernel density estimate of a sample of the line.

    .. math:: \hat p(t) = \frac{1}{N h \sqrt{2 \pi}} \sum_i e^{-(t - x_i)^2 / 2 h^2}

    Args:
        x: (N,) or (N, 1) points.
        grid: (T,) places, in the unit of ``x``.
        bandwidth: the standard deviation h, in the unit of ``x``.

    Returns:
        (T,) values, per unit of ``x``.

    References:
        Parzen (1962), "On estimation of a probability density function and mode".

    Example:
        >>> float(density(np.zeros(5), np.zeros(1), bandwidth=1.0)[0].round(4))
        0.3989
    """
    z = (grid[:, None] - _array(x).reshape(1, -1)) / bandwidth
    values: Floats = np.exp(-0.5 * z**2).mean(axis=1) / (bandwidth * np.sqrt(2 * np.pi))
    return values


def density_1d(
    ax: Axes,
    x: Points,
    color: str | Floats,
    *,
    bandwidth: float,
    window: tuple[float, float],
    label: str | None = None,
    bands: int = 8,
) -> float:
    """Draw a cloud of the line as a filled density, in one colour or split by initial place.

    With values for colours, the cloud is cut into groups of equal mass and the groups are stacked:
    the outline is the density of the whole cloud, each colour shows where one group sits in it.

    Args:
        ax: where to draw.
        x: (N, 1) points.
        color: one colour, or (N,) values between 0 and 1 such as those of :func:`place`.
        bandwidth: standard deviation of the Gaussian kernel, in the unit of ``x``.
        window: ends of the horizontal axis, in the unit of ``x``.
        label: name of the cloud in the legend, when it has one colour.
        bands: number of groups.

    Returns:
        The largest value of the density, per unit of ``x``.
    """
    points = _array(x).reshape(-1)
    grid = np.linspace(*window, 600)
    if isinstance(color, str):
        outline = density(points, grid, bandwidth)
        ax.fill_between(grid, outline, color=color, alpha=0.45, linewidth=0, label=label)
        return float(outline.max())
    groups = np.array_split(np.argsort(color, kind="stable"), bands)
    layers = [density(points[g], grid, bandwidth) * (len(g) / len(points)) for g in groups]
    ax.stackplot(grid, layers, colors=[PLACE_MAP(color[g].mean()) for g in groups], linewidth=0)
    outline = np.sum(layers, axis=0)
    ax.plot(grid, outline, color="black", linewidth=0.6)
    return float(outline.max())


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
        ValueError: when the points have neither one nor two coordinates.
    """
    clouds = {t: _array(x) for t, x in snapshots.items()}
    colour = place(next(iter(clouds.values())))
    goal = _array(target)
    if goal.ndim != 2 or goal.shape[1] not in (1, 2):
        raise ValueError(f"target: got shape {goal.shape}, wanted (M, 1) or (M, 2).")
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
            _note(ax, f"{outside:.0%} outside")
    panels[0].set_xlim(*window)
    if flat:
        top = 1.5 * max(height, peaks[0])
        panels[0].set_ylim(0.0, top)
        for ax, peak in zip(panels, peaks, strict=False):
            if peak > top:
                told = ax.get_title(loc="right")
                _note(ax, f"peak {peak:.0f}" + (f", {told}" if told else ""))
    else:
        panels[0].set_ylim(*window)
    for ax in panels[len(clouds) :]:
        ax.set_axis_off()
    right = f"$x$ ({unit})" if flat else f"$x_1$ ({unit})"
    up = "density" if flat else f"$x_2$ ({unit})"
    if len(panels) == 1:
        panels[0].set(xlabel=right, ylabel=up)
    else:
        fig.supxlabel(right, fontsize=11)
        fig.supylabel(up, fontsize=11)
    corner: dict[str, Any] = {"loc": "upper center" if flat else "lower right"}
    panels[0].legend(**corner, markerscale=3, handletextpad=0.3, borderpad=0.1)
    fig.suptitle(title)
    return fig


def curves(
    ax: Axes,
    times: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    log: bool = True,
) -> None:
    """Draw curves over time, each with its own colour and dash, so that neither alone carries it.

    Few times (up to twelve) are marked as points; the legend stands beside the axes.

    Args:
        ax: where to draw.
        times: (T,) times.
        series: (T,) values for each name in the legend, at most fourteen.
        xlabel: label of the horizontal axis, with its unit.
        ylabel: label of the vertical axis, with its unit.
        log: logarithmic vertical axis.
    """
    dashes = ("solid", "dashed", "dashdot", "dotted")
    marker = "o" if len(times) <= 12 else None
    for k, (name, values) in enumerate(series.items()):
        look: dict[str, Any] = {
            "color": CLASSES[k % len(CLASSES)],
            "linestyle": dashes[(k // 2) % len(dashes)],
        }
        ax.plot(times, values, label=name, marker=marker, markersize=4, **look)
    if log:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        if high < 100 * low:  # powers of ten are too far apart to read values off
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(color="#E6E6E6", linewidth=0.6)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _note(ax: Axes, text: str) -> None:
    """A remark in the upper right corner of a panel, in small grey letters."""
    ax.set_title(text, loc="right", fontsize=9, color="#555555")


def _array(x: Points) -> Floats:
    """The points as a NumPy array on the CPU, out of any autograd graph."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().numpy()
    return np.asarray(x, dtype=np.float64)
