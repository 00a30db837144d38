r"""The minima :math:`\min_j C(x_i, y_j) - g_j` over all pairs, of which few are visited where pairs were kept.

Those over the kept pairs are a bound from above. With them as the potential of the rows, the screen of a plan drops all
pairs of blocks in which no cost can be as low; the minima over the others are exact.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ....engines.kept import TileRows
from ....points import CLOSED, Points
from ...problem import Problem
from ...pruned.frames import Frame, Placed, screened
from ...pruned.kept_pairs import KeptPairs

__all__ = ["minima"]

ROUNDING = 1e-12  # of potentials and costs: by so much a bound of a pair of blocks may be too low


def minima(problem: Problem, near: Tensor, g: Tensor, weights: Tensor, size: float) -> Tensor:
    """The minima ``(N,)``, exact but for rounding.

    Args:
        problem: one item, in double precision.
        near: ``(N,)`` potential of the source, by which kept pairs are read.
        g: ``(M,)`` potential of the target.
        weights: ``(M,)``, of the target; points without weight do not count.
        size: of the largest potentials and costs.
    """
    if isinstance(problem.pairs, KeptPairs):
        return _over_few(problem, problem.pairs, near, g, weights, size)
    col = g.where(weights > 0, CLOSED)[None].contiguous()
    sums = problem.engine.bind(problem.source.positions, problem.target.positions)
    return sums.least(problem.cost_everywhere, col)[0][0]


def _over_few(
    problem: Problem, pairs: KeptPairs, near: Tensor, g: Tensor, weights: Tensor, size: float
) -> Tensor:
    (check,), side = pairs.checks, pairs.side
    rows, cols, tiles = check.clouds[side], check.clouds[1 - side], check.tiles.sides[side]
    height, origin = check.scale.height, check.scale.origin(check.clouds[0])
    there, logs = cols.own(g), cols.filled_in + cols.blocked((weights == 0).to(g) * CLOSED)
    placed = [Placed(cloud, check.scale, origin) for cloud in (rows, cols)]
    frame = Frame.of(placed[1], there)
    blocks, biases = frame.blocks(torch.float64), frame.bias(there) + logs

    def over(tiles: TileRows, seen: Frame, here: Tensor) -> Tensor:
        both = (seen.blocks(torch.float64), blocks), (seen.bias(here), biases)
        top = check.loops.largest(tiles, *both[0], both[1])[0].view(-1)[: rows.n]
        return here - top / height

    here = rows.own(near)
    seen = Frame.of(placed[0], here)
    found = over(tiles, seen, here)
    lost = found > -CLOSED / 2 / height  # rows whose kept pairs hold nothing
    if rows.most(float(lost.any())):
        every = rows.whole(lost)
        places = every.nonzero()[:, 0]
        some = Points(problem.source.positions[:, places], problem.source.weights[:, places])
        values = near.clone()
        values[places] = minima(replace(problem, source=some, pairs=None), near, g, weights, size)
        found = found.where(~lost, rows.own(values))
    seen = Frame.of(placed[0], found)
    tiles, _ = screened(check.loops, seen, frame, -ROUNDING * size * height, weighed=False)
    return rows.whole(torch.minimum(found, over(tiles, seen, found)))
