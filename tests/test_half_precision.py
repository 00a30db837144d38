"""Points in half precision: the numbers of ``x.float()``, with gradients in half precision."""

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot import kernels, nn
from sparseot.graphs.adjacency import Adjacency

X, Y = torch.rand(60, 3), torch.rand(60, 3) + 0.2
A, B = torch.arange(60) % 3 / 4 + 0.5, torch.arange(60) % 4 / 4 + 0.5  # numbers of half precision
V = torch.randn(60, 2)
HALVES = (torch.bfloat16, torch.float16)
GAUSSIAN = kernels.Gaussian(0.3)


def _solved(x, y, **options):
    return so.solve_sample(x, y, blur=0.2, **options)


def _matrix(x, y):
    return so.KernelMatrix(GAUSSIAN, x, y)


def _weighted(**options):
    """Weights of the dtype of their points, which need no equal mass."""
    return lambda x, y: so.SamplesLoss(reach=1.0, **options)(A.to(x), x, B.to(y), y)


DOORS = {
    **{f"SamplesLoss {kind}": (lambda x, y, kind=kind: so.SamplesLoss(kind, blur=0.2)(x, y))
       for kind in ("sinkhorn", "hausdorff", "gaussian", "laplacian", "energy")},
    "SamplesLoss tol": lambda x, y: so.SamplesLoss("sinkhorn", blur=0.2, tol=1e-3)(x, y),
    "SamplesLoss weights": _weighted(blur=0.2),
    "SamplesLoss small blur": lambda x, y: so.SamplesLoss("hausdorff", p=1, blur=1e-5)(x, y),
    "sinkhorn_divergence": lambda x, y: so.sinkhorn_divergence(x, y, blur=0.2),
    "sinkhorn_divergence cost": lambda x, y: so.sinkhorn_divergence(
        x, y, blur=0.2, debias=False, cost=lambda x, y: 2 - x @ y.mT
    ),
    "sinkhorn_divergence potentials": lambda x, y: so.sinkhorn_divergence(
        x, y, blur=0.2, potentials=True
    )[0],
    "hausdorff_divergence": lambda x, y: so.hausdorff_divergence(x, y, blur=0.2),
    "hausdorff_divergence potentials": lambda x, y: so.hausdorff_divergence(
        x, y, blur=0.2, potentials=True
    )[1],
    "kernel_norm": lambda x, y: so.kernel_norm(x, y, kernel=GAUSSIAN),
    "solve_sample": lambda x, y: _solved(x, y).value,
    "solve_sample debias": lambda x, y: _solved(x, y, debias=True).value,
    "Transport.potential_a": lambda x, y: _solved(x, y).potential_a,
    "KernelMatrix": lambda x, y: _matrix(x, y) @ V,
    "KernelMatrix.sum": lambda x, y: _matrix(x, y).sum(),
    "KernelMatrix.T": lambda x, y: _matrix(x, y).T @ torch.ones(60),
    "KernelMatrix.to_dense": lambda x, y: _matrix(x, y).to_dense(),
    "knn": lambda x, y: so.knn(x, y, k=3).distances,
    "knn cosine": lambda x, y: so.knn(x, y, k=3, metric="cosine").distances,
    "radius": lambda x, y: so.radius(x, y, 0.5).distances,
    "LazyTensor": lambda x, y: (
        (-((so.Vi(x) - so.Vj(y)) ** 2).sum()).exp().sum(dim=1)
    ),
    "pairwise_dist": lambda x, y: nn.pairwise_dist(x, y),
}  # fmt: skip
# to formulas of one's own NaN is a number, and their variables have one dtype
CHECKED = [name for name in DOORS if name != "LazyTensor"]
WITHOUT_GRADIENT = {
    "knn_graph": lambda x, y: so.knn_graph(x, 3),
    "radius_graph": lambda x, y: so.radius_graph(x, 0.3),
    "wasserstein_distance": lambda x, y: so.wasserstein_distance(x, y, rtol=0.1).lower,
    "knn_recall": lambda x, y: torch.tensor(so.knn_recall(x, so.knn(x, y, k=3).indices, y)),
    "Transport.value_linear": lambda x, y: _solved(x, y).value_linear,
    "Transport.lower": lambda x, y: _solved(x, y).lower,
    "Transport.map": lambda x, y: _solved(x, y).map(x),
    "Transport.plan": lambda x, y: _solved(x, y).plan,
    "Transport.sample": lambda x, y: torch.stack(
        _solved(x, y).sample(9, generator=torch.Generator().manual_seed(0))
    ),
    "nystrom": lambda x, y: so.nystrom(_matrix(x, None), 0.1, 20) @ torch.ones(60),
    "Transport.marginal_b": lambda x, y: _solved(x, y).marginal_b,
    "hessian": lambda x, y: so.hessian(_solved(x, y)).to_dense(),
    "suggest_blur": lambda x, y: torch.tensor(so.suggest_blur(x, y).rows),
    "spectral_embedding": lambda x, y: so.spectral_embedding(x, 2, 0.3).coordinates,
    "graph_laplacian": lambda x, y: so.graph_laplacian(_matrix(x, None)) @ torch.ones(60),
}


