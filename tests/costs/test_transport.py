"""Transport for cost objects, against dense loops, the problem of moved points, and laws."""

import math

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot import costs
from tests.references import unrolled
from tests.references.dense import mass_term

from .objects import AXES, COSTS, clouds, exponent

BLUR, TIGHT = 0.5, 1e-11


def dense(name, x, y, a, b, p=2, reach=None, debias=False):
    """The value of a loop that autograd sees through."""
    matrix, q = COSTS[name][1], exponent(name, p)
    how = {"eps": BLUR**q, "rhos": (math.inf if reach is None else reach**q,) * 2}
    between = unrolled.of_costs(matrix(x, y, p), a, b, **how)[0]
    if not debias:
        return between
    own = [unrolled.of_costs(matrix(t, t, p), w, w, **how)[0] for t, w in ((x, a), (y, b))]
    return between - sum(own) / 2 + mass_term(a, b, BLUR, q)


def along(value, variables, directions):
    """First derivatives, and the Hessian times some directions."""
    first = torch.autograd.grad(value, variables, create_graph=True)
    product = sum((g * d).sum() for g, d in zip(first, directions, strict=True))
    return first, torch.autograd.grad(product, variables)


@pytest.mark.parametrize("reach", [None, 0.8])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("name", COSTS)
def test_values_and_two_derivatives(name, p, reach):
    if name == "Cosine" and p == 1:
        pytest.skip("its cost does not depend on p")
    variables = clouds(name, grad=True)
    directions = [torch.randn_like(t) for t in variables]
    if name == "Labels":
        directions[0][:, 2] = directions[1][:, 2] = 0
    if reach is None:
        directions[2:] = [d - d.mean() for d in directions[2:]]
    how = {"p": p, "blur": BLUR, "reach": reach, "cost": COSTS[name][0](), "tol": TIGHT}
    result = so.solve_sample(*variables, **how)
    exact = dense(name, *variables, p=p, reach=reach)
    assert result.lower - 1e-12 <= exact <= result.upper + 1e-12
    torch.testing.assert_close(result.value, exact, rtol=1e-9, atol=1e-10)
    found, wanted = (along(v, variables, directions) for v in (result.value, exact))
    for order in (0, 1):
        for k, (one, two) in enumerate(zip(found[order], wanted[order], strict=True)):
            if reach is None and k > 1:
                one, two = one - one.mean(), two - two.mean()
            torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7, msg=f"{order}, {'xyab'[k]}")


@pytest.mark.parametrize("name", COSTS)
def test_divergences(name):
    """Debiased, of several clouds at once, in both precisions, and of arrays."""
    x, y, a, b = clouds(name, batch=(2,))
    how = {"blur": BLUR, "cost": COSTS[name][0]()}
    found = so.sinkhorn_divergence(x, y, a, b, tol=1e-9, **how)
    exact = torch.stack([dense(name, *(t[k] for t in (x, y, a, b)), debias=True) for k in (0, 1)])
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-9)
    single = so.sinkhorn_divergence(*(t.float() for t in (x, y, a, b)), tol=1e-4, **how)
    torch.testing.assert_close(single.double(), exact, rtol=2e-3, atol=1e-5)
    arrays = so.sinkhorn_divergence(*(t[0].numpy() for t in (x, y, a, b)), tol=1e-9, **how)
    assert isinstance(arrays, float) and arrays == pytest.approx(float(exact[0]), rel=1e-6)
    sets = so.sinkhorn_divergence([x[0], x[1][:5]], [y[0], y[1]], tol=1e-9, **how)
    alone = so.sinkhorn_divergence(x[1][:5], y[1], tol=1e-9, **how)
    torch.testing.assert_close(sets[1], alone, rtol=1e-6, atol=1e-9)
    half = (t[0].half() for t in (x, y))
    assert so.sinkhorn_divergence(*half, **how).dtype == torch.float32


# for p = 2 the kernel of a geodesic is not positive definite
POSITIVE = [(n, p) for n in COSTS for p in (1, 2) if (n, p) != ("Geodesic", 2)]


@pytest.mark.parametrize(("name", "p"), POSITIVE)
def test_axioms(name, p):
    """Positive, zero at equality only, convex in a weight."""
    cost = COSTS[name][0]()
    for _ in range(5):
        x, y, a, b = clouds(name)
        loss = so.SamplesLoss(cost=cost, p=p, blur=0.2, reach=0.5, tol=1e-10)
        assert abs(loss(a, x, a, x)) < 1e-12
        assert loss(a, x, b, y) > 1e-4 and loss(a, x, 2 * a, x) > 1e-3
        z, ends = torch.cat((x, y)), [torch.cat((a, 0 * b)), torch.cat((0 * a, b))]
        values = [loss((1 - t) * ends[0] + t * ends[1], z, 2 * b, y) for t in (0.0, 0.5, 1.0)]
        assert values[1] <= (values[0] + values[2]) / 2 + 1e-10


