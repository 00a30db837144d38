"""The interval contains the true value: random problems, solved well and badly."""

import warnings

import pytest
import torch

import sparseot as so
from tests.references.dense import cost_matrix, mass_term


def reference(x, y, a, b, p, blur, reach, f, g):
    """Dual value and forces at convergence, by dense updates in double precision from f and g."""
    eps, cost = blur**p, cost_matrix(x, y, p)
    reaches = reach if isinstance(reach, tuple) else (reach, reach)
    rhos = [torch.inf if length is None else length**p for length in reaches]
    damping = [1 / (1 + eps / rho) for rho in rhos]
    for _ in range(5000):
        old = g
        f = -damping[0] * eps * ((g - cost) / eps + b.log()).logsumexp(1)
        g = -damping[1] * eps * ((f[:, None] - cost) / eps + a.log()[:, None]).logsumexp(0)
        if (g - old).abs().max() < 1e-13 * eps:
            break
    plan = a[:, None] * b * ((f[:, None] + g - cost) / eps).exp()
    value = -eps * (plan.sum() - a.sum() * b.sum())
    for weights, h, rho in ((a, f, rhos[0]), (b, g, rhos[1])):
        worth = h if rho == torch.inf else -rho * (-h / rho).expm1()
        value = value + torch.where(weights > 0, weights * worth, 0.0).sum()
    way = x[:, None] - y
    if p == 1:
        way = way / way.norm(dim=2, keepdim=True).clamp(min=1e-300)
    forces = plan[..., None] * way
    return value, forces.sum(1), -forces.sum(0)


def random_problem(seed, distances=False):
    """Sizes, dimensions, weights, masses, gaps, duplicates, outliers, far clusters, precision."""
    torch.manual_seed(seed)
    draw = lambda *choices: choices[int(torch.randint(len(choices), ()))]  # noqa: E731
    n, m, dim = draw(1, 2, 17, 60, 130), draw(1, 5, 40, 129), draw(1, 2, 3, 4)
    x, y = torch.rand(n, dim).double(), torch.rand(m, dim).double()
    kind = draw("plain", "gap", "duplicates", "outlier", "far", "same place", "near")
    if kind == "gap":
        x = x + 2.0 * torch.randint(2, (n, 1))
    elif kind == "duplicates":
        x, y = x[torch.randint(n, (n,))], y[torch.randint(m, (m,))]
    elif kind == "outlier":
        x[0] += 20
    elif kind == "far":
        y = y + 5
    elif kind == "near" and n == m:
        y = x + 1e-3 * torch.randn(n, dim)
    elif kind == "same place":
        y = y[:1].repeat(m, 1)
    a, b = ((draw(0.0, 1.0, 2.0) * torch.randn(k).double()).exp() for k in (n, m))
    a, b = a / a.sum(), b / b.sum()
    p = 1 if distances else draw(2, 2, 2, 1)
    reach = draw(None, None, None, 0.2, 2.0, (None, 0.5), (0.5, None))
    debias = draw(True, False) and not isinstance(reach, tuple)
    if reach is not None:
        b = draw(1.0, 2.0, 0.3) * b
    elif draw(True, False):
        a, b = 3 * a, 3 * b
    solver = so.Sinkhorn(
        max_sweeps=draw(1, 3, 20, 500, 500),
        multilevel=distances or draw(True, True, False),
        certificate=draw("cheap", "cheap", "tight"),
    )
    options = {"p": p, "blur": draw(0.03, 0.1, 0.3, 2.0), "reach": reach, "debias": debias}
    return (
        x,
        y,
        a,
        b,
        options,
        {"solver": solver, "tol": draw(1e-1, 1e-2, 1e-3, 1e-4)},
        draw(torch.float32, torch.float64, torch.float64),
    )


def truth(x, y, a, b, options):
    """The value and its gradients in x and y, of the definition."""
    fine = so.Sinkhorn(multilevel=False, max_sweeps=3000)
    good = so.solve_sample(x, y, a, b, **options, tol=1e-9, solver=fine)
    common = (options["p"], options["blur"], options["reach"])
    value, *forces = reference(x, y, a, b, *common, good.potential_a, good.potential_b)
    if options["debias"]:
        clouds = ((x, a, good.potential_aa), (y, b, good.potential_bb))
        for k, (points, weights, h) in enumerate(clouds):
            own, force, _ = reference(points, points, weights, weights, *common, h, h)
            value, forces[k] = value - own / 2, forces[k] - force
        value = value + mass_term(a, b, options["blur"], options["p"])
    return value.item(), forces


@pytest.mark.parametrize("block", range(8))
def test_the_interval_contains_the_true_value(block):
    """200 random problems: interval and gradients, and at convergence a narrow interval."""
    check_intervals(range(25 * block, 25 * block + 25))


@pytest.mark.parametrize("block", range(2))
def test_the_interval_contains_the_true_value_for_distances(block):
    """50 random problems with p = 1, on kept pairs."""
    check_intervals(range(1000 + 25 * block, 1025 + 25 * block), distances=True)


