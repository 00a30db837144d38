"""Quadratic forms, softmins, and the barrier before second derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sparseot import kernels
from sparseot.engines.choose import load
from sparseot.formulas import Opaque, ground_cost
from sparseot.operators.autograd import kernel_sum, quadratic_form, softmin

from ..clouds import cloud
from ..dense import squared_distances

ENGINE = load("numba")


@pytest.mark.parametrize("kernel", [kernels.Gaussian(0.4), kernels.Laplacian(0.4)], ids=repr)
def test_quadratic_forms(kernel):
    x, a = cloud(5, 2, grad=True, batch=(2,))

    def form(x, a):
        return quadratic_form(kernel, x, a, engine=ENGINE)

    exact = (a[:, None] @ kernel(squared_distances(x, x)) @ a[..., None])[:, 0, 0]
    torch.testing.assert_close(form(x, a), exact)
    assert gradcheck(form, (x, a)) and gradgradcheck(form, (x, a))


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


def test_opaque_formulas_give_the_same_sums_and_gradients():
    """A Python function that computes the radial formula, in more row blocks than one."""
    x, _ = cloud(40, 2, grad=True, batch=(1,))
    y, b = cloud(30, 2, grad=True, batch=(1,))
    kernel = kernels.Gaussian(0.3)
    opaque = Opaque(lambda x, y: kernel(squared_distances(x, y)))
    outputs = []
    for formula in (kernel, opaque):
        value = kernel_sum(formula, x, y, b[..., None], engine=load("tiles"))
        outputs.append((value, *torch.autograd.grad(value.square().sum(), (x, y, b))))
    torch.testing.assert_close(outputs[1], outputs[0])


def test_moving_both_clouds_far_away_changes_nothing():
    """Coordinates are centred: a shift of 1000 in float32 leaves sums and gradients."""
    x, _ = cloud(50, 3, batch=(1,))
    y, b = cloud(50, 3, batch=(1,), shift=0.2)
    results = []
    for shift in (0.0, 1024.0):
        moved = (((x * 1024).round() / 1024 + shift).float()).requires_grad_()
        other = ((y * 1024).round() / 1024 + shift).float()
        value = kernel_sum(
            kernels.Gaussian(0.2), moved, other, b.float()[..., None], engine=ENGINE
        ).sum()
        results.append(torch.autograd.grad(value, moved)[0])
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
