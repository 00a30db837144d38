"""Softmins: first derivatives in every argument, and the barrier before the second."""

import pytest
import torch

from sparseot.engines.choose import load
from sparseot.formulas import Opaque, ground_cost
from sparseot.operators.autograd.softmin import softmin
from tests.references.clouds import cloud
from tests.references.dense import squared_distances

ENGINE = load("numba")


@pytest.mark.parametrize("p", [1, 2])
def test_softmin_gradients(p):
    """In x, y, b and g, with a weight that is zero: the same as autograd through the definition."""
    x, _ = cloud(6, 2, grad=True, batch=(1,))
    y, b = cloud(4, 2, grad=True, batch=(1,), shift=0.3, zero=1)
    g = torch.randn(1, 4, dtype=torch.float64, requires_grad=True)
    eps, cotangent = 0.1, torch.randn(1, 6, dtype=torch.float64)
    cost = squared_distances(x, y) ** (p / 2) / p
    exact = -eps * ((b[:, None] * ((g[:, None] - cost) / eps).exp()).sum(-1)).log()
    found = softmin(ground_cost(p), x, y, b, g, exact, eps, engine=ENGINE)
    torch.testing.assert_close(found, exact)
    wanted = torch.autograd.grad(exact, (x, y, b, g), cotangent)
    given = torch.autograd.grad(found, (x, y, b, g), cotangent)
    torch.testing.assert_close(given, wanted)
    assert given[2][0, 1] != 0  # also where the weight vanishes


@pytest.mark.parametrize("opaque", [False, True])
def test_second_derivatives_are_refused(opaque):
    """Whatever the cost: the message names the remedy."""
    x, _ = cloud(4, 2, grad=True, batch=(1,))
    y, b = cloud(3, 2, batch=(1,))
    cost = Opaque(lambda x, y: squared_distances(x, y) / 2) if opaque else ground_cost(2)
    g = torch.zeros_like(b)
    f = -(b[:, None] * (-squared_distances(x, y) / 2).exp()).sum(-1).log().detach()
    value = softmin(cost, x, y, b, g, f, 1.0, engine=load("tiles"))
    (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="tol="):
        torch.autograd.grad(gradient.sum(), x)
