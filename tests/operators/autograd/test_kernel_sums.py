"""Quadratic forms, opaque formulas, and coordinates far from the origin."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sparseot import kernels
from sparseot.engines.choose import load
from sparseot.formulas import Opaque
from sparseot.operators.autograd.kernel_sums import kernel_sum
from sparseot.operators.autograd.quadratic_forms import quadratic_form
from tests.references.clouds import cloud
from tests.references.dense import squared_distances

ENGINE = load("numba")


@pytest.mark.parametrize("kernel", [kernels.Gaussian(0.4), kernels.Laplacian(0.4)], ids=repr)
def test_quadratic_forms(kernel):
    x, a = cloud(5, 2, grad=True, batch=(2,))

    def form(x, a):
        return quadratic_form(kernel, x, a, engine=ENGINE)

    exact = (a[:, None] @ kernel(squared_distances(x, x)) @ a[..., None])[:, 0, 0]
    torch.testing.assert_close(form(x, a), exact)
    assert gradcheck(form, (x, a)) and gradgradcheck(form, (x, a))


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
