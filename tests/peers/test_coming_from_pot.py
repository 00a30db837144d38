"""The rows of the page "Coming from POT"; its side is written down from its definitions, in NumPy."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import xlogy

import sparseot as so

RNG = np.random.default_rng(0)
X, Y = RNG.random((17, 2)), RNG.random((19, 2)) + 0.2
A, B = (w / w.sum() for w in (RNG.random(17) + 0.1, RNG.random(19) + 0.1))
M = ((X[:, None] - Y) ** 2).sum(-1)  # ot.dist(X, Y)
BLUR, REACH = 0.3, 0.5
REG, REG_M = 2 * BLUR**2, 2 * REACH**2


def pot_sinkhorn(a, b, M, reg):
    """What ot.sinkhorn converges to: Gibbs's kernel between scalings."""
    K, v = np.exp(-M / reg), np.ones(len(b))
    for _ in range(3000):
        u = a / (K @ v)
        v = b / (K.T @ u)
    return u[:, None] * K * v


def pot_unbalanced(a, b, M, reg, reg_m):
    """What ot.unbalanced.sinkhorn_unbalanced converges to (reg_type="kl"); reg_m is a pair."""
    K, v = a[:, None] * b * np.exp(-M / reg), np.ones(len(b))
    powers = [1.0 if np.isinf(m) else m / (m + reg) for m in reg_m]
    for _ in range(3000):
        u = (a / (K @ v)) ** powers[0]
        v = (b / (K.T @ u)) ** powers[1]
    return u[:, None] * K * v


def kl(p, q):
    return xlogy(p, p / q).sum() - p.sum() + q.sum()


def solve(x=X, y=Y, a=A, b=B, blur=BLUR, **options):
    return so.solve_sample(x, y, a, b, blur=blur, tol=1e-11, **options)


PLAN = pot_sinkhorn(A, B, M, REG)
close = pytest.approx


def test_what_is_written_here_is_what_pot_computes():
    ot = pytest.importorskip("ot")
    exact = {"stopThr": 1e-14, "numItermax": 100_000}
    np.testing.assert_allclose(ot.dist(X, Y), M, atol=1e-14)
    np.testing.assert_allclose(ot.sinkhorn(A, B, M, REG, **exact), PLAN, atol=1e-13)
    for reg_m in ((REG_M, REG_M), (np.inf, REG_M)):
        theirs = ot.unbalanced.sinkhorn_unbalanced(A, B, M, REG, reg_m, **exact)
        np.testing.assert_allclose(theirs, pot_unbalanced(A, B, M, REG, reg_m), atol=1e-12)
    result = ot.solve_sample(X, Y, A, B, reg=REG, tol=1e-14, max_iter=100_000)
    assert result.value == close((PLAN * M).sum() + REG * kl(PLAN, A[:, None] * B))
    assert ot.sinkhorn2(A, B, M, REG, **exact) == close((PLAN * M).sum())


def test_ground_cost_and_reg():
    np.testing.assert_allclose(solve().plan, PLAN, atol=1e-9)


def test_a_cost_that_was_normalised():
    plan = pot_sinkhorn(A, B, M / M.max(), 0.05)
    np.testing.assert_allclose(solve(blur=(0.05 * M.max() / 2) ** 0.5).plan, plan, atol=1e-9)


def test_metric_euclidean():
    plan = pot_sinkhorn(A, B, M**0.5, 0.1)
    np.testing.assert_allclose(solve(p=1, blur=0.1).plan, plan, atol=1e-9)


def test_costs():
    result = solve()
    assert 2 * result.value_linear == close((PLAN * M).sum(), rel=1e-8)
    value = (PLAN * M).sum() + REG * kl(PLAN, A[:, None] * B)
    assert 2 * result.value == close(value, rel=1e-8)


def test_reg_type_entropy():
    """The plan is the same; the value has the entropies of the weights more."""
    value = (PLAN * M).sum() + REG * (xlogy(PLAN, PLAN).sum() - 1)
    result = solve()
    weights = xlogy(A, A).sum() + xlogy(B, B).sum()
    assert 2 * result.value + REG * (weights - 1) == close(value, rel=1e-8)


def test_potentials():
    """u = exp(potentials[0]) and v = exp(potentials[1]) scale the kernel, up to a constant."""
    result = solve()
    u, v = A * np.exp(2 * result.potential_a / REG), B * np.exp(2 * result.potential_b / REG)
    np.testing.assert_allclose(u[:, None] * np.exp(-M / REG) * v, PLAN, atol=1e-9)


def test_divergences():
    """Of values, debias=True; those of empirical_sinkhorn_divergence are of costs alone."""
    values, costs = [], []
    for x, y, a, b in ((X, Y, A, B), (X, X, A, A), (Y, Y, B, B)):
        cost = ((x[:, None] - y) ** 2).sum(-1)
        plan = pot_sinkhorn(a, b, cost, REG)
        costs.append((plan * cost).sum())
        values.append(costs[-1] + REG * kl(plan, a[:, None] * b))
    weights = np.array([1, -0.5, -0.5])
    ours = so.sinkhorn_divergence(X, Y, A, B, blur=BLUR, tol=1e-11)
    assert 2 * ours == close(weights @ values, rel=1e-7)
    parts = [solve(), solve(y=X, b=A), solve(x=Y, a=B)]
    linear = [part.value_linear for part in parts]
    assert 2 * weights @ linear == close(weights @ costs, rel=1e-7)
    assert abs(weights @ costs - weights @ values) > 1e-3, "two different numbers"


