"""Costs and kernels that are functions: what is not finite is refused where it is first evaluated."""

import math

import pytest
import torch

import sparseot as so
from sparseot import KernelMatrix, kernels
from sparseot.nn import KNNGraph
from sparseot.transport.solvers.annealing import AveragedAnnealing
from tests.references.clouds import cloud

X, Y = cloud(30, 2)[0], cloud(20, 2, shift=0.3)[0]
ROW, COL = 7, 4  # the pair of points that is bad
VALUES = [math.nan, math.inf, -math.inf]


def _apart(x, y):
    """Distances by differences of coordinates: a point is at distance zero from itself."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


class Bad:
    """A Gaussian or half a squared distance, but for one pair of points; counts its evaluations, not its traces."""

    def __init__(self, value, x=X[ROW], y=Y[COL], gaussian=False):
        self.value, self.x, self.y, self.gaussian, self.calls = value, x, y, gaussian, 0

    def __call__(self, x, y):
        self.calls += isinstance(x, torch.Tensor)
        squares = torch.cdist(x, y).square()
        values = (-squares / 0.1).exp() if self.gaussian else squares / 2
        here, there = ((z == point.to(z)).all(-1) for z, point in ((x, self.x), (y, self.y)))
        return values.masked_fill(here[..., None] & there[:, None], self.value)


LOSSES = {
    "solve_sample": lambda cost, x, y: so.solve_sample(x, y, blur=0.1, cost=cost).value,
    "debiased": lambda cost, x, y: so.solve_sample(x, y, blur=0.1, cost=cost, debias=True).value,
    "unbalanced": lambda cost, x, y: so.solve_sample(x, y, blur=0.1, reach=1.0, cost=cost).value,
    "sinkhorn_divergence": lambda cost, x, y: so.sinkhorn_divergence(x, y, cost=cost),
    "annealing": lambda cost, x, y: so.sinkhorn_divergence(
        x, y, cost=cost, solver=AveragedAnnealing()
    ),
    "SamplesLoss": lambda cost, x, y: so.SamplesLoss(cost=cost)(x, y),
    "SamplesLoss to a tolerance": lambda cost, x, y: so.SamplesLoss(cost=cost, tol=1e-3)(x, y),
    "Hausdorff": lambda cost, x, y: so.SamplesLoss("hausdorff", cost=cost)(x, y),
}  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", LOSSES)
def test_costs_that_are_not_finite_are_refused_at_once(name, value):
    cost = Bad(value)
    for dtype in (torch.float64, torch.float32):
        cost.calls = 0
        wanted = rf"cost: got a function that is {value} between x\[{ROW}\] and y\[{COL}\]"
        with pytest.raises(ValueError, match=wanted):
            LOSSES[name](cost, X.to(dtype), Y.to(dtype))
        assert cost.calls == 1


@pytest.mark.parametrize("name", ["debiased", "sinkhorn_divergence", "annealing", "Hausdorff"])
def test_costs_within_a_cloud_are_looked_at_too(name):
    """Logarithms of distances: no two points of two clouds meet, each point meets itself."""

    def logarithm(x, y):
        return _apart(x, y).log()

    with pytest.raises(ValueError, match=r"-inf between x\[0\] and x\[0\]"):
        LOSSES[name](logarithm, X, Y)
    second = Bad(math.nan, Y[3], Y[5])
    with pytest.raises(ValueError, match=r"nan between y\[3\] and y\[5\]"):
        LOSSES[name](second, X, Y)


def test_items_of_a_batch_are_named():
    x, y = X.expand(3, -1, -1).clone(), Y.expand(3, -1, -1)
    x[:2] += 10
    for loss in LOSSES.values():
        with pytest.raises(ValueError, match=rf"x\[{ROW}\] and y\[{COL}\], item 2"):
            loss(Bad(math.nan), x, y)


def test_negative_costs_are_costs():
    """A constant moves the value by as much, the masses being one, and not the plan."""
    plain = so.solve_sample(X, Y, blur=0.5, tol=1e-8)
    shifted = so.solve_sample(
        X, Y, blur=0.5, tol=1e-8, cost=lambda x, y: torch.cdist(x, y).square() / 2 - 5
    )
    torch.testing.assert_close(shifted.value, plain.value - 5)
    torch.testing.assert_close(shifted.plan, plain.plan, atol=1e-8, rtol=1e-5)


def test_looking_costs_one_evaluation():
    """However many sweeps follow: where all pairs are one tile, its costs are kept.

    Two more give the value its derivatives in what the function may have learned.
    """
    for grad, calls in ((False, 3), (True, 5)):
        cost = Bad(0.0, torch.ones(2), torch.ones(2))
        with torch.set_grad_enabled(grad):
            found = so.solve_sample(X, Y, blur=0.1, cost=cost)
        assert found.converged and found.n_iter > 3 and cost.calls <= calls


def test_new_points_of_a_map():
    cost = Bad(math.nan, torch.tensor([0.5, 0.25]))
    found = so.solve_sample(X, Y, blur=0.2, cost=cost)
    new = torch.cat((X[:3], torch.tensor([[0.5, 0.25]]).double()))
    assert found.map(new[:3]).isfinite().all()
    with pytest.raises(ValueError, match=rf"nan between points\[3\] and the target\[{COL}\]"):
        found.map(new)


PRODUCTS = {
    "K @ v": lambda k: KernelMatrix(k, X, Y) @ Y,
    "K.T @ v": lambda k: KernelMatrix(k, X, Y).T @ X,
    "sum": lambda k: KernelMatrix(k, X, Y).sum(),
    "sums of columns": lambda k: KernelMatrix(k, X, Y).sum(-2),
    "to_dense": lambda k: KernelMatrix(k, X, Y).to_dense(),
    "entries": lambda k: KernelMatrix(k, X, Y)[5:9, [0, COL]],
    "an entry": lambda k: KernelMatrix(k, X, Y)[ROW, COL],
    "kernel_norm": lambda k: so.kernel_norm(X, Y, kernel=k),
    "SamplesLoss": lambda k: so.SamplesLoss("gaussian", kernel=k)(X, Y),
}  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_kernels_that_are_not_finite_are_refused(name, value):
    wanted = rf"kernel: got a function that is {value} between x\[{ROW}\] and y\[{COL}\]"
    if name in ("K.T @ v", "sums of columns"):
        wanted = rf"kernel: got a function that is {value} between y\[{COL}\] and x\[{ROW}\]"
    with pytest.raises(ValueError, match=wanted):
        PRODUCTS[name](Bad(value, gaussian=True))


def test_kernels_of_one_cloud():
    """The inverse distance of a point from itself."""
    K = KernelMatrix(lambda x, y: 1 / _apart(x, y), X)
    for door in (lambda: K @ X, K.diagonal, K.to_dense, lambda: so.graph_laplacian(K)):
        with pytest.raises(ValueError, match="inf between points 0 and 0 of one cloud"):
            door()
    with pytest.raises(ValueError, match="inf between points 0 and 0 of one cloud"):
        so.kernel_norm(X, Y, kernel=lambda x, y: 1 / _apart(x, y))
    assert (KernelMatrix(lambda x, y: 1 / _apart(x, y), X, Y) @ Y).isfinite().all()


def test_numbers_of_points_beyond_the_first_block():
    x = torch.rand(5000, 2)
    bad = Bad(math.inf, x[4321], x[1234], gaussian=True)
    with pytest.raises(ValueError, match="inf between points 4321 and 1234 of one cloud"):
        KernelMatrix(bad, x) @ x
    assert bad.calls == 3
    bad.gaussian = False
    with pytest.raises(ValueError, match=r"inf between x\[4321\] and y\[1234\]"):
        so.solve_sample(x, x.clone(), blur=0.5, cost=bad)


def test_large_numbers_are_finite_even_if_their_sum_is_not():
    x = X.float()
    K = KernelMatrix(lambda x, y: 3e38 * torch.ones_like(torch.cdist(x, y)), x)
    assert torch.equal(K.diagonal(), torch.full((30,), 3e38))
    assert torch.equal(K @ torch.zeros(30), torch.zeros(30))


def test_kernels_that_keops_sums(needs_compiler):
    """Entries are never made there; the pair is looked for where a sum is not finite."""
    kernel = kernels.Pointwise(lambda x_i, y_j: 1 / ((x_i - y_j) ** 2).sum(-1))
    y = Y.clone()
    y[COL] = X[ROW]
    with pytest.raises(ValueError, match=rf"inf between x\[{ROW}\] and y\[{COL}\]"):
        KernelMatrix(kernel, X, y, engine="keops") @ y
    assert not (KernelMatrix(kernel, X, Y, engine="keops") @ (Y * math.nan)).isfinite().any()


def test_weights_of_a_graph_that_are_a_function():
    x = X.clone()
    x[1] = x[0]
    with pytest.raises(ValueError, match="weight: got a function that is inf at the distance 0"):
        KNNGraph(3, weight=lambda d: 1 / d)(x)
    assert KNNGraph(3, weight=lambda d: 1 / d)(X).weights.isfinite().all()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, at its first jvp
def test_transforms_see_through_kernels_that_are_functions():
    """Forward derivatives, maps over vectors, and second derivatives of sums."""
    x, v = X[:8], X[8:16]

    def kernel(x, y):
        return (-(x[:, :, None] - y[:, None]).square().sum(-1)).exp()

    def product(x, v):
        return KernelMatrix(kernel, x) @ v

    _, forward = torch.func.jvp(product, (x, v), (v, x))
    h = 1e-6
    exact = (product(x + h * v, v + h * x) - product(x - h * v, v - h * x)) / (2 * h)
    torch.testing.assert_close(forward, exact, rtol=1e-6, atol=1e-8)
    mapped = torch.func.vmap(lambda column: product(x, column))(v.T)
    torch.testing.assert_close(mapped.T, product(x, v))
    moving = x.clone().requires_grad_(), v.clone().requires_grad_()
    assert torch.autograd.gradgradcheck(product, moving)


WITHOUT_A_BATCH = {
    "pairs": lambda x, y: ((x[:, None] - y[None]) ** 2).sum(-1),
    "points": lambda x, y: (x - y).square().sum(-1),
    "a product": lambda x, y: x @ y,
    "an axis too many": lambda x, y: (x[..., :, None, :] - y[..., None, :, :]).sum(4),
}


@pytest.mark.parametrize("name", WITHOUT_A_BATCH)
def test_functions_that_forget_the_batch_axis_are_told_so(name):
    """Torch says which sizes do not fit, and we what they should have been."""
    words = (
        r"function that cannot take points \(1, 30, 2\).*\(1, 20, 2\).*\(1, 30, 20\).*batch axis"
    )
    with pytest.raises(ValueError, match=words):
        so.solve_sample(X, Y, blur=0.1, cost=WITHOUT_A_BATCH[name])
    with pytest.raises(ValueError, match=words):
        KernelMatrix(WITHOUT_A_BATCH[name], X, Y).sum(1)


def test_errors_of_other_kinds_stay_as_they_are():
    def broken(x, y):
        raise RuntimeError("no licence")

    with pytest.raises(RuntimeError, match="^no licence"):
        so.solve_sample(X, Y, blur=0.1, cost=broken)
