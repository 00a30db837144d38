"""Many dimensions: leaves first, few sweeps over all pairs, and a last pass that tells all."""

import math
import warnings

import pytest
import torch

import sparseot as so
from sparseot.engines.tiles import _TileReductions
from sparseot.transport.plans.bounds import interval
from sparseot.transport.plans.bounds.interval import value_bounds
from sparseot.transport.plans.sums import PlanSums
from sparseot.transport.solvers.nested import leaves
from sparseot.transport.solvers.nested.last_pass import LastPass
from sparseot.transport.solvers.progress import Stopped

ALL, LEAVES = so.Sinkhorn(multilevel=False), so.Sinkhorn(multilevel=True)
BLUR = 1.0


def clouds(n=1100, m=1000, dim=12, dtype=torch.float64, seed=0):
    """Cells of two stages: more pairs than a tile holds."""
    x = so.datasets.cells(n, dim, stage=0.35, seed=seed, dtype=dtype)[0]
    return x, so.datasets.cells(m, dim, stage=0.8, seed=seed + 1, dtype=dtype)[0]


@pytest.fixture(scope="module")
def exact():
    """Clouds, and their value and gradients to all digits that matter."""
    x, y = (c.requires_grad_() for c in clouds())
    found = so.solve_sample(x, y, blur=BLUR, tol=1e-8, solver=ALL)
    gradients = torch.autograd.grad(found.value, (x, y))
    return x.detach(), y.detach(), float(found.value.detach()), gradients


@pytest.fixture
def passes(monkeypatch):
    """The pairs that were visited, and those by passes that tell all."""
    seen = {"pairs": 0, "last": 0, "sums": 0}

    def counted(name, what):
        run = getattr(_TileReductions, name)

        def call(self, *args, **kwargs):
            seen[what] += 1
            seen["pairs"] += self.x.shape[1] * self.y.shape[1]
            return run(self, *args, **kwargs)

        monkeypatch.setattr(_TileReductions, name, call)

    for name, what in (("sum_exp", "sums"), ("both_ways", "last"), ("sum", "sums")):
        counted(name, what)
    return seen


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_value_gradients_and_interval(exact, dtype):
    x, y, value, gradients = exact
    x, y = (c.to(dtype).requires_grad_() for c in (x, y))
    found = so.solve_sample(x, y, blur=BLUR, tol=1e-2, solver=LEAVES)
    assert found.converged and "leaves of a tree" in found.reports[0].engine
    assert found.value.item() == pytest.approx(value, rel=1e-3)
    for got, want in zip(torch.autograd.grad(found.value, (x, y)), gradients, strict=True):
        assert float((got - want).norm() / want.norm()) < 0.1
    assert found.lower <= value <= found.upper
    assert float(found.upper - found.lower) < 2e-2 * value


def test_it_converges_as_far_as_is_asked(exact):
    x, y, value, (gradient, _) = exact
    x = x.clone().requires_grad_()
    found = so.solve_sample(x, y, blur=BLUR, tol=1e-7, solver=LEAVES)
    assert found.converged and found.residual <= 1e-7
    assert found.value.item() == pytest.approx(value, rel=1e-9)
    got = torch.autograd.grad(found.value, x)[0]
    assert float((got - gradient).norm() / gradient.norm()) < 1e-5
    assert found.lower <= value * (1 + 1e-11) and value * (1 - 1e-11) <= found.upper


def test_few_passes_over_all_pairs(passes):
    x, y = clouds(2400, 2400, 24, torch.float32)
    counts = []
    for solver in (ALL, LEAVES):
        passes["pairs"] = 0
        assert so.solve_sample(x, y, blur=BLUR, tol=1e-2, solver=solver).converged
        counts.append(passes["pairs"])
    assert counts[1] < counts[0] / 4
    assert passes["last"] == 1


def test_derivatives_and_interval_take_no_pass_of_their_own(passes):
    x, y = (c.requires_grad_() for c in clouds(dtype=torch.float32))
    found = so.solve_sample(x, y, blur=BLUR, tol=1e-2, solver=LEAVES)
    before = dict(passes)
    found.value.backward()
    assert found.lower < found.value < found.upper
    assert passes == before and x.grad is not None and y.grad is not None
    tight = so.solve_sample(
        x, y, blur=BLUR, tol=1e-2, solver=so.Sinkhorn(multilevel=True, certificate="tight")
    )
    assert float(tight.upper - tight.lower) < float(found.upper - found.lower) / 3