def check_intervals(seeds, distances=False):
    for seed in seeds:
        x, y, a, b, options, rest, dtype = random_problem(seed, distances)
        x, y, a, b = (t.to(dtype) for t in (x, y, a, b))
        moving = x.clone().requires_grad_(), y.clone().requires_grad_()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of no convergence
            found = so.solve_sample(*moving, a, b, **options, **rest)
            x, y, a, b = (t.double() for t in (x, y, a, b))
            if options["reach"] is None:
                b = b * (a.sum() / b.sum())
            exact, forces = truth(x, y, a, b, options)
        cost = cost_matrix(x, y, options["p"])
        scale, low, high = 1e-12 * (1 + cost.max().item()), found.lower.item(), found.upper.item()
        assert low <= exact + scale and exact - scale <= high, (seed, low - exact, high - exact)
        margin = (1e-6 if dtype == torch.float32 else 1e-14) * max(abs(low), abs(high), 1)
        assert low - margin <= found.value.item() <= high + margin, seed
        if found.converged:
            mean = a @ cost @ b / (a.sum() * b.sum())
            assert high - low <= 3 * found.tol * mean + scale, seed
        gradients = torch.autograd.grad(found.value, moving)
        for wrt, gradient, force in zip("xy", gradients, forces, strict=True):
            error = (gradient.double() - force).norm(dim=1).sum()
            assert error <= found.gradient_error(wrt) + scale, (seed, wrt)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("multilevel", [True, False])
@pytest.mark.parametrize("reach", [None, 0.3])
def test_a_tight_certificate_bounds_gradients_well(multilevel, reach, p):
    """Within the order of the tolerance, and not far above the error."""
    torch.manual_seed(1)
    x, y = torch.rand(400, 2).double(), torch.rand(300, 2).double() + 0.2
    for tol in (1e-2, 1e-3):
        moving, bounds = x.clone().requires_grad_(), {}
        for kind in ("cheap", "tight"):
            solver = so.Sinkhorn(multilevel=multilevel, certificate=kind)
            found = so.solve_sample(moving, y, p=p, blur=0.05, reach=reach, tol=tol, solver=solver)
            bounds[kind] = found.gradient_error()
        (gradient,) = torch.autograd.grad(found.value, moving)
        exact = so.solve_sample(moving, y, p=p, blur=0.05, reach=reach, tol=1e-10).value
        (wanted,) = torch.autograd.grad(exact, moving)
        error, size = ((t).norm(dim=1).sum() for t in (gradient - wanted, wanted))
        assert error <= bounds["tight"] <= bounds["cheap"]
        assert bounds["tight"] <= 10 * tol * size and bounds["tight"] <= 100 * error
    with pytest.raises(ValueError, match="wrt: got 'a', wanted one of"):
        found.gradient_error("a")


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("tol", [1e-2, 1e-3])
@pytest.mark.parametrize("multilevel", [True, False])
def test_it_is_narrow_at_convergence(tol, multilevel, p):
    """Within 3 tol times the mean cost; tight, within the square of tol, or nearly so."""
    x, y = torch.rand(400, 2).double(), torch.rand(300, 2).double() + 0.2
    mean = cost_matrix(x, y, p).mean()
    widths = {}
    for kind in ("cheap", "tight"):
        solver = so.Sinkhorn(multilevel=multilevel, certificate=kind)
        found = so.solve_sample(x, y, p=p, blur=0.05, tol=tol, solver=solver)
        widths[kind] = found.upper - found.lower
    assert widths["cheap"] <= 3 * tol * mean
    assert widths["tight"] <= 10 * tol**2 * mean


def test_zero_weights_and_costs_that_are_functions():
    x, y = torch.rand(30, 2).double(), torch.rand(20, 2).double()
    a = torch.rand(30).double()
    a[3] = 0
    a = a / a.sum()
    exact = so.solve_sample(x, y, a, blur=0.1, tol=1e-9).value
    for cost in (None, lambda x, y: torch.cdist(x, y) ** 2 / 2):
        for solver in (so.Sinkhorn(), so.Sinkhorn(certificate="tight")):
            found = so.solve_sample(x, y, a, blur=0.1, tol=1e-2, cost=cost, solver=solver)
            assert found.lower <= exact <= found.upper
    with pytest.raises(ValueError, match="gradient_error: got a cost that is a function"):
        found.gradient_error()


def test_batches_have_intervals():
    x, y = torch.rand(3, 20, 2), torch.rand(3, 25, 2)
    found = so.solve_sample(x, y, blur=0.2, debias=True)
    assert found.lower.shape == (3,) and (found.lower <= found.upper).all()
    one = so.solve_sample(x[1], y[1], blur=0.2, debias=True)
    torch.testing.assert_close(found.gradient_error("y")[1], one.gradient_error("y"))
