"""Two clouds as callers give them: checked, in one precision, and with a batch axis."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .errors import bad_input
from .points import Points, numbers
from .precision import HALF, at_least_single

__all__ = ["batch_size", "check_weights", "meet", "points_pair", "rounding"]

# Coordinates whose squared distances are numbers still, in any dimension.
LARGEST = {torch.float32: 1e18, torch.float64: 1e150}


def points_pair(
    x: Tensor, y: Tensor, a: Tensor | None = None, b: Tensor | None = None
) -> tuple[Points, Points, bool]:
    """Checks two clouds and gives them a batch axis.

    Points ``(N, D)`` with weights ``(B, N)`` are B clouds on one support, which is not copied; the
    other cloud, if it is one alone, is compared with each.

    Args:
        x: ``(N, D)`` or ``(B, N, D)`` points, of real numbers; half precision becomes single.
        y: ``(M, D)`` or ``(B, M, D)`` points, same dtype, unless one is half, and device.
        a: ``(N,)``, ``(N, 1)``, ``(B, N)`` or ``(B, N, 1)`` weights; None means 1/N.
        b: weights of y, likewise.

    Returns:
        The two clouds, in the precision of their values, and whether the caller gave a batch.

    Raises:
        ValueError, TypeError: with the argument's name, what came and what was wanted.
    """
    kinds = [getattr(weights, "dtype", None) for weights in (a, b)]
    x, y, _, _ = at_least_single(x, y, a, b)
    (_, a), (_, b) = at_least_single(x, a), at_least_single(y, b)
    _check_positions("x", x)
    _check_positions("y", y)
    for what in ("dtype", "device"):
        if getattr(x, what) != getattr(y, what):
            raise bad_input(
                "y",
                f"{what} {getattr(y, what)}",
                f"{getattr(x, what)}, as x has",
                "Convert one of them with .to(...).",
                TypeError if what == "dtype" else ValueError,
            )
    count = batch_size(x, y, a, b)
    if x.shape[-1] != y.shape[-1]:
        raise bad_input(
            "y",
            f"points of dimension {y.shape[-1]}, shape {_shape(y)}",
            f"dimension {x.shape[-1]}, as x has",
            "Both clouds must live in the same space.",
        )
    _check_finite("x", x)
    _check_finite("y", y)
    source, target = _cloud("x", x, "a", a, count), _cloud("y", y, "b", b, count)
    source, target = (
        replace(cloud, rounding=rounding(cloud.weights, kind))
        for cloud, kind in zip((source, target), kinds, strict=True)
    )
    return source, target, count > 0


def rounding(weights: Tensor, came: torch.dtype | None) -> float:
    """What a mass may be off by, relative, where weights ``(B, N)`` came in half precision; else 0.

    Three units of their rounding; and where weights are below the normal numbers of float16, as
    uniform ones of many points, half a step between two numbers for each of them.
    """
    if came not in HALF:
        return 0.0
    info, w = torch.finfo(came), weights.detach()
    below = ((w > 0) & (w < info.tiny)).sum(-1)
    steps = info.tiny * info.eps / 2 * below / w.sum(-1)
    return 3 * info.eps + float(steps.max())


def batch_size(x: Tensor, y: Tensor, a: Any, b: Any) -> int:
    """How many items the batch has; 0 for two clouds."""
    of_x, of_y = _items(x, a), _items(y, b)
    if of_x == of_y:
        return of_x
    if 0 in (of_x, of_y) and x.dim() == y.dim():  # one cloud, and many weights of another
        return of_x + of_y
    first = ("a", a) if of_x and x.dim() == 2 else ("x", x)
    other = ("b", b) if of_y and y.dim() == 2 else ("y", y)
    wanted = f"as many batch items as {first[0]}, {_shape(first[1])}"
    raise bad_input(other[0], f"shape {_shape(other[1])}", wanted, "Add or drop one.")


def _items(x: Tensor, a: Any) -> int:
    """How many clouds points and weights are, each of which may have the batch axis; 0 for one."""
    if x.dim() == 3:
        return len(x)
    if not isinstance(a, Tensor) or a.shape == (len(x), 1):
        return 0
    return len(a) if a.shape[1:] in ((len(x),), (len(x), 1)) else 0


def _cloud(name: str, x: Tensor, weights: str, a: Tensor | None, count: int) -> Points:
    """A cloud with its weights, checked, ``count`` times if it is one alone; a batch is as it was."""
    if x.dim() == 2 and _items(x, a):
        x = x.expand(count, *x.shape)
    a = check_weights(weights, a, x, name)
    if x.dim() == 2:
        count = max(count, 1)
        x, a = x.expand(count, *x.shape), a.expand(count, *a.shape)
    return Points(x, a)


def meet(x: Tensor, y: Tensor | None) -> bool:
    """Whether a point of x ``(N, D)`` is one of y; or, of a cloud and itself, another one of x."""
    points = [torch.unique(cloud, dim=0) for cloud in ((x,) if y is None else (x, y))]
    together = torch.cat(points)
    found = len(torch.unique(together, dim=0)) < len(together)
    return found or (y is None and len(points[0]) < len(x))


def check_weights(name: str, a: Tensor | None, x: Tensor, points: str) -> Tensor:
    """Weights of the cloud ``x``, of shape ``x.shape[:-1]``; uniform where ``a`` is None."""
    if a is None:
        return x.new_full((), 1 / x.shape[-2]).expand(x.shape[:-1])  # one number in memory
    wanted = str(tuple(x.shape[:-1]))
    if not isinstance(a, Tensor):
        raise bad_input(name, type(a).__name__, "a tensor or an array", kind=TypeError)
    if a.dtype != x.dtype:
        raise bad_input(
            name,
            f"dtype {a.dtype}",
            f"{x.dtype}, as {points} has",
            "Use .to(dtype); of an array, .astype(dtype).",
            TypeError,
        )
    if a.device != x.device:
        raise bad_input(name, f"device {a.device}", f"{x.device}, as {points} has", "Use .to().")
    if a.shape == (*x.shape[:-1], 1):
        a = a.squeeze(-1)
    if a.shape != x.shape[:-1]:
        raise bad_input(
            name, f"shape {_shape(a)}", f"shape {wanted}", f"One weight for each point of {points}."
        )
    if not bool(torch.isfinite(a).all()):
        raise bad_input(name, "NaN or infinite weights", "finite numbers", "Clean them first.")
    if bool((a < 0).any()):
        raise bad_input(
            name, f"a negative weight, {a.min().item():g}", "weights >= 0", "Clip or shift them."
        )
    if bool((a.sum(-1) <= 0).any()):
        raise bad_input(name, "weights that are all zero", "a positive total mass")
    return a


def _check_positions(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        fix = "torch.as_tensor(...) and np.asarray(...) convert."
        raise bad_input(name, type(x).__name__, "a tensor or an array", fix, TypeError)
    if x.dtype not in (torch.float32, torch.float64):
        fix = "Call .float() or .double(); of an array, .astype(float)."
        raise bad_input(name, f"dtype {x.dtype}", "float32 or float64", fix, TypeError)
    if x.dim() not in (2, 3):
        fix = "One-dimensional points are (N, 1): use x[:, None]."
        raise bad_input(name, f"shape {_shape(x)}", "(N, D) or (B, N, D)", fix)
    numbers(x)
    if 0 in x.shape:
        raise bad_input(name, f"an empty cloud, shape {_shape(x)}", "at least one point")


def _check_finite(name: str, x: Tensor) -> None:
    largest, most = float(x.detach().abs().amax()), LARGEST[x.dtype]
    if largest <= most:
        return
    if not math.isfinite(largest):
        count = int((~torch.isfinite(x)).sum())
        raise bad_input(name, f"{count} NaN or infinite coordinates", "finite numbers")
    got, wanted = f"coordinates up to {largest:.2g}", f"at most {most:g} in {x.dtype}"
    raise bad_input(
        name, got, wanted, "Squares of distances would be infinite: rescale the points."
    )


def _shape(x: Tensor) -> str:
    return str(tuple(x.shape))
