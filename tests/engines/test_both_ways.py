"""Products with a plan from both sides in one pass, and what their errors are bounded by."""

import pytest
import torch

from sparseot.engines.choose import load
from sparseot.engines.tiles import Tiles
from sparseot.formulas import as_cost


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_against_a_dense_plan(dtype, scale):
    draw = torch.Generator().manual_seed(0)
    x, y = (scale * torch.randn(2, k, 9, generator=draw).double() for k in (70, 50))
    row, col = (torch.randn(2, k, generator=draw).double() for k in (70, 50))
    row[0, 3] = -1e30
    right, left = (torch.randn(2, k, 3, generator=draw).double() for k in (50, 70))
    given = [t.to(dtype) for t in (x, y, row, col, right, left)]
    x, y, row, col, right, left = (t.double() for t in given)  # as they were rounded
    eps = torch.tensor([1.5, 0.7], dtype=dtype)
    plan = row[:, :, None] + col[:, None] - torch.cdist(x, y) ** 2 / 2 / eps.double()[:, None, None]
    plan = plan.exp()
    sums = Tiles(entries=600).bind(given[0], given[1])
    rows, cols, (entry, rest) = sums.both_ways(as_cost(None, 2), eps, *given[2:])
    assert rows.dtype == cols.dtype == torch.float64
    assert entry < (2e-3 if dtype == torch.float32 else 1e-11)
    bound, least = entry + rest, 1e-36  # what is lost where entries are no numbers
    assert bool(((rows - plan @ right).abs() <= bound * (plan @ right.abs()) + least).all())
    assert bool(((cols - plan.mT @ left).abs() <= bound * (plan.mT @ left.abs()) + least).all())
    assert not rows[0, 3].any()


def test_where_there_is_no_such_pass():
    x, y = torch.randn(1, 9, 4), torch.randn(1, 8, 4)
    task = (
        torch.ones(1),
        torch.zeros(1, 9),
        torch.zeros(1, 8),
        torch.ones(1, 8, 1),
        torch.ones(1, 9, 1),
    )
    assert Tiles(entries=20).bind(x, y).both_ways(as_cost(None, 1), *task) is None
    assert load("tiles").bind(x, y).both_ways(as_cost(None, 2), *task) is None  # they are kept
    assert load("numba").bind(x, y).both_ways(as_cost(None, 2), *task) is None
