"""Exact neighbours by KeOps: it reduces over all pairs without storing them, best on CUDA.

It compiles one small program a dimension and k, and its indices are exact up to 2^24 points in
single precision.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import bad_input
from ...optional import optional
from .candidates import below, scaled
from .clouds import Clouds
from .dense import by_candidates
from .methods import Found, Options

__all__ = ["keops"]

LazyTensor = optional("pykeops.torch", "method", '"keops"').LazyTensor


def keops(clouds: Clouds, options: Options) -> Found:
    """One reduction a sample."""
    return by_candidates(clouds, options, _nearest)


def _nearest(x: Tensor, y: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The nearest points, and a bound from below on the squares of all others."""
    if x.dtype == torch.float32 and len(y) > 2**24:
        fix = 'Use double precision, or method="tiles".'
        raise bad_input("method", f'"keops" for {len(y):,} points', "at most 2^24 points", fix)
    centre, factor = y.mean(0), scaled(x, y)
    here, there = factor * (x - centre), factor * (y - centre)
    squares = ((LazyTensor(here[:, None]) - LazyTensor(there[None])) ** 2).sum(-1)
    candidates: Tensor = squares.argKmin(width, dim=1)
    return candidates, below(here, there, candidates) / factor**2
