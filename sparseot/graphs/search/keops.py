"""Exact neighbours by KeOps: it reduces over all pairs without storing them, best on CUDA.

It compiles one small program a dimension and k, and its indices are exact up to 2^24 points in
single precision.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import bad_input
from ...optional import optional
from .candidates import scaled
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
    here, there = (factor * (x - centre))[:, None], (factor * (y - centre))[None]
    squares = ((LazyTensor(here) - LazyTensor(there)) ** 2).sum(-1)
    candidates: Tensor = squares.argKmin(width, dim=1)
    last = (here[:, 0] - there[0, candidates[:, -1]]).square().sum(1).double()
    lengths = here[:, 0].abs().amax() + there.abs().amax()  # the centring rounds coordinates
    eps = torch.finfo(x.dtype).eps
    error = 2 * (x.shape[1] + 8) * eps * last + 4 * eps * lengths * (x.shape[1] * last).sqrt()
    return candidates, (last - error) / factor**2