def test_rotations_and_lengths_of_directions():
    x, y, a, b = clouds("Cosine")
    turn, _ = torch.linalg.qr(torch.randn(3, 3).double())
    longer = torch.rand(len(x), 1).double() + 0.5
    for cost in (costs.Cosine(), costs.Geodesic()):
        how = {"cost": cost, "blur": 0.3, "tol": 1e-10}
        value = so.sinkhorn_divergence(x, y, a, b, **how)
        moved = so.sinkhorn_divergence(longer * x @ turn, 1e100 * y @ turn, a, b, **how)
        torch.testing.assert_close(moved, value, rtol=1e-9, atol=1e-12)


def test_a_great_circle_is_a_circle():
    """Of equal turns of one measure: arcs of one length, unbalanced or not, and no blur matters."""
    angles = torch.linspace(0, 0.5, 6).double()
    circle = lambda t: torch.stack((t.cos(), t.sin(), 0 * t), -1)  # noqa: E731
    for p in (1, 2):
        how = {"cost": costs.Geodesic(), "p": p, "blur": 0.01, "tol": 1e-9}
        value = so.solve_sample(circle(angles), circle(angles + 0.3), **how).value_linear
        assert float(value) == pytest.approx(0.3**p / p, rel=1e-3)
    line = so.solve_sample(angles[:, None], angles[:, None] + 0.3, blur=0.01, tol=1e-9)
    torch.testing.assert_close(value, line.value_linear, rtol=1e-8, atol=0)


