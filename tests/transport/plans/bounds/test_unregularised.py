"""Bounds of the cost without regularisation: never violated, and near where the temperature is low."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import sparseot as so
from sparseot import costs, kernels
from sparseot.engines.base import KEPT_BLOCK
from sparseot.engines.kept import TileRows
from sparseot.engines.loops.kept_numba import NumbaLoops
from sparseot.formulas import ground_cost
from sparseot.transport.plans.bounds import unregularised as bounds
from sparseot.transport.plans.bounds.closing import closing_cost
from sparseot.transport.plans.bounds.minima import minima
from sparseot.transport.plans.sums import PlanSums
from sparseot.transport.pruned.kept_pairs import KeptPairs
from tests.references.clouds import cloud

ALL, FEW = so.Sinkhorn(multilevel=False), so.Sinkhorn(multilevel=True)


def shares(rng, n, total):
    """Whole shares of ``total`` points of equal weight; some points may have none."""
    return np.bincount(rng.integers(0, n, total), minlength=n)


def exact(x, y, k, m, p):
    """The cost between points of whole weights, by assignment of their copies."""
    x, y = x.repeat_interleave(torch.from_numpy(k), 0), y.repeat_interleave(torch.from_numpy(m), 0)
    cost = (torch.cdist(x, y) ** p / p).numpy()
    return float(cost[linear_sum_assignment(cost)].mean())


@pytest.mark.parametrize("kept", [False, True], ids=["all pairs", "kept pairs"])
@pytest.mark.parametrize("seed", range(5))
def test_bounds_are_never_violated(seed, kept):
    """300 problems: duplicates, points without weight, outliers, far away, early stops, both precisions."""
    rng = np.random.default_rng(seed)
    for trial in range(10 if kept else 50):
        n, m, d, p = *rng.integers(2, 25, 2), rng.integers(1, 4), int(rng.integers(1, 3))
        x, y = (torch.from_numpy(rng.random((size, d))) for size in (n, m))
        y = y + rng.choice([0.0, 0.1, 2.0])
        x[0] += rng.choice([0.0, 20.0])
        x, y = (t + rng.choice([0.0, 1000.0]) for t in (x, y)) if trial % 7 == 0 else (x, y)
        x[-1], y[-1] = x[0], x[0]
        total, mass = 30, rng.choice([1.0, 3.0])
        k, l = shares(rng, n, total), shares(rng, m, total)
        a, b = (torch.from_numpy(mass * s / total) for s in (k, l))
        if trial % 3 == 0:
            x, y, a, b = (t.float() for t in (x, y, a, b))
        blur, tol = 10 ** rng.uniform(-2, 0), 10 ** rng.uniform(-4, -0.5)
        solver = so.Sinkhorn(multilevel=kept, tol=tol)
        found = so.solve_sample(x, y, a, b, blur=blur, p=p, solver=solver)
        true = mass * exact(x.double(), y.double(), k, l, p)
        lower, upper = (float(end) for end in found.unregularised)
        margin = 1e-6 * true if trial % 3 == 0 else 1e-11 * (1 + true)  # of weights in float32
        assert lower <= true + margin and true - margin <= upper, (seed, trial)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("kept", [False, True], ids=["all pairs", "kept pairs"])
def test_repaired_potentials_close_with_less(p, kept, monkeypatch):
    """Potentials wrong by long waves, as sweeps leave them; weights differ, points are equal, some have no weight."""
    parts = {0: 0.0, 3: 0.0}
    monkeypatch.setattr(bounds, "WORTH", 0.0)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x, y = (torch.from_numpy(rng.random((60, 2))) for _ in range(2))
        x[1], y[1], y[2] = x[0], y[0], x[0]
        k, l = shares(rng, 60, 150), shares(rng, 60, 150)
        a, b = (torch.from_numpy(s / 150) for s in (k, l))
        true = exact(x, y, k, l, p)
        options = {"blur": {1: 0.02, 2: 0.1}[p], "p": p, "debias": False}
        solved = so.solve_sample(x, y, a, b, solver=FEW if kept else ALL, **options).solved[0]
        f, g = solved.solution.f, solved.solution.g_prev
        f = f + 0.1 * solved.problem.eps * torch.sin(rng.uniform(1, 5) * x.sum(1))
        uppers = []
        for rounds in parts:
            monkeypatch.setattr(bounds, "ROUNDS", rounds)
            ends = bounds.unregularised(solved.problem, f, g, 0)
            assert ends.lower <= true * (1 + 1e-11) and true * (1 - 1e-11) <= ends.upper, seed
            parts[rounds] += ends.closing
            uppers.append(ends.upper)
        assert uppers[1] <= uppers[0]
    assert parts[3] < 0.3 * parts[0], parts


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_minima_over_kept_pairs_are_those_of_all(p, side, seed, monkeypatch):
    """Exactly, whatever is known at first: from the potentials, from worse ones, and where kept pairs hold nothing."""
    torch.manual_seed(seed)
    (x, a), (y, b) = cloud(300, 2, zero=3), cloud(250, 2, shift=0.2, zero=5)
    found = so.solve_sample(x, y, a, b, blur=0.05, p=p, solver=FEW).solved[0]
    sums = PlanSums(found.problem, found.solution.f, found.solution.g_prev, 0)
    problem, near, g, points, others, weights = sums.problem, sums.f, sums.g, x, y, b
    if side:
        problem, near, g, points, others, weights = sums.back, sums.g, sums.f, y, x, a
    true = (torch.cdist(points, others) ** p / p - g)[:, weights > 0].amin(1)
    rough = near + 0.01 * torch.randn_like(near)
    for guess in (near, rough):
        few = minima(problem, guess, g, weights, sums.size)
        assert (few - true).abs().max() < 1e-12
    starts = torch.zeros_like(problem.pairs.tiles[2].starts)
    nothing = TileRows(starts, problem.pairs.tiles[2].blocks[:0])
    monkeypatch.setattr(KeptPairs, "tiles", (*problem.pairs.tiles[:2], nothing))
    assert (minima(problem, near, g, weights, sums.size) - true).abs().max() < 1e-12


def test_minima_over_kept_pairs_visit_few(monkeypatch):
    """Counted in pairs: the screens leave out nearly all."""
    visited = []

    def counted(self, tiles, *given):
        visited.append(len(tiles) * KEPT_BLOCK**2)
        return largest(self, tiles, *given)

    n = 4000
    (x, a), (y, b) = cloud(n, 2), cloud(n, 2, shift=0.05)
    found = so.solve_sample(x, y, a, b, blur=0.01, solver=FEW)
    largest = NumbaLoops.largest
    monkeypatch.setattr(NumbaLoops, "largest", counted)
    assert found.unregularised[0] > 0
    assert len(visited) == 4 and max(visited) < 0.1 * n**2


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dim", [1, 3])
def test_closing_costs_are_those_of_plans(p, dim):
    """Never below the best plan, far below a product where masses lie near each other, and zero where they are equal."""
    rng = np.random.default_rng(0)
    for n, m in ((1, 1), (3, 70), (90, 60)):
        x, y = (torch.from_numpy(rng.random((size, dim))) for size in (n, m))
        k, l = shares(rng, n, 60), shares(rng, m, 60)
        u, v = torch.from_numpy(k / 60), torch.from_numpy(l / 60)
        product = float(u @ (torch.cdist(x, y) ** p / p) @ v)
        found, true = closing_cost(ground_cost(p), x, y, u, v), exact(x, y, k, l, p)
        assert true <= found + 1e-15 and found <= 2 * product + 1e-15
    x = torch.from_numpy(rng.random((3000, dim)))
    u, v = (torch.from_numpy(rng.random(3000)) for _ in range(2))
    near = closing_cost(ground_cost(p), x, x, u / u.sum(), v / v.sum())
    product = float((torch.cdist(x, x) ** p / p).mean())
    assert 0 < near < 0.2 * product
    assert closing_cost(ground_cost(p), x, x, 0 * u, 0 * u) == 0


@pytest.mark.parametrize("side", [0, 1])
def test_closing_costs_hide_no_mass(side):
    """Sums that differ by their rounding, of which one may be zero: the larger one is moved, as far as it may have to."""
    x, y = torch.zeros(1, 2).double(), torch.tensor([[3.0, 4.0]]).double()
    masses = [torch.tensor([w]).double() for w in (1.0, 1.001)]
    assert closing_cost(ground_cost(1), x, y, *masses[:: 1 - 2 * side]) >= 5 * 1.001
    masses[0] *= 0
    assert closing_cost(ground_cost(1), x, y, *masses[:: 1 - 2 * side]) >= 5 * 1.001


COSTS = [(costs.Cosine(), 1), (kernels.Energy().scaled(-0.1), 2)]


@pytest.mark.parametrize(("cost", "p"), COSTS, ids=["cosine, p = 1", "distance, p = 2"])
@pytest.mark.parametrize("kept", [False, True], ids=["all pairs", "kept pairs"])
def test_costs_whose_power_is_not_that_of_the_call(cost, p, kept):
    """The bound of the means is that of the cost: 0.1 |v| where one cloud is the other, moved by v."""
    x = cloud(40, 2)[0]
    y = x + torch.tensor([3.0, 4.0]).double()
    if p == 1:
        x, y = torch.tensor([[1.0, 0.0], [1, 0.01]]).double(), torch.tensor([[0.0, 1.0], [0.01, 1]])
        y = y.double()
    matrix = cost(x, y) if p == 1 else 0.1 * torch.cdist(x, y)
    true = float(matrix[linear_sum_assignment(matrix.numpy())].mean())
    solver = so.Sinkhorn(multilevel=kept)
    found = so.solve_sample(x, y, p=p, blur=0.05, cost=cost, solver=solver)
    lower, upper = found.unregularised
    assert 0.9 * true < lower <= true * (1 + 1e-12) and true * (1 - 1e-12) <= upper


def test_bounds_meet_as_the_temperature_falls():
    (x, a), (y, b) = cloud(40, 2), cloud(30, 2, shift=0.5)
    widths = []
    for blur in (0.3, 0.1, 0.03):
        low, high = so.solve_sample(x, y, a, b, blur=blur, tol=1e-8).unregularised
        widths.append(float(high - low))
    assert widths[0] > 3 * widths[1] > 9 * widths[2] > 0


def test_batches_and_arrays():
    (x, a), (y, b) = cloud(20, 2, batch=(3,)), cloud(15, 2, batch=(3,))
    found = so.solve_sample(x, y, a, b, blur=0.1)
    low, high = found.unregularised
    assert low.shape == high.shape == (3,) and low.dtype == torch.float64
    one = so.solve_sample(*(t[1].numpy() for t in (x, y, a, b)), blur=0.1).unregularised
    assert all(type(end) is float for end in one)
    np.testing.assert_allclose(one, (low[1], high[1]), rtol=1e-3)


def test_other_problems_are_refused():
    x = torch.rand(5, 2)
    for options in ({"reach": 1.0}, {"cost": lambda x, y: torch.cdist(x, y)}):
        with pytest.raises(ValueError, match="unregularised: got another problem"):
            _ = so.solve_sample(x, x + 1, blur=0.1, **options).unregularised
