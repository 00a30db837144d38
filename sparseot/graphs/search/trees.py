"""Random-projection trees of a cloud: orders in which neighbours stand together."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..loops import trees as loops

__all__ = ["plant"]

Numbers = np.ndarray[Any, Any]
ODD = 0x9E3779B97F4A7C15


def plant(
    x: Numbers, order: Numbers, guests: Numbers, visits: Numbers, leaf: int, seed: int, tree: int
) -> None:
    """Grows tree number ``tree``; see :func:`.loops.trees.grow`.

    ``order`` (n,) and ``guests`` (q,), int32, are filled from scratch, so that a tree depends on
    its number and on nothing that was grown before.
    """
    n, q, dimension = len(order), len(guests), x.shape[1]
    order[:], guests[:] = np.arange(n), np.arange(n, n + q)
    mixed = np.uint64((seed * ODD + tree * (n + 1) * (ODD ^ 0xFFFF)) % 2**64)
    room = [np.empty(size, x.dtype) for size in (dimension, dimension, n, q)]
    args = (order.view(np.uint32), guests.view(np.uint32), visits, leaf, mixed)
    loops.grow(x, *args, *room, np.empty((128, 4), np.int64))