@pytest.mark.parametrize("seed", range(9))
def test_intervals_of_random_problems(seed):
    """Unequal sizes and weights, masses that are not one, solves that were ended early."""
    draw = torch.Generator().manual_seed(seed)
    n, m = (torch.randint(1030, 1100, (2,), generator=draw)).tolist()
    x = torch.randn(n, 8, generator=draw) * torch.rand(8, generator=draw)
    y = torch.randn(m, 8, generator=draw) + 2 * torch.rand(8, generator=draw)
    a, b = (torch.rand(k, generator=draw).double() ** 3 + 1e-6 for k in (n, m))
    mass = [1.0, 0.01, 100.0][seed % 3]
    a, b = mass * a / a.sum(), mass * b / b.sum()
    blur = [0.3, 0.6, 1.5][seed % 2]
    solver = so.Sinkhorn(multilevel=True, max_sweeps=[1, 2, 500][seed % 3])
    dtype = torch.float32 if seed % 4 else torch.float64
    given = [t.to(dtype) for t in (x, y, a, b)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these are not to converge
        found = so.solve_sample(*given, blur=blur, tol=1e-2, solver=solver)
    assert found.solved[0].solution.seen[0] is not None
    wide = [t.double() for t in given]
    wide[3] = wide[3] * (wide[2].sum() / wide[3].sum())
    true = so.solve_sample(*wide, blur=blur, tol=1e-8, solver=ALL)
    slack = 1e-9 * abs(true.value.item())
    assert float(found.lower) <= true.value.item() + slack
    assert true.value.item() - slack <= float(found.upper)
    low, high = value_bounds(found.solved, 0)
    assert float(low) <= float(high)


@pytest.mark.parametrize("how", [{"reach": 4.0}, {"p": 1, "blur": 0.5}, {"reach": (3.0, None)}])
def test_other_problems(how):
    x, y = clouds(300, 260, 9)
    how = {"blur": BLUR, "tol": 1e-5} | how
    values, gradients = [], []
    for solver in (ALL, LEAVES):
        x = x.detach().requires_grad_()
        found = so.solve_sample(x, y, solver=solver, **how)
        assert found.converged and found.lower <= found.value <= found.upper
        values.append(found.value.detach())
        gradients.append(torch.autograd.grad(found.value, x)[0])
    torch.testing.assert_close(*values, rtol=1e-6, atol=0)
    torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-6)


def test_a_reach_has_slopes_from_the_last_pass_too():
    x, y = clouds()
    gradients = []
    for solver in (ALL, LEAVES):
        x = x.detach().requires_grad_()
        found = so.solve_sample(x, y, blur=BLUR, reach=4.0, tol=1e-7, solver=solver)
        gradients.append(torch.autograd.grad(found.value, x)[0])
    assert found.solved[0].solution.slopes[0] is not None
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-8)


def test_batches_debiasing_and_zero_weights():
    x, y = clouds(260, 220, 8)
    a = torch.rand(260, dtype=torch.float64)
    a[:20] = 0
    a /= a.sum()
    pair = torch.stack((x, x + 1)), torch.stack((y, y))
    weights = a.expand(2, -1), torch.full((2, 220), 1 / 220, dtype=torch.float64)
    found, plain = (
        so.solve_sample(*pair, *weights, blur=BLUR, debias=True, tol=1e-6, solver=solver)
        for solver in (LEAVES, ALL)
    )
    torch.testing.assert_close(found.value, plain.value, rtol=1e-8, atol=0)
    assert bool(found.potential_a.isfinite().all())
    same = so.solve_sample(x, x, blur=BLUR, debias=True, solver=LEAVES)
    assert same.value.item() == pytest.approx(0, abs=1e-9)


def test_padding_changes_nothing():
    """Alone and in a batch, where other items have none: values, gradients, intervals."""
    x, y = clouds(1102, 1000, 8)
    a = torch.full((1102,), 1 / 1100, dtype=torch.float64)
    x[1100:], a[1100:] = x[1099], 0.0
    few = x[:1100].clone().requires_grad_()
    x.requires_grad_()
    options = {"blur": BLUR, "tol": 1e-2, "solver": LEAVES}
    plain = so.solve_sample(few, y, **options)
    whole = torch.full((1102,), 1 / 1102, dtype=torch.float64)
    pair, weights = (torch.stack((x, x + 1)), y.expand(2, -1, -1)), torch.stack((a, whole))
    batch = so.solve_sample(*pair, weights, None, **options)
    (wanted,) = torch.autograd.grad(plain.value, few)
    for found in (so.solve_sample(x, y, a, None, **options), batch):
        value = found.value.reshape(-1)[0]
        torch.testing.assert_close(value, plain.value, rtol=1e-9, atol=0)
        (got,) = torch.autograd.grad(value, x)
        torch.testing.assert_close(got[:1100], wanted, rtol=1e-7, atol=1e-12)
        assert bool((got[1100:] == 0).all())
        lower, upper = (end.reshape(-1)[0] for end in (found.lower, found.upper))
        assert 0.9 * value < lower <= value <= upper < 1.1 * value


def test_a_target_of_which_few_points_carry_mass():
    """All of it goes to one of 3,000 points: the only plan is the product."""
    x, y = clouds(1100, 3000, 8)
    b = torch.zeros(3000, dtype=torch.float64)
    b[7] = 1.0
    found = so.solve_sample(x, y, None, b, blur=BLUR, tol=1e-2, solver=LEAVES)
    assert found.value.item() == pytest.approx(float((x - y[7]).square().sum(1).mean() / 2))


