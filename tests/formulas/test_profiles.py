"""Profiles, their derivatives, and what is refused."""

import pytest
import torch

from sparseot import kernels
from sparseot.formulas import Opaque, ground_cost

KERNELS = [
    kernels.Gaussian(0.7),
    kernels.Laplacian(0.7),
    kernels.Energy(),
    kernels.InverseMultiquadric(0.7),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_values_are_those_of_the_definition(kernel):
    d = torch.linspace(0, 3, 50, dtype=torch.float64)
    exact = {
        "Gaussian": (-(d**2) / (2 * 0.7**2)).exp(),
        "Laplacian": (-d / 0.7).exp(),
        "Energy": -d,
        "InverseMultiquadric": (d**2 + 0.7**2) ** -0.5,
    }[type(kernel).__name__]
    torch.testing.assert_close(kernel(d**2), exact)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_derivatives_of_every_order_match_autograd(kernel):
    s = torch.linspace(0.1, 3, 40, dtype=torch.float64, requires_grad=True)
    value, derivative = kernel(s), kernel
    for _ in range(3):
        (value,) = torch.autograd.grad(value.sum(), s, create_graph=True)
        derivative = derivative.derivative()
        torch.testing.assert_close(derivative(s), value)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_the_derivative_at_zero_distance_is_finite(kernel):
    """The distance has the subgradient zero where two points meet."""
    zero = torch.zeros(1, dtype=torch.float64)
    assert kernel.derivative()(zero).isfinite() and kernel(zero).isfinite()


def test_gibbs_kernels_are_the_exponentials_of_costs():
    s = torch.rand(20, dtype=torch.float64)
    for p in (1, 2):
        cost = ground_cost(p)
        torch.testing.assert_close(cost(s), s.sqrt() ** p / p)
        torch.testing.assert_close(cost.gibbs(0.3)(s), (-cost(s) / 0.3).exp())


def test_repr_names_the_scale():
    assert [repr(k) for k in KERNELS] == [
        "Gaussian(sigma=0.7)",
        "Laplacian(sigma=0.7)",
        "Energy()",
        "InverseMultiquadric(c=0.7)",
    ]


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_scales_are_refused(sigma):
    with pytest.raises(ValueError, match="sigma: got .*, wanted a positive"):
        kernels.Gaussian(sigma)
    with pytest.raises(TypeError, match="sigma"):
        kernels.Gaussian("0.1")


def test_other_exponents_are_refused():
    with pytest.raises(ValueError, match="p: got 3, wanted 1 or 2"):
        ground_cost(3)


def test_opaque_formulas_are_checked_for_their_shape():
    wrong = Opaque(lambda x, y: x.sum(-1))
    with pytest.raises(ValueError, match=r"shape \(1, 5\), wanted a tensor \(1, 5, 4\)"):
        wrong(torch.zeros(1, 5, 2), torch.zeros(1, 4, 2))
