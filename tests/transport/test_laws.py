"""``solve_sample`` obeys the laws of transport, over all pairs and kept ones."""

import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment

import sparseot as so
from tests.references.clouds import cloud
from tests.references.dense import divergence, sinkhorn_divergence, transport

TOL = 1e-11


@pytest.fixture(params=["all pairs", "kept pairs"])
def solve(request):
    """``solve_sample`` to eleven digits, over all pairs or in blocks."""
    solver = so.Sinkhorn(multilevel=request.param == "kept pairs", max_sweeps=5000)

    def solved(*clouds, tol=TOL, **options):
        found = so.solve_sample(*clouds, tol=tol, solver=solver, **options)
        assert found.converged
        return found

    return solved


@pytest.mark.parametrize("reach", [0.4, (0.3, 0.6)])
def test_the_value_follows_from_the_mass_of_the_plan(solve, reach):
    """Any clouds: OT = rho_1 m_a + rho_2 m_b + eps m_a m_b - (rho_1 + rho_2 + eps) mass."""
    (x, a), (y, b) = cloud(40, 2), cloud(30, 2, shift=0.2)
    found = solve(x, y, 2 * a, b / 2, blur=0.3, reach=reach)
    (one, two), eps = (reach if isinstance(reach, tuple) else (reach, reach)), 0.3**2
    mass = found.marginal_a.sum()
    exact = 2 * one**2 + two**2 / 2 + eps - (one**2 + two**2 + eps) * mass
    torch.testing.assert_close(found.value, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("blur", [0.2, 5.0])
def test_translations(solve, blur):
    """S(a, a + v) = |v|^2 / 2 at every blur; means split off the cost; forces add up."""
    x, a = cloud(60, 3)
    v = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
    moved = solve(x, x + v, a, a, blur=blur, debias=True, tol=1e-9)
    torch.testing.assert_close(moved.value, v.square().sum() / 2, rtol=1e-9, atol=1e-12)
    y, b = cloud(50, 3, shift=1.0)
    x.requires_grad_(), y.requires_grad_()
    found = solve(x, y, a, b, blur=blur, tol=1e-9)
    mx, my = a @ x, b @ y
    centred = solve(x - mx, y - my, a, b, blur=blur, tol=1e-9).value
    torch.testing.assert_close(found.value, (mx - my).square().sum() / 2 + centred)
    for debias in (False, True):
        value = solve(x, y, a, b, blur=blur, debias=debias, tol=1e-9).value
        pull, push = torch.autograd.grad(value, (x, y))
        torch.testing.assert_close(pull.sum(0), mx - my, rtol=0, atol=1e-8)
        torch.testing.assert_close(push.sum(0), my - mx, rtol=0, atol=1e-8)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.5])
def test_units(p, reach):
    """Points, blur and reach times c: the value times c^p."""
    (x, a), (y, b) = cloud(12, 2), cloud(14, 2)
    one = so.solve_sample(x, y, a, b, p=p, blur=0.1, reach=reach, tol=TOL).value
    longer = reach and 7 * reach
    scaled = so.solve_sample(7 * x, 7 * y, a, b, p=p, blur=0.7, reach=longer, tol=TOL).value
    torch.testing.assert_close(scaled, 7.0**p * one, rtol=1e-10, atol=0)


def test_assignments_bound_the_cost(solve):
    """Uniform clouds of n points: OT_0 <= OT_eps <= OT_0 + eps log n."""
    (x, _), (y, _) = cloud(40, 2), cloud(40, 2)
    cost = torch.cdist(x, y).square() / 2
    rows, cols = linear_sum_assignment(cost.numpy())
    best = cost[rows, cols].mean()
    for blur in (0.03, 0.1, 0.3):
        value = solve(x, y, blur=blur, tol=1e-6).value
        assert best <= value <= best + blur**2 * math.log(40)


def test_permutations_and_brenier_pairs(solve):
    """Each point goes to its own copy; y the gradient of a convex function of x: to its image."""
    grid = torch.cartesian_prod(torch.arange(6.0), torch.arange(6.0)).double()
    order = torch.randperm(36)
    found = solve(grid, (grid + 0.1)[order], blur=0.1, tol=1e-6)
    assert (found.plan.argmax(1).argsort() == order).all()
    torch.testing.assert_close(found.map(), grid + 0.1, rtol=0, atol=1e-6)
    x, a = cloud(60, 2)
    y = x @ torch.tensor([[1.5, 0.3], [0.3, 0.8]]).double() + x.sin() / 4
    found = solve(x, y, a, a, blur=0.01, tol=1e-6)
    moved = (a * (x - y).square().sum(-1)).sum() / 2
    torch.testing.assert_close(found.value_linear, moved, rtol=1e-3, atol=0)
    assert found.plan.diagonal().sum() > 0.95


@pytest.mark.parametrize("reach", [None, 0.4, (None, 0.4)])
def test_derivatives_in_the_lengths(solve, reach):
    """Envelope: dOT / d eps = KL(P | a b) and dOT / d rho = KL(P 1 | a) + KL(P' 1 | b)."""
    (x, a), (y, b) = cloud(40, 2), cloud(30, 2, shift=0.2)
    found = solve(x, y, a, b, blur=0.2, reach=reach)
    plan, step = found.plan, 1e-4

    def slope(**moved):
        up, down = (
            solve(
                x, y, a, b, **({"blur": 0.2, "reach": reach} | {k: v(s) for k, v in moved.items()})
            )
            for s in (step, -step)
        )
        return (up.value - down.value) / (2 * step)

    wanted = 2 * 0.2 * divergence(plan, a[:, None] * b)
    torch.testing.assert_close(slope(blur=lambda s: 0.2 + s), wanted, rtol=1e-5, atol=0)
    if reach == 0.4:
        pairs = ((plan.sum(1), a), (plan.sum(0), b))
        wanted = 2 * 0.4 * sum(divergence(*pair) for pair in pairs)
        torch.testing.assert_close(slope(reach=lambda s: 0.4 + s), wanted, rtol=1e-5, atol=0)


