"""Angles over kept pairs: as dense loops in double precision have them, and as all pairs."""

import math

import pytest
import torch

import sparseot as so
from sparseot import costs
from sparseot.engines.base import PlanPairs
from sparseot.formulas import GroundCost
from tests.references import unrolled

from .kept import ALL, KEPT, agree_with_all_pairs, divergences_agree


def drawn(seed, dim=3, n=90, m=70):
    """Of unequal lengths and masses, some of them zero; equal points, within a cloud and between both, and opposite ones."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(k, dim, generator=generator).double() for k in (n, m))
    x[:9], x[9:14], y[:5] = x[9], y[5:10], 2 * x[10]
    y[20:24] = -2 * x[30:34]
    a, b = (torch.rand(k, generator=generator).double() for k in (n, m))
    a[20:25], b[::11] = 0, 0
    return x, y, a / a.sum(), b / b.sum()


def matrix(x, y, p):
    x, y = (t / t.norm(dim=1, keepdim=True) for t in (x, y))
    chords = (x[:, None] - y).norm(dim=2), (x[:, None] + y).norm(dim=2)
    return (2 * torch.atan2(*chords)) ** p / p


SEEDS = [*range(8), *(pytest.param(k, marks=pytest.mark.slow) for k in range(8, 50))]


@pytest.mark.parametrize("seed", SEEDS)
def test_certificates_hold(seed):
    """Balanced, or of unequal masses; at a loose tolerance, so that the interval is one."""
    p, dim, reach = 1 + seed % 2, 2 + seed // 2 % 2, (None, 0.8)[seed // 3 % 2]
    x, y, a, b = drawn(seed, dim)
    b = b if reach is None else 1.3 * b
    blur, tol = (0.15, 0.3, 0.6)[seed % 3], (1e-1, 1e-3, 1e-6)[seed // 2 % 3]
    how = {"blur": blur, "reach": reach, "cost": costs.Geodesic(), "p": p}
    solver = so.Sinkhorn(tol=tol, certificate=("cheap", "tight")[seed // 4 % 2], **KEPT)
    found = so.solve_sample(x, y, a, b, solver=solver, **how)
    assert isinstance(found.solved[0].problem.pairs, PlanPairs)
    rhos = (math.inf if reach is None else reach**p,) * 2
    exact = unrolled.of_costs(matrix(x, y, p), a, b, eps=blur**p, rhos=rhos, steps=1500)[0]
    assert found.lower - 1e-12 <= exact <= found.upper + 1e-12
    assert found.upper - found.lower <= 20 * tol and found.residual <= tol


@pytest.mark.parametrize(("engine", "dim"), [("auto", 2), ("auto", 3), ("tiles", 3), ("auto", 5)])
@pytest.mark.parametrize("p", [1, 2])
def test_values_and_derivatives_are_those_of_all_pairs(p, dim, engine):
    """With points that are equal and opposite."""
    how = {"blur": 0.4, "p": p, "reach": 0.9, "cost": costs.Geodesic()}
    agree_with_all_pairs(engine, *drawn(dim, dim), **how)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [1, 2])
def test_of_many_points_few_pairs_are_visited(p, dtype):
    """Gradients, maps and Hessians are those of all pairs, to the tolerance."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 3, generator=generator).to(dtype) for n in (900, 700))
    y, blur, found = y + torch.tensor([1.0, 0, 0]), {1: 0.01, 2: 0.04}[p], []
    new, v = torch.randn(2, 900, 3, generator=generator).to(dtype)
    for pairs in (KEPT, ALL):
        x = x.detach().requires_grad_()
        solver = so.Sinkhorn(tol=1e-4, **pairs)
        result = so.solve_sample(x, y, blur=blur, p=p, cost=costs.Geodesic(), solver=solver)
        (gradient,) = torch.autograd.grad(result.value, x)
        found.append((result, gradient, result.map(), result.map(new), result.hvp(v)))
    (kept, *ours), (every, *theirs) = found
    value = float(every.value.detach())
    assert kept.solved[0].problem.pairs.checks[0].kept_fraction < 0.6 and kept.converged
    assert float(kept.value.detach()) == pytest.approx(value, rel=1e-3)
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).norm() < 3e-3 * other.norm()
    assert kept.lower <= value + 1e-6 and value - 1e-6 <= kept.upper


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("apart", "rtol"), [(1e-2, 1e-7), (1e-4, 1e-5)])
def test_of_points_that_are_nearly_opposite(apart, rtol, p):
    """All pairs are; second derivatives lose digits, first ones none."""
    generator, found = torch.Generator().manual_seed(1), []
    x = torch.randn(40, 3, generator=generator).double() * 0.3 + torch.tensor([2.0, 0, 0])
    y = -x[:30] + 2 * apart * torch.randn(30, 3, generator=generator).double()
    v = torch.randn(40, 3, generator=generator).double()
    for pairs in (KEPT, ALL):
        x = x.detach().requires_grad_()
        solver = so.Sinkhorn(tol=1e-11, **pairs)
        result = so.solve_sample(x, y, blur=0.5, p=p, cost=costs.Geodesic(), solver=solver)
        found.append((torch.autograd.grad(result.value, x)[0], result.hvp(v)))
    for one, other, error in zip(*found, (1e-10, rtol), strict=True):
        assert (one - other).norm() < error * other.norm()


@pytest.mark.parametrize("p", [1, 2])
def test_divergences_and_unequal_masses(p):
    """As all pairs have them; a cloud and itself has none."""
    divergences_agree(*drawn(3), blur=0.3, reach=0.9, p=p, cost=costs.Geodesic())


