"""Clouds of the line, as densities."""

import numpy as np
from matplotlib.axes import Axes

from .clouds import Floats, Points, array
from .style import PLACE_MAP


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
    z = (grid[:, None] - array(x).reshape(1, -1)) / bandwidth
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
    points = array(x).reshape(-1)
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
