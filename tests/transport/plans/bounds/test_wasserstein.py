"""Wasserstein distances between bounds, against closed forms and exact assignments."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import sparseot as so
from sparseot.transport import wasserstein
from tests.references.clouds import cloud

ALL = so.Sinkhorn(multilevel=False)


def check(found, true, rtol):
    assert found.converged
    assert found.lower <= true * (1 + 1e-12) and true * (1 - 1e-12) <= found.upper
    assert found.upper - found.lower <= rtol * found.upper
    assert found.value == (found.lower + found.upper) / 2


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("rtol", [1e-2, 1e-3])
def test_sorted_points_of_the_line(p, rtol):
    x, y = torch.randn(300, 1).double(), 0.5 * torch.randn(300, 1).double() + 1
    true = (x.sort(0).values - y.sort(0).values).abs().pow(p).mean().item() ** (1 / p)
    check(so.wasserstein_distance(x, y, p=p, rtol=rtol), true, rtol)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("multilevel", [False, True], ids=["all pairs", "kept pairs"])
def test_assignments(p, multilevel):
    (x, _), (y, _) = cloud(200, 3), cloud(200, 3, shift=0.3)
    cost = (torch.cdist(x, y) ** p).numpy()
    true = cost[linear_sum_assignment(cost)].mean() ** (1 / p)
    solver = so.Sinkhorn(multilevel=multilevel)
    check(so.wasserstein_distance(x, y, p=p, solver=solver), true, 0.01)


@pytest.mark.parametrize("p", [1, 2])
def test_translates(p):
    (x, a) = cloud(100, 2)
    v = torch.tensor([3.0, 4.0]).double()
    check(so.wasserstein_distance(x, x + v, a, a, p=p, rtol=1e-3), 5.0, 1e-3)


def test_permutations():
    """Points on a grid, shaken by less than a quarter of its step: each stays with its own."""
    grid = torch.cartesian_prod(*[torch.arange(8.0)] * 2).double()
    y = grid + 0.4 * torch.rand(64, 2).double() - 0.2
    true = (grid - y).square().sum(1).mean().sqrt().item()
    check(so.wasserstein_distance(grid, y[torch.randperm(64)], rtol=1e-3), true, 1e-3)


def test_gaussians():
    """The closed form of Gelbrich (1990), within what samples of 4,000 points are off."""
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(4000, 2, generator=g, dtype=torch.float64) for _ in range(2))
    y = y * torch.tensor([2.0, 0.5], dtype=torch.float64) + 3
    found = so.wasserstein_distance(x, y, rtol=0.02)
    assert found.converged
    true = math.sqrt(2 * 9 + 1 + 0.25)
    assert found.lower * 0.98 <= true <= found.upper * 1.02


def test_solves_start_from_the_last_one(monkeypatch):
    """Counted in sweeps; the interval is as narrow."""
    (x, a), (y, b) = cloud(300, 2), cloud(200, 2, shift=0.3)
    solve, solved, sums = wasserstein.solve_clouds, [], []

    def solve_clouds(*given, **options):
        found = solve(*given, **options)
        solved.append(found[0][0].solution.reports[0].n_iter)
        return found

    monkeypatch.setattr(wasserstein, "solve_clouds", solve_clouds)
    for near in (wasserstein.NEAR, 2.0):
        monkeypatch.setattr(wasserstein, "NEAR", near)
        solved.clear()
        found = so.wasserstein_distance(x, y, a, b, p=1, rtol=2e-4, solver=ALL)
        assert found.converged and len(solved) == len(found.blurs) > 1
        sums.append(sum(solved))
    assert sums[0] < sums[1]


def test_equal_clouds():
    (x, a) = cloud(30, 2)
    for y in (x, x.clone()):
        found = so.wasserstein_distance(x, y, a, a)
        assert found.lower == found.upper == 0 and found.converged
    same = torch.ones(4, 2)
    assert so.wasserstein_distance(same, same[:3]).upper == 0


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_measures(p, dtype):
    """In another order, in parts, or beside points without weight: the distance is zero, exactly."""
    (x, a), order = cloud(30, 2, dtype=dtype), torch.randperm(30)
    halves = torch.cat((x, x[order])), torch.cat((a, a[order])) / 2
    beside = torch.cat((x[order], x.new_full((1, 2), 1e4))), torch.cat((a[order], a.new_zeros(1)))
    for y, b in ((x[order], a[order]), halves, beside):
        found = so.wasserstein_distance(x, y, a, b, p=p)
        assert found.lower == found.upper == 0 and found.converged
    near = so.wasserstein_distance(x, x[order] + 0.01, a, a[order], p=p)
    assert near.lower <= 0.01 * 2**0.5 * (1 + 1e-5) and near.upper > 0.01


def test_batches_and_masses():
    (x, a), (y, b) = cloud(30, 2, batch=(2,)), cloud(20, 2, batch=(2,), shift=0.5)
    found = so.wasserstein_distance(x, y, a, b)
    assert found.lower.shape == found.upper.shape == found.value.shape == (2,) and found.converged
    heavier = so.wasserstein_distance(x[0], y[0], 4 * a[0], 4 * b[0])
    assert heavier.lower <= 2 * found.upper[0] and 2 * found.lower[0] <= heavier.upper
    assert str(found).startswith("W_2 in [") and "converged: " in str(found)


def test_arrays_and_gradients():
    (x, _), (y, _) = cloud(30, 2), cloud(30, 2, shift=1.0)
    found = so.wasserstein_distance(x.numpy(), y.numpy())
    assert type(found.lower) is type(found.upper) is type(found.value) is float
    same = so.wasserstein_distance(x.requires_grad_(), y)
    assert same.value.item() == found.value and not same.value.requires_grad
    assert same.transport.sample(3)[0].shape == (3,)


def test_what_cannot_be_reached_is_a_warning():
    (x, _), (y, _) = cloud(50, 2), cloud(50, 2)
    with pytest.warns(RuntimeWarning, match="wider than rtol=1e-06 after 1 solves.*max_solves"):
        found = so.wasserstein_distance(x, y, rtol=1e-6, max_solves=1)
    cost = torch.cdist(x, y).square().numpy()
    true = math.sqrt(cost[linear_sum_assignment(cost)].mean())
    assert not found.converged and found.lower <= true <= found.upper and len(found.blurs) == 1
    assert "NOT CONVERGED" in repr(found)


def test_a_narrow_interval_is_found():
    """Solves that cannot reach a tight tolerance leave the next ones their sweeps."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.rand(2, 200, 2, generator=generator).double()
    cost = torch.cdist(x, y).square().numpy()
    true = cost[linear_sum_assignment(cost)].mean() ** 0.5
    found = so.wasserstein_distance(x, y, rtol=1e-4)
    assert found.converged and found.lower <= true <= found.upper