@pytest.mark.parametrize("reach", [REACH, (None, REACH)])
def test_unbalanced(reach):
    lengths = reach if isinstance(reach, tuple) else (reach, reach)
    prices = [np.inf if length is None else 2 * length**2 for length in lengths]
    plan = pot_unbalanced(A, B, M, REG, prices)
    result = solve(reach=reach)
    np.testing.assert_allclose(result.plan, plan, atol=1e-9)
    assert 2 * result.value_linear == close((plan * M).sum(), rel=1e-7)


def test_many_histograms():
    """Theirs are columns of b, ours are rows."""
    columns = np.stack([B, B[::-1]], 1)
    costs = [(pot_sinkhorn(A, b, M, REG) * M).sum() for b in columns.T]
    found = solve(a=np.stack([A, A]), b=np.ascontiguousarray(columns.T)).value_linear
    np.testing.assert_allclose(2 * found, costs, rtol=1e-8)


def test_no_weights_are_uniform():
    plan = pot_sinkhorn(np.full(17, 1 / 17), np.full(19, 1 / 19), M, REG)
    np.testing.assert_allclose(solve(a=None, b=None).plan, plan, atol=1e-9)


def test_small_reg():
    """Rows of the Gibbs kernel are zero, and the plan is there all the same."""
    assert (np.exp(-M / 1e-6).sum(1) == 0).any()
    result = so.solve_sample(X, Y, A, B, blur=(1e-6 / 2) ** 0.5, tol=1e-4)
    np.testing.assert_allclose(result.plan.sum(1), A, atol=1e-4)


def test_exact_transport():
    """value_linear is above it by at most reg log(min(N, M)): there is no linear program here."""
    x, y = X, Y[:17]
    cost = ((x[:, None] - y) ** 2).sum(-1)
    exact = cost[linear_sum_assignment(cost)].mean()
    for blur in (0.05, 0.01):
        found = 2 * so.solve_sample(x, y, blur=blur, tol=1e-6).value_linear
        assert -1e-5 < found - exact < 2 * blur**2 * np.log(17)
    assert found == close(exact, rel=1e-2)


def test_unequal_masses():
    with pytest.raises(ValueError, match="reach"):
        solve(b=2 * B)


def test_barycentric_map():
    """ot.da.SinkhornTransport(reg_e=reg).fit(X, Y).transform(X)."""
    np.testing.assert_allclose(solve().map(), PLAN @ Y / PLAN.sum(1)[:, None], atol=1e-8)


def test_stopping():
    """tol is the L1 error of the marginals, relative to the mass; the result says what was reached."""
    for tol in (1e-3, 1e-9):
        result = so.solve_sample(X, Y, A, B, blur=BLUR, tol=tol)
        errors = abs(result.plan.sum(1) - A).sum() + abs(result.plan.sum(0) - B).sum()
        assert result.converged and errors <= tol


def test_arrays_in_arrays_out():
    result = solve()
    assert isinstance(result.plan, np.ndarray) and isinstance(result.value, float)


def test_names_of_the_result():
    names = (
        "value",
        "value_linear",
        "potential_a",
        "potential_b",
        "plan",
        "marginal_a",
        "marginal_b",
    )
    assert all(hasattr(solve(), name) for name in names)


def test_averages():
    """A fixed point of ot.bregman.free_support_sinkhorn_barycenter: each point is the mean of its images."""
    common = {"support": X[:4], "blur": BLUR, "tol": 1e-4}
    x = so.barycenter([X, Y], masses=[A, B], debias=False, **common).points
    a, images = np.full(4, 0.25), np.zeros_like(x)
    for y, b in ((X, A), (Y, B)):
        images += pot_sinkhorn(a, b, ((x[:, None] - y) ** 2).sum(-1), REG) @ y / a[:, None] / 2
    np.testing.assert_allclose(images, x, atol=2e-4)


def test_a_matrix():
    """``ot.solve``, whose default entropy is KL, by its names."""
    found = so.solve(M, A, B, reg=REG, tol=1e-11)
    np.testing.assert_allclose(found.plan, PLAN, atol=1e-12)
    value = (PLAN * M).sum() + REG * kl(PLAN, A[:, None] * B)
    assert found.value == close(value)
    plan = pot_unbalanced(A, 2 * B, M, REG, (REG_M, REG_M))
    found = so.solve(M, A, 2 * B, reg=REG, unbalanced=REG_M, tol=1e-11)
    np.testing.assert_allclose(found.plan, plan, atol=1e-11)
    price = REG_M * (kl(plan.sum(1), A) + kl(plan.sum(0), 2 * B))
    whole = (plan * M).sum() + REG * kl(plan, 2 * A[:, None] * B) + price
    assert found.value == close(whole)


def test_a_matrix_is_what_pot_solves():
    ot = pytest.importorskip("ot")
    for unbalanced in (None, REG_M):
        theirs = ot.solve(M, A, B, REG, unbalanced=unbalanced, tol=1e-14, max_iter=100_000)
        found = so.solve(M, A, B, reg=REG, unbalanced=unbalanced, tol=1e-11)
        np.testing.assert_allclose(found.plan, theirs.plan, atol=1e-9)
        assert found.value_linear == close(theirs.value_linear, rel=1e-8)
        if unbalanced is None:  # else POT 0.9.7 says its last error
            assert found.value == close(theirs.value, rel=1e-8)


def test_cosines():
    unit = [t / np.linalg.norm(t, axis=1, keepdims=True) for t in (X, Y)]
    costs = 1 - unit[0] @ unit[1].T
    found = solve(blur=REG**0.5, cost=so.costs.Cosine())
    np.testing.assert_allclose(found.plan, pot_sinkhorn(A, B, costs, REG), atol=1e-11)
    stored = so.solve(costs, A, B, reg=REG, tol=1e-11)
    assert found.value == close(stored.value)
