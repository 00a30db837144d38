"""Bounds of formulas between boxes: they hold all values, and of distances they are those of the boxes."""

import pytest
import torch

from sparseot.engines.trees.bounds import Unbounded, interval
from sparseot.formulas.trees.algebra import add, div, extract, function, mul, neg, sub, total
from sparseot.formulas.trees.dense import values
from sparseot.formulas.trees.expressions import I, J, P, const
from sparseot.formulas.trees.slots import slot

X, Y, S = slot(0, 2, I), slot(1, 2, J), slot(2, 1, P)
D2 = total(mul(sub(X, Y), sub(X, Y)))
FORMULAS = {
    "squares": D2,
    "Gaussian": function("exp", mul(const(-0.5), D2)),
    "Laplacian": function("exp", neg(function("sqrt", D2))),
    "Cauchy": div(const(1), add(const(1), div(D2, S))),
    "linear": total(mul(X, Y)),
    "mixed": mul(extract(X, 0, 1), sub(const(1), function("exp", extract(Y, 1, 1)))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_all_values_lie_between(name):
    e = FORMULAS[name]
    lows = torch.randn(2, 50, 1, 2, dtype=torch.float64)
    sides = torch.rand(2, 50, 1, 2, dtype=torch.float64)
    points = lows + sides * torch.rand(2, 50, 30, 2, dtype=torch.float64)
    p = torch.tensor([0.7], dtype=torch.float64)
    (found,) = values([e], {X: points[0][:, :, None], Y: points[1][:, None], S: p}, p)
    boxes = {s: (lows[k, :, 0], (lows + sides)[k, :, 0]) for k, s in enumerate((X, Y))}
    low, high = (b.expand(50, 1)[:, 0] for b in interval(e, {**boxes, S: (p, p)}))
    assert (found.flatten(1).amin(1) >= low - 1e-12).all()
    assert (found.flatten(1).amax(1) <= high + 1e-12).all()


def test_squared_distances_are_those_of_the_boxes():
    low, high = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 2.0]])
    apart = {X: (low, high), Y: (low + 3, high + 3)}
    assert [b.item() for b in interval(D2, apart)] == [4 + 1, 16 + 25]
    assert [b.item() for b in interval(D2, {X: (low, high), Y: (low, high)})] == [0, 1 + 4]


def test_a_divisor_that_may_be_zero_bounds_nothing():
    one = torch.ones(1, 2)
    low, high = interval(div(ONE, total(Y)), {Y: (-one, one)})
    assert (low.item(), high.item()) == (-torch.inf, torch.inf)


def test_an_operation_without_bounds_is_named():
    with pytest.raises(Unbounded, match="sin"):
        interval(function("sin", D2), {s: (torch.zeros(1, 2),) * 2 for s in (X, Y)})


ONE = const(1)