def test_who_watches_may_end_the_search():
    """Within the first solve: no other begins, and the interval so far is returned."""
    (x, _), (y, _) = cloud(200, 2), cloud(200, 2, shift=0.1)
    cost = torch.cdist(x, y).numpy()
    true, seen = cost[linear_sum_assignment(cost)].mean(), []

    def progress(blur, error, tol):
        seen.append(blur)
        if len(seen) == 3:
            raise KeyboardInterrupt

    solver = so.Sinkhorn(progress=progress, multilevel=False)
    with pytest.warns(
        RuntimeWarning, match="wider than rtol=0.0001 after 1 solves.*it was interrupted"
    ):
        found = so.wasserstein_distance(x, y, p=1, rtol=1e-4, solver=solver)
    assert found.lower <= true <= found.upper < torch.inf and len(found.blurs) == 1


@pytest.mark.parametrize("n", [49, 60, 100])
def test_equal_weights_are_exact_in_single_precision(n):
    """All mass goes to one place: the distance is a mean."""
    x, y = torch.rand(n, 2), torch.zeros(1, 2)
    true = float(x.double().square().sum(1).mean().sqrt())
    found = so.wasserstein_distance(x, y, rtol=1e-9)
    assert float(found.lower) * (1 - 1e-12) <= true <= float(found.upper) * (1 + 1e-12)


def test_bad_arguments():
    x = torch.rand(5, 2)
    for options, kind, message in (
        ({"rtol": 0}, ValueError, "rtol: got 0, wanted a positive"),
        ({"rtol": 1.5}, ValueError, "rtol: got 1.5, wanted a share of the distance"),
        ({"max_solves": 0}, ValueError, "max_solves: got 0"),
        ({"p": 3}, ValueError, "p: got 3"),
        ({"a": torch.ones(5)}, ValueError, "equal masses"),
        ({"solver": 3}, TypeError, "solver: got int"),
    ):
        with pytest.raises(kind, match=message):
            so.wasserstein_distance(x, x + 1, **options)
    with pytest.raises(TypeError, match="y: got"):
        so.wasserstein_distance(x, np.zeros((5, 2)))


@pytest.mark.parametrize("of", [torch.clone, torch.Tensor.numpy])
@pytest.mark.parametrize("p", [1, 2])
def test_points_without_weight_set_no_length(p, of):
    g = torch.Generator().manual_seed(5)
    x, y = (torch.rand(50, 2, generator=g, dtype=torch.float64) for _ in range(2))
    far = torch.cat((torch.tensor([[1e4, 0.0]], dtype=torch.float64), x))
    a = torch.cat((torch.zeros(1), torch.ones(50))).double() / 50
    plain = so.wasserstein_distance(x, y, p=p)
    found = so.wasserstein_distance(of(far), of(y), of(a), p=p)
    assert found.converged and found.blurs[0] == pytest.approx(plain.blurs[0])
    assert found.value == pytest.approx(float(plain.value), rel=1e-3)
    bounds = (so.solve_sample(far, y, a, p=p, blur=0.05), so.solve_sample(x, y, p=p, blur=0.05))
    (low, high), (lower, upper) = (one.unregularised for one in bounds)
    assert low == pytest.approx(float(lower), rel=1e-2)
    assert high == pytest.approx(float(upper), rel=1e-2)
    batch = so.wasserstein_distance(far.repeat(2, 1, 1), y.repeat(2, 1, 1), a.repeat(2, 1), p=p)
    assert batch.converged and batch.lower.shape == (2,)
