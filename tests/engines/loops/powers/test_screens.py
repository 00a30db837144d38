"""Bounds on the exponents of two boxes: never below the truth, the same compiled and in torch, and near it."""

import numpy as np
import pytest
import torch

from sparseot.engines.choose import tile_loops
from sparseot.engines.kept import Boxes
from sparseot.engines.loops.powers.kept_torch import TorchPowers

QS = [1.01, 1.2, 1.5, 1.8, 1.99]


def boxes(count, dim, generator, scale=1.0):
    """Some are one point, and some have one centre."""
    centres = torch.rand(dim, count, generator=generator).double() * scale
    centres[:, : count // 8] = centres[:, :1]
    sides = torch.rand(dim, count, generator=generator).double() * scale / 4
    sides[:, ::5] = 0
    slopes = 3 * torch.randn(dim, count, generator=generator).double()
    heights, nothing = torch.randn(count, generator=generator).double(), torch.zeros(count).double()
    return Boxes(centres, sides, slopes, heights, nothing, nothing)


def inside(boxes, count, generator):
    """Points of each box, corners among them, ``(D, C, count)``; and f there."""
    share = 2 * torch.rand(*boxes.centres.shape, count, generator=generator).double() - 1
    share[..., : count // 2] = share[..., : count // 2].sign()
    offsets = boxes.sides[..., None] * share
    values = boxes.heights[:, None] + (boxes.slopes[..., None] * offsets).sum(0)
    return boxes.centres[..., None] + offsets, values


@pytest.mark.parametrize("q", QS)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_bounds_are_above_the_truth(dim, q):
    generator = torch.Generator().manual_seed(dim)
    for scale in (0.01, 1.0, 100.0):
        rows, cols = (boxes(40, dim, generator, scale) for _ in range(2))
        (x, f), (y, g) = (inside(side, 24, generator) for side in (rows, cols))
        I, J = torch.arange(40)[:, None], torch.arange(40)[None]
        bounds = TorchPowers(q)._bounds(rows.at(I), cols.at(J))
        gaps = x[:, :, None, :, None] - y[:, None, :, None]
        truth = f[:, None, :, None] + g[None, :, None] - gaps.square().sum(0) ** (q / 2) / q
        truth = truth.amax((2, 3))
        slack = 1e-12 * (scale**q + scale + 1)
        assert (bounds >= truth - slack).all()
        single = (rows.sides == 0).all(0)[:, None] & (cols.sides == 0).all(
            0
        )  # of one point, no gap
        torch.testing.assert_close(bounds[single], truth[single], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("q", QS)
@pytest.mark.parametrize("dim", [1, 3])
def test_compiled_bounds_are_those(dim, q):
    """By what passes thresholds, and what is told of the rest."""
    generator = torch.Generator().manual_seed(0)
    rows, cols = (boxes(40, dim, generator) for _ in range(2))
    one, other = (tile_loops(name, q) for name in ("numba", "tiles"))
    for threshold in np.linspace(-6, 6, 9):
        (found, lost), (wanted, left) = (
            loops.screen(rows, cols, float(threshold)) for loops in (one, other)
        )
        assert torch.equal(found.starts, wanted.starts)
        assert torch.equal(found.blocks, wanted.blocks)
        torch.testing.assert_close(lost, left, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("q", [1.2, 1.5, 1.8])
def test_bounds_are_near_where_slopes_are_those_of_the_cost(q):
    """As potentials that were solved have: what lies across costs its curvature, no more."""
    generator = torch.Generator().manual_seed(0)
    rows, cols = (boxes(200, 2, generator) for _ in range(2))
    gap = rows.centres - cols.centres
    pull = gap.norm(dim=0) ** (q - 2) * gap
    rows, cols = (
        Boxes(side.centres, 0.05 * side.sides, sign * pull, *(0 * rows.heights for _ in range(3)))
        for side, sign in ((rows, 1), (cols, -1))
    )
    bounds = TorchPowers(q)._bounds(rows, cols)
    centre = -(gap.norm(dim=0) ** q) / q
    assert (bounds >= centre - 1e-12).all() and (bounds <= centre + 1e-9).all()
