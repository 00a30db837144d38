"""Clouds in the plane: discs, arrows, and a colour for each point's place."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.quiver import Quiver

from .style import BLUE, GREY, PLACE_MAP

Floats = npt.NDArray[np.float64]
Points = torch.Tensor | npt.NDArray[Any]


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
    points = array(x)
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
    points = array(x)
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
        *array(x).T,
        *array(v).T,
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


def array(x: Points) -> Floats:
    """The points as a NumPy array on the CPU, out of any autograd graph."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().numpy()
    return np.asarray(x, dtype=np.float64)
