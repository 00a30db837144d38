"""Sinkhorn divergences against closed forms: diracs, Gaussian laws, the line, large blurs."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import sparseot as so
from sparseot.transport.solvers.annealing import AveragedAnnealing
from tests.references.clouds import cloud
from tests.references.dense import transport
from tests.references.exact import diracs_unbalanced, gaussians, sorted_transport
from tests.references.solvers import Converged


def divergence(x, y, a=None, b=None, **options):
    """Converged, whatever the schedule would have left undone."""
    return so.sinkhorn_divergence(x, y, a, b, solver=Converged(), **options)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("debias", [True, False])
def test_diracs(p, debias):
    """Balanced: the cost itself, at every blur."""
    x, y = torch.zeros(1, 2).double(), torch.tensor([[3.0, 4.0]]).double()
    for blur in (0.01, 1.0, 100.0):
        value = so.sinkhorn_divergence(x, y, p=p, blur=blur, debias=debias)
        torch.testing.assert_close(value.item(), 5.0**p / p)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("blur", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("masses", [(1.0, 1.0), (2.0, 0.7)])
def test_unbalanced_diracs(p, blur, masses):
    """Raw and debiased, where the temperature is as large as the penalty."""
    x, y = torch.zeros(1, 1).double(), torch.full((1, 1), 0.8).double()
    a, b = (torch.tensor([m]).double() for m in masses)
    eps, rho, cost = blur**p, 0.5**p, 0.8**p / p
    raw = diracs_unbalanced(cost, eps, rho, *masses)
    own = sum(diracs_unbalanced(0.0, eps, rho, m, m) for m in masses)
    found = divergence(x, y, a, b, p=p, blur=blur, reach=0.5, debias=False)
    torch.testing.assert_close(found.item(), raw, rtol=1e-7, atol=1e-7)
    found = divergence(x, y, a, b, p=p, blur=blur, reach=0.5)
    term = eps / 2 * (masses[0] - masses[1]) ** 2
    torch.testing.assert_close(found.item(), raw - own / 2 + term, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("p", [1, 2])
def test_the_value_follows_from_the_mass_of_the_plan(p):
    """Unbalanced, any clouds: OT = rho (m_a + m_b) + eps m_a m_b - (2 rho + eps) mass."""
    (x, a), (y, b) = cloud(9, 2), cloud(7, 2, shift=0.2)
    a, b, eps, rho = 2 * a, b / 2, 0.3**p, 0.4**p
    plan = transport(x, y, a, b, p=p, blur=0.3, reach=0.4)[3]
    exact = rho * 2.5 + eps * 1.0 - (2 * rho + eps) * plan.sum()
    found = divergence(x, y, a, b, p=p, blur=0.3, reach=0.4, debias=False)
    torch.testing.assert_close(found, exact, rtol=1e-8, atol=0)


def test_means_split_off():
    """p = 2: half the squared distance of the means, plus the cost of the centred clouds."""
    (x, a), (y, b) = cloud(20, 3), cloud(15, 3, shift=0.7)
    mx, my = a @ x, b @ y
    for debias in (True, False):
        whole = divergence(x, y, a, b, blur=0.2, debias=debias)
        centred = divergence(x - mx, y - my, a, b, blur=0.2, debias=debias)
        torch.testing.assert_close(whole, (mx - my).square().sum() / 2 + centred)


def test_permutations():
    """A cloud and its shuffled, slightly moved copy: each point goes to its own copy."""
    x = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0)).double().requires_grad_()
    y = (x + 0.1).detach()[torch.randperm(25)]
    value = so.sinkhorn_divergence(x, y, blur=0.1)
    torch.testing.assert_close(value.item(), 0.01, rtol=1e-4, atol=0)
    (gradient,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(-25 * gradient, torch.full_like(x, 0.1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("blur", [0.05, 0.5, 5.0])
def test_translations(blur):
    """S(a, a + v) = |v|^2 / 2 at every blur, and the gradients add up to the difference of means."""
    x, a = cloud(40, 3)
    v = torch.tensor([0.3, -0.2, 0.5]).double()
    found = divergence(x, x + v, a, a, blur=blur)
    torch.testing.assert_close(found, v.square().sum() / 2, rtol=1e-5, atol=0)
    y, b = cloud(30, 3, shift=1.0)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(divergence(x, y, a, b, blur=blur), x)
    torch.testing.assert_close(gradient.sum(0), a @ x - b @ y, rtol=0, atol=1e-8)


@pytest.mark.parametrize("p", [1, 2])
def test_the_line(p):
    """Blur to zero: sorted matching, with weights."""
    (x, a), (y, b) = cloud(30, 1), cloud(20, 1, shift=0.5)
    exact = sorted_transport(x[:, 0], y[:, 0], a, b, p)
    found = so.sinkhorn_divergence(
        x, y, a, b, p=p, blur=0.003 ** (2 / p), solver=AveragedAnnealing(0.98)
    )
    torch.testing.assert_close(found, exact, rtol=2e-3, atol=0)


def test_large_blurs_give_kernel_norms():
    (x, a), (y, b) = cloud(20, 2), cloud(20, 2, shift=0.1)
    energy = so.kernel_norm(x, y, a, b, kernel=so.kernels.Energy())
    torch.testing.assert_close(
        so.sinkhorn_divergence(x, y, a, b, p=1, blur=1e4), energy, rtol=1e-3, atol=0
    )
    means = (a @ x - b @ y).square().sum() / 2
    torch.testing.assert_close(so.sinkhorn_divergence(x, y, a, b, blur=1e3), means)


def test_gaussians_in_closed_form():
    """Quantiles of two one-dimensional Gaussian laws: the raw entropic cost."""
    quantile = torch.special.ndtri((torch.arange(2000).double() + 0.5) / 2000)[:, None]
    x, y, blur = 0.3 * quantile, 1.0 + 0.5 * quantile, 0.4
    exact = gaussians(np.zeros(1), np.array([[0.09]]), np.ones(1), np.array([[0.25]]), blur**2)
    found = so.sinkhorn_divergence(x, y, blur=blur, debias=False, solver=AveragedAnnealing(0.95))
    torch.testing.assert_close(found.item(), exact, rtol=2e-3, atol=0)


def test_assignments_bound_the_cost():
    """Uniform clouds of n points: OT_0 <= OT_eps <= OT_0 + eps log n."""
    (x, _), (y, _) = cloud(25, 2), cloud(25, 2)
    cost = torch.cdist(x, y).square() / 2
    rows, cols = linear_sum_assignment(cost.numpy())
    best = cost[rows, cols].mean()
    for blur in (0.03, 0.1, 0.3):
        value = divergence(x, y, blur=blur, debias=False)
        assert best - 1e-6 <= value <= best + blur**2 * np.log(25)


def test_brenier_pairs():
    """y the gradient of a convex function of x: the identity is optimal."""
    x, a = cloud(30, 2)
    y = x @ torch.tensor([[1.5, 0.3], [0.3, 0.8]]).double() + x.sin() / 4
    exact = (a * (x - y).square().sum(-1)).sum() / 2
    found = so.sinkhorn_divergence(x, y, a, a, blur=0.005, solver=AveragedAnnealing(0.97))
    torch.testing.assert_close(found, exact, rtol=2e-3, atol=0)


def test_a_weight_of_zero_is_zero_at_every_blur():
    """x = {0, 1}, a = {1, 0}, y = {1}: derivatives in closed form, however cold."""
    x, y = torch.tensor([[0.0], [1.0]]).double(), torch.ones(1, 1).double()
    a = torch.tensor([1.0, 0.0]).double().requires_grad_()
    one = torch.ones(1).double()
    for blur in (0.1, 1e-2, 1e-3, 1e-4):
        value = so.sinkhorn_divergence(x, y, a, one, blur=blur)
        (gradient,) = torch.autograd.grad(value, a)
        torch.testing.assert_close(gradient[1] - gradient[0], torch.tensor(-1.0).double())
        hausdorff = so.hausdorff_divergence(x, y, a, one, blur=blur)
        torch.testing.assert_close(hausdorff.item(), 0.5)
