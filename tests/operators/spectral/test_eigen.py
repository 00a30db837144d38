"""Laplacians and eigenpairs: against SciPy, against dense ones, and against known answers."""

import numpy as np
import pytest
import torch
from scipy.sparse import csgraph, csr_array

from sparseot import Diagonal, KernelMatrix, datasets, eigsh, graph_laplacian, kernels
from sparseot.operators.base import Operator
from tests.references.clouds import cloud
from tests.references.spectra import KEOPS_ROLL, ROLL


def spiral(n, seed):
    """The curve of KeOps's tutorial: unevenly sampled, with noise of 0.01."""
    t = np.linspace(0, 2 * np.pi, n + 1)[:-1]
    curve = np.stack([0.4 + 0.4 * (t / 7) * np.cos(t), 0.5 + 0.3 * np.sin(t)], 1)
    return curve + 0.01 * np.random.default_rng(seed).standard_normal((n, 2))


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("self_loops", [False, True])
def test_laplacians(normed, self_loops):
    """SciPy's leaves self-loops out; ours keeps them unless told otherwise."""
    K = KernelMatrix(kernels.Gaussian(0.2), cloud(40, 2)[0].numpy())
    weights = K.to_dense()
    bare = weights - np.diag(weights.diagonal())
    degrees = weights.sum(1) if self_loops else bare.sum(1)
    exact = np.diag(degrees) - (weights if self_loops else bare)
    if normed:
        exact = exact / np.sqrt(degrees)[:, None] / np.sqrt(degrees)
    L = graph_laplacian(K, normed=normed, self_loops=self_loops)
    np.testing.assert_allclose(L.to_dense(), exact, atol=1e-12)
    np.testing.assert_allclose(L.diagonal(), exact.diagonal(), atol=1e-12)
    np.testing.assert_allclose(L.degrees, degrees)
    if not self_loops:
        np.testing.assert_allclose(exact, csgraph.laplacian(bare, normed=normed), atol=1e-12)
    spectrum = np.linalg.eigvalsh(L.to_dense())
    assert spectrum[0] > -1e-12 and (not normed or spectrum[-1] < (1 if self_loops else 2) + 1e-12)


def test_laplacians_of_sparse_matrices_and_isolated_points():
    weights = csr_array(np.array([[0, 2.0, 0], [2.0, 0, 0], [0, 0, 0]]))
    for normed in (False, True):
        L = graph_laplacian(weights, normed=normed)
        np.testing.assert_allclose(
            L.to_dense(), csgraph.laplacian(weights, normed=normed).toarray()
        )
    with pytest.raises(ValueError, match="K: got a negative degree"):
        graph_laplacian(KernelMatrix(kernels.Energy(), cloud(5, 2)[0]))
    with pytest.raises(ValueError, match="square"):
        graph_laplacian(KernelMatrix(kernels.Energy(), cloud(5, 2)[0], cloud(4, 2)[0]))


@pytest.mark.parametrize("which", ["LA", "SA", "LM"])
@pytest.mark.parametrize("n", [20, 400])
def test_eigenpairs_are_those_of_the_dense_matrix(which, n):
    """Small problems, which are solved densely, and larger ones; a matrix with both signs."""
    x = cloud(n, 2)[0]
    operator = KernelMatrix(kernels.Gaussian(0.3), x) - Diagonal(torch.rand(n).double())
    dense = operator.to_dense()
    exact = torch.linalg.eigvalsh((dense + dense.T) / 2)
    key = {"LA": -exact, "SA": exact, "LM": -exact.abs()}[which]
    exact = exact[key.argsort()[:4]].sort().values
    pairs = eigsh(operator, 4, which)
    values, vectors = pairs
    torch.testing.assert_close(values, exact, rtol=0, atol=1e-8 * exact.abs().max())
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(4).double(), rtol=0, atol=1e-8)
    residuals = (dense @ vectors - vectors * values).norm(dim=0)
    torch.testing.assert_close(pairs.residuals, residuals, rtol=0, atol=1e-10)
    assert pairs.converged


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize(("dtype", "bar"), [(np.float32, 1e-5), (np.float64, 1e-8)])
def test_the_spiral_of_1000_points_against_dense_eigenvalues(dtype, bar, normed):
    """Relative to the norm of L, down to the eigenvalue zero."""
    x = spiral(1000, 2).astype(dtype)
    L = graph_laplacian(KernelMatrix(kernels.Gaussian(0.05), x), normed=normed)
    exact = np.linalg.eigvalsh(
        graph_laplacian(
            KernelMatrix(kernels.Gaussian(0.05), x.astype(np.float64)), normed=normed
        ).to_dense()
    )
    found = eigsh(L, 7, "SA")
    assert found.values.dtype == dtype
    assert np.abs(found.values - exact[:7]).max() < bar * exact[-1]


