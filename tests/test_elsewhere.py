"""Everything runs on another device from end to end, and what moves to the host is counted."""

import pytest
import torch

import sparseot as so
from sparseot import kernels
from tests.references.elsewhere import Elsewhere, There

FEW = 20  # numbers: errors, boxes, masses


def loss(kind, p=2):
    def run(x, y):
        x = x.clone().requires_grad_()
        value = so.SamplesLoss(kind, p=p, blur=0.1)(x, y)
        return value.detach(), torch.autograd.grad(value, x)[0]

    return run


def product(x, y):
    return (so.KernelMatrix(kernels.Gaussian(0.3), x, y) @ torch.ones_like(y),)


def entries(x, y):
    """Chosen by numbers that are on the device of the points."""
    K, chosen = so.KernelMatrix(kernels.Gaussian(0.3), x, y), (y[:, 0] > y[0, 0]).nonzero()[:9, 0]
    return K[chosen, chosen[0]], K[5:8, y[:, 1] > y[0, 1]]


def solved(x, y):
    found = so.solve_sample(x, y, blur=0.3, tol=1e-7)
    return found.potential_a, found.marginal_a, found.map()


def second(x, y):
    H = so.hessian(so.solve_sample(x, y, blur=0.3, tol=1e-6))
    return (H @ torch.ones_like(x).flatten(),)


def kept(x, y):
    solver = so.Sinkhorn(multilevel=True, engine="tiles")
    found = so.solve_sample(x, y, blur=0.2, tol=1e-3, solver=solver)
    return found.potential_a, found.map(), found.map(x + 0.01)


def graph(x, y):
    A = so.nn.KNNGraph(3)(x)
    return A.distances, A @ x


def spectrum(x, y):
    return (so.eigsh(so.graph_laplacian(so.KernelMatrix(kernels.Gaussian(0.3), x)), 3).values,)


# what it is, and whether points visit the host (the guide has the list)
CASES = {
    "product": (product, False),
    "entries": (entries, True),
    "sinkhorn": (loss("sinkhorn"), False),
    "sinkhorn, p = 1": (loss("sinkhorn", 1), False),
    "energy": (loss("energy", 1), False),
    "hausdorff": (loss("hausdorff"), False),
    "solve": (solved, False),
    "hessian": (second, False),
    "kept pairs": (kept, False),
    "neighbours": (lambda x, y: tuple(so.knn(x, y, k=3)), False),
    "layer": (graph, False),
    "radius": (lambda x, y: tuple(so.radius(x, y, 0.2))[:2], False),
    "eigenvalues": (spectrum, False),
}


@pytest.mark.parametrize("name", CASES)
def test_results_are_those_of_the_cpu_and_stay(name):
    run, moves = CASES[name]
    x, y = torch.rand(60, 3).double(), torch.rand(50, 3).double() + 0.1
    here = run(x, y)
    with Elsewhere():
        there = run(There(x), There(y))
    assert all(isinstance(t, There) for t in there), name
    most = max(There.moved, default=0)
    for one, other in zip(here, there, strict=True):
        torch.testing.assert_close(other.inner, one, rtol=1e-4, atol=1e-6)
    assert (most > FEW) == moves
