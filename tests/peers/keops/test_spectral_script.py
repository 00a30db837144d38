"""KeOps's tutorial on SciPy, call for call: the spiral, and the noisy Swiss roll on kept pairs of cells.

Eigenvalues are those of whole matrices for few points, and KeOps's own, up to the noise that is drawn anew,
for many. The roll of a million points has 5e10 kept pairs, of which eigenvalues take some eight hundred
products: ``make hours`` runs that to its end, and ``benchmarks/spectral/roll.py`` times it. ``make check`` takes its first two
products, the second by one side of the diagonal and without what rounding loses, and eigenvalues of a hundred thousand points.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import diags
from scipy.sparse.linalg import aslinearoperator, eigsh

import sparseot
from sparseot import KernelMatrix, cluster, graph_laplacian, kernels
from tests.references.spectra import KEOPS_ROLL, ROLL

from .agreement import assert_equals

KEOPS_K = [626.6, 639.7, 666.2, 749.0, 1432.9]  # the spiral of 10,000 points
KEOPS_L = [3.488, 14.23, 41.77, 66.87, 77.49, 114.9]


def spiral(n):
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2 * np.pi, n + 1)[:-1]
    x = np.stack((0.4 + 0.4 * (t / 7) * np.cos(t), 0.5 + 0.3 * np.sin(t)), 1)
    return (x + 0.01 * rng.standard_normal(x.shape)).astype("float32")


def roll(n):
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2 * np.pi, n + 1)[:-1]
    across = (0.4 + 0.4 * (t / 7) * np.cos(1.5 * t), 0.5 + 0.3 * (t / 7) * np.sin(1.5 * t))
    x = np.stack((across[0], 0.1 + 0.8 * rng.random(n), across[1]), 1)
    return (x + 0.01 * rng.standard_normal(x.shape)).astype("float32")


def gaussian(LazyTensor, x, sigma):
    """The symbolic matrix, as the script writes it."""
    x_ = x / sigma
    x_i, x_j = LazyTensor(x_[:, None, :]), LazyTensor(x_[None, :, :])
    K_xx = (-((x_i - x_j) ** 2).sum(2) / 2).exp()
    assert K_xx.shape == (len(x), len(x))
    print(K_xx)
    return K_xx


def normed_laplacian(K):
    """I - D^-1/2 K D^-1/2, by SciPy's algebra, which forgets the dtype."""
    D = K @ np.ones(K.shape[0], dtype="float32")
    D_2 = aslinearoperator(diags(1 / np.sqrt(D)))
    L_norm = aslinearoperator(diags(np.ones_like(D))) - D_2 @ K @ D_2
    L_norm.dtype = np.dtype("float32")
    return D, L_norm


def whole_gaussian(x, sigma):
    x = x.astype(float)
    return np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * sigma**2))


def of_spiral(LazyTensor, n):
    """The first half of the script: degrees, and eigenvalues of K, of L and of the normed L."""
    x = spiral(n)
    K = aslinearoperator(gaussian(LazyTensor, x, 0.05))
    D, L_norm = normed_laplacian(K)
    assert D.dtype == np.float32 and D.shape == (n,)
    largest, vectors = eigsh(K, k=5)
    assert vectors.shape == (n, 5)
    L = aslinearoperator(diags(D)) - K
    L.dtype = np.dtype("float32")
    return x, D, largest, eigsh(L, k=7, which="SM")[0], L_norm


def test_the_spiral_of_few_points(lazy):
    x, D, largest, smallest, L_norm = of_spiral(lazy.numpy.LazyTensor, 400)
    K = whole_gaussian(x, 0.05)
    degrees = K.sum(1)
    assert_equals(D, degrees, 1e-5)
    assert_equals(np.sort(largest), np.linalg.eigvalsh(K)[-5:], 1e-5)
    assert_equals(np.sort(smallest), np.linalg.eigvalsh(np.diag(degrees) - K)[:7], 1e-3)
    normed = np.eye(400) - K / np.sqrt(degrees[:, None] * degrees)
    found = eigsh(L_norm, k=7, which="SM")
    assert_equals(np.sort(found[0]), np.linalg.eigvalsh(normed)[:7], 1e-3)


@pytest.mark.slow
def test_the_spiral_of_ten_thousand_points_has_the_eigenvalues_that_keops_prints():
    _, _, largest, smallest, _ = of_spiral(sparseot.LazyTensor, 10_000)
    np.testing.assert_allclose(np.sort(largest), KEOPS_K, rtol=0.03)
    np.testing.assert_allclose(np.sort(smallest)[1:], KEOPS_L, rtol=0.06)
    assert abs(smallest).min() < 1e-2


