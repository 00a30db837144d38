"""Images in rows."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from sparseot.errors import bad_input

from .clouds import Floats, Points, array


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

    Raises:
        TypeError: when ``images`` is not a mapping.
        ValueError: when there is no image, or one has another shape or integers above 1.
    """
    if not isinstance(images, Mapping):
        fix = 'Give each image a name, as in {"photograph": image}.'
        raise bad_input("images", f"a {type(images).__name__}", "a dict", fix, TypeError)
    if not images:
        raise bad_input("images", "none", "at least one image")
    shown = {name: values(name, image) for name, image in images.items()}
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


def values(name: str, image: Points) -> Floats:
    """The values of an image, cut at 0 and 1, or a refusal of what is none."""
    given = image.numpy(force=True) if isinstance(image, torch.Tensor) else np.asarray(image)
    read, argument = array(given), f"images[{name!r}]"
    if read.size == 0 or read.ndim not in (2, 3) or read.shape[2:] not in ((), (3,)):
        fix = "Reshape flat values to the rows and columns of the image." if read.ndim == 1 else ""
        raise bad_input(argument, f"shape {read.shape}", "(H, W) or (H, W, 3), not empty", fix)
    if given.dtype.kind in "iu" and read.max() > 1:
        got = f"{given.dtype} values up to {read.max():g}"
        raise bad_input(argument, got, "values between 0 and 1", "Divide bytes by 255.")
    cut: Floats = np.clip(read, 0, 1)
    return cut
