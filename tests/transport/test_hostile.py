"""Kept pairs on clouds that nobody would draw for a picture, against all pairs in double precision."""

import warnings

import numpy as np
import pytest
import torch

import sparseot as so

N, M = 250, 240  # few enough for the stored matrix of Newton's method, an independent code path
SMALL = {"max_sweeps": 400}


def outliers(draw, n, dim):
    """A few points at up to ten thousand diameters."""
    x = draw.random((n, dim))
    x[:3] = 10.0 ** draw.uniform(1, 4, (3, 1)) * draw.standard_normal((3, dim))
    return x


def far_clusters(draw, n, dim):
    """Four clusters a thousand blurs apart (at a blur of 0.01)."""
    centres = 10 * np.random.default_rng(1).random((4, dim))
    return centres[draw.integers(4, size=n)] + 0.03 * draw.standard_normal((n, dim))


def power_law(draw, n, dim):
    way = draw.standard_normal((n, dim))
    return draw.pareto(1.2, (n, 1)) * way / np.linalg.norm(way, axis=1, keepdims=True)


def spikes(draw, n, dim):
    """Points at all scales around one."""
    return 10.0 ** draw.uniform(-8, 0, (n, 1)) * draw.standard_normal((n, dim))


CLOUDS = {
    "outliers": (outliers, 0.1),
    "far clusters": (far_clusters, 0.01),
    "Cauchy": (lambda draw, n, dim: draw.standard_cauchy((n, dim)), 0.3),
    "power law": (power_law, 0.1),
    "spikes": (spikes, 0.03),
    "lattice": (lambda draw, n, dim: np.floor(8 * draw.random((n, dim))) / 8, 0.05),
    "duplicates": (lambda draw, n, dim: np.floor(2 * draw.random((n, dim))) / 2, 0.3),
    "a line": (lambda draw, n, dim: draw.random((n, 1)) * np.eye(1, dim), 0.03),
    "blur far above": (lambda draw, n, dim: draw.random((n, dim)), 100.0),
    "blur far below": (lambda draw, n, dim: draw.random((n, dim)), 0.004),
}
WEIGHTS = {
    "uniform": lambda draw, n: np.ones(n),
    "twelve orders": lambda draw, n: 10.0 ** draw.uniform(-12, 0, n),
    "zeros": lambda draw, n: (draw.random(n) < 0.6) + np.eye(1, n)[0],
}
REACHES = [None, 1e-3, 1e3, (None, 0.3), (0.01, 1.0)]
CASES = [
    (cloud, weights, reach, dim, dtype)
    for k, cloud in enumerate(CLOUDS)
    for j, (weights, reach) in enumerate(
        (("uniform", None), ("twelve orders", None), ("zeros", REACHES[1 + k % 4]))
    )
    for dim, dtype in [((1, 2, 3, 6)[(k + j) % 4], (torch.float64, torch.float32)[(k + j) % 2])]
]


def problem(cloud, weights, dim, dtype, sizes=(N, M), seed=0, offset=0.0, mass=1.0):
    draw = np.random.default_rng(seed)
    make, blur = CLOUDS[cloud]
    x, y = (torch.from_numpy(make(draw, n, dim) + offset).to(dtype) for n in sizes)
    a, b = (torch.from_numpy(WEIGHTS[weights](draw, n).astype(float)).to(dtype) for n in sizes)
    a = mass * a / a.sum()
    return x, y, a, b * (a.sum() / b.sum()), blur


