"""Pairs drawn by a plan: a chi-square test against the stored one, and what a draw costs."""

import numpy as np
import pytest
import torch
from scipy import stats

import sparseot as so
from sparseot.transport.plans import rows as rows_of_plans
from sparseot.transport.plans.rows import _AllRows, _KeptRows
from tests.references.clouds import cloud

ALL, FEW = so.Sinkhorn(multilevel=False), so.Sinkhorn(multilevel=True)
DRAWS = 40_000
LIKELY = 1e-3  # a share of the seeds that would fail


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def likely(i, j, plan):
    """The p-value of a chi-square test; pairs that are drawn less than 5 times count as one."""
    counts = torch.zeros_like(plan)
    counts.index_put_((i, j), torch.ones(len(i)).to(plan), accumulate=True)
    assert not counts[plan == 0].any()
    expected = plan / plan.sum() * len(i)
    often = expected >= 5
    found, wanted = (
        torch.cat((t[often], t[~often].sum()[None])).numpy() for t in (counts, expected)
    )
    assert often.sum() > 20
    keep = wanted > 0
    return stats.chisquare(found[keep], wanted[keep]).pvalue


def conditional(points, others, logs, potential, p, blur):
    """Rows of a plan that sum to one, also where points have no weight."""
    cost = torch.cdist(points, others) ** p / p
    return ((potential - cost) / blur**p + logs).softmax(1)


@pytest.mark.parametrize("solver", [ALL, FEW], ids=["all pairs", "kept pairs"])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.3, (None, 0.2)])
def test_pairs_are_drawn_by_the_plan(solver, p, reach):
    (x, a), (y, b) = cloud(60, 2, zero=3), cloud(45, 2, shift=0.1, zero=4)
    found = so.solve_sample(x, y, a, b, p=p, blur=0.1, reach=reach, solver=solver)
    i, j = found.sample(DRAWS, generator=generator())
    assert i.dtype == j.dtype == torch.int64 and i.shape == j.shape == (DRAWS,)
    assert likely(i, j, found.plan) > LIKELY


def test_rows_are_drawn_by_the_plan_and_not_by_the_weights():
    """Unbalanced, its marginal is another one; the test would see it."""
    (x, a), (y, b) = cloud(30, 2), cloud(30, 2, shift=0.3)
    found = so.solve_sample(x, y, a, b, blur=0.2, reach=0.2)
    i, j = found.sample(DRAWS, generator=generator())
    assert likely(i, j, found.plan) > LIKELY
    wrong = found.plan / found.plan.sum(1, keepdim=True) * a[:, None]
    assert likely(i, j, wrong) < 1e-6


@pytest.mark.parametrize("solver", [ALL, FEW], ids=["all pairs", "kept pairs"])
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("reach", [None, 0.3])
def test_partners_are_drawn_by_the_rows(solver, inverse, reach):
    """Those of points without weight too, which no kept pair knows."""
    (x, a), (y, b) = cloud(40, 2, zero=3), cloud(50, 2, shift=0.1, zero=4)
    found = so.solve_sample(x, y, a, b, blur=0.1, reach=reach, solver=solver)
    given, other, weights, g = x, y, b, found.solved[0].solution.g[0]
    if inverse:
        given, other, weights, g = y, x, a, found.solved[0].solution.f[0]
    i = torch.arange(len(given)).repeat(2000)
    j = found.sample_from(i, inverse=inverse, generator=generator())
    assert likely(i, j, conditional(given, other, weights.log(), g, 2, 0.1)) > LIKELY


@pytest.mark.parametrize("solver", [ALL, FEW], ids=["all pairs", "kept pairs"])
def test_batches(solver):
    (x, a), (y, b) = cloud(30, 2, batch=(3,)), cloud(20, 2, batch=(3,))
    found = so.solve_sample(x, y, a, b, blur=0.2, solver=solver)
    i, j = found.sample(DRAWS, generator=generator())
    assert i.shape == j.shape == (3, DRAWS)
    given = torch.arange(30).repeat(3, 500, 1)
    partners = found.sample_from(given, generator=generator())
    assert partners.shape == given.shape
    for k in range(3):
        assert likely(i[k], j[k], found.plan[k]) > LIKELY
        rows = conditional(x[k], y[k], b[k].log(), found.solved[0].solution.g[k], 2, 0.2)
        assert likely(given[k].ravel(), partners[k].ravel(), rows) > LIKELY
    assert not torch.equal(i[0], i[1])


@pytest.mark.parametrize("solver", [ALL, FEW], ids=["all pairs", "kept pairs"])
def test_single_precision(solver):
    """Draws are those of the plan of the same potentials in double precision."""
    (x, _), (y, _) = cloud(60, 3, dtype=torch.float32), cloud(50, 3, dtype=torch.float32)
    found = so.solve_sample(x, y, blur=0.2, solver=solver)
    solution = found.solved[0].solution
    cost = torch.cdist(x.double(), y.double()) ** 2 / 2
    plan = ((solution.f.mT.double() + solution.g.double() - cost)[0:60] / 0.04).exp()
    assert likely(*found.sample(DRAWS, generator=generator()), plan) > LIKELY


def test_costs_that_are_functions():
    (x, a), (y, b) = cloud(30, 2), cloud(25, 2)

    def cost(x, y):
        return (x[:, :, None] - y[:, None]).abs().sum(-1)

    found = so.solve_sample(x, y, a, b, blur=0.3, cost=cost)
    assert likely(*found.sample(DRAWS, generator=generator()), found.plan) > LIKELY