def _value_and_gradients(door, x, y):
    """The value of a door and the gradients of its square in both clouds."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    value = door(x, y)
    return value.detach(), torch.autograd.grad(value.square().sum(), (x, y))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", DOORS)
def test_values_are_those_of_single_precision(name, dtype, mixed):
    x, y = X.to(dtype), Y.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        exact, slopes = _value_and_gradients(DOORS[name], x.float(), y.float())
        found, gradients = _value_and_gradients(DOORS[name], x, y)
    assert found.dtype == torch.float32 and torch.equal(found, exact) and exact.abs().sum() > 0
    for gradient, slope in zip(gradients, slopes, strict=True):
        assert gradient.dtype == dtype and torch.equal(gradient, slope.to(dtype))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", WITHOUT_GRADIENT)
def test_what_has_no_gradient_is_the_same_too(name, dtype):
    door, x, y = WITHOUT_GRADIENT[name], X.to(dtype), Y.to(dtype)
    exact = door(x.float(), y.float())
    for mixed in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            found = door(x, y)
        assert found.dtype == exact.dtype and torch.equal(found, exact)


@pytest.mark.parametrize("name", [n for n in DOORS if n != "SamplesLoss small blur"])
def test_a_model_under_autocast(name):
    """Between two layers, whose products are in half precision, and backward through both."""
    first, last = torch.nn.Linear(3, 3), torch.nn.Linear(1, 1)
    torch.nn.init.eye_(first.weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = first(X)
        assert h.dtype == torch.bfloat16
        value = DOORS[name](h, Y.to(h.dtype))
        assert value.dtype == torch.float32
        out = last(value.sum().view(1, 1))
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert first.weight.grad.isfinite().all() and first.weight.grad.abs().sum() > 0
    assert last.weight.grad.isfinite().all()


@pytest.mark.parametrize("name", CHECKED)
def test_one_half_takes_the_precision_of_the_other(name):
    if name == "SamplesLoss weights":
        pytest.skip("one has weights of its own dtype")
    door, half = DOORS[name], X.bfloat16()
    assert torch.equal(door(half, Y), door(half.float(), Y))
    assert torch.equal(door(Y, half), door(Y, half.float()))
    if "KernelMatrix" not in name:  # whose vectors here are in single precision
        assert torch.equal(door(half, Y.double()), door(half.double(), Y.double()))


def test_weights_in_half_precision():
    a, b = torch.rand(2, 60).bfloat16() + 0.5
    x, y = X, Y
    for weights in ((a, b), (a, b.float()), (a.float(), b)):
        loss = so.SamplesLoss("sinkhorn", blur=0.2, reach=1.0)
        found = loss(weights[0], x, weights[1], y)
        assert torch.equal(found, loss(a.float(), x, b.float(), y))
    a.requires_grad_()
    (gradient,) = torch.autograd.grad(so.kernel_norm(x, y, a, b, kernel=GAUSSIAN), a)
    assert gradient.dtype == torch.bfloat16
    halves = so.kernel_norm(x.bfloat16(), y.bfloat16(), a.double(), b.double(), kernel=GAUSSIAN)
    assert halves.dtype == torch.float64  # the widest of all


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("points", [*HALVES, torch.float32, torch.float64])
def test_balanced_weights_have_the_mass_that_half_precision_knows(points, dtype):
    """Off one by its rounding, and then made equal: the value is that of equal masses."""
    x, y = X.to(points), Y[:30].to(points)
    a, b = torch.randn(60).softmax(0).to(dtype), torch.randn(30).softmax(0).to(dtype)
    wide = torch.promote_types(points, torch.float32)
    mass = a.to(wide).sum()
    c = b.to(wide) * (mass / b.to(wide).sum())
    assert b.to(wide).sum() != mass
    for door in (so.sinkhorn_divergence, so.hausdorff_divergence):
        found, exact = door(x, y, a, b, blur=0.1), door(x, y, a.to(wide), c, blur=0.1)
        torch.testing.assert_close(found, exact)
        assert door(x, y, a / a.sum(), None, blur=0.1).isfinite()
    solved = so.solve_sample(x, y, a, b, blur=0.1, tol=1e-4)
    assert solved.converged and solved.lower <= solved.upper
    a.requires_grad_()
    (gradient,) = torch.autograd.grad(so.sinkhorn_divergence(x, y, a, b, blur=0.1), a)
    assert gradient.dtype == dtype and gradient.isfinite().all()
    with pytest.raises(ValueError, match="a, b: got total masses .* wanted equal masses"):
        so.sinkhorn_divergence(x, y, a, b * 1.05, blur=0.1)


def test_weights_below_the_normal_numbers_have_the_mass_that_half_precision_knows():
    """Steps of 6e-8: weights of 1e-6 are off by a hundredth, and so is their mass."""
    a, b = torch.full((60,), 1e-6).half(), torch.full((30,), 2.3e-6)
    b = b * (60e-6 / b.sum())
    gap = float(a.float().sum() / b.sum()) - 1
    assert gap > 4 * torch.finfo(torch.float16).eps
    found = so.sinkhorn_divergence(X, Y[:30], a, b, blur=0.1)
    exact = so.sinkhorn_divergence(X, Y[:30], a.float(), b * (1 + gap), blur=0.1)
    torch.testing.assert_close(found, exact)
    for wrong in (a * 1.1, a.float()):  # single precision has no such steps
        with pytest.raises(ValueError, match="a, b: got total masses .* wanted equal masses"):
            so.sinkhorn_divergence(X, Y[:30], wrong, b, blur=0.1)


def test_single_and_double_are_still_not_mixed():
    with pytest.raises(TypeError, match="y: got dtype torch.float64, wanted torch.float32"):
        so.kernel_norm(X, Y.double(), kernel=GAUSSIAN)
    with pytest.raises(TypeError, match="b: got dtype torch.float64, wanted torch.float32"):
        so.kernel_norm(X, Y, A.bfloat16(), B.double(), kernel=GAUSSIAN)


@pytest.mark.parametrize("name", [*CHECKED, *WITHOUT_GRADIENT])
def test_nan_in_half_precision_is_refused(name):
    if name == "pairwise_dist":
        pytest.skip("it is torch.cdist")
    for dtype in HALVES:
        x = X.to(dtype)
        x[3, 1] = torch.nan
        with pytest.raises(ValueError, match="x: got 1 NaN or infinite coordinates, wanted finite"):
            (DOORS | WITHOUT_GRADIENT)[name](x, Y.to(dtype))


def test_kernel_matrices_of_half_precision_are_in_single():
    K = so.KernelMatrix(GAUSSIAN, X.half())
    assert K.dtype == np.float32 and K.sum().dtype == torch.float32
    K = so.KernelMatrix(GAUSSIAN, X.half().numpy())
    assert K.dtype == np.float32 and K.diagonal().dtype == np.float32


@pytest.mark.parametrize("layer", [
    nn.KNNGraph(3), nn.RadiusGraph(0.5), nn.SparseHashedNNDistance(), nn.GravNetConv(3, 5, 2, 4, 3),
    nn.DynamicEdgeConv(torch.nn.Linear(6, 5), 3),
], ids=lambda layer: type(layer).__name__)  # fmt: skip
def test_layers_take_half_precision(layer):
    """Graphs find the neighbours of single precision."""
    for mixed in (False, True):
        for dtype in HALVES:
            x = X.to(dtype).requires_grad_()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
                out, exact = layer(x), layer(x.float())
            if isinstance(layer, (nn.KNNGraph, nn.SparseHashedNNDistance)):
                assert torch.equal(out.indices, exact.indices)
            if isinstance(layer, nn.RadiusGraph):
                assert torch.equal(out.row, exact.row) and torch.equal(out.col, exact.col)
            if isinstance(out, Adjacency):
                out = out @ torch.ones(60, 1)
            (gradient,) = torch.autograd.grad(out.sum(), x)
            assert gradient.dtype == dtype and gradient.isfinite().all()
