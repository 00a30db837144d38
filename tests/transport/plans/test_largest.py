"""Sparse plans: the largest entries and what they cost, in little memory."""

import tracemalloc

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot.transport.problem import Problem
from tests.references.clouds import cloud

ALL, FEW = so.Sinkhorn(multilevel=False), so.Sinkhorn(multilevel=True)


def expected(plan, k, mass):
    """By sorting the dense plan."""
    wanted = torch.zeros_like(plan)
    for row, kept in zip(plan, wanted, strict=True):
        values, places = row.sort(descending=True)
        count = k or int((values.cumsum(0) < mass * row.sum()).sum()) + 1
        kept[places[:count]] = values[:count]
    return wanted


@pytest.mark.parametrize(
    ("solver", "p"),
    [(ALL, 1), (ALL, 2), (FEW, 1), (FEW, 2)],
    ids=["all pairs, p = 1", "all pairs", "kept pairs, p = 1", "kept pairs"],
)
@pytest.mark.parametrize(
    ("k", "mass"), [(10, None), (1, None), (1000, None), (None, 0.99), (None, 0.5)]
)
def test_sparse_plans(solver, p, k, mass):
    """The largest entries of every row, and what they leave of the marginals."""
    (x, a), (y, b) = cloud(120, 2, zero=3), cloud(90, 2, shift=0.1)
    found = so.solve_sample(x, y, a, b, p=p, blur=0.05, solver=solver)
    sparse, plan = found.sparse_plan(k, mass=mass), found.plan
    np.testing.assert_allclose(sparse.toarray(), expected(plan, k, mass), rtol=1e-9, atol=1e-15)
    assert sparse.shape == (120, 90) and sparse.has_canonical_format and sparse.data.min() > 0
    assert sparse.indices[: sparse.indptr[1]].tolist() == sorted(sparse.indices[: sparse.indptr[1]])
    rows, marginal = sparse.sum(1), found.marginal_a.numpy()
    assert (rows <= marginal * (1 + 1e-9)).all() and rows[3] < 1e-15
    if mass:
        assert (rows >= mass * marginal * (1 - 1e-9) - 1e-15).all()
        lost = found.marginal_b.numpy() - sparse.sum(0)
        assert 0 <= lost.sum() <= (1 - mass) + 1e-9


def test_sparse_plans_in_single_precision():
    (x, _), (y, _) = cloud(60, 3, dtype=torch.float32), cloud(50, 3, dtype=torch.float32)
    sparse = so.solve_sample(x, y, blur=0.2, solver=FEW).sparse_plan(5)
    assert sparse.dtype == np.float32 and sparse.nnz == 300


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_cost_of_a_plan_over_kept_pairs(dtype, p, monkeypatch):
    """It is that of the plan, and no other pair is visited."""
    (x, a), (y, b) = cloud(300, 2, zero=3, dtype=dtype), cloud(200, 2, shift=0.5, dtype=dtype)
    x, y = (torch.stack((t + 10, t + 11)) for t in (x, y))
    a, b = (t.expand(2, -1) for t in (a, b))
    found = so.solve_sample(x, y, a, b, p=p, blur=0.05, solver=FEW)
    costs = torch.cdist(x.double(), y.double()) ** p / p
    exact = (found.plan.double() * costs).sum((1, 2))
    monkeypatch.setattr(found.solved[0].problem.engine, "bind", None)
    close = 1e-6 if dtype == torch.float64 else 1e-5  # the whole plan has what was left out
    torch.testing.assert_close(found.value_linear.double(), exact, rtol=close, atol=0)


def test_a_sparse_plan_is_found_in_little_memory():
    """20,000 points on either side: the plan would take 3.2 GB."""
    (x, _), (y, _) = cloud(20_000, 3), cloud(20_000, 3)
    found = so.solve_sample(x, y, blur=0.02, tol=1e-2)
    tracemalloc.start()
    sparse = found.sparse_plan(mass=0.95)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = sparse.data.nbytes + sparse.indices.nbytes + sparse.indptr.nbytes
    assert sparse.sum() == pytest.approx(0.95, abs=0.02)
    assert peak < 8 * size + 2**24 < 20_000**2 * 8 / 10


def test_a_sparse_plan_over_all_pairs_is_found_in_pieces(monkeypatch):
    (x, _), (y, _) = cloud(4000, 8), cloud(3000, 8)
    found, largest, true = so.solve_sample(x, y, blur=0.5), [], Problem.cost_matrix

    def watched(self, x, y):
        largest.append(x.shape[1] * y.shape[1])
        return true(self, x, y)

    monkeypatch.setattr(Problem, "cost_matrix", watched)
    assert found.sparse_plan(3).nnz == 12_000
    assert len(largest) > 2 and max(largest) <= 2**22


def test_bad_arguments():
    found = so.solve_sample(torch.rand(5, 2), torch.rand(6, 2), blur=0.1)
    for options, message in (
        ({}, "neither k nor mass, wanted one of them"),
        ({"k": 3, "mass": 0.9}, "both k and mass"),
        ({"mass": 1.5}, "mass: got 1.5, wanted a share of the mass"),
        ({"k": 0}, "k: got 0, wanted a positive"),
    ):
        with pytest.raises(ValueError, match=message):
            found.sparse_plan(**options)
    with pytest.raises(TypeError, match="k: got 2.5, wanted an integer"):
        found.sparse_plan(2.5)
