"""What the arguments of data sets must be, and what several of them share."""

from __future__ import annotations

from operator import index as as_integer

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..errors import bad_input

__all__ = ["check_dtype", "density", "noisy", "positive"]


def density(image: ArrayLike | torch.Tensor) -> np.ndarray:
    """Grey values ``(H, W)`` as probabilities of pixels, or a refusal of what is no picture of them."""
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu().numpy()
    grey = np.asarray(image)
    if grey.ndim != 2 or grey.size == 0:
        colour = grey.ndim == 3 and grey.shape[-1] in (3, 4)
        fix = "Pass one grey value for each pixel."
        if colour:
            fix = "Average the colours first: image[..., :3].mean(axis=-1)."
        raise bad_input("image", f"shape {grey.shape}", "grey values of shape (H, W)", fix)
    if grey.dtype.kind not in "buif":
        fix = "Convert it with astype(float)."
        raise bad_input("image", f"values of type {grey.dtype}", "real numbers", fix)
    density = grey.astype(np.float64)
    if bad := int((~np.isfinite(density)).sum()):
        fix = "Replace them, for instance with numpy.nan_to_num(image, posinf=0.0)."
        got = f"{bad} values that are NaN or infinite"
        raise bad_input("image", got, "finite grey values", fix)
    if density.min() < 0:
        fix = "Subtract image.min(), or clip the picture at 0."
        got = f"a smallest value of {density.min():g}"
        raise bad_input("image", got, "a density, hence no negative value", fix)
    if density.max() == 0:
        fix = (
            "Points fall where the picture is bright: pass image.max() - image for the dark parts."
        )
        raise bad_input("image", "zeros only", "at least one positive grey value", fix)
    return np.asarray(density / density.sum())


def noisy(points: np.ndarray, noise: float, rng: np.random.Generator) -> torch.Tensor:
    """The points with Gaussian noise, in float32."""
    if not (np.isfinite(noise) and noise >= 0):
        raise bad_input("noise", f"{noise}", "a finite standard deviation, zero or more")
    moved = points + noise * rng.standard_normal(points.shape)
    return torch.as_tensor(moved, dtype=torch.float32)


def positive(argument: str, n: int) -> int:
    """``n`` as a Python integer, at least 1 (NumPy integers pass, floats and booleans do not)."""
    try:
        number = as_integer(n)
    except TypeError:
        number = None
    if number is None or isinstance(n, bool):
        got, fix = f"{n!r} of type {type(n).__name__}", "Convert it with int()."
        raise bad_input(argument, got, "an integer", fix, TypeError)
    if number < 1:
        raise bad_input(argument, str(number), "at least 1 point")
    return number


def check_dtype(dtype: torch.dtype) -> None:
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise bad_input(
            "dtype", str(dtype), "a floating type", "Use torch.float32 or torch.float64."
        )
