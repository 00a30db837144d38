"""Everything from end to end by these kernels, as points on a card have it, against the engines of a CPU."""

import pytest
import torch

import sparseot as so
from sparseot import kernels
from sparseot.engines import choose
from sparseot.engines.triton.card import launches
from sparseot.graphs.search import methods
from sparseot.transport.derivatives import curvature
from sparseot.transport.solvers import all_pairs, sinkhorn
from tests.references.clouds import cloud


@pytest.fixture
def runs(monkeypatch):
    """The names of the kernels that were launched."""
    found, launch = [], launches.launch

    def noted(kernel, *rest, **kind):
        found.append(getattr(kernel, "fn", kernel).__name__)
        return launch(kernel, *rest, **kind)

    monkeypatch.setattr(launches, "launch", noted)
    return found


def there(monkeypatch):
    """What is asked for no engine takes that of a card, where no matrix is stored."""
    monkeypatch.setattr(choose, "_best", lambda *_: ("triton", "points on cuda"))
    monkeypatch.setattr(sinkhorn, "loops_for", lambda *_: "triton")
    monkeypatch.setattr(all_pairs, "STORED_PAIRS", 0)
    monkeypatch.setattr(curvature, "STORED_PAIRS", 0)
    monkeypatch.setattr(curvature, "STORED", 0)
    monkeypatch.setattr(methods, "_resolve", lambda *_: "triton")


def loss(kind, **options):
    def run(x, y):
        x = x.clone().requires_grad_()
        value = so.SamplesLoss(kind, blur=0.3, **options)(x, y)
        return value.detach(), torch.autograd.grad(value, x)[0]

    return run


def product(x, y):
    K = so.KernelMatrix(kernels.Laplacian(0.5), x, y)
    return K @ torch.ones_like(y), K.T @ torch.ones_like(x), K.sum(1)


def solved(x, y):
    x = x.clone().requires_grad_()
    found = so.solve_sample(x, y, blur=0.5, tol=1e-9, debias=True)
    (gradient,) = torch.autograd.grad(found.value, x)
    return found.value.detach(), gradient, found.marginal_a, found.map().detach()


def kept(x, y):
    x = x.clone().requires_grad_()
    found = so.solve_sample(x, y, blur=0.3, tol=1e-4, solver=so.Sinkhorn(multilevel=True))
    (gradient,) = torch.autograd.grad(found.value, x)
    assert found.lower <= found.value <= found.upper
    return found.value.detach(), gradient, found.map().detach()


def curved(x, y):
    H = so.hessian(so.solve_sample(x, y, blur=0.5, tol=1e-9))
    return (H @ torch.ones_like(x).flatten(),)


def spectrum(x, y):
    L = so.graph_laplacian(so.KernelMatrix(kernels.Gaussian(0.5), x))
    return (so.eigsh(L, 3).values,)


def embedded(x, y):
    found = so.spectral_embedding(x, 2, 0.5)
    return (found.values,)


def layer(x, y):
    A = so.nn.KNNGraph(3)(x)
    return A.distances, A @ x


def learnt(x, y):
    x = x.clone().requires_grad_()
    value = so.sinkhorn_divergence(x, y, blur=0.5, tol=1e-8)
    return value.detach(), torch.autograd.grad(value, x)[0]


CASES = {
    "sinkhorn": (loss("sinkhorn", scaling=0.3), {"schedule", "log_sums"}),
    "sinkhorn, p = 1, unbalanced": (
        loss("sinkhorn", p=1, reach=0.8, scaling=0.3),
        {"schedule", "log_sums"},
    ),
    "energy": (loss("energy"), {"moved_sums"}),
    "hausdorff": (loss("hausdorff"), {"log_sums"}),
    "products": (product, {"sums"}),
    "solve": (solved, {"log_sums", "sums"}),
    "kept pairs": (kept, {"kept_sums"}),
    "Hessian": (curved, {"log_sums", "sums"}),
    "divergence": (learnt, {"log_sums"}),
    "eigenvalues": (spectrum, {"sums"}),
    "embedding": (embedded, {"sums"}),
    "layer": (layer, {"nearest"}),
}
LONG = {"sinkhorn", "kept pairs", "solve", "hausdorff", "Hessian", "divergence"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in CASES]
)
def test_results_are_those_of_a_cpu(monkeypatch, runs, name):
    (run, expected), tol = CASES[name], 1e-3 if name == "kept pairs" else 1e-6
    torch.manual_seed(0)
    (x, _), (y, _) = cloud(9, 2), cloud(7, 2, shift=0.2)
    wanted = run(x, y)
    assert not runs
    there(monkeypatch)
    found = run(x, y)
    assert expected <= set(runs), set(runs)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=tol, atol=0.01 * tol)


@pytest.mark.parametrize("name", [pytest.param("sinkhorn", marks=pytest.mark.slow), "products"])
def test_equal_input_gives_equal_bits(monkeypatch, name):
    there(monkeypatch)
    (x, _), (y, _) = cloud(14, 2, dtype=torch.float32), cloud(11, 2, dtype=torch.float32)
    one, other = (CASES[name][0](x, y) for _ in range(2))
    assert all(map(torch.equal, one, other))


def test_it_says_who_sums_and_why(monkeypatch):
    there(monkeypatch)
    x, _ = cloud(9, 2)
    K = so.KernelMatrix(kernels.Gaussian(0.5), x)
    found = so.solve_sample(x, x, blur=0.5)
    assert "triton" in repr(K) and "points on cuda" in repr(K), repr(K)
    assert "triton on all pairs" in repr(found), repr(found)


@pytest.mark.slow
def test_solves_in_inference_mode(monkeypatch, runs):
    there(monkeypatch)
    (x, _), (y, _) = cloud(9, 2), cloud(8, 2, shift=0.2)
    wanted = so.solve_sample(x, y, blur=0.5).value
    with torch.inference_mode():
        found = so.solve_sample(x + 0, y + 0, blur=0.5).value
        product = so.KernelMatrix(kernels.Gaussian(0.5), x + 0, y + 0) @ torch.ones_like(y)
    assert torch.equal(found.clone(), wanted) and product.is_inference() and runs