def test_draws_can_be_repeated():
    (x, a), (y, b) = cloud(50, 2), cloud(40, 2)
    found = so.solve_sample(x, y, a, b, blur=0.1)
    for make in (generator, np.random.default_rng):
        draws = [torch.stack(found.sample(100, generator=make(seed))) for seed in (0, 0, 1)]
        assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
        i = torch.arange(50)
        once, again = (found.sample_from(i, generator=make(5)) for _ in range(2))
        assert torch.equal(once, again)
    torch.manual_seed(3)
    first = torch.stack(found.sample(100))
    second = torch.stack(found.sample(100))
    torch.manual_seed(3)
    assert torch.equal(torch.stack(found.sample(100)), first) and not torch.equal(first, second)


@pytest.mark.parametrize("solver", [ALL, FEW], ids=["all pairs", "kept pairs"])
def test_draws_know_neither_pieces_nor_threads(solver, request, monkeypatch):
    (x, a), (y, b) = cloud(900, 2), cloud(700, 2)
    found = so.solve_sample(x, y, a, b, blur=0.1, solver=solver)
    expected = found.sample(2000, generator=generator())
    request.getfixturevalue("shared")
    monkeypatch.setattr(rows_of_plans, "ENTRIES", 5000)
    monkeypatch.setattr(rows_of_plans, "BLOCKS", 1)
    for one, two in zip(found.sample(2000, generator=generator()), expected, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("rows", "dim", "solver"), [(_AllRows, 8, ALL), (_KeptRows, 2, FEW)], ids=["all", "kept"]
)
def test_a_draw_visits_the_rows_that_it_draws(rows, dim, solver, monkeypatch):
    """And nothing else: the row sums are kept. No piece has more than a million entries."""
    (x, _), (y, _) = cloud(3000, dim), cloud(2000, dim)
    found = so.solve_sample(x, y, blur=0.1 * dim, solver=solver)
    found.sample(1)
    entries, true = [], rows.costs

    def watched(self, wanted):
        cols, costs = true(self, wanted)
        entries.append(costs.size)
        return cols, costs

    monkeypatch.setattr(rows, "costs", watched)
    monkeypatch.setattr(found.solved[0].problem.engine, "bind", None)
    found.sample(40)
    assert 0 < sum(entries) <= 40 * 2000
    entries.clear()
    i, _ = found.sample(50_000)
    assert sum(entries) <= len(i.unique()) * 2000 and max(entries) <= 2**20
    assert (len(entries) > 5) and len(i.unique()) > 2000


def test_arrays():
    (x, a), (y, b) = cloud(12, 2), cloud(9, 2)
    found = so.solve_sample(*(t.numpy() for t in (x, y, a, b)), blur=0.2)
    same = so.solve_sample(x, y, a, b, blur=0.2)
    for ours, theirs in zip(
        found.sample(50, generator=np.random.default_rng(0)),
        same.sample(50, generator=np.random.default_rng(0)),
        strict=True,
    ):
        assert isinstance(ours, np.ndarray) and ours.dtype == np.int64
        np.testing.assert_array_equal(ours, theirs.numpy())
    assert isinstance(found.sample_from(3), int)
    assert isinstance(found.sample_from(np.array([[3, 4]])), np.ndarray)
    assert isinstance(found.sample_from(torch.tensor([3])), torch.Tensor)
    assert found.sample_from([[1, 2], [3, 4]]).shape == (2, 2)
    assert same.sample_from(3).shape == () and same.sample_from([]).shape == (0,)


def test_bad_arguments():
    found = so.solve_sample(torch.rand(5, 2), torch.rand(6, 2), blur=0.1)
    batch = so.solve_sample(torch.rand(2, 5, 2), torch.rand(2, 6, 2), blur=0.1)
    for call, kind, message in (
        (lambda: found.sample(0), ValueError, "n: got 0, wanted an integer of at least 1"),
        (lambda: found.sample(2.5), TypeError, "n: got 2.5, wanted an integer"),
        (lambda: found.sample(5, generator=0), TypeError, "generator: got 0.*manual_seed"),
        (
            lambda: found.sample_from(5),
            ValueError,
            "i: got the number 5, wanted numbers from 0 to 4",
        ),
        (lambda: found.sample_from(-1), ValueError, "i: got the number -1"),
        (lambda: found.sample_from(6, inverse=True), ValueError, "numbers from 0 to 5"),
        (lambda: found.sample_from([0.5]), TypeError, "i: got dtype float64, wanted integers"),
        (lambda: found.sample_from([True]), TypeError, "i: got dtype bool.*nonzero"),
        (
            lambda: batch.sample_from([1, 2, 3]),
            ValueError,
            r"i: got shape \(3,\), wanted \(2, ...\)",
        ),
    ):
        with pytest.raises(kind, match=message):
            call()


def test_plans_without_mass():
    x = torch.zeros(3, 1).double()
    found = so.solve_sample(x, x + 1000.0, blur=0.1, reach=0.1)
    with pytest.raises(
        ValueError, match="sample: got a plan without mass, wanted clouds that share some"
    ):
        found.sample(5)
    j = found.sample_from([0] * 100, generator=generator())  # rows have partners nevertheless
    assert set(j.tolist()) == {0, 1, 2}
