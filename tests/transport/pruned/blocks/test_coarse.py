"""Potentials carried from coarse clouds to finer ones."""

import torch

from sparseot.transport.pruned.blocks.coarse import Carried, Cells


def cells(n=3000, dim=2, side=0.05):
    points = torch.rand(n, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.full((n,), 1 / n, dtype=torch.float64)
    return Cells(points, weights, side), Cells(points, weights, 0.0)


def test_a_linear_potential_is_carried_exactly():
    coarse, whole = cells()
    assert not coarse.whole and len(coarse.points) < len(whole.points)
    slope = torch.tensor([3.0, -2.0], dtype=torch.float64)
    carried = Carried((whole, coarse), [whole.points @ slope, coarse.points @ slope])
    assert torch.allclose(carried.at(1, whole), whole.points @ slope, atol=1e-6)
    assert torch.equal(carried.at(0, whole), carried.values[0])


def test_along_slopes_it_is_nearer_than_at_the_nearest_point():
    coarse, whole = cells()
    of = [c.points.square().sum(1) for c in (coarse, whole)]
    carried = Carried((coarse, coarse), [of[0], of[0]])
    errors = [(t - of[1]).abs().amax() for t in (carried.at(0, whole), carried.near(0, whole))]
    assert errors[0] < errors[1] / 2
