"""Transport for stored costs: against POT's definitions, dense loops, and the same problem of points."""

import math

import numpy as np
import pytest
import torch

import sparseot as so
from tests.references import unrolled
from tests.references.clouds import cloud
from tests.references.dense import cost_matrix

REG = 0.3
PENALTIES = {None: (math.inf, math.inf), 0.5: (0.5, 0.5), (None, 0.8): (math.inf, 0.8)}


def problem(n=7, m=5, batch=(), grad=False):
    C = torch.rand(*batch, n, m, dtype=torch.float64) - 0.2
    (_, a), (_, b) = cloud(n, 1, batch=batch), cloud(m, 1, batch=batch)
    return tuple(t.requires_grad_(grad) for t in (C, a, b))


def same(found, wanted, imposed, tol):
    for k, (one, two) in enumerate(zip(found, wanted, strict=True)):
        if imposed and k:  # weights of imposed mass: up to constants
            one, two = one - one.mean(), two - two.mean()
        torch.testing.assert_close(one, two, rtol=tol, atol=tol)


@pytest.mark.parametrize("unbalanced", PENALTIES)
@pytest.mark.parametrize("sizes", [(7, 5), (4, 6)])
def test_values_and_derivatives(sizes, unbalanced):
    """Two of the value, one of the potentials and of the plan, against a loop that autograd sees through."""
    given, imposed = problem(*sizes, grad=True), unbalanced is None
    C, a, b = given
    result = so.solve(*given, reg=REG, unbalanced=unbalanced, tol=1e-13)
    value, f, g = unrolled.of_costs(C, a, b, eps=REG, rhos=PENALTIES[unbalanced], steps=300)
    plan = a[:, None] * b * ((f[:, None] + g - C) / REG).exp()
    torch.testing.assert_close(result.value, value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(result.plan, plan, rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(
        result.plan_operator.to_dense(), plan.detach(), rtol=1e-8, atol=1e-11
    )
    if imposed:
        shift = ((a * f).sum() - (b * g).sum()) / 2
        f, g = f - shift, g + shift
    ways = [torch.randn_like(t) for t in given]
    if imposed:
        ways[1:] = [w - w.mean() for w in ways[1:]]
    first = [torch.autograd.grad(v, given, create_graph=True) for v in (result.value, value)]
    same(*first, imposed, 1e-8)
    second = []
    for slopes in first:
        product = sum((s * w).sum() for s, w in zip(slopes, ways, strict=True))
        second.append(torch.autograd.grad(product, given, retain_graph=True))
    same(*second, imposed, 1e-6)
    weigh_f, weigh_g, weigh_P = (torch.randn_like(t) for t in (a, b, C))
    for found, wanted, weight in (
        (result.potential_a, f, weigh_f),
        (result.potential_b, g, weigh_g),
        (result.plan, plan, weigh_P),
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9)
        pair = [
            torch.autograd.grad((t * weight).sum(), given, retain_graph=True)
            for t in (found, wanted)
        ]
        same(*pair, imposed, 1e-6)


def test_the_gradient_in_the_costs_is_the_plan():
    C, a, b = problem(300, 250)
    C = C.requires_grad_()
    result = so.solve(C, a, b, reg=0.05, tol=1e-6)
    assert result.reports[0].engine.startswith("matrix on all pairs")
    (slope,) = torch.autograd.grad(result.value, C)
    torch.testing.assert_close(slope, result.plan.detach(), rtol=1e-10, atol=0)
    torch.testing.assert_close(slope.sum(1), a, rtol=1e-5, atol=0)
    torch.testing.assert_close(slope.sum(0), b, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loops_over_large_matrices(dtype):
    """The same as torch's tiles, both ways, from far guesses, in batches, and where rows are far apart."""
    C = torch.rand(2, 270, 301).to(dtype)
    C[0, 17] += 50.0  # a row that no guess of others is good for
    a = torch.rand(2, 270).to(dtype) + 0.1
    a[1, 3] = 0
    a = a / a.sum(-1, keepdim=True)
    loops = so.solve(C, a, reg=0.03, tol=1e-4)
    tiles = so.solve(C, a, reg=0.03, tol=1e-4, solver=so.Sinkhorn(engine="tiles"))
    names = [result.reports[0].engine.split()[0] for result in (loops, tiles)]
    assert names == ["matrix", "tiles"]
    torch.testing.assert_close(loops.value, tiles.value, rtol=1e-5, atol=0)
    torch.testing.assert_close(loops.plan, tiles.plan, rtol=2e-2, atol=1e-7)
    assert (loops.lower <= loops.upper).all() and (loops.upper - loops.lower < 1e-2).all()


@pytest.mark.parametrize("p", [1, 2])
def test_the_same_as_of_points(p):
    """``reg = blur**p`` and ``unbalanced = reach**p``: number for number, certificate included."""
    (x, a), (y, b) = cloud(40, 2), cloud(30, 2, shift=0.2)
    for reach in (None, 0.6):
        points = so.solve_sample(x, y, a, b, p=p, blur=0.3, reach=reach, tol=1e-10)
        rho = reach and reach**p
        stored = so.solve(cost_matrix(x, y, p), a, b, reg=0.3**p, unbalanced=rho, tol=1e-10)
        for name in ("value", "value_linear", "potential_a", "potential_b", "plan", "marginal_b"):
            one, two = getattr(points, name), getattr(stored, name)
            torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-11)
        assert stored.lower <= points.upper and points.lower <= stored.upper
        assert stored.upper - stored.lower < 1e-8
        i, j = stored.sample(20, generator=torch.Generator().manual_seed(0))
        assert (stored.plan[i, j] > 0).all()


def test_batches_are_items():
    C, a, b = problem(batch=(3,), grad=True)
    result = so.solve(C, a, b, reg=REG, tol=1e-11)
    gradients = torch.autograd.grad(result.value.sum(), (C, a))
    assert result.plan.shape == C.shape and result.potential_b.shape == b.shape
    for k in range(3):
        one = [t[k].detach().requires_grad_() for t in (C, a, b)]
        alone = so.solve(*one, reg=REG, tol=1e-11)
        torch.testing.assert_close(result.value[k], alone.value)
        torch.testing.assert_close(result.plan[k], alone.plan)
        own = torch.autograd.grad(alone.value, one[:2])
        for some, wanted in zip(gradients, own, strict=True):
            torch.testing.assert_close(some[k], wanted, rtol=1e-8, atol=1e-10)
    again = so.solve(C, a, b, reg=REG, tol=1e-11, init=result)
    assert again.n_iter <= 2 < result.n_iter


def test_kinds_and_precisions():
    """Arrays and lists in, arrays and numbers out; halves are solved in single precision."""
    C, a, b = problem()
    found = so.solve(C.numpy(), a.numpy(), b.numpy(), reg=REG, tol=1e-10)
    assert isinstance(found.value, float) and isinstance(found.plan, np.ndarray)
    assert found.value == pytest.approx(float(so.solve(C, a, b, reg=REG, tol=1e-10).value))
    assert so.solve([[0.0, 1.0], [1.0, 0.0]], reg=0.01).value == pytest.approx(
        0.01 * math.log(2), rel=1e-6
    )
    for dtype in (torch.float32, torch.float16):
        single = so.solve(C.to(dtype), reg=REG, tol=1e-4)
        assert single.value.dtype == single.plan.dtype == torch.float32
        assert float(single.value) == pytest.approx(
            float(so.solve(C, reg=REG).value), rel=2e-2, abs=1e-3
        )


def test_small_large_and_without_weight():
    """One row, one column, equal costs, weights that are zero, costs of any size."""
    one = so.solve(torch.tensor([[3.0]]), reg=0.1)
    assert float(one.value) == pytest.approx(3.0)
    equal = so.solve(torch.full((4, 3), 2.0).double(), reg=0.1)
    assert float(equal.value) == pytest.approx(2.0)
    C, a, b = problem()
    a[2] = b[0] = 0
    a, b = a / a.sum(), b / b.sum()
    keep = [0, 1, 3, 4, 5, 6]
    less = so.solve(C[keep][:, 1:], a[keep], b[1:], reg=REG, tol=1e-11)
    C, a = C.requires_grad_(), a.requires_grad_()
    result = so.solve(C, a, b, reg=REG, tol=1e-11)
    torch.testing.assert_close(result.value, less.value)
    slope, other = torch.autograd.grad(result.value, (C, a), create_graph=True)
    assert (slope[2] == 0).all() and (slope[:, 0] == 0).all()
    assert torch.autograd.grad(slope.square().sum() + other.square().sum(), C)[0].isfinite().all()
    for scale in (1e-6, 1e6):
        scaled = so.solve(scale * C.detach(), a.detach(), b, reg=scale * REG, tol=1e-11)
        torch.testing.assert_close(scaled.value, scale * result.value.detach(), rtol=1e-9, atol=0)
        torch.testing.assert_close(scaled.plan, result.plan.detach(), rtol=1e-6, atol=1e-12)


def test_results_keep_what_was_solved():
    C, a, b = problem()
    result = so.solve(C, a, b, reg=REG)
    before = result.plan.clone()
    C.add_(torch.rand_like(C))
    assert torch.equal(result.plan, before)
    assert "7 x 5 costs" in repr(result) and "reg 0.3, Balanced" in repr(result)
    C = C.requires_grad_()
    result = so.solve(C, a, b, reg=REG)
    with torch.no_grad():
        C.mul_(3)
    for ask in (lambda: result.plan, lambda: result.potentials):
        with pytest.raises(RuntimeError, match="the costs or weights of a result were changed"):
            ask()
    with torch.no_grad():
        torch.testing.assert_close(result.plan.sum(0), b, rtol=1e-3, atol=0)


@pytest.mark.parametrize("offset", [1e3, 1e5, -1e5])
@pytest.mark.parametrize("size", [40, 270])
def test_large_costs_in_single_precision(size, offset):
    """Costs that are large beside their differences: marginals are what the report says."""
    C = (torch.rand(size, size) + offset).requires_grad_()
    result = so.solve(C, reg=0.01)
    exact = so.solve(C.detach().double(), reg=0.01)
    errors = [(result.plan.double().sum(k) * size - 1).abs().mean() for k in (0, 1)]
    assert result.converged and max(errors) < 1e-3
    assert result.plan.dtype == result.value.dtype == torch.float32
    torch.testing.assert_close(result.plan.double(), exact.plan, rtol=0.02, atol=1e-7)
    (slope,) = torch.autograd.grad(result.value, C)
    assert float(slope.sum()) == pytest.approx(1, abs=1e-3)
    assert size < 256 or result.reports[0].engine.startswith("matrix")


def test_intervals_of_negative_costs():
    """Zero is no bound on them."""
    for seed in range(5):
        C = torch.rand(30, 30, generator=torch.Generator().manual_seed(seed)).double() - 2
        result = so.solve(C, reg=0.2, tol=1e-2, solver=so.Sinkhorn(max_sweeps=3))
        exact = so.solve(C, reg=0.2, tol=1e-13).value
        assert result.lower < exact < result.upper
        assert result.lower < result.value


def test_pairs_of_prices_may_be_lists():
    C, a, b = problem()
    one, two = (so.solve(C, a, b, reg=REG, unbalanced=kind((0.5, 2.0))) for kind in (list, tuple))
    assert torch.equal(one.value, two.value)


def test_warnings_name_its_arguments():
    C, a, b = problem()
    with pytest.warns(RuntimeWarning, match="or take a larger reg."):
        so.solve(C, a, b, reg=0.02, tol=1e-9, solver=so.Sinkhorn(max_sweeps=1))


@pytest.mark.parametrize("unbalanced", [None, 0.5])
def test_gradients_in_weights(unbalanced):
    """What the guide says of them."""
    C, a, b = problem(grad=True)
    result = so.solve(C, a, b, reg=REG, unbalanced=unbalanced, tol=1e-12)
    (slope,) = torch.autograd.grad(result.value, a)
    f = result.potential_a.detach()
    wanted = f - f.mean()
    if unbalanced:
        wanted = unbalanced + REG * b.sum() - (unbalanced + REG) * (-f / unbalanced).exp()
    torch.testing.assert_close(slope, wanted.detach(), rtol=1e-8, atol=1e-10)


C = torch.rand(4, 3).double()
SOLVED = so.solve(C, reg=REG)
BAD = {
    r"C: got shape \(3,\), wanted costs \(N, M\)": lambda: so.solve(C[0], reg=REG),
    r"C: got shape \(0, 3\)": lambda: so.solve(C[:0], reg=REG),
    "C: got NaN or infinite costs": lambda: so.solve(C / 0, reg=REG),
    "C: got dtype torch.int64, wanted float32": lambda: so.solve(C.long(), reg=REG),
    "reg: got 0, wanted a positive": lambda: so.solve(C, reg=0.0),
    r"a: got shape \(3,\), wanted shape \(4,\)": lambda: so.solve(C, C[0], reg=REG),
    "a: got a negative weight": lambda: so.solve(C, -C[:, 0], reg=REG),
    "unbalanced: got -1, wanted a positive": lambda: so.solve(C, reg=REG, unbalanced=-1.0),
    "unbalanced: got 3 prices": lambda: so.solve(C, reg=REG, unbalanced=[1.0, 1.0, 1.0]),
    "reg: got 1e-18, wanted at least .* for costs that differ by": lambda: so.solve(C, reg=1e-18),
    "a matrix inside of a transform": lambda: torch.func.grad(lambda C: so.solve(C, reg=REG).value)(C),
    "equal masses for balanced transport. .* with unbalanced=": lambda: so.solve(C, 2 * C[:, 0], reg=REG),
    "init: got str": lambda: so.solve(C, reg=REG, init="before"),
    "map: got a matrix of costs, without points": lambda: SOLVED.map(),
    "a result of solve_sample. torch.autograd differentiates": lambda: SOLVED.hvp(C[:, 0], "a"),
    "wrt: got 'x', wanted a result of solve_sample": lambda: SOLVED.gradient_error(),
    "unregularised: got": lambda: SOLVED.unregularised,
}  # fmt: skip


@pytest.mark.parametrize("said", BAD)
def test_refusals(said):
    with pytest.raises((ValueError, TypeError), match=said):
        BAD[said]()


@pytest.mark.parametrize("n", [20, 300])
def test_progress_names_the_temperature_as_the_caller_does(capsys, n):
    C, a, b = problem(n, n)
    so.solve(C, a, b, reg=REG, solver=so.Sinkhorn(progress=True))
    told = capsys.readouterr().err
    assert "reg 0.3" in told and "blur" not in told
    so.solve_sample(a[:, None], b[:, None], blur=REG, solver=so.Sinkhorn(progress=True))
    assert "blur 0.3" in capsys.readouterr().err
