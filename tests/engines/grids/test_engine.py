"""Sums axis by axis are those over all pairs of pixels, to the last digits, at any blur."""

import math

import pytest
import torch

from sparseot.engines.grids import axes
from sparseot.engines.grids.engine import GridEngine
from sparseot.formulas import Gaussian, GroundCost, Laplacian, ground_cost
from tests.references.dense import squared_distances

GRIDS = [
    ((40,), (0.3,)),
    ((9, 14), (1.0, 0.5)),
    ((4, 5, 6), (1.0, 2.0, 0.7)),
    ((1, 12), (1.0, 1.0)),
]


def problem(shape, spacing, items=2):
    grid = GridEngine(shape, spacing)
    random = torch.Generator().manual_seed(0)
    x = grid.coordinates(torch.zeros((), dtype=torch.float64)).expand(items, -1, -1)
    col = 20 * torch.randn(items, grid.size, dtype=torch.float64, generator=random)
    v = torch.randn(items, grid.size, 3, dtype=torch.float64, generator=random)
    return grid, x, col, v


def exponents(x, col, rate):
    return col[:, None] - rate * squared_distances(x, x)


@pytest.mark.parametrize("blur", [30.0, 1.0, 0.1, 0.01])
@pytest.mark.parametrize(("shape", "spacing"), GRIDS)
def test_softmins_and_sums_are_those_over_all_pairs(shape, spacing, blur):
    grid, x, col, v = problem(shape, spacing)
    col[0, ::3] = -1e30
    eps = torch.tensor([blur**2, 2 * blur**2], dtype=torch.float64)
    bound, cost = grid.bind(x, x), ground_cost(2)
    rates = cost.factor / eps[:, None, None]
    wanted = (col[:, None] - rates * squared_distances(x, x)).logsumexp(-1)
    found = bound.logsumexp(cost, eps, col)
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-11)

    kernel, rate = cost.gibbs(blur**2), 0.5 / blur**2
    terms = exponents(x, col, rate)
    row = -terms.logsumexp(-1)
    plan = (row[..., None] + terms).exp()
    torch.testing.assert_close(bound.sum(kernel, v, row, col), plan @ v, rtol=1e-9, atol=1e-11)
    positive = v[..., :1].abs()
    torch.testing.assert_close(
        bound.sum(kernel, positive, row, col), plan @ positive, rtol=1e-10, atol=0
    )
    costs = plan * squared_distances(x, x) / 2
    torch.testing.assert_close(
        bound.sum(cost.weighted_gibbs(blur**2), v, row, col), costs @ v, rtol=1e-9, atol=1e-10
    )


def test_plain_sums_need_no_scalings():
    grid, x, _, v = problem((6, 7), (1.0, 1.0))
    kernel = Gaussian(2.0)
    wanted = kernel(squared_distances(x, x)) @ v
    torch.testing.assert_close(grid.bind(x, x).sum(kernel, v), wanted)
    assert grid.bind(x, x).sum(kernel, v.float()).dtype == torch.float32


@pytest.mark.parametrize("height", [0.0, 1e3, 1e5])
def test_no_height_of_the_exponents_loses_digits(height):
    """Steep potentials, whose sums come from far away: the bound on tiles does not know them."""
    grid = GridEngine((300,), (1.0,))
    x = grid.coordinates(torch.zeros((), dtype=torch.float64))[None]
    col = height * (x[..., 0] / 300) ** 2
    for blur in (3.0, 12.0, 100.0):
        wanted = exponents(x, col, 0.5 / blur**2).logsumexp(-1)
        found = grid.bind(x, x).logsumexp(ground_cost(2), col.new_tensor([blur**2]), col)
        torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-10)


def test_tiles_are_as_wide_as_the_bound_allows():
    like = torch.zeros((), dtype=torch.float64)
    for n, blur in ((1000, 1000.0), (1000, 5.0), (50, 0.02)):
        tiles = axes._Tiles(n, 0.5 / blur**2 / math.log(2), like)
        assert tiles.count * tiles.width >= n > (tiles.count - 1) * tiles.width
        assert float(tiles.kernel.min().log()) >= -300.001
        assert tiles.count == 1 or 24 * blur / 2 - 2 < tiles.width <= 25 * blur + 1


def test_strips_share_the_lines(monkeypatch):
    grid, x, col, v = problem((20, 30), (1.0, 1.0), 1)
    task = ground_cost(2).gibbs(4.0), v, None, col - col.amax()
    whole = grid.bind(x, x).sum(*task)
    monkeypatch.setitem(axes.ROOM, "cpu", 100)
    monkeypatch.setattr("sparseot.engines.threads.WORTH", 0)
    torch.testing.assert_close(grid.bind(x, x).sum(*task), whole, rtol=1e-12, atol=0)


def test_other_formulas_and_other_points_are_refused():
    grid, x, *_ = problem((4, 5), (1.0, 1.0), 1)
    assert grid.refuses(GroundCost(0.5, 2), x) is None and grid.refuses(Gaussian(1.0), x) is None
    assert "axis by axis" in grid.refuses(GroundCost(1.0, 1), x)
    assert "axis by axis" in grid.refuses(Laplacian(1.0), x)
    with pytest.raises(ValueError, match="points: got 19 and 20, wanted the 20 pixels"):
        grid.bind(x[:, 1:], x)
