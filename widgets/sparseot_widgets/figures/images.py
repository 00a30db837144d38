"""Images in rows."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from .clouds import Points, array


def pictures(
    images: Mapping[str, Points], *, columns: int | None = None, cmap: str = "gray"
) -> Figure:
    """Images under their names, in rows, without axes.

    Args:
        images: (H, W) values or (H, W, 3) colours for each name, between 0 and 1: what is outside
            is drawn like the nearer end, and NaN is left white.
        columns: number of images in a row; the default puts all of them in one.
        cmap: colour map of the values.

    Returns:
        The figure, with its axes in the order of ``images``.
    """
    shown = {name: np.clip(array(image), 0, 1) for name, image in images.items()}
    columns = columns or len(shown)
    rows = -(-len(shown) // columns)
    high, wide = next(iter(shown.values())).shape[:2]
    height = rows * (9.4 / columns * high / wide + 0.3)  # in inches, with the names
    fig, axes = plt.subplots(rows, columns, figsize=(9.4, height), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, image) in zip(axes.flat, shown.items(), strict=False):
        ax.imshow(image, cmap=cmap, vmin=0, vmax=1)
        ax.set_title(name)
    return fig