def test_the_error_is_estimated_where_mass_is():
    """From the tenth of the points that carry it, all of which are asked: the estimate is the error."""
    x, y = clouds(500, 5000, 8)
    b = torch.rand(5000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    b[500:] = 0.0
    problem = so.solve_sample(x, y, None, b / b.sum(), blur=BLUR, solver=LEAVES).solved[0].problem
    ends, f, g = LastPass(problem), torch.zeros(500).double(), torch.zeros(5000).double()
    f = ends.softmins.step(0, f, g).value
    assert ends.estimate(f, g) == pytest.approx(float(ends.softmins.step(1, g, f).error))


@pytest.mark.parametrize(("blur", "more"), [(1.0, 0), (30.0, 1)])
def test_intervals_are_narrow_at_any_temperature(blur, more, monkeypatch):
    """Where rounding times the temperature is much, products in double precision tell; elsewhere none is taken."""
    taken = []
    monkeypatch.setattr(interval, "PlanSums", lambda *given: (taken.append(1), PlanSums(*given))[1])
    draw = torch.Generator().manual_seed(1)
    x, y = (torch.randn(n, 12, generator=draw) for n in (1100, 1050))
    found = so.solve_sample(x, 0.7 * y + 0.5, blur=blur, tol=1e-2, solver=LEAVES)
    mean = float(torch.cdist(x, 0.7 * y + 0.5).square().mean() / 2)
    assert 0 <= found.lower <= found.upper <= float(found.lower) + 1e-2 * mean
    assert len(taken) == more


def test_principal_axes_of_very_many_dimensions():
    """Those that vary most, without all of them: of 700 dimensions, as many as a tree may cut."""
    draw = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(700, 30, generator=draw, dtype=torch.float64))[0]
    scales = torch.arange(60.0, 30.0, -1.0).double()
    x = torch.randn(900, 30, generator=draw, dtype=torch.float64) * scales @ basis.mT
    x += 0.1 * torch.randn(900, 700, generator=draw, dtype=torch.float64)
    axes = leaves.principal_axes(x, x[:100])
    assert axes.shape == (700, 64)
    torch.testing.assert_close(axes.mT @ axes, torch.eye(64).double())
    seen = (axes.mT @ basis).square().sum(0)
    assert float(seen.min()) > 0.99
    spread = (x @ axes).var(0)
    assert bool((spread[:30] > 100 * spread[30:].max()).all())
    few = leaves.principal_axes(x[:, :20], x[:50, :20])
    torch.testing.assert_close(few.mT @ few, torch.eye(20).double())


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 40), (3, 2), (9, 17)])
def test_tiny_clouds(n, m):
    x, y = clouds(n, m, 7)
    found = so.solve_sample(x, y, blur=BLUR, tol=1e-6, solver=LEAVES)
    plain = so.solve_sample(x, y, blur=BLUR, tol=1e-6, solver=ALL)
    assert found.converged
    assert found.value.item() == pytest.approx(plain.value.item(), rel=1e-8)


def test_points_that_are_all_equal():
    x = torch.zeros(1200, 9, dtype=torch.float64)
    y = torch.full((1200, 9), 2.0, dtype=torch.float64)
    found = so.solve_sample(x, y, blur=BLUR, solver=LEAVES)
    assert found.value.item() == pytest.approx(18.0, rel=1e-6)
    assert found.lower <= 18.0 <= found.upper + 1e-9


def test_second_derivatives_are_there():
    x, y = clouds(1100, 1000, 8)
    v = torch.ones_like(x)
    found = so.solve_sample(x, y, blur=BLUR, tol=1e-8, solver=LEAVES)
    torch.testing.assert_close(found.hvp(v), v / 1100, rtol=1e-5, atol=1e-10)


def test_an_interruption_leaves_a_result():
    x, y = clouds(dtype=torch.float32)

    def stop(blur, error, tol):
        if math.isclose(blur, BLUR, rel_tol=1e-6):
            raise Stopped

    solver = so.Sinkhorn(multilevel=True, progress=stop)
    with pytest.warns(RuntimeWarning, match="marginals are off"):
        found = so.solve_sample(x, y, blur=BLUR, tol=1e-6, solver=solver)
    assert not found.converged and found.lower <= found.value <= found.upper


def test_who_asks_for_all_pairs_gets_them():
    x, y = clouds(60, 50, 8)
    assert "leaves" not in so.solve_sample(x, y, blur=BLUR, solver=ALL).reports[0].engine
    assert "leaves" not in so.solve_sample(x, y, blur=BLUR).reports[0].engine
    assert "leaves" in so.solve_sample(x, y, blur=BLUR, solver=LEAVES).reports[0].engine