def solved(x, y, a, b, **options):
    """The result, and whether it said that it did not converge."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = so.solve_sample(x, y, a, b, **options)
    assert all("The marginals are off" in str(w.message) for w in said)
    assert found.converged != bool(said)
    return found


def check(x, y, a, b, blur, reach, engine="auto", tol=1e-3, debias=False):
    """Interval, residual, value, gradient, plan and maps are what they say they are."""
    moving = x.clone().requires_grad_()
    kept = so.Sinkhorn(multilevel=True, engine=engine, **SMALL)
    options = {"blur": blur, "reach": reach, "debias": debias}
    found = solved(moving, y, a, b, tol=tol, solver=kept, **options)
    assert found.n_iter < 60 * SMALL["max_sweeps"]
    x, y, a, b = (t.double() for t in (x, y, a, b))
    b = b * (a.sum() / b.sum()) if reach is None else b
    fine = so.Sinkhorn(multilevel=False, max_sweeps=4000)
    x.requires_grad_()
    exact = solved(x, y, a, b, tol=1e-9, solver=fine, **options)
    slack = 1e-9 * max(abs(exact.value.item()), blur**2)
    assert found.lower - slack <= exact.upper and exact.lower - slack <= found.upper
    width = found.upper - found.lower
    close = 1e-6 if found.value.dtype == torch.float32 else 1e-12
    value = found.value.double()
    assert found.lower - close * abs(value) <= value <= found.upper + close * abs(value)
    if exact.converged:
        assert abs(value - exact.value) <= width + close * abs(value) + slack
        force, wanted = (
            torch.autograd.grad(r.value, t)[0].double() for r, t in ((found, moving), (exact, x))
        )
        error = (force - wanted).norm(dim=1).sum()
        rounding = 1e-6 * wanted.norm(dim=1).sum()
        assert error <= found.gradient_error() + exact.gradient_error() + rounding
    rows, cols = found.marginal_a, found.marginal_b
    assert rows.isfinite().all() and cols.isfinite().all() and found.map().isfinite().all()
    assert found.map(inverse=True).isfinite().all() and found.value_linear.isfinite()
    if reach is None and not debias:
        lack = (rows.double() - a).abs().sum() / a.sum()
        single = 2e-5 if found.value.dtype == torch.float32 else 1e-9
        assert lack <= 1.1 * found.residual + found.omitted + single
    return found


@pytest.mark.parametrize(("cloud", "weights", "reach", "dim", "dtype"), CASES, ids=str)
def test_hostile_clouds(cloud, weights, reach, dim, dtype):
    x, y, a, b, blur = problem(cloud, weights, dim, dtype)
    check(x, y, a, 2 * b if reach else b, blur, reach)


@pytest.mark.parametrize("sizes", [(1, 900), (900, 1), (33, 1500), (2000, 31)], ids=str)
def test_few_points_against_many(sizes):
    x, y, a, b, blur = problem("lattice", "uniform", 2, torch.float64, sizes)
    check(x, y, a, b, blur, None)


@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_far_from_the_origin(offset):
    """Points in single precision, whose last digits are hundredths: both engines, and all pairs."""
    x, y, a, b, _ = problem("Cauchy", "uniform", 3, torch.float32, offset=offset)
    for engine in ("numba", "tiles"):
        check(x, y, a, b, 1.0, None, engine)


@pytest.mark.parametrize("mass", [1e-6, 1e3])
@pytest.mark.parametrize("debias", [True, False])
def test_masses_far_from_one(mass, debias):
    x, y, a, b, blur = problem("lattice", "uniform", 2, torch.float64, mass=mass)
    check(x, y, a, b, blur, None, debias=debias)


def test_both_sides_of_the_threshold():
    """The last solve over all pairs and the first over kept ones: the same numbers to the tolerance."""
    x, y, a, b, _ = problem("lattice", "uniform", 3, torch.float64, (1001, 1000))
    some, all_ = (solved(x[:n], y, blur=0.05, a=None, b=None, tol=1e-6) for n in (1001, 999))
    assert some.kept_fraction < 1 and all_.kept_fraction == 1
    same = solved(x, y, None, None, blur=0.05, tol=1e-6, solver=so.Sinkhorn(multilevel=False))
    torch.testing.assert_close(some.value, same.value, rtol=1e-9, atol=0)
    assert max(some.lower, same.lower) <= min(some.upper, same.upper)
    equal = solved(x, x.clone(), None, None, blur=0.05, tol=1e-6)
    torch.testing.assert_close(equal.potential_a, equal.potential_b)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_many_hostile_clouds(seed):
    """The same for other draws, engines, tolerances and dimensions."""
    draw = np.random.default_rng(seed)
    for cloud in CLOUDS:
        weights, reach = draw.choice(list(WEIGHTS)), REACHES[draw.integers(len(REACHES))]
        dim, dtype = int(draw.integers(1, 7)), (torch.float64, torch.float32)[draw.integers(2)]
        x, y, a, b, blur = problem(cloud, weights, dim, dtype, seed=seed)
        engine = ("numba", "tiles")[draw.integers(2)]
        tol = 10.0 ** -float(draw.integers(2, 6))
        one_sided = isinstance(reach, tuple)
        debias = bool(draw.integers(2)) and not one_sided
        check(x, y, a, b, blur, reach, engine, tol, debias)


@pytest.mark.parametrize("multilevel", [True, False])
def test_an_outlier_does_not_set_the_pace(multilevel):
    """One at ten thousand diameters on either side: the sweeps are those of the bulk."""
    torch.manual_seed(0)
    x, y = (torch.rand(2000, 2).double() for _ in "xy")
    x[0], y[0] = (1e4 * torch.randn(2).double() for _ in "xy")
    solver = so.Sinkhorn(multilevel=multilevel, max_sweeps=100)
    found = so.solve_sample(x, y, blur=0.05, solver=solver)
    assert found.converged and found.lower <= found.value <= found.upper


@pytest.mark.parametrize("multilevel", [True, False])
@pytest.mark.parametrize("count", [5, 60])
def test_points_without_weight_do_not_set_the_pace(count, multilevel):
    """Few or many of them, a thousand sides away."""
    torch.manual_seed(0)
    x, y = (torch.rand(600, 2).double() for _ in "xy")
    solver = so.Sinkhorn(multilevel=multilevel)
    plain = so.solve_sample(x, y, blur=0.05, solver=solver)
    far = torch.cat((x, 1e3 + torch.rand(count, 2).double()))
    a = torch.cat((torch.full((600,), 1 / 600), torch.zeros(count))).double()
    a = a / a.sum()
    found = so.solve_sample(far, y, a, None, blur=0.05, solver=solver)
    assert found.converged and found.levels[-1].sweeps <= 3 * plain.levels[-1].sweeps
    torch.testing.assert_close(found.value, plain.value, rtol=1e-5, atol=0)
