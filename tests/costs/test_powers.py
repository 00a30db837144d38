"""Powers of the distance between the first and the second, over kept pairs: as dense loops, and as all pairs."""

import math

import pytest
import torch

import sparseot as so
from sparseot import costs
from sparseot.engines.base import PlanPairs
from tests.references import unrolled

from .kept import ALL, KEPT, agree_with_all_pairs, divergences_agree


def drawn(seed, dim, n=90, m=70):
    """Unequal masses, some of them zero, and equal points, within a cloud and between both."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(k, dim, generator=generator).double() for k in (n, m))
    y = 0.8 * y + 0.3 * torch.rand(dim, generator=generator).double()
    x[:9], x[9:14], y[:5] = x[9], y[5:10], y[10]
    a, b = (torch.rand(k, generator=generator).double() for k in (n, m))
    a[20:25], b[::11] = 0, 0
    return x, y, a / a.sum(), b / b.sum()


def matrix(x, y, q):
    return (x[:, None] - y).square().sum(-1) ** (q / 2) / q


SEEDS = [*range(12), *(pytest.param(k, marks=pytest.mark.slow) for k in range(12, 50))]


@pytest.mark.parametrize("seed", SEEDS)
def test_certificates_hold(seed):
    """Balanced, or of unequal masses; at a loose tolerance, so that the interval is one."""
    q, dim, reach = (1.2, 1.5, 1.8)[seed % 3], 2 + seed % 2, (None, 0.4)[seed // 3 % 2]
    x, y, a, b = drawn(seed, dim)
    b = b if reach is None else 1.3 * b
    blur, tol = (0.05, 0.15, 0.4)[seed % 7 % 3], (1e-1, 1e-3, 1e-6)[seed // 2 % 3]
    how = {"blur": blur, "reach": reach, "cost": costs.Power(q)}
    solver = so.Sinkhorn(tol=tol, certificate=("cheap", "tight")[seed % 2], **KEPT)
    found = so.solve_sample(x, y, a, b, solver=solver, **how)
    assert isinstance(found.solved[0].problem.pairs, PlanPairs)
    rhos = (math.inf if reach is None else reach**q,) * 2
    exact = unrolled.of_costs(matrix(x, y, q), a, b, eps=blur**q, rhos=rhos, steps=1500)[0]
    assert found.lower - 1e-12 <= exact <= found.upper + 1e-12
    assert found.upper - found.lower <= 20 * tol and found.residual <= tol


@pytest.mark.parametrize("engine", ["auto", "tiles"])
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("q", [1.2, 1.5, 1.8])
def test_values_and_derivatives_are_those_of_all_pairs(q, dim, engine):
    """With points that are equal."""
    how = {"blur": 0.2, "reach": 0.5, "cost": costs.Power(q)}
    agree_with_all_pairs(engine, *drawn(dim, dim), **how)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("q", "dim"), [(1.2, 2), (1.5, 3), (1.8, 2)])
def test_of_many_points_few_pairs_are_visited(q, dim, dtype):
    """Gradients, marginals and maps are those of all pairs, to the tolerance."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(n, dim, generator=generator).to(dtype) for n in (1500, 1200))
    y, found = y * 0.8, []
    new = torch.rand(1500, dim, generator=generator).to(dtype)
    for pairs in (KEPT, ALL):
        x = x.detach().requires_grad_()
        solver = so.Sinkhorn(tol=1e-4, **pairs)
        result = so.solve_sample(x, y, blur=0.03, cost=costs.Power(q), solver=solver)
        (gradient,) = torch.autograd.grad(result.value, x)
        found.append((result, gradient, result.map(), result.map(new)))
    (kept, *ours), (every, *theirs) = found
    value = float(every.value.detach())
    assert kept.solved[0].problem.pairs.checks[0].kept_fraction < 0.8 and kept.converged
    assert float(kept.value.detach()) == pytest.approx(value, rel=1e-3)
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).norm() < 3e-3 * other.norm()
    assert kept.lower <= value + 1e-6 and value - 1e-6 <= kept.upper
    bound = kept.gradient_error()
    assert (ours[0] - theirs[0]).norm(dim=1).sum() <= bound + every.gradient_error()
    assert 0 < bound < 0.5 * theirs[0].norm(dim=1).sum()


def test_divergences_and_unequal_masses():
    """Positive, and as all pairs have it; a cloud and itself has none."""
    divergences_agree(*drawn(3, 2), blur=0.1, reach=0.5, cost=costs.Power(1.4))


def test_translations_are_found():
    """What moves as a whole costs the power of its way, and every point has that force."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(400, 2, generator=generator).double().requires_grad_()
    way, q = torch.tensor([3.0, 4.0]).double(), 1.5
    solver = so.Sinkhorn(tol=1e-8, **KEPT)
    found = so.solve_sample(x, x.detach() + way, blur=0.01, cost=costs.Power(q), solver=solver)
    assert float(found.value_linear) == pytest.approx(5**q / q, rel=1e-3)
    (gradient,) = torch.autograd.grad(found.value, x)
    exact = -(5 ** (q - 2)) * way / 400
    torch.testing.assert_close(gradient.sum(0) / 400, exact, rtol=1e-3, atol=0)


def test_what_is_refused():
    x, y, *_ = drawn(0, 2)
    with pytest.raises(ValueError, match="engine: got 'numba'.*know whole powers of the distance"):
        so.solve_sample(x, y, blur=0.1, cost=costs.Power(1.5), solver=so.Sinkhorn(engine="numba"))
    with pytest.raises(ValueError, match=r"cost: got Power\(1.5\), wanted None, or Scaled"):
        so.wasserstein_distance(x, y, cost=costs.Power(1.5))
    with pytest.raises(ValueError, match=r"Powers between are costs.Power\(q\)"):
        so.solve_sample(x, y, blur=0.1, p=1.5)
