"""``solve_sample`` against closed forms: diracs, Gaussian laws, the line, large and small blurs."""

import math

import numpy as np
import pytest
import torch

import sparseot as so
from tests.references.clouds import cloud
from tests.references.exact import (
    diracs_unbalanced,
    gaussian_plan,
    gaussians,
    gaussians_unbalanced,
    sorted_transport,
)

TOL = 1e-11


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("debias", [True, False])
def test_diracs(p, debias):
    """Balanced: the cost itself, at every blur; both potentials are half of it."""
    x, y = torch.zeros(1, 2).double(), torch.tensor([[3.0, 4.0]]).double()
    cost = 5.0**p / p
    for blur in (0.01, 1.0, 100.0):
        found = so.solve_sample(x, y, p=p, blur=blur, debias=debias)
        assert found.value.item() == pytest.approx(cost, rel=1e-12)
        assert found.potential_a.item() == pytest.approx(cost / 2, rel=1e-12)
        assert found.potential_b.item() == pytest.approx(cost / 2, rel=1e-12)
        assert found.plan.item() == pytest.approx(1)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("blur", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("masses", [(1.0, 1.0), (2.0, 0.7)])
def test_unbalanced_diracs(p, blur, masses):
    """Value and mass in closed form, where the temperature is as large as the penalty."""
    x, y = torch.zeros(1, 1).double(), torch.tensor([[0.8]], dtype=torch.float64)
    a, b = (torch.tensor([m], dtype=torch.float64) for m in masses)
    eps, rho, cost = blur**p, 0.5**p, 0.8**p / p
    raw = diracs_unbalanced(cost, eps, rho, *masses)
    own = sum(diracs_unbalanced(0.0, eps, rho, m, m) for m in masses)
    found = so.solve_sample(x, y, a, b, p=p, blur=blur, reach=0.5, debias=True, tol=TOL)
    term = eps / 2 * (masses[0] - masses[1]) ** 2
    assert found.value.item() == pytest.approx(raw - own / 2 + term, rel=1e-10)
    mass = math.prod(masses) ** ((eps + rho) / (eps + 2 * rho)) * math.exp(-cost / (eps + 2 * rho))
    assert found.plan.item() == pytest.approx(mass, rel=1e-10)
    if masses == (1.0, 1.0):
        gap = (eps + 2 * rho) * -math.expm1(-cost / (eps + 2 * rho))
        assert found.value.item() == pytest.approx(gap, rel=1e-10)


def test_large_blurs_give_kernel_norms():
    (x, a), (y, b) = cloud(20, 2), cloud(20, 2, shift=0.1)
    norm = so.kernel_norm(x, y, a, b, kernel=so.kernels.Energy())
    far = so.solve_sample(x, y, a, b, p=1, blur=1e4, debias=True, tol=1e-12).value
    torch.testing.assert_close(far, norm, rtol=1e-3, atol=0)
    means = (a @ x - b @ y).square().sum() / 2
    far = so.solve_sample(x, y, a, b, blur=1e3, debias=True, tol=1e-12).value
    torch.testing.assert_close(far, means, rtol=1e-5, atol=0)


def normal(mean, cov, n):
    """Points of a Gaussian law with exactly this mean and covariance, from a Sobol sequence."""
    cube = torch.quasirandom.SobolEngine(len(mean), scramble=True, seed=3).draw(n).double()
    z = torch.special.ndtri(cube.clamp(1e-6, 1 - 1e-6))
    z = z - z.mean(0)
    z = z @ torch.linalg.inv(torch.linalg.cholesky(z.T @ z / n)).T
    return torch.from_numpy(mean) + z @ torch.linalg.cholesky(torch.from_numpy(cov)).T


@pytest.mark.parametrize("blur", [0.3, 1.0])
def test_gaussian_laws(blur):
    """In the plane: value, divergence, covariance of the plan, and the map, which is affine."""
    mean, other = np.zeros(2), np.array([1.0, -0.5])
    cov, wide = np.array([[0.2, 0.05], [0.05, 0.1]]), np.array([[0.3, -0.1], [-0.1, 0.4]])
    x, y = normal(mean, cov, 4096), normal(other, wide, 4096)
    found = so.solve_sample(x, y, blur=blur, debias=True, tol=1e-6)
    raw = gaussians(mean, cov, other, wide, blur**2)
    own = [gaussians(m, c, m, c, blur**2) for m, c in ((mean, cov), (other, wide))]
    assert found.solved[0].value.item() == pytest.approx(raw, rel=5e-3)
    assert found.value.item() == pytest.approx(raw - sum(own) / 2, rel=5e-3)
    cross = x.T @ (found.plan_operator @ (y - y.mean(0)))
    wanted = gaussian_plan(cov, wide, blur**2)
    np.testing.assert_allclose(cross, wanted, rtol=0, atol=5e-3)
    inner = torch.tensor([[0.1, 0.1], [-0.2, 0.1], [0.0, -0.3]]).double()
    affine = torch.from_numpy(other) + inner @ torch.from_numpy(np.linalg.solve(cov, wanted))
    torch.testing.assert_close(found.map(inner), affine, rtol=0, atol=2e-2)


@pytest.mark.parametrize(("blur", "reach"), [(0.3, 1.0), (0.5, 0.5)])
def test_unbalanced_gaussian_laws(blur, reach):
    """Value, mass and divergence of Gaussian laws of different masses, whose plan is Gaussian."""
    one = 1.0, np.zeros(2), np.array([[0.2, 0.05], [0.05, 0.1]])
    two = 1.5, np.array([0.6, -0.3]), np.array([[0.3, -0.1], [-0.1, 0.4]])
    x, y = (normal(mean, cov, 4096) for _, mean, cov in (one, two))
    a, b = (torch.full((4096,), law[0] / 4096, dtype=torch.float64) for law in (one, two))
    found = so.solve_sample(x, y, a, b, blur=blur, reach=reach, debias=True, tol=1e-6)
    raw, mass = gaussians_unbalanced(one, two, blur**2, reach**2)
    own = [gaussians_unbalanced(law, law, blur**2, reach**2)[0] for law in (one, two)]
    assert found.marginal_a.sum().item() == pytest.approx(mass, rel=2e-3)
    assert found.solved[0].value.item() == pytest.approx(raw, rel=5e-3)
    term = blur**2 / 2 * (one[0] - two[0]) ** 2
    assert found.value.item() == pytest.approx(raw - sum(own) / 2 + term, rel=5e-3)


def test_small_blurs_give_bures():
    """The divergence of two Gaussian laws tends to half of Bures' squared distance."""
    mean, cov, wide = np.zeros(2), np.diag([0.2, 0.1]), np.diag([0.3, 0.4])
    x, y = normal(mean, cov, 4096), normal(mean + 1, wide, 4096)
    bures = 1 + ((np.sqrt(cov) - np.sqrt(wide)) ** 2).sum() / 2
    found = so.solve_sample(x, y, blur=0.1, debias=True, tol=1e-3)
    assert found.value.item() == pytest.approx(bures, rel=1e-2)


@pytest.mark.parametrize("p", [1, 2])
def test_the_line(p):
    """Small blurs: sorted matching, by weighted quantiles."""
    (x, a), (y, b) = cloud(30, 1), cloud(20, 1, shift=0.5)
    exact = sorted_transport(x[:, 0], y[:, 0], a, b, p)
    found = so.solve_sample(x, y, a, b, p=p, blur=0.01 ** (2 / p), debias=True, tol=1e-4)
    torch.testing.assert_close(found.value, exact, rtol=2e-3, atol=0)
