"""The loops of :mod:`.kept_compiled` without a compiler: many tiles at a time, by torch on one thread.

They take the same arrays and give the same sums; see there for what these are. Far slower,
they serve where nothing can be compiled, and as a second opinion in tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["products", "screen", "sums", "transpose"]

Array = np.ndarray[Any, Any]
CHUNK = 1 << 10  # tiles at a time
LOWEST, HIGHEST = -126.0, 100.0  # exponents are clamped, as in the compiled loops


def _entries(*args: Any) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Chunk after chunk: places among the tiles, row blocks, column blocks, entries ``(k, B, B)``."""
    starts, tiles, xc, xs, xk, xo, xb, yc, ys, yk, yo, yb, lo, hi = args
    owners = np.repeat(np.arange(lo, hi), np.diff(starts[lo : hi + 1]))
    first, last = int(starts[lo]), int(starts[hi])
    xc, xs, xk, xo, xb, yc, ys, yk, yo, yb = (
        torch.from_numpy(t) for t in (xc, xs, xk, xo, xb, yc, ys, yk, yo, yb)
    )
    for at in range(first, last, CHUNK):
        place = slice(at, min(at + CHUNK, last))
        I = torch.from_numpy(owners[at - first : place.stop - first])
        J = torch.from_numpy(tiles[place].astype(np.int64))
        gap, x, y = xc[I] - yc[J], xo[I], yo[J]
        constant = xk[I] + yk[J] - gap.square().sum(1) / 2
        rows = xb[I] + ((xs[I] - gap).to(x)[:, None] @ x)[:, 0]
        cols = yb[J] + ((ys[J] + gap).to(y)[:, None] @ y)[:, 0] + constant.to(y)[:, None]
        exponents = torch.baddbmm(rows[:, :, None] + cols[:, None], x.mT, y)
        yield place, I, J, exponents.clamp_(LOWEST, HIGHEST).exp2_()


def sums(*args: Any) -> None:
    """Row sums over the tiles of row blocks lo to hi, and the largest of each tile."""
    *clouds, out, peaks, lo, hi = args
    out[lo:hi] = 0
    total = torch.from_numpy(out)
    for place, I, _, entries in _entries(*clouds, lo, hi):
        part = entries.sum(2)
        total.index_add_(0, I, part.double())
        peaks[place] = part.amax(1).numpy()


def products(*args: Any) -> None:
    """Products with the columns of ``v`` over the tiles of row blocks lo to hi."""
    *clouds, v, out, lo, hi = args
    out[lo:hi] = 0
    total, values = torch.from_numpy(out), torch.from_numpy(v)
    for _, I, J, entries in _entries(*clouds, lo, hi):
        total.index_add_(0, I, (values[J] @ entries.mT).double())


def screen(
    rows: tuple[Array, ...],
    cols: tuple[Array, ...],
    parents: Array,
    starts: Array,
    near: Array,
    ends: Array,
    threshold: float,
    counts: Array,
    omitted: Array,
    lo: int,
    hi: int,
) -> Array:
    """The tiles of row blocks lo to hi whose bound passes the threshold."""
    kept = [np.zeros(0, np.int32)]
    for I in range(lo, hi):
        groups = near[starts[parents[I]] : starts[parents[I] + 1]]
        there = [np.arange(ends[Q], ends[Q + 1]) for Q in groups]
        J = np.concatenate([np.zeros(0, np.int64), *there])
        bound = _bounds(tuple(t[..., I : I + 1] for t in rows), tuple(t[..., J] for t in cols))
        stays = bound + np.maximum(rows[4][I], cols[4][J]) >= threshold
        mass = np.clip(bound + cols[5][J], -1022.0, HIGHEST)
        omitted[I] += np.exp2(mass[~stays]).sum()
        counts[I] = stays.sum()
        kept.append(J[stays].astype(np.int32))
    return np.concatenate(kept)


def _bounds(rows: tuple[Array, ...], cols: tuple[Array, ...]) -> Array:
    """The largest exponents that a box and others allow: the best of the four edges, for each axis."""
    xc, r, s, xf, *_ = rows
    yc, q, t, yf, *_ = cols
    D = xc - yc
    best = np.full(D.shape, -np.inf)
    for side in (1, -1):
        dy = np.clip(D + side * r + t, -q, q)
        best = np.maximum(best, side * s * r + t * dy - (D + side * r - dy) ** 2 / 2)
        dx = np.clip(side * q - D + s, -r, r)
        best = np.maximum(best, s * dx + side * t * q - (D + dx - side * q) ** 2 / 2)
    bounds: Array = xf + yf + best.sum(0)
    return bounds


def transpose(starts: Array, tiles: Array, begins: Array, rows: Array, places: Array) -> None:
    """The same tiles, column after column: ``rows`` and, in the old order, their ``places``."""
    owners = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    places[:] = np.argsort(tiles, kind="stable")
    rows[:] = owners[places]
