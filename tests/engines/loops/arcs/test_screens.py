"""Bounds on the exponents of two boxes on a sphere: never below the truth, the same compiled and in torch, and near it."""

import numpy as np
import pytest
import torch

from sparseot.engines.choose import tile_loops
from sparseot.engines.kept import Boxes
from sparseot.engines.loops.arcs.kept_torch import TorchArcs, _line

COUNT, EACH = 60, 24
RADII = {1: [0.5, 20.0, 300.0], 2: [0.7, 8.0, 60.0]}


def drawn(dim, radius, generator, opposite=None):
    """Points ``(D, C, EACH)`` of some caps, their boxes and potentials that are at most linear there.

    Some boxes are one point, some half of the sphere; the others of ``opposite`` are nearly those points with another sign.
    """
    centres = torch.randn(dim, COUNT, 1, generator=generator).double()
    if opposite is not None:
        centres = -opposite + 1e-3 * centres
    sizes = torch.tensor([0.0, 1e-6, 0.02, 0.1, 0.4, 2.0]).double().repeat(COUNT // 6)
    sizes = sizes[torch.randperm(COUNT, generator=generator)][:, None]
    centres = centres / centres.norm(dim=0)
    points = centres + sizes * torch.randn(dim, COUNT, EACH, generator=generator).double()
    points = radius * points / points.norm(dim=0)
    low, high = points.aminmax(dim=2)
    middle, sides = (low + high) / 2, (high - low) / 2
    slopes = radius * torch.randn(dim, COUNT, generator=generator).double()
    heights, nothing = torch.randn(COUNT, generator=generator).double(), torch.zeros(COUNT).double()
    found = Boxes(middle, sides, slopes, heights, nothing, nothing)
    values = heights[:, None] + (slopes[..., None] * (points - middle[..., None])).sum(0)
    return found, points, values, centres


def costs(x, y, p, radius):
    """Of all points of all pairs of caps, ``(C, C, EACH, EACH)``, as the closed form has them."""
    gaps = (x[:, :, None, :, None] - y[:, None, :, None]).norm(dim=0) / (2 * radius)
    return (2 * radius * gaps.clamp(max=1.0).asin()) ** p / p


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("dim", [2, 3, 4])
@pytest.mark.parametrize("p", [1, 2])
def test_bounds_are_above_the_truth(p, dim, near):
    """Of 3,600 pairs of boxes for each radius, half of them nearly opposite; of single points there is no gap."""
    generator = torch.Generator().manual_seed(dim)
    for radius in RADII[p]:
        rows, x, f, there = drawn(dim, radius, generator)
        cols, y, g, _ = drawn(dim, radius, generator, there if near else None)
        I, J = torch.arange(COUNT)[:, None], torch.arange(COUNT)[None]
        bounds = TorchArcs(p, radius)._bounds(rows.at(I), cols.at(J))
        truth = (f[:, None, :, None] + g[None, :, None] - costs(x, y, p, radius)).amax((2, 3))
        slack = 1e-9 * (1 + truth.abs())
        assert (bounds >= truth - slack).all()
        single = (rows.sides == 0).all(0)[:, None] & (cols.sides == 0).all(0)
        single &= (there[..., 0].mT @ y[..., 0] / radius) > -0.5  # where tangents are taken
        found, wanted = bounds[single], truth[single]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * radius**p)
        assert near or len(found)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("p", [1, 2])
def test_compiled_bounds_are_those(p, dim):
    """By what passes thresholds, and what is told of the rest."""
    generator = torch.Generator().manual_seed(0)
    for radius in RADII[p]:
        (rows, *_, there), (cols, *_) = (drawn(dim, radius, generator) for _ in range(2))
        (close, *_) = drawn(dim, radius, generator, there)
        one, other = (tile_loops(name, (p, radius)) for name in ("numba", "tiles"))
        for side in (cols, close):
            for threshold in radius**2 * np.linspace(-2, 2, 9):
                (found, lost), (wanted, left) = (
                    loops.screen(rows, side, float(threshold)) for loops in (one, other)
                )
                assert torch.equal(found.starts, wanted.starts)
                assert torch.equal(found.blocks, wanted.blocks)
                torch.testing.assert_close(lost, left, rtol=1e-7, atol=1e-300)


@pytest.mark.parametrize("p", [1, 2])
def test_bounds_are_near_where_slopes_are_those_of_the_cost(p):
    """Slopes along the sphere that the cost has, and any slopes across it: what boxes hold of that is turned away."""
    generator, radius = torch.Generator().manual_seed(0), 10.0
    centres = torch.randn(3, 2, 400, generator=generator).double()
    x, y = (radius * centres / centres.norm(dim=0)).unbind(1)
    angle = torch.acos((x * y).sum(0) / radius**2)
    x, y, angle = (t[..., (angle > 0.2) & (angle < 2.5)] for t in (x, y, angle))
    nothing, sides = torch.zeros(len(angle)).double(), torch.full_like(x, 0.01 * radius)
    pull = (radius * angle) ** (p - 1) / angle.sin()
    across = radius * torch.randn(2, len(angle), generator=generator).double()
    slopes = (
        across[0] * x / radius - pull * y / radius,
        across[1] * y / radius - pull * x / radius,
    )
    rows, cols = (
        Boxes(c, sides, s, nothing, nothing, nothing) for c, s in zip((x, y), slopes, strict=True)
    )
    bounds, cost = TorchArcs(p, radius)._bounds(rows, cols), (radius * angle) ** p / p
    curved = 3 * (0.01 * radius) ** 2 * (pull / radius + across.abs().amax(0) / radius)
    assert (bounds >= -cost - 1e-9).all() and (bounds <= -cost + 4 * curved + 1e-2).all()


@pytest.mark.parametrize("p", [1, 2])
def test_lines_are_below_the_cost(p):
    """Between two squared chords, around a right angle and up to opposite points too."""
    ends = torch.linspace(0, 4, 41).double()
    low, high = (t.flatten() for t in torch.meshgrid(ends, ends, indexing="ij"))
    low, high = low[low <= high], high[low <= high]
    share = torch.linspace(0, 1, 50).double()[:, None]
    between = low + share * (high - low)
    exact = (2 * (between.sqrt() / 2).clamp(max=1).asin()) ** p / p
    for far in (low, (low + high) / 2, high):
        a, b = _line(p, low, high, far)
        assert (a + b * between / 2 <= exact + 1e-9).all()
