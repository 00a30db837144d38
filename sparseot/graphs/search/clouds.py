"""What a search is given: the real points of all samples, one after the other, checked once.

Samples are searched one at a time on their real points alone, so padding changes nothing, and a
sample alone has the same neighbours as in a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import bad_input
from ...operators.arrays import Array, as_tensor
from ...precision import at_least_single
from ...ragged.vectors import count_of, offsets, pair_of, vectors_of

__all__ = [
    "Clouds",
    "Rows",
    "as_clouds",
    "of_tensors",
    "points_tensor",
    "unit",
]

SMALLEST, LARGEST = 1e-140, 1e150  # of the largest coordinate, in double precision
UNIT = {torch.float32: 120, torch.float64: 1000}  # powers of two that are numbers
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Rows:
    """The real points of one side.

    ``points`` (n, D) in single or double precision, ``ends`` (S + 1,) where samples end, ``where``
    (n,) which row of the caller's (flattened) array each is, ``local`` (S,) what to subtract from
    a row to have its number in its sample.
    """

    points: Tensor
    ends: list[int]
    where: Tensor
    local: list[int]

    def sample(self, s: int) -> slice:
        """The rows of sample s."""
        return slice(self.ends[s], self.ends[s + 1])


@dataclass(frozen=True)
class Clouds:
    """Who searches (``x``) and who may be found (``y``, the same object for x itself)."""

    x: Rows
    y: Rows

    @property
    def same(self) -> bool:
        """Whether a cloud is searched in itself."""
        return self.x is self.y

    def __len__(self) -> int:
        return len(self.x.ends) - 1

    def of(self, s: int) -> tuple[Tensor, Tensor]:
        """Queries and points of sample s."""
        return self.x.points[self.x.sample(s)], self.y.points[self.y.sample(s)]


def as_clouds(
    x: Tensor,
    y: Tensor | None,
    mask: Any,
    batch: Any,
    metric: str,
) -> Clouds:
    """Checks the arguments of a search.

    Raises:
        ValueError, TypeError: with the argument's name, what came and what was wanted.
    """
    if mask is not None and batch is not None:
        fix = "A batch vector belongs to (N, D) points, a mask to padded (B, N, D) ones."
        raise bad_input("mask, batch", "both", "one of them", fix)
    _check("x", x)
    if y is not None:
        _check("y", y)
        if y.dim() != x.dim() or (x.dim() == 3 and len(x) != len(y)) or x.shape[-1] != y.shape[-1]:
            wanted = f"as many samples and dimensions as x, {tuple(x.shape)}"
            raise bad_input("y", f"shape {tuple(y.shape)}", wanted)
        x, y = at_least_single(x, y)
        if (x.dtype, x.device) != (y.dtype, y.device):
            wanted = f"{x.dtype} on {x.device}, as x is"
            raise bad_input("y", f"{y.dtype} on {y.device}", wanted, "Use .to(x).")
    both = pair_of("mask", mask, y is None)
    labels = vectors_of(batch, y is None)
    samples = count_of(labels) if x.dim() == 2 else len(x)
    here = _rows("x", x, both[0], labels[0], samples, metric)
    return Clouds(here, here if y is None else _rows("y", y, both[1], labels[1], samples, metric))


def _check(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        fix = "torch.as_tensor(...) converts lists."
        raise bad_input(name, type(x).__name__, "a tensor or a NumPy array", fix, TypeError)
    if x.dtype not in FLOATS:
        fix = "Call .float() or .double()."
        raise bad_input(name, f"dtype {x.dtype}", "floating-point numbers", fix, TypeError)
    if x.dim() not in (2, 3):
        fix = "One-dimensional points are (N, 1): use x[:, None]."
        raise bad_input(name, f"shape {tuple(x.shape)}", "(N, D) or (B, N, D)", fix)
    if x.shape[-1] == 0:
        fix = "Distances need at least one coordinate."
        raise bad_input(name, f"points of dimension 0, shape {tuple(x.shape)}", "D >= 1", fix)


def _rows(
    name: str, x: Tensor, mask: Tensor | None, batch: Tensor | None, samples: int, metric: str
) -> Rows:
    flat = x.detach().reshape(-1, x.shape[-1])
    flat = flat if flat.dtype == torch.float64 else flat.float()
    per = len(x) if x.dim() == 2 else x.shape[1]
    where = torch.arange(len(flat), device=x.device)
    ends, local = [per * s for s in range(samples + 1)], [per * s for s in range(samples)]
    if mask is not None:
        keep = _check_mask(name, mask, x).reshape(-1)
        where = where[keep]
        counts = keep.view(-1, per).sum(1).tolist() if per else [0] * samples
        ends = [0, *np.cumsum(counts, dtype=int).tolist()]
        flat = flat[where]
    if batch is not None:
        if x.dim() != 2:
            fix = "Points (B, N, D) take a mask."
            raise bad_input("batch", f"with {name} {tuple(x.shape)}", "points (N, D)", fix)
        ends, local = offsets(name, batch, len(x), samples), [0] * samples
    elif x.dim() == 2:
        ends, local = [0] + [ends[1]] * samples, [0] * samples
    _check_finite(name, flat, metric)
    if metric == "cosine":
        flat = unit(flat)
    return Rows(flat.contiguous(), ends, where, local)


def _check_finite(name: str, flat: Tensor, metric: str) -> None:
    """Real points are numbers, and so are the squares of their distances."""
    largest = float(flat.abs().amax()) if flat.numel() else 0.0
    if not math.isfinite(largest):
        bad = int((~torch.isfinite(flat)).sum())
        fix = "Clean them, or hide padding with mask=."
        raise bad_input(name, f"{bad} NaN or infinite coordinates", "finite numbers", fix)
    if metric == "euclidean" and not (largest == 0 or SMALLEST <= largest <= LARGEST):
        wanted = f"between {SMALLEST:g} and {LARGEST:g}"
        fix = "Squares of distances would be infinite, or zero: rescale the points."
        raise bad_input(name, f"coordinates up to {largest:.2g}", wanted, fix)


def unit(x: Tensor) -> Tensor:
    """The points on the unit sphere; the origin stays where it is."""
    largest, most = x.detach().abs().amax(-1, keepdim=True), UNIT[x.dtype]
    power = torch.frexp(largest).exponent.clamp(-most, most)
    x = x * torch.exp2(-power.to(x))  # squares of very large or small numbers are no numbers
    square = x.square().sum(-1, keepdim=True)
    return x * torch.where(square > 0, square, 1).rsqrt()


def _check_mask(name: str, mask: Any, x: Tensor) -> Tensor:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        got = f"dtype {mask.dtype}" if isinstance(mask, Tensor) else type(mask).__name__
        raise bad_input("mask", got, "a tensor of booleans, True for real points", kind=TypeError)
    if mask.shape != x.shape[:-1]:
        wanted = f"{tuple(x.shape[:-1])}, one for each point of {name}"
        raise bad_input("mask", f"shape {tuple(mask.shape)}", wanted)
    return mask.to(x.device)


def of_tensors(**points: Any) -> None:
    """Refuses what is no tensor, nor None, nor a list of tensors, in layers: what they give is one."""
    for name, x in points.items():
        if isinstance(x, (list, tuple)) and any(isinstance(v, Tensor) for v in x):
            of_tensors(**{f"{name}[{k}]": v for k, v in enumerate(x)})
            continue
        if x is not None and not isinstance(x, Tensor):
            array = isinstance(x, np.ndarray)
            fix = f"torch.{'from_numpy' if array else 'as_tensor'}({name}) makes one."
            raise bad_input(
                name, "an array" if array else type(x).__name__, "a tensor", fix, TypeError
            )


def points_tensor(name: str, x: Array) -> Tensor:
    """A NumPy array as a tensor; anything else as it is, to be checked."""
    return as_tensor(x, x, name) if isinstance(x, np.ndarray) else x
