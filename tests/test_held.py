"""What was given and changed in place afterwards: copies do not move, graphs say so."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

import sparseot as so
from sparseot import Blocks, Diagonal, KernelMatrix, kernels
from sparseot.held import Watch
from sparseot.nn import KNNGraph
from tests.references.clouds import cloud

GAUSSIAN = kernels.Gaussian(0.2)
MOVED = r"got .* changed in place after it was made.*Make it anew"
HOW = {
    "numba": {"engine": "numba"},
    "tiles": {"engine": "tiles"},
    "nufft": {"engine": "nufft"},
    "blocks": {"pairs": Blocks(0.4, 8)},
    "blocks in tiles": {"pairs": Blocks(0.4, 8), "engine": "tiles"},
}
READ = {
    "@": lambda K: K @ np.linspace(0, 1, K.shape[1]),
    "T": lambda K: K.T @ np.linspace(0, 1, K.shape[0]),
    "sum": lambda K: K.sum(),
    "to_dense": lambda K: K.to_dense(),
    "diagonal": lambda K: K.diagonal(),
    "entries": lambda K: K[3:5, [0, 7]],
    "algebra": lambda K: (2 * K + K).T.to_dense(),
}


def _points(kind, batch=()):
    x = cloud(40, 2, batch=batch)[0]
    return x.numpy() if kind == "numpy" else x


def _array(values):
    """A copy as an array."""
    return np.array(values.tolist() if isinstance(values, torch.Tensor) else values)


def _read(operator):
    return {name: _array(read(operator)) for name, read in READ.items()}


@pytest.mark.parametrize("kind", ["torch", "numpy"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("two", [False, True])
def test_matrices_keep_their_own_points(kind, how, two):
    x, y = _points(kind), _points(kind)
    K = KernelMatrix(GAUSSIAN, x, y if two else None, **HOW[how])
    first = _read(KernelMatrix(GAUSSIAN, *((x, y) if two else (x,)), **HOW[how]))
    x += 0.3 * (x > 0.5)
    y *= 2
    for name, found in _read(K).items():
        np.testing.assert_allclose(found, first[name], rtol=1e-9, atol=1e-12, err_msg=name)
    assert K.error() < 1e-2  # of what was dropped, not of points that moved


def test_batches_and_functions_keep_theirs():
    x = _points("torch", (3,))
    K = KernelMatrix(lambda x, y: 1 + x @ y.mT, x)
    exact = K.to_dense().clone()
    x += 1
    torch.testing.assert_close(K.to_dense(), exact)
    torch.testing.assert_close(K.sum(), exact.sum(-1))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("leaf", [True, False])
def test_matrices_of_a_graph_say_that_they_were_left_behind(how, leaf):
    """Autograd must see the points, so there is no copy: a change in place is an error."""
    x = _points("torch").requires_grad_()
    points = x if leaf else 1 * x
    K = KernelMatrix(GAUSSIAN, points, **HOW[how])
    (wanted,) = torch.autograd.grad(
        (KernelMatrix(GAUSSIAN, points, **HOW[how]) @ points[:, 0]).sin().sum(), points,
        retain_graph=True,
    )  # fmt: skip
    (found,) = torch.autograd.grad((K @ points[:, 0]).sin().sum(), points, retain_graph=True)
    torch.testing.assert_close(found, wanted)
    with torch.set_grad_enabled(not leaf):
        points += 0.02
    for read in (*READ.values(), lambda K: K.error(), lambda K: so.eigsh(K, 2)):
        with pytest.raises(RuntimeError, match="K: " + MOVED):
            read(K)
    assert (KernelMatrix(GAUSSIAN, points, **HOW[how]) @ points[:, 0]).requires_grad


def test_a_transpose_is_left_behind_too():
    x = _points("torch").requires_grad_()
    K = KernelMatrix(GAUSSIAN, x, _points("torch"))
    T = K.T
    with torch.no_grad():
        x += 0.02
    for door in (lambda: K.T, lambda: T @ x[:, 0]):
        with pytest.raises(RuntimeError, match=MOVED):
            door()


def test_the_cloud_without_a_graph_is_copied_beside_one_with():
    x, y = _points("torch").requires_grad_(), _points("torch")
    K = KernelMatrix(GAUSSIAN, x, y)
    (wanted,) = torch.autograd.grad((K @ torch.ones(40)).sum(), x)
    y += 1
    (found,) = torch.autograd.grad((K @ torch.ones(40)).sum(), x)
    torch.testing.assert_close(found, wanted)


def test_changes_between_forward_and_backward():
    """As torch has it: an error where the points are in the graph, and none where they are copied."""
    x = _points("torch").requires_grad_()
    out = KernelMatrix(GAUSSIAN, x) @ torch.ones(40)
    with torch.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()
    x, v = _points("torch"), torch.randn(40, dtype=torch.float64, requires_grad=True)
    K = KernelMatrix(GAUSSIAN, x)
    exact = K.to_dense().sum(0)
    out = K @ v
    x += 1
    out.sum().backward()
    torch.testing.assert_close(v.grad, exact)
    moving, v = _points("torch").requires_grad_(), torch.ones(40, dtype=torch.float64)
    out = KernelMatrix(GAUSSIAN, moving) @ v
    v += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("name", ["Gaussian", "Laplacian", "InverseMultiquadric"])
def test_lengths_that_are_learnt(name):
    """A step of an optimiser moves them in place: kernel and matrix must be made anew."""
    x, sigma = _points("torch"), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    kernel = getattr(kernels, name)(sigma)
    K = KernelMatrix(2 * kernel + kernels.Gaussian(0.5), x)
    (K @ x[:, 0]).sum().backward()
    torch.optim.SGD([sigma], lr=1e-4).step()
    assert sigma != 0.3
    for door in (
        lambda: K @ x[:, 0],
        lambda: KernelMatrix(2 * kernel + kernels.Gaussian(0.5), x),
        lambda: KernelMatrix(kernel, x),
        lambda: so.kernel_norm(x, x + 1, kernel=kernel),
    ):
        with pytest.raises(RuntimeError, match=MOVED):
            door()
    moved = getattr(kernels, name)(sigma.item())
    fresh = KernelMatrix(getattr(kernels, name)(sigma), x)
    torch.testing.assert_close(fresh.to_dense(), KernelMatrix(moved, x).to_dense())


def test_diagonals():
    for entries in (torch.rand(9), np.random.default_rng(0).random(9)):
        D, exact = Diagonal(entries), _array(entries)
        entries += 1
        np.testing.assert_array_equal(_array(D @ np.ones(9)), exact)
        shown = D.diagonal()
        shown += 1
        np.testing.assert_array_equal(_array(D.diagonal()), exact)
    entries = torch.rand(9, requires_grad=True)
    D = Diagonal(entries)
    torch.testing.assert_close(
        torch.autograd.grad((D @ torch.ones(9)).sum(), entries)[0], torch.ones(9)
    )
    with torch.no_grad():
        entries += 1
    for door in (lambda: D @ torch.ones(9), D.diagonal, lambda: (D + D) @ torch.ones(9)):
        with pytest.raises(RuntimeError, match="Diagonal: " + MOVED):
            door()


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("kind", ["array", "sparse", "kernel matrix"])
def test_laplacians_keep_their_own_weights(kind, normed):
    x = _points("torch")
    weights = KernelMatrix(GAUSSIAN, x).to_dense()
    given = {
        "array": weights.numpy(),
        "sparse": csr_array(weights.numpy()),
        "kernel matrix": KernelMatrix(GAUSSIAN, x),
    }[kind]
    L = so.graph_laplacian(given, normed=normed)
    exact = L @ np.linspace(0, 1, 40)
    changed = x if kind == "kernel matrix" else given
    if kind == "sparse":
        given.data *= 3
    else:
        changed += 1
    degrees = L.degrees
    degrees += 1  # an array of the caller's own
    np.testing.assert_array_equal(L @ np.linspace(0, 1, 40), exact)
    assert abs(float(so.eigsh(L, 2, "SA").values[0])) < 1e-8


def test_laplacians_of_what_is_not_copied():
    A = KNNGraph(3, symmetrize="union", bandwidth=0.3)(_points("torch"))
    L = so.graph_laplacian(2 * A)
    assert (L @ torch.ones(40)).abs().max() < 1e-12
    A.weights *= 2  # A @ v follows, its degrees would not
    torch.testing.assert_close(A.sum(), A.to_dense().sum(-1))
    for door in (lambda: L @ torch.ones(40), lambda: so.eigsh(L, 2, "SA")):
        with pytest.raises(RuntimeError, match="L: " + MOVED):
            door()
    W = KernelMatrix(GAUSSIAN, _points("torch")).to_dense()  # a copy would take as much again
    for weights in (W, W.clone().requires_grad_()):
        L = so.graph_laplacian(weights)
        assert (L @ torch.ones(40, dtype=W.dtype)).abs().max() < 1e-12
        with torch.no_grad():
            weights *= 2
        with pytest.raises(RuntimeError, match="L: " + MOVED):
            L @ torch.ones(40)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_results_are_the_callers_own(kind):
    """Eigenpairs, coordinates, neighbours and solutions do not follow what they were made of."""
    x = _points(kind)
    K, ones = KernelMatrix(GAUSSIAN, x), 0 * x[:, 0] + 1
    start = ones / 2
    solution = so.conjugate_gradient(K + Diagonal(ones), ones, x0=start)
    found = [
        *so.eigsh(K, 3), so.eigsh(K, 3).residuals,
        *vars(so.spectral_embedding(x, 2, 0.3)).values(),
        *so.knn(x, k=3), solution.x, solution.residuals, so.nystrom(K, 0.1, 20) @ ones,
    ]  # fmt: skip
    before = [_array(part) for part in found]
    for array in (x, ones, start):
        array += 1
    for part, same in zip(found, before, strict=True):
        np.testing.assert_array_equal(_array(part), same)


def test_copies_of_operators_are_watched_from_then_on():
    x = _points("torch", (2,)).requires_grad_()
    with torch.no_grad():
        x += 1  # torch has counted
    ones = torch.ones(40, dtype=torch.float64)
    for K, v in (
        (KernelMatrix(GAUSSIAN, x), ones.expand(2, -1)),
        (KernelMatrix(GAUSSIAN, x[0].detach(), pairs=Blocks(0.4, 8)), ones),
        (Diagonal(ones), ones),
    ):
        for twin in (copy.deepcopy(K), pickle.loads(pickle.dumps(K))):
            torch.testing.assert_close(twin @ v, K @ v)
            with torch.no_grad():
                twin.live[0].add_(1)
            with pytest.raises(RuntimeError, match=MOVED):
                twin @ v
            assert (K @ v).isfinite().all()


def test_tensors_of_inference_mode_have_no_count():
    with torch.inference_mode():
        x = torch.rand(20, 2)
        K = KernelMatrix(GAUSSIAN, x)
        exact = K @ torch.ones(20)
        x += 1
        torch.testing.assert_close(K @ torch.ones(20), exact)
    assert Watch(x).tensors == ()


def test_transforms_of_torch_func_see_through():
    x, v = _points("torch"), torch.ones(40, dtype=torch.float64)

    def value(x):
        return (KernelMatrix(GAUSSIAN, x) @ v).sin().sum()

    leaf = x.clone().requires_grad_()
    (exact,) = torch.autograd.grad(value(leaf), leaf)
    _, along = torch.autograd.functional.jvp(value, x, torch.ones_like(x))
    torch.testing.assert_close(along, exact.sum())