def test_rotations_are_found():
    """What turns about an axis goes along great circles where that is the equator, and every point has that force."""
    angle = torch.arange(600).double() * (0.9 / 600)
    x, y = (torch.stack((t.cos(), t.sin(), 0 * t), 1) for t in (angle, angle + 1.2))
    x.requires_grad_()
    solver = so.Sinkhorn(tol=1e-8, **KEPT)
    found = so.solve_sample(x, y, blur=0.01, cost=costs.Geodesic(), solver=solver)
    assert float(found.value_linear) == pytest.approx(1.2**2 / 2, rel=1e-3)
    (gradient,) = torch.autograd.grad(found.value, x)
    along = torch.stack((-x[:, 1], x[:, 0], 0 * angle), 1).detach()
    forces = (600 * gradient * along).sum(1)
    assert float(forces.mean()) == pytest.approx(-1.2, rel=1e-3)


@pytest.mark.parametrize("p", [1, 2])
def test_all_pairs_are_visited_where_none_are_kept(p):
    """Of few points, in many dimensions, or where it is asked for, the cost stays a function."""
    x, y, *_ = drawn(0, 8)
    solvers = so.Sinkhorn(), so.Sinkhorn(multilevel=False)
    for solver in solvers:
        found = so.solve_sample(x, y, blur=0.3, p=p, cost=costs.Geodesic(), solver=solver)
        problem = found.solved[0].problem
        assert problem.pairs is None and not isinstance(problem.cost, GroundCost)
    with pytest.raises(ValueError, match="boxes bound little in dimension 8"):
        so.solve_sample(x, y, blur=0.3, cost=costs.Geodesic(), solver=so.Sinkhorn(**KEPT))


def test_of_a_divergence_all_parts_are_alike():
    """A cloud that is small beside the other one is compared with itself over all pairs: so are both."""
    x, y = (torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) for n in (200, 6000))
    how = {"blur": 0.3, "cost": costs.Geodesic(), "solver": so.Sinkhorn(tol=1e-2)}
    single = so.solve_sample(x, y, **how)
    both = so.solve_sample(x, y, debias=True, **how)
    assert isinstance(single.solved[0].problem.cost, GroundCost)
    assert all(not isinstance(part.problem.cost, GroundCost) for part in both.solved)


def test_what_is_refused():
    x, y, *_ = drawn(0)
    with pytest.raises(ValueError, match="a zero vector, y\\[3\\]"):
        so.solve_sample(x, y.index_fill(0, torch.tensor([3]), 0.0), blur=0.1, cost=costs.Geodesic(),
                        solver=so.Sinkhorn(**KEPT))  # fmt: skip
    found = so.solve_sample(x, y, blur=0.3, cost=costs.Geodesic(), solver=so.Sinkhorn(**KEPT))
    with pytest.raises(ValueError, match="which moves points"):
        found.gradient_error()
    with pytest.raises(ValueError, match="angles.* have no such interval; .* value_linear is near"):
        assert found.unregularised


@pytest.mark.parametrize("engine", ["numba", "keops"])
def test_what_engines_that_know_no_angles_tell_to_do_works(engine):
    """ "auto" has compiled loops over kept pairs, and a program for all of them."""
    x, y, *_ = drawn(0)

    def solved(engine, multilevel):
        solver = so.Sinkhorn(engine=engine, multilevel=multilevel, tol=1e-8)
        return so.solve_sample(x, y, blur=0.3, cost=costs.Geodesic(), solver=solver)

    for multilevel in (True, False):
        with pytest.raises(ValueError, match=f"got '{engine}'.* leave engine=\"auto\""):
            solved(engine, multilevel)
    kept, all_pairs = (solved("auto", multilevel) for multilevel in (True, False))
    assert "numba on kept pairs" in repr(kept) and kept.solved[0].problem.pairs is not None
    assert float(kept.value_linear) == pytest.approx(float(all_pairs.value_linear), rel=1e-6)


@pytest.mark.parametrize(
    ("p", "blur", "spread"), [(1, 0.02, 0.003), (2, 0.1, 0.003), (2, 0.03, 0.01)]
)
def test_of_opposite_caps_in_single_precision(p, blur, spread):
    """Whose unit vectors have lengths that are rounded: what a chord lacks of a diameter is not found from its square."""
    generator = torch.Generator().manual_seed(0)
    pole = torch.tensor([0.0, 0.0, 1.0])
    x, y, v = (torch.randn(n, 3, generator=generator) for n in (90, 70, 90))
    x, y = pole + spread * x, spread * y - pole
    found = []
    for dtype, tol, pairs in ((torch.float32, 1e-4, KEPT), (torch.float64, 1e-10, ALL)):
        solver = so.Sinkhorn(tol=tol, max_sweeps=20_000, **pairs)
        clouds = x.to(dtype), y.to(dtype)
        result = so.solve_sample(*clouds, blur=blur, p=p, cost=costs.Geodesic(), solver=solver)
        found.append((result.hvp(v.to(dtype)).double(), result.plan.double(), result))
    (product, plan, kept), (wanted, exact, _) = found
    assert (product - wanted).norm() <= 1e-3 * wanted.norm()
    assert (plan - exact).abs().sum() <= 2e-3
    sparse = torch.from_numpy(kept.sparse_plan(mass=1 - 1e-6).toarray()).double()
    assert (sparse - exact).abs().sum() <= 2e-3


def test_multiples_are_multiples():
    x, y = (torch.nn.functional.normalize(t, dim=1) for t in drawn(1)[:2])
    for p in (1, 2):
        cost = costs.Geodesic().formula(p)
        torch.testing.assert_close(cost.scaled(10.0)(x[None], y[None]), 10 * cost(x[None], y[None]))
