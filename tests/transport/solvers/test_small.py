"""Small problems, compiled from end to end: the same potentials, by fewer and cheaper sweeps."""

import pytest
import torch

import sparseot as so
from sparseot.transport.solvers import sinkhorn
from sparseot.transport.solvers import small as stored
from sparseot.transport.solvers.small import StoredSoftmins
from tests.references.clouds import cloud
from tests.references.dense import transport

REACHES = [None, 0.4, (None, 0.4), (0.3, None)]


def watched(monkeypatch, name):
    """Calls of a method of StoredSoftmins."""
    calls, true = [], getattr(StoredSoftmins, name)

    def count(self, *args, **options):
        calls.append(self.eps)
        return true(self, *args, **options)

    monkeypatch.setattr(StoredSoftmins, name, count)
    return calls


@pytest.mark.parametrize("sizes", [(23, 14), (14, 23), (1, 40)])
@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("p", [1, 2])
def test_it_agrees_with_a_dense_reference(p, reach, sizes):
    """Also where points have no weight, and whichever side is the larger one."""
    (x, a), (y, b) = (cloud(n, 2, zero=0 if n > 1 else None) for n in sizes)
    y, b = y + 0.3, b if reach is None else 1.7 * b
    found = so.solve_sample(x, y, a, b, p=p, blur=0.2, reach=reach, tol=1e-12)
    keep, kept = a > 0, b > 0
    value, _, _, plan = transport(x[keep], y[kept], a[keep], b[kept], p=p, blur=0.2, reach=reach)
    assert found.converged and "numba on a stored matrix" in repr(found)
    torch.testing.assert_close(found.value, value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.plan[keep][:, kept], plan, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("blur", [0.3, 0.03, 0.01])
def test_newton_spares_sweeps(blur):
    """To rounding in some dozen sweeps a temperature, where plain ones take very many."""
    (x, a), (y, b) = cloud(60, 2), cloud(50, 2, shift=0.3)
    found = so.solve_sample(x, y, a, b, blur=blur, tol=1e-12)
    assert found.converged and found.levels[-1].sweeps < 150
    plain = so.Sinkhorn(accelerate=False, max_sweeps=300)
    if blur < 0.1:
        with pytest.warns(RuntimeWarning, match="max_sweeps"):
            so.solve_sample(x, y, a, b, blur=blur, tol=1e-12, solver=plain)


def test_where_newton_finds_no_way_relaxation_goes_on(monkeypatch):
    monkeypatch.setattr(stored, "PATIENCE", 2)
    steps = watched(monkeypatch, "step")
    (x, a), (y, b) = cloud(30, 2), cloud(30, 2, shift=0.3)
    found = so.solve_sample(x, y, a, b, blur=0.05, tol=1e-8)
    wanted = transport(x, y, a, b, blur=0.05)[0]
    assert len(steps) > 50 and found.converged
    torch.testing.assert_close(found.value, wanted, rtol=1e-9, atol=0)


def test_a_solve_is_one_call_and_a_watched_one_is_the_same(monkeypatch):
    """All temperatures of an item at once; who watches hears of each, and gets the same numbers."""
    calls = watched(monkeypatch, "cool")
    (x, a), (y, b) = cloud(30, 2, batch=(4,)), cloud(25, 2, batch=(4,), shift=0.3)
    found, seen = so.solve_sample(x, y, a, b, blur=0.02, tol=1e-6), []
    assert len(calls) == 4 and found.converged and len(found.levels) > 3
    solver = so.Sinkhorn(progress=lambda blur, error, tol: seen.append(blur))
    again = so.solve_sample(x, y, a, b, blur=0.02, tol=1e-6, solver=solver)
    assert {round(level.blur, 9) for level in again.levels} <= {round(blur, 9) for blur in seen}
    torch.testing.assert_close(again.value, found.value, rtol=1e-13, atol=0)
    assert [level.sweeps for level in again.levels] == [level.sweeps for level in found.levels]


def test_threads_share_a_batch_and_change_no_bit(monkeypatch):
    (x, a), (y, b) = cloud(50, 2, batch=(8,)), cloud(40, 2, batch=(8,), shift=0.3)
    answers = []
    for work in (0, 1 << 40):
        monkeypatch.setattr(sinkhorn, "SWEEPING", work)
        found = so.solve_sample(x, y, a, b, blur=0.05, debias=True)
        answers.append([found.value, found.potential_a, found.potential_b])
    assert all(torch.equal(*pair) for pair in zip(*answers, strict=True))


def test_an_engine_that_is_asked_for_is_taken():
    (x, _), (y, _) = cloud(20, 2), cloud(20, 2)
    for name in ("numba", "tiles"):
        found = so.solve_sample(x, y, blur=0.2, solver=so.Sinkhorn(engine=name))
        assert f"{name} on all pairs" in repr(found)


def test_a_budget_is_kept(monkeypatch):
    """Sweeps and steps of Newton's method count alike."""
    (x, _), (y, _) = cloud(40, 2), cloud(40, 2, shift=0.4)
    for budget in (1, 3, 7):
        solver = so.Sinkhorn(max_sweeps=budget)
        with pytest.warns(RuntimeWarning, match="max_sweeps"):
            found = so.solve_sample(x, y, blur=0.01, tol=1e-13, solver=solver)
        assert not found.converged and found.levels[-1].sweeps <= budget + 2


def test_potentials_beyond_exponents():
    """Clouds ten thousand blurs apart, and no potentials to start from."""
    (x, _), (y, _) = cloud(12, 2), cloud(9, 2)
    found = so.solve_sample(x, y + 100, blur=0.01, tol=1e-6)
    moved = so.solve_sample(x, y, blur=0.01, tol=1e-6)
    assert found.converged
    torch.testing.assert_close(found.plan, moved.plan, rtol=1e-3, atol=1e-6)


def test_it_is_compiled_once():
    """For float64: neither single precision nor numbers that stand apart are another type."""
    for dtype in (torch.float32, torch.float64):
        (x, a), (y, b) = cloud(8, 3, dtype=dtype), cloud(7, 3, dtype=dtype)
        so.hessian(so.solve_sample(x, y, a, b, blur=0.2, debias=True), "a").to_dense()
    x, a = cloud(40, 2)
    apart = so.solve_sample(x[::2], x[::3], (a / a[::2].sum())[::2], blur=1)
    assert apart.converged
    loops = stored.stored_loops()
    for loop in (loops.cool, loops.fixed_point, loops.half_step, loops.prepare):
        assert len(loop.signatures) == 1 and loop.stats.cache_path


@pytest.mark.parametrize("reach", [(0.2, 0.7), 3.0])
def test_both_marginals_meet_the_tolerance(reach):
    """Where they are free, the error of one may be larger than that of the other."""
    for seed in range(20):
        torch.manual_seed(seed)
        (x, a), (y, b) = cloud(20, 2), cloud(17, 2)
        found = so.solve_sample(x, y, a, 4 * b, p=1, blur=0.01, reach=reach, tol=1e-3)
        assert found.converged and found.n_iter < 500


def test_long_solves_are_called_in_slices(monkeypatch):
    """So that whoever interrupts one is heard; each call ends with half a sweep."""
    (x, a), (y, b) = cloud(23, 2), cloud(14, 2)
    how = {"blur": 0.1, "tol": 1e-6, "solver": so.Sinkhorn(max_sweeps=900, accelerate=False)}
    wanted = so.solve_sample(x, y, a, b, **how)
    calls = watched(monkeypatch, "cool")
    monkeypatch.setattr(stored, "SLICE", 7)
    found = so.solve_sample(x, y, a, b, **how)
    assert len(calls) > 5 and found.converged == wanted.converged
    assert abs(found.n_iter - wanted.n_iter) <= len(calls)
    torch.testing.assert_close(found.potential_a, wanted.potential_a, rtol=1e-4, atol=1e-6)
