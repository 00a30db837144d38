"""Clouds in single precision that are told in double: the same numbers, of which no copy is kept."""

import pytest
import torch

from sparseot.points import Points
from sparseot.transport.pruned.narrow import Narrow, narrow


def cloud(n: int, uniform: bool, seed: int = 0) -> Points:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(1, n, 3, generator=generator)
    a = torch.rand(1, n, generator=generator) + 0.1
    a = torch.tensor(1 / n).expand(1, n) if uniform else a / a.sum()
    return Points(x.requires_grad_(), a)


@pytest.mark.parametrize("uniform", [True, False])
def test_numbers_are_those_of_the_cloud_in_double_precision(uniform):
    given = cloud(50, uniform)
    wide, found = given.double(), Narrow.of(given)
    assert found.positions.dtype == found.weights.dtype == torch.float64
    assert torch.equal(found.positions, wide.positions) and torch.equal(found.weights, wide.weights)
    assert found.mass == wide.weights.sum(-1) and found.sizes == wide.sizes == [50]
    assert found.equals(Narrow.of(given)) and not found.equals(Narrow.of(cloud(50, uniform, 1)))
    (item,), (real,) = found.items, found.real
    assert torch.equal(item.positions, wide.positions) and torch.equal(real.weights, wide.weights)


def test_nothing_in_double_precision_is_kept():
    """Positions are made anew, and equal weights are one number in memory."""
    given = cloud(50, True)
    found = Narrow.of(given)
    assert found.held.positions is given.positions
    assert found.positions is not found.positions
    assert found.weights.untyped_storage().nbytes() == 8
    kept = [value for value in vars(found).values() if isinstance(value, torch.Tensor)]
    assert not kept


def test_gradients_come_back_in_single_precision():
    given = cloud(50, True)
    found = Narrow.of(given)
    (gradient,) = torch.autograd.grad(found.positions.square().sum(), given.positions)
    assert torch.equal(gradient, 2 * given.positions.detach())
    assert not found.plain.positions.requires_grad


@pytest.mark.parametrize("uniform", [True, False])
def test_masses_that_differ_by_rounding_become_one(uniform):
    x, y = cloud(50, uniform), cloud(47, uniform, 1)
    first, second, (source, target) = narrow(x, y, imposed=True)
    assert abs(float(second.mass - first.mass)) <= 1e-15
    assert torch.equal(target.weights, second.weights) and source.ratio == 1.0
    assert abs(target.ratio * float(y.weights.double().sum()) - float(first.mass)) <= 1e-15
    assert narrow(x, y, imposed=False)[1].ratio == 1.0
