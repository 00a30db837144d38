"""Numbers over time."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from .style import CLASSES


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
