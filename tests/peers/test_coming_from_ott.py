"""The rows of the page "Coming from OTT"; its side is written down from its definitions, in NumPy."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, xlogy

import sparseot as so

RNG = np.random.default_rng(0)
X, Y = RNG.random((17, 2)), RNG.random((19, 2)) + 0.2
A, B = (w / w.sum() for w in (RNG.random(17) + 0.1, RNG.random(19) + 0.1))
COST = ((X[:, None] - Y) ** 2).sum(-1)  # PointCloud(X, Y).cost_matrix
BLUR, REACH = 0.3, 0.5
EPSILON, TAU = 2 * BLUR**2, REACH**2 / (REACH**2 + BLUR**2)


def ott_sinkhorn(cost, a, b, epsilon, tau=1.0):
    """Potentials and plan of Sinkhorn()(LinearProblem(geom, a, b, tau, tau)), converged."""
    f, g = np.zeros(len(a)), np.zeros(len(b))
    for _ in range(3000):
        f = tau * epsilon * (np.log(a) - logsumexp((g - cost) / epsilon, 1))
        g = tau * epsilon * (np.log(b) - logsumexp((f[:, None] - cost) / epsilon, 0))
    return f, g, np.exp((f[:, None] + g - cost) / epsilon)


def reg_ot_cost(cost, a, b, epsilon):
    plan = ott_sinkhorn(cost, a, b, epsilon)[2]
    product = a[:, None] * b
    return (plan * cost).sum() + epsilon * xlogy(plan, plan / product).sum()


def solve(x=X, y=Y, a=A, b=B, blur=BLUR, **options):
    return so.solve_sample(x, y, a, b, blur=blur, tol=1e-11, **options)


F, G, PLAN = ott_sinkhorn(COST, A, B, EPSILON)
close = pytest.approx


def test_what_is_written_here_is_what_ott_computes():
    jax = pytest.importorskip("jax")
    pointcloud = pytest.importorskip("ott.geometry.pointcloud")
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.sinkhorn import Sinkhorn

    with jax.enable_x64(True):
        geom = pointcloud.PointCloud(jax.numpy.array(X), jax.numpy.array(Y), epsilon=EPSILON)
        np.testing.assert_allclose(geom.cost_matrix, COST, atol=1e-14)
        solver = Sinkhorn(threshold=1e-13, max_iterations=100_000)
        for tau in (1.0, TAU):
            out = solver(LinearProblem(geom, A, B, tau_a=tau, tau_b=tau))
            wanted = ott_sinkhorn(COST, A, B, EPSILON, tau)[2]
            np.testing.assert_allclose(out.matrix, wanted, atol=1e-12)
            if tau == 1.0:
                assert float(out.reg_ot_cost) == close(reg_ot_cost(COST, A, B, EPSILON))
                assert float(out.primal_cost) == close((PLAN * COST).sum())
        default = pointcloud.PointCloud(jax.numpy.array(X), jax.numpy.array(Y)).epsilon
        assert float(default) == close(0.05 * COST.std())


def test_ground_cost_and_epsilon():
    np.testing.assert_allclose(solve().plan, PLAN, atol=1e-9)


def test_default_epsilon():
    """A twentieth of the deviation, or of the mean, of the costs; the mean needs no matrix."""
    for scale in (COST.std(), COST.mean()):
        plan = ott_sinkhorn(COST, A, B, 0.05 * scale)[2]
        np.testing.assert_allclose(solve(blur=(0.05 * scale / 2) ** 0.5).plan, plan, atol=1e-9)
    by_moments = X.var(0).sum() + Y.var(0).sum() + ((X.mean(0) - Y.mean(0)) ** 2).sum()
    assert by_moments == close(COST.mean())


def test_scale_cost():
    plan = ott_sinkhorn(COST / COST.mean(), A, B, 0.1)[2]
    np.testing.assert_allclose(solve(blur=(0.1 * COST.mean() / 2) ** 0.5).plan, plan, atol=1e-9)


def test_costs_euclidean():
    plan = ott_sinkhorn(COST**0.5, A, B, 0.1)[2]
    np.testing.assert_allclose(solve(p=1, blur=0.1).plan, plan, atol=1e-9)


def test_reg_ot_cost_and_primal_cost():
    result = solve()
    assert 2 * result.value == close(reg_ot_cost(COST, A, B, EPSILON), rel=1e-8)
    assert 2 * result.value_linear == close((PLAN * COST).sum(), rel=1e-8)


def test_potentials():
    """Theirs contain the weights; constants move between f and g."""
    result = solve()
    f = 2 * result.potential_a + EPSILON * np.log(A)
    g = 2 * result.potential_b + EPSILON * np.log(B)
    assert np.ptp(f - F) < 1e-8 and np.ptp(g - G) < 1e-8
    np.testing.assert_allclose(f[:, None] + g, F[:, None] + G, atol=1e-8)


def test_tau():
    """The entropy of theirs is relative to points, not to weights: our plan for other weights."""
    assert close(REACH) == BLUR * (TAU / (1 - TAU)) ** 0.5
    theirs = ott_sinkhorn(COST, A, B, EPSILON, TAU)[2]
    np.testing.assert_allclose(solve(a=A**TAU, b=B**TAU, reach=REACH).plan, theirs, atol=1e-9)
    assert abs(solve(reach=REACH).plan - theirs).max() > 1e-3


def test_divergence():
    values = [
        reg_ot_cost(((x[:, None] - y) ** 2).sum(-1), a, b, EPSILON)
        for x, y, a, b in ((X, Y, A, B), (X, X, A, A), (Y, Y, B, B))
    ]
    ours = so.sinkhorn_divergence(X, Y, A, B, blur=BLUR, tol=1e-11)
    assert 2 * ours == close(np.dot([1, -0.5, -0.5], values), rel=1e-7)


def test_transport_of_points():
    """Right for uniform weights; with others, theirs counts the weights of the target twice."""
    a, b = np.full(17, 1 / 17), np.full(19, 1 / 19)
    plan = ott_sinkhorn(COST, a, b, EPSILON)[2]
    np.testing.assert_allclose(solve(a=a, b=b).map(), plan @ Y / plan.sum(1)[:, None], atol=1e-8)
    np.testing.assert_allclose(solve().map(), PLAN @ Y / PLAN.sum(1)[:, None], atol=1e-8)


def test_products_with_the_plan():
    """out.apply(v, axis=1) and axis=0."""
    v = RNG.random(19)
    np.testing.assert_allclose(solve().plan_operator @ v, PLAN @ v, atol=1e-8)
    np.testing.assert_allclose(solve().plan_operator.T @ A, PLAN.T @ A, atol=1e-8)


def test_threshold():
    """The same number, 1e-3, but relative to the mass."""
    result = so.solve_sample(X, Y, 5 * A, 5 * B, blur=BLUR)
    assert result.converged
    assert abs(result.plan.sum(1) - 5 * A).sum() <= 5e-3


def test_unequal_masses():
    with pytest.raises(ValueError, match="reach"):
        solve(b=2 * B)


def test_implicit_derivatives():
    """jax.grad and jax.hessian of reg_ot_cost: torch's, of the value; here against differences."""
    x = torch.from_numpy(X[:5]).requires_grad_()
    y = torch.from_numpy(Y[:6])

    def value(x):
        return so.solve_sample(x, y, blur=BLUR, tol=1e-11).value

    (gradient,) = torch.autograd.grad(value(x), x)
    step = torch.zeros_like(x)
    step[2, 1] = 1e-4
    with torch.no_grad():
        assert float(gradient[2, 1]) == close(
            float(value(x + step) - value(x - step)) / 2e-4, rel=1e-6
        )
    second = torch.autograd.functional.hessian(value, x.detach())
    moved = [torch.autograd.grad(value(z), z)[0] for z in (x + step, x - step)]
    torch.testing.assert_close(second[2, 1], (moved[0] - moved[1]) / 2e-4, rtol=1e-5, atol=1e-7)


def test_cosines_and_matrices():
    """``costs.Cosine()``, and ``Geometry(cost_matrix=C)``: the plan at one temperature."""
    unit = [t / np.linalg.norm(t, axis=1, keepdims=True) for t in (X, Y)]
    costs = 1 - unit[0] @ unit[1].T
    found = solve(blur=EPSILON**0.5, cost=so.costs.Cosine())
    stored = so.solve(costs, A, B, reg=EPSILON, tol=1e-11)
    np.testing.assert_allclose(found.plan, stored.plan, atol=1e-11)
    kernel = np.exp((found.potential_a[:, None] + found.potential_b - costs) / EPSILON)
    np.testing.assert_allclose(A[:, None] * kernel * B, found.plan, atol=1e-12)
    np.testing.assert_allclose(found.plan.sum(0), B, atol=1e-11)
    assert found.value == close(stored.value)
