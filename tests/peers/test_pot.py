"""POT: the names of its results, and the numbers behind them."""

import re

import numpy as np
import pytest
import torch

import sparseot as so
from tests.references.clouds import cloud

NAMES = (
    "value",
    "value_linear",
    "potentials",
    "potential_a",
    "potential_b",
    "plan",
    "sparse_plan",
    "marginals",
    "marginal_a",
    "marginal_b",
    "status",
)


@pytest.fixture
def ot():
    return pytest.importorskip("ot")


@pytest.mark.parametrize(("p", "metric"), [(2, "sqeuclidean"), (1, "euclidean")])
def test_results_read_alike(ot, p, metric):
    (x, a), (y, b) = cloud(30, 2), cloud(25, 2, shift=0.2)
    blur, times = 0.3, p  # our cost is |x - y|^p / p
    given = [t.numpy() for t in (x, y, a, b)]
    reg = times * blur**p
    theirs = ot.solve_sample(*given, metric=metric, reg=reg, max_iter=10_000, tol=1e-12)
    ours = so.solve_sample(*given, blur=blur, p=p, tol=1e-11)
    assert all(hasattr(ours, name) and hasattr(type(theirs), name) for name in NAMES)
    np.testing.assert_allclose(ours.plan, theirs.plan, atol=1e-12)
    np.testing.assert_allclose(times * ours.value, theirs.value, rtol=1e-9)
    np.testing.assert_allclose(times * ours.value_linear, theirs.value_linear, rtol=1e-9)
    for mine, other in zip(ours.marginals, theirs.marginals, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-11)
    pairs = zip(ours.potentials, theirs.potentials, given[2:], strict=True)
    shifts = [other - (mine / blur**p + np.log(w)) for mine, other, w in pairs]
    for shift in shifts:
        assert np.ptp(shift) < 1e-8


def test_pairs_of_names():
    found = so.solve_sample(torch.rand(9, 2), torch.rand(8, 2), blur=0.1)
    for both, parts in (
        (found.potentials, (found.potential_a, found.potential_b)),
        (found.marginals, (found.marginal_a, found.marginal_b)),
    ):
        assert all(map(torch.equal, both, parts))
    assert found.status.startswith("converged: marginals off by") and found.status in repr(found)


def test_status_of_what_has_not_converged():
    x = torch.rand(50, 2)
    with pytest.warns(RuntimeWarning, match="converged=False"):
        found = so.solve_sample(x, x + 1, blur=0.01, solver=so.Sinkhorn(max_sweeps=1))
    assert found.status.startswith("NOT CONVERGED: marginals off by")
    assert re.search(r"\(tol 0.001\) after \d+ sweeps$", found.status) and not found.converged


@pytest.mark.parametrize(
    ("problems", "sizes"),
    [(10, (2, 300)), pytest.param(88, (2, 600), marks=pytest.mark.slow),
     pytest.param(12, (1500, 3000), marks=pytest.mark.slow)],
)  # fmt: skip
def test_intervals_hold_the_exact_distance(ot, problems, sizes):
    """Of uneven weights, some zero, in one to three dimensions, over all pairs and over kept ones."""
    rng = np.random.default_rng(problems)
    for trial in range(problems):
        p, dim, rtol = 1 + trial % 2, 1 + trial % 3, (0.05, 0.01)[trial % 4 == 0]
        n, m = rng.integers(*sizes, 2, endpoint=True)
        x, y = rng.random((n, dim)), rng.random((m, dim)) + rng.choice([0.0, 0.2, 3.0])
        a, b = rng.random(n), rng.random(m)
        a[: n // 9], a[-1] = 0, 1
        a, b = a / a.sum(), b / b.sum()
        costs = ot.dist(x, y, metric="euclidean") ** p
        true = ot.emd2(a, b, costs, numItermax=10**8) ** (1 / p)
        solver = so.Sinkhorn(multilevel=trial % 2 == 0)
        found = so.wasserstein_distance(x, y, a, b, p=p, rtol=rtol, solver=solver)
        assert found.lower <= true * (1 + 1e-9) and true * (1 - 1e-9) <= found.upper, trial
        assert found.upper - found.lower <= rtol * found.upper, trial