def on_cells(lazy, n, sigma=0.01, eps=0.05):
    """The second half of the script: points in the order of their cells, and the block-sparse matrix."""
    x = roll(n)
    x_labels = lazy.cluster.grid_cluster(x, eps)
    x_ranges, x_centroids, _ = lazy.cluster.cluster_ranges_centroids(x, x_labels)
    x, x_labels = lazy.cluster.sort_clusters(x, x_labels)
    apart = np.sum((x_centroids[:, None, :] - x_centroids[None, :, :]) ** 2, 2)
    keep = apart < (4 * sigma + np.sqrt(3) * eps) ** 2
    K_xx = gaussian(lazy.numpy.LazyTensor, x, sigma)
    K_xx.ranges = lazy.cluster.from_matrix(x_ranges, x_ranges, keep)
    print(K_xx)
    sizes = x_ranges[:, 1] - x_ranges[:, 0]
    areas = sizes[:, None] * sizes[None, :]
    assert np.sum(areas) == n**2
    return x, x_labels, keep, aslinearoperator(K_xx), np.sum(areas[keep]) / n**2


def test_the_roll_of_few_points(lazy):
    n, sigma = 1000, 0.1
    x, labels, keep, K, kept = on_cells(lazy, n, sigma)
    masked = whole_gaussian(x, sigma) * keep[labels][:, labels]
    assert 0.1 < kept < 0.9 and kept == keep[labels][:, labels].mean()
    D, L_norm = normed_laplacian(K)
    degrees = masked.sum(1)
    assert_equals(D, degrees, 1e-5)
    normed = np.eye(n) - masked / np.sqrt(degrees[:, None] * degrees)
    found = eigsh(L_norm, k=7, which="SM")[0]
    assert_equals(np.sort(found), np.linalg.eigvalsh(normed)[:7], 1e-3)


def ours():
    return SimpleNamespace(numpy=sparseot, cluster=cluster)


@pytest.mark.slow
def test_the_roll_of_ten_thousand_points():
    """Eigenvalues beside those of our own solver, over all pairs."""
    sigma = 0.03
    x, _, _, K, kept = on_cells(ours(), 10_000, sigma)
    assert 0.1 < kept < 0.3
    found = np.sort(eigsh(normed_laplacian(K)[1], k=7, which="SM", tol=1e-3)[0])
    whole = KernelMatrix(kernels.Gaussian(sigma), x.astype(float))
    wanted = sparseot.eigsh(graph_laplacian(whole, normed=True), 7, "SA", tol=1e-7).values
    assert abs(found[0]) < 1e-4
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=0.03)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a minute where both cores are free
def test_the_roll_of_a_hundred_thousand_points():
    """The script whole, some seven hundred products, beside another solver, which has all pairs, by Fourier series."""
    x, _, _, K, kept = on_cells(ours(), 100_000)
    assert 0.04 < kept < 0.06
    found = np.sort(eigsh(normed_laplacian(K)[1], k=7, which="SM")[0])
    whole = KernelMatrix(kernels.Gaussian(0.01), x.astype(float))
    wanted = sparseot.eigsh(graph_laplacian(whole, normed=True), 7, "SA", tol=1e-4).values
    assert abs(found[0]) < 1e-6
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=1e-3)


@pytest.mark.slow
def test_a_product_with_the_roll_of_a_million_points():
    """Degrees of some rows beside sums over all columns, which cutting at four widths changes little."""
    x, _, _, K, kept = on_cells(ours(), 1_000_000)
    assert 0.04 < kept < 0.06
    D = K @ np.ones(len(x), dtype="float32")
    again = K @ np.ones(
        len(x), dtype="float32"
    )  # without the half of the pairs that rounding loses, and by half of the others
    np.testing.assert_allclose(again, D, rtol=2e-6)
    rows = np.arange(0, len(x), 50_000)
    squares = ((x[rows, None].astype(float) - x[None]) ** 2).sum(-1)
    exact = np.exp(-squares / (2 * 0.01**2)).sum(1)
    np.testing.assert_allclose(D[rows], exact, rtol=1e-3)


@pytest.mark.hours
@pytest.mark.timeout(6 * 3600)  # an hour of one processor, where nobody else takes its caches
def test_the_roll_of_a_million_points():
    """The script whole, beside KeOps's answer of another noise, known ones of this cloud, and our own solver's."""
    x, _, _, K, kept = on_cells(ours(), 1_000_000)
    assert 0.04 < kept < 0.06
    found = np.sort(eigsh(normed_laplacian(K)[1], k=7, which="SM")[0])
    assert abs(found[0]) < 1e-6
    np.testing.assert_allclose(found[1:], KEOPS_ROLL, rtol=0.02)
    np.testing.assert_allclose(found[1:], ROLL[len(x)], rtol=3e-3)
    whole = KernelMatrix(kernels.Gaussian(0.01), x, tol=1e-5)
    wanted = sparseot.eigsh(graph_laplacian(whole, normed=True), 7, "SA").values
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=3e-3)