def test_isolated_points_are_listed_and_carry_zeros():
    """Each is a component; a pair of far clouds yields two zeros as well."""
    x = np.concatenate((spiral(300, 0), [[9.0, 9.0]], spiral(200, 1) + [5, 0]))
    L = graph_laplacian(KernelMatrix(kernels.Gaussian(0.05), x), normed=True)
    assert L.isolated().tolist() == [300]
    values = eigsh(L, 4, "SA").values
    assert np.abs(values[:3]).max() < 1e-10 and values[3] > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("n", ROLL)
def test_the_swiss_roll_by_two_levels(n):
    """Known answers, and KeOps's within a percent."""
    K = KernelMatrix(kernels.Gaussian(0.01), datasets.swiss_roll(n).numpy(), tol=1e-5)
    found = eigsh(graph_laplacian(K, normed=True), 7, "SA")
    np.testing.assert_allclose(found.values[1:], ROLL[n], rtol=2e-3)
    assert abs(found.values[0]) < 1e-6
    assert found.converged and found.residuals.max() < 1e-5 and found.products < 110
    if n == 1_000_000:
        np.testing.assert_allclose(found.values[1:], KEOPS_ROLL, rtol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_spiral_of_10000_points(seed):
    """Known answers (KeOps's tutorial), random within a percent or so."""
    x = spiral(10_000, seed)
    K = KernelMatrix(kernels.Gaussian(0.05), x)
    top = eigsh(K, 5, "LA")
    np.testing.assert_allclose(top.values, [629, 641, 665, 750, 1430], rtol=0.01)
    L = graph_laplacian(KernelMatrix(kernels.Gaussian(0.05), x.astype(np.float32)), normed=True)
    low = eigsh(L, 7, "SA")
    known = [4.50e-3, 2.16e-2, 6.47e-2, 0.1103, 0.1162, 0.1760]
    np.testing.assert_allclose(low.values[1:], known, rtol=0.015)
    assert abs(low.values[0]) < 1e-5 and low.values.dtype == np.float32
    assert low.converged and low.products < 200
    plain = eigsh(graph_laplacian(K), 7, "SA", tol=1e-5)
    np.testing.assert_allclose(plain.values[1:], [3.49, 14.2, 41.8, 67.2, 77.5, 116], rtol=0.02)
    assert abs(plain.values[0]) < 1e-5 * K.sum().max() and plain.converged


def test_what_is_refused_and_what_is_reported():
    x = cloud(100, 2)[0]
    K = KernelMatrix(kernels.Gaussian(0.1), x)
    for k in (0, 100):
        with pytest.raises(ValueError, match="k: got"):
            eigsh(K, k)
    with pytest.raises(ValueError, match="which: got 'SM'.*take \"SA\""):
        eigsh(K, 2, "SM")
    with pytest.raises(TypeError, match="operator: got ndarray, wanted a kernel matrix"):
        eigsh(np.eye(100), 2)
    with pytest.raises(ValueError, match="square matrix"):
        eigsh(KernelMatrix(kernels.Gaussian(0.1), x, x[:50]), 2)
    with pytest.raises(ValueError, match="not symmetric"):
        eigsh(Diagonal(torch.rand(100).double()) @ K, 2)
    with pytest.warns(RuntimeWarning, match="eigsh stopped after .* products"):
        pairs = eigsh(graph_laplacian(K), 3, "SA", max_products=10)
    assert not pairs.converged and pairs.residuals.max() > 1e-9 * len(x)
    walk = Diagonal(torch.ones(100).double()) - Diagonal(1 / K.sum()) @ K
    with pytest.raises(ValueError, match="not symmetric"):
        eigsh(walk, 2, "SA")
    with pytest.raises(ValueError, match="k: got 2.5, wanted an integer"):
        eigsh(K, 2.5)
    with pytest.raises(ValueError, match="K: got a matrix between two clouds"):
        graph_laplacian(KernelMatrix(kernels.Gaussian(0.1), x, x + 0.02))
    with pytest.raises(ValueError, match=r"Take \(K \+ K.T\) / 2"):
        graph_laplacian(csr_array(np.triu(np.ones((4, 4)))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_kernels_as_wide_as_the_cloud(sigma, dtype):
    """Few large eigenvalues, all others rounding: norms are seen on the way, bases stay clean."""
    for seed in range(8):
        x = torch.rand(1000, 2, generator=torch.Generator().manual_seed(seed))
        exact = torch.linalg.eigvalsh(KernelMatrix(kernels.Gaussian(sigma), x.double()).to_dense())
        found = eigsh(KernelMatrix(kernels.Gaussian(sigma), x.to(dtype)), 3, "LA")
        torch.testing.assert_close(found.values.double(), exact[-3:], rtol=1e-5, atol=1e-5 * 1000)
        eye = torch.eye(3, dtype=dtype)
        assert found.converged and (found.vectors.T @ found.vectors - eye).abs().max() < 1e-4


def test_graphs_of_zeros_and_ones():
    ring = csr_array(np.roll(np.eye(6, dtype=int), 1, 1) + np.roll(np.eye(6, dtype=int), -1, 1))
    L = graph_laplacian(ring)
    np.testing.assert_allclose(L @ np.full(6, 0.5), 0)
    np.testing.assert_allclose(L @ np.arange(6.0) / 2, csgraph.laplacian(ring) @ np.arange(6.0) / 2)


class Failing(Operator):
    """A diagonal matrix whose products are NaN from the third one on."""

    def __init__(self, n):
        self.shape, self.reference, self.calls = (n, n), torch.empty(0, dtype=torch.float64), 0

    def product(self, v):
        self.calls += 1
        scale = 1.0 if self.calls < 3 else torch.nan
        return scale * torch.linspace(1, 2, len(v)).to(v)[:, None] * v

    def transpose(self):
        return self

    def diagonal(self):
        return torch.linspace(1, 2, self.shape[0])


@pytest.mark.parametrize("n", [20, 300])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_operators_with_what_is_no_number(n, bad):
    """Small ones are solved densely, large ones by iteration; neither has eigenvalues."""
    entries = torch.ones(n, dtype=torch.float64)
    entries[3] = bad
    K = KernelMatrix(kernels.Gaussian(0.2), cloud(n, 2)[0])
    for operator in (
        Diagonal(entries),
        K + Diagonal(entries),
        Diagonal(entries.numpy()),
        Failing(n),
    ):
        for which in ("LM", "LA", "SA"):
            with pytest.raises(ValueError, match="operator: got products with NaN or infinity"):
                eigsh(operator, 3, which)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("normed", [False, True])
def test_laplacians_of_what_is_no_number(bad, normed):
    weights = np.ones((6, 6))
    weights[1, 2] = weights[2, 1] = bad
    for K in (weights, torch.as_tensor(weights), csr_array(weights)):
        with pytest.raises(ValueError, match="K: got (NaN or infinite degrees|a matrix that)"):
            graph_laplacian(K, normed=normed)


def test_small_operators_are_held_to_the_tolerance_too():
    """Products of a series of tol 1e-4 are not those of the entries, whose eigenpairs are exact."""
    K = KernelMatrix(kernels.Gaussian(0.2), cloud(40, 2)[0], engine="nufft", tol=1e-4)
    with pytest.warns(RuntimeWarning, match="eigsh stopped after 40 products"):
        found = eigsh(K, 3, tol=1e-12)
    exact = torch.linalg.eigvalsh(K.to_dense())[-3:]
    torch.testing.assert_close(found.values, exact)
    assert not found.converged and 1e-12 < found.residuals.max() < 1e-4 * 40
    assert eigsh(K, 3, tol=1e-2).converged


@pytest.mark.parametrize("n", [20, 300])
@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e20, 1e30])
def test_eigenvalues_of_any_size(n, size):
    """Single precision: the squares of such residuals are zero, or infinite, and so is their norm."""
    entries = torch.linspace(1, 2, n)
    found = eigsh(Diagonal(size * entries), 3, "LA")
    assert found.converged and found.residuals.isfinite().all()
    torch.testing.assert_close(found.values / size, entries[-3:], rtol=1e-5, atol=0)
    lopsided = csr_array(np.triu(np.ones((n, n))) * size)

    class Lopsided(Operator):
        shape, reference = (n, n), torch.empty(0)

        def product(self, v):
            return torch.as_tensor(lopsided @ v.numpy()).to(v)

        def transpose(self):
            raise NotImplementedError

        diagonal = transpose

    with pytest.raises(ValueError, match="not symmetric"):
        eigsh(Lopsided(), 3)
