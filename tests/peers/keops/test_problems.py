"""What KeOps's tutorials solve: clusters, classes, mixtures, interpolation, smoothing, block-sparse sums."""

import numpy as np
import pytest
import torch

from .agreement import assert_equals, points, tensor


def lloyd(x, nearest, k, steps=5):
    """Means of clusters, changed in place as the tutorials do; ``nearest`` gives the labels."""
    c = x[:k].clone()
    assign = nearest(c)
    for _ in range(steps):
        labels = assign()
        c.zero_()
        c.scatter_add_(0, labels[:, None].repeat(1, x.shape[1]), x)
        c /= torch.bincount(labels, minlength=k).type_as(c).view(k, 1)
    return labels, c


def test_k_means_whose_centroids_change_in_place(lazy):
    x, k = tensor(300, 2), 12
    x_i = lazy.torch.LazyTensor(x.view(300, 1, 2))

    def lazily(c):
        c_j = lazy.torch.LazyTensor(c.view(1, k, 2))
        return lambda: ((x_i - c_j) ** 2).sum(-1).argmin(dim=1).long().view(-1)

    def densely(c):
        return lambda: torch.cdist(x, c).argmin(1)

    for found, wanted in zip(lloyd(x, lazily, k), lloyd(x, densely, k), strict=True):
        assert_equals(found, wanted)


def test_the_largest_cosine(lazy):
    x, c = tensor(200, 3) - 0.5, torch.nn.functional.normalize(tensor(9, 3, 1) - 0.5, dim=1)
    x_i, c_j = lazy.torch.LazyTensor(x.view(-1, 1, 3)), lazy.torch.LazyTensor(c.view(1, -1, 3))
    assert_equals((x_i | c_j).argmax(dim=1).view(-1), (x @ c.T).argmax(1))
    assert_equals(
        (x_i.normalize() | c_j).max(dim=1).view(-1),
        ((x / x.norm(dim=1)[:, None]) @ c.T).max(1).values,
    )


@pytest.mark.parametrize("k", [1, 10])
def test_votes_of_nearest_neighbours(lazy, k):
    x = tensor(200, 2)
    above = x[:, 1] < 3 * x[:, 0] * (x[:, 0] - 0.5) * (x[:, 0] - 1) + x[:, 0]
    ticks = torch.linspace(0.003, 0.997, 20, dtype=torch.float64)
    grid = torch.cartesian_prod(ticks, ticks)
    squares = (lazy.torch.LazyTensor(grid[:, None, :]) - lazy.torch.LazyTensor(x[None, :, :])) ** 2
    votes = above[squares.sum(-1).argKmin(k, dim=1)].float().mean(1)
    wanted = above[torch.cdist(grid, x).topk(k, largest=False).indices].float().mean(1)
    assert torch.equal(votes, wanted)


def test_densities_of_a_mixture_have_gradients_in_all_parameters(lazy):
    x, mu, a = tensor(60, 2), tensor(7, 2, 1).requires_grad_(), tensor(7, 4, 2).requires_grad_()
    scores = tensor(7, 1, 3).requires_grad_()

    def likelihood(log_density):
        metric = a.view(7, 2, 2) @ a.view(7, 2, 2).mT * 8
        weights = torch.softmax(scores, 0) * metric.det().abs()[:, None].sqrt()
        value = log_density(metric.reshape(7, 4), weights).mean()
        return value, *torch.autograd.grad(value, (mu, a, scores))

    def lazily(metric, weights):
        Vi, Vj = lazy.torch.Vi, lazy.torch.Vj
        exponents = -Vi(x).weightedsqdist(Vj(mu), Vj(metric))
        density = exponents.exp() @ weights
        logarithm = exponents.logsumexp(dim=1, weight=Vj(weights))
        assert_equals(density.log(), logarithm)
        return logarithm

    def densely(metric, weights):
        apart = x[:, None] - mu[None]
        squares = torch.einsum("ijk,jkl,ijl->ij", apart, metric.view(7, 2, 2), apart)
        return ((-squares).exp() @ weights).log()

    for found, wanted in zip(likelihood(lazily), likelihood(densely), strict=True):
        assert_equals(found, wanted, 1e-9)


