"""From coarse clouds to the points, over kept pairs: the same answers as over all pairs."""

import math

import pytest
import torch

import sparseot as so
from sparseot.transport.pruned.blocks import clouds
from sparseot.transport.solvers import multilevel
from sparseot.transport.solvers.small import STORED_PAIRS
from tests.references.dense import cost_matrix

ALL = so.Sinkhorn(multilevel=False)
FEW = so.Sinkhorn(multilevel=True)


def weights(n, spread=1.0):
    w = (spread * torch.randn(n).double()).exp()
    return w / w.sum()


def clusters(n, count, side=0.03):
    centres = torch.rand(count, 2).double()
    return centres[torch.randint(count, (n,))] + side * torch.randn(n, 2).double()


def outlying(n):
    x = torch.rand(n, 2).double()
    x[0] = torch.tensor([8.0, -6.0])
    return x


CLOUDS = {
    "line": lambda: (torch.rand(700, 1).double(), torch.rand(500, 1).double() + 0.3),
    "square": lambda: (torch.rand(700, 2).double(), torch.rand(901, 2).double() ** 2),
    "cube": lambda: (torch.rand(700, 3).double(), 0.5 * torch.rand(500, 3).double() + 0.4),
    "five dimensions": lambda: (torch.rand(300, 5).double(), torch.rand(400, 5).double()),
    "clusters": lambda: (clusters(600, 3), clusters(500, 4)),
    "anisotropic": lambda: (
        torch.rand(500, 2).double() * torch.tensor([1.0, 0.01]),
        torch.rand(500, 2).double() * torch.tensor([0.01, 1.0]),
    ),
    "outlier": lambda: (outlying(400), torch.rand(400, 2).double()),
    "duplicates": lambda: (torch.rand(40, 2).double().repeat(10, 1), torch.rand(300, 2).double()),
    "a grid": lambda: (
        torch.cartesian_prod(*[torch.linspace(0, 1, 20).double()] * 2),
        torch.rand(300, 2).double(),
    ),
    "one point": lambda: (torch.rand(400, 2).double(), torch.zeros(1, 2).double()),
}


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("case", CLOUDS)
def test_kept_pairs_give_what_all_pairs_give(case, p):
    """Value, gradient, map and marginals, with uneven weights."""
    x, y = CLOUDS[case]()
    a, b = weights(len(x)), weights(len(y))
    results = []
    for solver, tol in ((ALL, 1e-7), (FEW, 1e-3)):
        moving = x.clone().requires_grad_()
        found = so.solve_sample(
            moving, y, a, b, p=p, blur=0.05, tol=tol, solver=solver, debias=True
        )
        (gradient,) = torch.autograd.grad(found.value, moving)
        assert found.converged and found.residual <= tol
        results.append((found, gradient))
    (exact, gradient), (found, close) = results
    assert "kept pairs" in repr(found) and "all pairs" in repr(exact)
    assert abs(found.value - exact.value) < 1e-3 * 0.05**p
    assert (close - gradient).norm() < 5e-3 * gradient.norm() + 1e-6  # first order in tol
    plan = found.plan
    assert (plan.sum(1) - a).abs().sum() <= 1e-3 and (plan.sum(0) - b).abs().sum() <= 1e-3
    moved = (a[:, None] * (found.map() - exact.map()) ** 2).sum().sqrt()
    assert moved < {1: 1e-2, 2: 2e-3}[p] * cost_matrix(x, y, 2).max().sqrt()
    torch.testing.assert_close(found.value_linear, exact.value_linear, rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [0.5, 0.1, (None, 0.3), (0.3, None)])
def test_free_marginals(reach, p):
    x, y = CLOUDS["cube"]()
    a, b = weights(len(x)), 2 * weights(len(y))
    options = {"p": p, "blur": 0.05, "reach": reach, "debias": not isinstance(reach, tuple)}
    exact = so.solve_sample(x, y, a, b, tol=1e-8, solver=ALL, **options)
    found = so.solve_sample(x, y, a, b, tol=1e-3, solver=FEW, **options)
    assert found.converged
    torch.testing.assert_close(found.value, exact.value, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.marginal_a.sum(), exact.marginal_a.sum(), rtol=1e-3, atol=0)


def test_sweeps_are_few_at_small_blurs():
    """The momentum is not judged while it grows: 84 sweeps, and more than 200 otherwise."""
    torch.manual_seed(0)
    x, y = torch.rand(2000, 2), 0.5 * torch.rand(2000, 2) + 0.4
    found = so.solve_sample(x, y, blur=0.003, solver=FEW)
    assert found.converged and found.levels[-1].sweeps < 120


def test_a_budget_of_sweeps_holds_at_every_level():
    x, y = CLOUDS["clusters"]()
    with pytest.warns(RuntimeWarning, match="max_sweeps"):
        found = so.solve_sample(x, y, blur=0.002, solver=so.Sinkhorn(multilevel=True, max_sweeps=5))
    assert not found.converged and max(level.sweeps for level in found.levels) <= 8


def test_clusters_hundreds_of_blurs_apart():
    """Masses differ, some must cross, and few pairs decide which: coarse levels settle most of it."""
    torch.manual_seed(0)
    centres = torch.rand(2, 8, 3).double()
    x, y = (c[torch.randint(8, (1000,))] + 0.01 * torch.randn(1000, 3).double() for c in centres)
    solver = so.Sinkhorn(multilevel=True, max_sweeps=250)
    found = so.solve_sample(x, y, blur=0.002, solver=solver)
    assert found.converged and found.lower <= found.value <= found.upper


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tight_tolerances(dtype, p):
    """Below what single precision can sum, the loops run in double precision."""
    x, y = CLOUDS["square"]()
    exact = so.solve_sample(x, y, p=p, blur=0.05, tol=1e-10, solver=ALL)
    bar, tol = (1e-10, 1e-8) if dtype == torch.float64 else (1e-6, 1e-6)
    found = so.solve_sample(x.to(dtype), y.to(dtype), p=p, blur=0.05, tol=tol, solver=FEW)
    assert found.converged and found.value.dtype == dtype
    torch.testing.assert_close(found.value.double(), exact.value, rtol=bar, atol=bar)