def test_the_problem_of_moved_points():
    """Number for number: an objects says where points go, and nothing else."""
    x, y, a, b = clouds("Mahalanobis")
    factor = torch.linalg.cholesky(AXES @ AXES.T)
    one = so.solve_sample(x, y, a, b, blur=0.3, cost=costs.Mahalanobis(AXES @ AXES.T))
    two = so.solve_sample(x @ factor, y @ factor, a, b, blur=0.3)
    torch.testing.assert_close(one.plan, two.plan, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(one.map() @ factor, two.map(), rtol=1e-9, atol=1e-12)
    new = torch.rand(4, 3).double()
    torch.testing.assert_close(one.map(new) @ factor, two.map(new @ factor), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(one.hvp(a - 1 / 9, "a"), two.hvp(a - 1 / 9, "a"), rtol=1e-8, atol=0)
    with pytest.raises(ValueError, match=r"cost: got Mahalanobis\(\(3, 3\)\), which moves points"):
        one.gradient_error()
    unrolled_ = lambda: so.hessian(one, method="unrolled")  # noqa: E731
    for refused in (unrolled_, lambda: one.gradient_error("y")):
        with pytest.raises(ValueError, match="torch.autograd differentiates the value twice"):
            refused()


def test_maps_of_labels_and_of_directions():
    """Means of the points as they were given: classes are numbers there, not columns."""
    for name in ("Labels", "Cosine"):
        x, y, a, b = clouds(name)
        result = so.solve_sample(x, y, a, b, blur=0.3, tol=1e-10, cost=COSTS[name][0]())
        means = result.plan @ y / result.plan.sum(1, keepdim=True)
        torch.testing.assert_close(result.map(), means)
        torch.testing.assert_close(result.map(x[:3]), means[:3])
        back = result.plan.T @ x / result.plan.sum(0)[:, None]
        torch.testing.assert_close(result.map(inverse=True), back)
    with pytest.raises(ValueError, match=r"points: got a zero vector, points\[0\]"):
        result.map(torch.zeros(1, 3).double())
    sets = so.solve_sample([x, x[:4]], [y, y], blur=0.3, cost=COSTS[name][0]())
    assert [part.map().shape for part in sets] == [(9, 3), (4, 3)]


@pytest.mark.parametrize("cost", [costs.Cosine(), costs.Mahalanobis(AXES @ AXES.T)])
def test_kept_pairs(cost):
    """Few pairs are visited, with the numbers of all of them."""
    torch.manual_seed(0)
    x, y = torch.randn(1200, 3).double(), torch.randn(1000, 3).double() + 0.3
    found = []
    for multilevel in (True, False):
        z = x.clone().requires_grad_()
        how = {"tol": 1e-4, "cost": cost, "solver": so.Sinkhorn(multilevel=multilevel)}
        result = so.solve_sample(z, y, blur=0.08, **how)
        (slope,) = torch.autograd.grad(result.value, z)
        found.append((result, slope, result.map(x[:50] + 0.01)))
    (few, slope, there), (every, wanted, where) = found
    assert few.kept_fraction < 0.7 < every.kept_fraction
    assert few.lower <= every.upper and every.lower <= few.upper
    torch.testing.assert_close(few.value, every.value, rtol=1e-5, atol=0)
    for one, two in ((slope, wanted), (there, where)):
        assert (one - two).norm() < 3e-3 * two.norm()


def test_wasserstein_distances():
    """That of moved points; chords of the sphere for the cosine."""
    x, y, a, b = clouds("Scaled", 30, 30)
    scales = [0.5, 1.0, 2.0]
    found = so.wasserstein_distance(x, y, cost=costs.Scaled(scales), rtol=0.05)
    moved = so.wasserstein_distance(x / torch.tensor(scales), y / torch.tensor(scales), rtol=0.05)
    torch.testing.assert_close(found.value, moved.value)
    unit = torch.nn.functional.normalize
    found = so.wasserstein_distance(3 * x, y, cost=costs.Cosine(), rtol=0.05)
    chords = so.wasserstein_distance(unit(x, dim=-1), unit(y, dim=-1), rtol=0.05)
    torch.testing.assert_close(found.value, chords.value)
    with pytest.raises(ValueError, match=r"p: got 1, wanted 2 with costs.Cosine\(\), the chord"):
        so.wasserstein_distance(x, y, p=1, cost=costs.Cosine())
    for cost in (costs.Geodesic(), torch.cdist):
        with pytest.raises(ValueError, match="wanted None, or Scaled, .* value_linear is near"):
            so.wasserstein_distance(x, y, cost=cost)


def test_what_is_learnt_has_gradients():
    """Of every loss, against differences; arrays, which have none, are refused beside it."""
    x, y, *_ = clouds("Scaled")

    def losses(t):
        cost = costs.Scaled(t)
        yield so.sinkhorn_divergence(x, y, blur=0.3, cost=cost, tol=1e-11)
        yield so.hausdorff_divergence(x, y, blur=0.3, cost=cost)
        matrix = costs.Labels(t[0] * (1 - torch.eye(2).double()))
        one, two = (torch.cat((z[:, :2], (z[:, 2:] > 0.4).double()), -1) for z in (x, y))
        yield so.sinkhorn_divergence(one, two, blur=0.3, cost=matrix, tol=1e-11)

    start = torch.tensor([0.5, 1.0, 2.0]).double()
    way, h = torch.tensor([1.0, -0.5, 0.3]).double(), 1e-5
    scales = start.clone().requires_grad_()
    ends = [list(losses(start + s * h * way)) for s in (1, -1)]
    for value, up, down in zip(losses(scales), *ends, strict=True):
        (gradient,) = torch.autograd.grad(value, scales)
        assert float(gradient @ way) == pytest.approx(float(up - down) / (2 * h), rel=1e-6)
    for loss in (so.sinkhorn_divergence, so.hausdorff_divergence):
        with pytest.raises(TypeError, match="arrays, beside a kernel or a cost"):
            loss(np.asarray(x), np.asarray(y), cost=costs.Scaled(scales))


def test_divergences_want_symmetric_labels():
    x, y, *_ = clouds("Labels")
    uneven = costs.Labels([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    so.solve_sample(x, y, blur=0.3, cost=uneven)
    with pytest.raises(ValueError, match="cost: got one that is .* wanted a symmetric one"):
        so.sinkhorn_divergence(x, y, blur=0.3, cost=uneven)


def test_transforms_and_schedules():
    """``torch.func``, and GeomLoss's schedule."""
    x, y, *_ = clouds("Cosine", batch=(3,))
    loss = lambda x, y: so.sinkhorn_divergence(x, y, blur=0.3, cost=costs.Cosine(), tol=1e-9)  # noqa: E731
    mapped = torch.func.vmap(torch.func.grad(loss))(x, y)
    z = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(loss(z, y).sum(), z)
    torch.testing.assert_close(mapped, wanted, rtol=1e-6, atol=1e-9)
    schedule = so.SamplesLoss(blur=0.3, scaling=0.95, cost=costs.Cosine())(x[0], y[0])
    torch.testing.assert_close(schedule, loss(x[0], y[0]), rtol=1e-2, atol=1e-5)


def test_classes_that_stand_for_points_are_features():
    """So a squared distance of classes visits few pairs, as the chapter says."""
    x, y, *_ = clouds("Labels")
    places = torch.tensor([[0.0, 0.0], [1.0, 0.5], [0.2, 2.0]]).double()
    W = torch.cdist(places, places).square() / 2
    moved = (torch.cat((t[:, :2], places[t[:, 2].long()]), -1) for t in (x, y))
    how = {"blur": BLUR, "tol": TIGHT}
    found = so.solve_sample(*moved, cost=costs.Features(1.0, size=2), **how)
    wanted = so.solve_sample(x, y, cost=costs.Labels(W), **how)
    torch.testing.assert_close(found.value, wanted.value, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.plan, wanted.plan, rtol=1e-6, atol=1e-9)
