"""Sums along edges on a CPU, as operators that ``torch.compile`` need not look into."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engines.openmp import thread_count
from ..engines.threads import share_ranges

__all__ = ["dots", "pulls", "scatter"]

FEATURES = 16  # a cache line of single precision: two threads never write to one
EDGES = 2**16
GATHERED = 16  # multiplications that take as long as one number from somewhere


@torch.library.custom_op("sparseot::edge_scatter", mutates_args=())
def scatter(w: Tensor, h: Tensor, row: Tensor, col: Tensor, n: int) -> Tensor:
    """``(n, F)`` sums of ``w[e] * h[col[e]]`` at ``row[e]``, in the order of the edges."""
    out = h.new_zeros(n, h.shape[1])
    _by_features(_loops().add, out, w, h, row, col)
    return out


@torch.library.custom_op("sparseot::edge_dots", mutates_args=())
def dots(a: Tensor, b: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """``(E,)`` inner products ``<a[row[e]], b[col[e]]>``."""
    out, loop = a.new_empty(len(row)), _loops().dots
    arrays = [t.contiguous().numpy() for t in (a, b, row, col, out)]
    share_ranges(len(row), lambda lo, hi: loop(*arrays, np.uint64(lo), np.uint64(hi)), EDGES)
    return out


@torch.library.custom_op("sparseot::edge_pulls", mutates_args=())
def pulls(c: Tensor, x: Tensor, y: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """``(n, D)`` sums of ``c[e] * (x[row[e]] - y[col[e]])`` at ``row[e]``, in that order."""
    out = torch.zeros_like(x, memory_format=torch.contiguous_format)
    _by_features(_loops().pull, out, c, x, y, row, col)
    return out


@scatter.register_fake
def _(w: Tensor, h: Tensor, row: Tensor, col: Tensor, n: int) -> Tensor:
    return h.new_empty(n, h.shape[1])


@dots.register_fake
def _(a: Tensor, b: Tensor, row: Tensor, col: Tensor) -> Tensor:
    return a.new_empty(row.shape)


@pulls.register_fake
def _(c: Tensor, x: Tensor, y: Tensor, row: Tensor, col: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _by_features(loop: Any, out: Tensor, *inputs: Tensor) -> None:
    arrays = [t.contiguous().numpy() for t in (*inputs, out)]
    features = out.shape[1]
    lines = -(-features // FEATURES)
    grain = FEATURES * -(-lines // thread_count())
    work = GATHERED * len(inputs[0]) * features
    share_ranges(features, lambda lo, hi: loop(*arrays, np.uint64(lo), np.uint64(hi)), grain, work)


def _loops() -> Any:
    """Numba is loaded at the first sum."""
    return import_module(f"{__package__}.loops.edges")