def test_batches_are_loops():
    x, y = torch.rand(2, 300, 2), torch.rand(2, 200, 2)
    found = so.solve_sample(x, y, blur=0.1, solver=FEW)
    for k in range(2):
        one = so.solve_sample(x[k], y[k], blur=0.1, solver=FEW)
        assert torch.equal(one.value, found.value[k]) and torch.equal(one.map(), found.map()[k])


@pytest.mark.parametrize("p", [1, 2])
def test_a_cloud_and_itself(p):
    x = torch.rand(500, 2).double()
    moving = x.clone().requires_grad_()
    found = so.solve_sample(moving, x, p=p, blur=0.05, debias=True, solver=FEW)
    (gradient,) = torch.autograd.grad(found.value, moving)
    assert found.value == 0 and gradient.abs().max() < 1e-15


def test_warm_starts_skip_the_levels():
    x, y = CLOUDS["cube"]()
    first = so.solve_sample(x, y, blur=0.05, solver=FEW)
    again = so.solve_sample(x + 1e-3, y, blur=0.05, solver=FEW, init=first)
    assert len(again.levels) == 1 and again.n_iter < first.n_iter and again.converged


def test_points_without_weight_and_far_away():
    """They are mapped like any other, and change nothing."""
    x, y = CLOUDS["square"]()
    far = torch.cat((x, torch.tensor([[50.0, 50.0]]).double()))
    a = torch.cat((torch.full((700,), 1 / 700, dtype=torch.float64), torch.zeros(1).double()))
    found = so.solve_sample(far, y, a, None, blur=0.05, solver=FEW)
    plain = so.solve_sample(x, y, blur=0.05, solver=FEW)
    assert found.converged and found.map().isfinite().all()
    torch.testing.assert_close(found.value, plain.value, rtol=1e-6, atol=0)


def test_where_it_cannot_be_it_says_why():
    x = torch.rand(30, 8)
    with pytest.raises(ValueError, match="it has no bounds on blocks"):
        so.solve_sample(x, x + 1, blur=1.0, solver=FEW, cost=lambda x, y: ((x - y) ** 2).sum(-1))
    assert "boxes bound little" in so.solve_sample(x, x + 1, blur=1.0).reports[0].engine
    assert "small clouds" in repr(so.solve_sample(x[:, :3], x[:, :3] + 1, blur=1.0))


@pytest.mark.parametrize("p", [1, 2])
def test_a_solve_without_a_compiler(p):
    x, y = CLOUDS["cube"]()
    moving = x.clone().requires_grad_()
    results = []
    for engine in ("numba", "tiles"):
        solver = so.Sinkhorn(multilevel=True, engine=engine)
        found = so.solve_sample(moving, y, p=p, blur=0.05, debias=True, solver=solver)
        assert found.converged and engine in found.reports[0].engine
        results.append((found.value.detach(), torch.autograd.grad(found.value, moving)[0]))
        assert found.lower <= found.value <= found.upper
    for compiled, plain in zip(*results, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-8)


def test_many_weights_on_one_support_cut_it_once(monkeypatch):
    """Whole clouds are cut into blocks once, and solved as each alone is."""
    x, y = torch.rand(700, 2).double(), torch.rand(600, 2).double()
    a = torch.stack([weights(700) for _ in range(3)])
    alone = [so.solve_sample(x, y, w, blur=0.05, debias=True, solver=FEW).value for w in a]
    sizes, true = [], clouds.block_order

    def counted(points, size):
        sizes.append(len(points))
        return true(points, size)

    monkeypatch.setattr(clouds, "block_order", counted)
    found = so.solve_sample(x, y, a, blur=0.05, debias=True, solver=FEW)
    assert sizes.count(700) == sizes.count(600) == 1
    torch.testing.assert_close(found.value, torch.stack(alone), rtol=1e-12, atol=1e-14)


def test_cells_of_few_pairs_are_solved_without_choosing_any(monkeypatch):
    """Each cloud of a kept problem is cut into blocks once; coarse ones of few pairs are not."""
    made = []
    kept = multilevel.PrunedSoftmins

    def counted(source, target, *args):
        made.append(source.n * target.n)
        return kept(source, target, *args)

    monkeypatch.setattr(multilevel, "PrunedSoftmins", counted)
    x, y = torch.rand(1500, 2).double(), torch.rand(1200, 2).double() + 0.1
    levels = so.solve_sample(x, y, blur=0.02, solver=FEW).levels
    few = [math.prod(level.points) <= STORED_PAIRS for level in levels]
    assert any(few) and made and min(made) > STORED_PAIRS  # for potentials on their way, too


def test_all_points_are_swept_once_at_the_last_temperature():
    """Where cells are so fine that each is a point, the sweeps of all cells are those of the points."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 300, 3, generator=generator).double()
    found = so.solve_sample(x, y, blur=0.02, p=1, solver=so.Sinkhorn(multilevel=True))
    assert [level.blur for level in found.levels].count(found.levels[-1].blur) == 1
    wanted = so.solve_sample(x, y, blur=0.02, p=1, solver=so.Sinkhorn(multilevel=False))
    assert found.converged and found.lower <= wanted.upper and wanted.lower <= found.upper
    torch.testing.assert_close(found.value, wanted.value, rtol=1e-4, atol=0)