@pytest.mark.parametrize("kind", ["scalar", "diagonal", "matrix"])
@pytest.mark.parametrize("of_j", [False, True])
def test_anisotropic_kernels(lazy, kind, of_j):
    x, y, b = tensor(20, 2), tensor(30, 2, 1), tensor(30, 1, 2)
    size = {"scalar": 1, "diagonal": 2, "matrix": 4}[kind]
    weights = tensor(30 if of_j else 1, size, 3) + 0.1
    if kind == "matrix":
        weights = (weights + weights[:, [0, 2, 1, 3]]) / 2
        metric = weights.view(-1, 2, 2)
    else:
        metric = torch.diag_embed(weights.expand(-1, 2))
    variable = lazy.torch.Vj(weights) if of_j else lazy.torch.Pm(weights[0])
    found = (-lazy.torch.Vi(x).weightedsqdist(lazy.torch.Vj(y), variable)).exp() @ b
    apart = x[:, None] - y[None]
    squares = torch.einsum("ijk,jkl,ijl->ij", apart, metric.expand(30, 2, 2), apart)
    assert_equals(found, (-squares).exp() @ b)


def test_interpolation_by_a_kernel_of_arrays(lazy):
    x, t = points(150, 1), np.linspace(0, 1, 101)[:, None]
    b = x + 0.5 * np.sin(6 * x) + 0.1 * np.sin(20 * x) + 0.05 * (points(150, 1, 1) - 0.5)

    def gaussian(x, y, sigma=0.1):
        apart = lazy.numpy.LazyTensor(x[:, None, :]) - lazy.numpy.LazyTensor(y[None, :, :])
        return (-(apart**2).sum(-1) / (2 * sigma**2)).exp()

    def whole(x, y):
        return np.exp(-((x - y.T) ** 2) / 0.02)

    a = gaussian(x, x).solve(b, alpha=1.0, eps=1e-12)
    assert isinstance(a, np.ndarray)
    wanted = np.linalg.solve(whole(x, x) + np.eye(150), b)
    assert_equals(a, wanted, 1e-8)
    assert_equals(gaussian(t, x) @ a, whole(t, x) @ wanted, 1e-8)


def test_a_smoother_with_a_compact_kernel_and_normed_rows(lazy):
    """Comparisons are factors, and a reduction goes back into the formula that it came from."""
    x = np.linspace(-5, 5, 300)
    y, grid, width = np.sin(x), np.linspace(-5, 5, 40), 0.3
    x_j, g_i = lazy.numpy.LazyTensor(x[None, :, None]), lazy.numpy.LazyTensor(grid[:, None, None])
    squares = ((g_i - x_j) ** 2).sum(dim=2)
    K = (squares < width**2) * (1 - squares.sqrt() / width) ** 2
    K = K / K.sum(dim=1)[:, None]
    distances = np.abs(grid[:, None] - x)
    wanted = (distances < width) * (1 - distances / width) ** 2
    wanted /= wanted.sum(1, keepdims=True)
    found = K @ y
    assert found.shape == (40,)
    assert_equals(found, wanted @ y)


@pytest.mark.parametrize("axis", [0, 1])
def test_block_sparse_sums_in_two_libraries_words(lazy, axis):
    """Sums over kept pairs of clusters alone, in the rows and in the columns."""
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    x = np.stack((0.4 + 0.06 * angle * np.cos(angle), 0.5 + 0.3 * np.sin(angle)), 1)
    y, b = 0.6 + 0.1 * (points(300, 2) - 0.5), points(300, 1, 1)
    parts = []
    for cloud in (x, y):
        labels = lazy.cluster.grid_cluster(cloud, 0.05)
        ranges, centroids, _ = lazy.cluster.cluster_ranges_centroids(cloud, labels)
        cloud, labels = lazy.cluster.sort_clusters(cloud, labels)
        parts.append((cloud, labels, ranges, centroids))
    (x, x_labels, x_ranges, x_c), (y, y_labels, y_ranges, y_c) = parts
    keep = ((x_c[:, None] - y_c[None]) ** 2).sum(2) < 0.2**2
    assert 0 < keep.mean() < 1
    apart = lazy.numpy.LazyTensor(x[:, None] / 0.05) - lazy.numpy.LazyTensor(y[None] / 0.05)
    K = (-(apart**2).sum(dim=2) / 2).exp()
    whole = np.exp(-((x[:, None] - y[None]) ** 2).sum(2) / 2 / 0.05**2)
    full = K @ b
    K.ranges = lazy.cluster.from_matrix(x_ranges, y_ranges, keep)
    masked = whole * keep[x_labels][:, y_labels]
    assert_equals(K.sum(axis=axis)[:, 0], masked.sum(axis))
    assert_equals(K @ b, masked @ b)
    assert_equals(K.T @ x[:, :1], masked.T @ x[:, :1])
    K.ranges = None
    assert_equals(K @ b, full)
    assert_equals(full, whole @ b)