def test_what_changes_nothing(solve):
    """Order, roles, halved points, points without weight, padding: value, gradient and map stay."""
    (x, a), (y, b) = cloud(40, 2), cloud(30, 2, shift=0.2)
    order, far = torch.randperm(40), torch.full((2, 2), 7.0).double()
    none = torch.zeros(2).double()
    swapped = solve(y, x, b, a, blur=0.1)

    def solved(x, a):
        moving = x.clone().requires_grad_()
        found = solve(moving, y, a, b, blur=0.1)
        return found, torch.autograd.grad(found.value, moving)[0]

    plain, force = solved(x, a)
    close = {"rtol": 1e-8, "atol": 1e-10}
    torch.testing.assert_close(swapped.value, plain.value, **close)
    torch.testing.assert_close(swapped.map(inverse=True), plain.map(), **close)
    shuffled, moved = solved(x[order], a[order])
    torch.testing.assert_close(moved, force[order], **close)
    torch.testing.assert_close(shuffled.map(), plain.map()[order], **close)
    split, halves = solved(torch.cat((x, x[:1])), torch.cat((a[:1] / 2, a[1:], a[:1] / 2)))
    torch.testing.assert_close(split.value, plain.value, **close)
    torch.testing.assert_close(halves[0] + halves[-1], force[0], **close)
    padded, rest = solved(torch.cat((x, far)), torch.cat((a, none)))
    torch.testing.assert_close(padded.value, plain.value, **close)
    torch.testing.assert_close(rest, torch.cat((force, 0 * far)), **close)


@pytest.mark.parametrize("p", [1, 2])
def test_coincident_clouds(p):
    """Equal clouds, all points in one place, one point: value 0, gradient 0, nothing NaN."""
    x, a = cloud(9, 2)
    for points in (x, torch.ones(9, 2).double(), torch.ones(1, 2).double()):
        weights = a if len(points) == 9 else None
        moving = points.clone().requires_grad_()
        found = so.solve_sample(moving, points, weights, weights, p=p, blur=0.1, debias=True)
        (gradient,) = torch.autograd.grad(found.value, moving)
        assert found.value.abs() < 1e-15 and gradient.abs().max() < 1e-15
        assert found.map().isfinite().all() and found.lower <= 0 <= found.upper


@pytest.mark.parametrize("multilevel", [True, False])
def test_far_from_the_origin_in_single_precision(multilevel):
    """A shift by 1000 loses the digits of the points, none of the solve's."""
    x, y = ((torch.rand(n, 2) * 4096).round() / 4096 for n in (80, 70))
    solver = so.Sinkhorn(multilevel=multilevel)
    near, far = (
        so.solve_sample(x + s, y + s, blur=0.1, debias=True, solver=solver) for s in (0, 1024)
    )
    torch.testing.assert_close(far.value, near.value, rtol=1e-5, atol=0)
    torch.testing.assert_close(far.map() - 1024, near.map(), rtol=0, atol=7e-5)  # half a digit


@pytest.mark.parametrize("dimension", [1, 2, 3, 6, 7, 20, 64])
def test_every_dimension_in_both_precisions(dimension):
    """Value to 1e-5 and gradient to 1e-4 of the converged definition's, in float32 too."""
    (x, a), (y, b) = cloud(30, dimension), cloud(25, dimension, shift=0.3)
    moving, blur = x.clone().requires_grad_(), 0.3 * dimension**0.5
    exact = sinkhorn_divergence(moving, y, a, b, blur=blur)
    (wanted,) = torch.autograd.grad(exact, moving)
    for dtype, bar in ((torch.float64, 1e-8), (torch.float32, 1e-4)):
        x32, *rest = (t.to(dtype) for t in (x, y, a, b))
        found = so.solve_sample(x32.requires_grad_(), *rest, blur=blur, debias=True, tol=bar / 100)
        (gradient,) = torch.autograd.grad(found.value, x32)
        assert abs(found.value.double() - exact) <= 0.1 * bar * exact
        assert (gradient - wanted).norm() <= bar * wanted.norm()


def test_how_tensors_come_changes_nothing():
    """Non-contiguous input, ``no_grad`` around, leaves that require gradients."""
    (x, a), (y, b) = cloud(9, 2), cloud(7, 2)
    value = so.solve_sample(x, y, a, b, blur=0.1).value
    strided = x.T.contiguous().T
    assert torch.equal(
        so.solve_sample(strided, y, a[None].expand(2, 9)[1], b, blur=0.1).value, value
    )
    with torch.no_grad():
        found = so.solve_sample(x.requires_grad_(), y, a, b, blur=0.1)
        assert not found.value.requires_grad and not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_engines_agree():
    (x, a), (y, b) = cloud(50, 3), cloud(40, 3, shift=0.2)
    exact = transport(x, y, a, b, blur=0.2)[0]
    for engine in ("tiles", "numba"):
        found = so.solve_sample(x, y, a, b, blur=0.2, tol=TOL, solver=so.Sinkhorn(engine=engine))
        assert engine in found.reports[0].engine
        torch.testing.assert_close(found.value, exact, rtol=1e-10, atol=0)
