"""Clusters of sorted points: the same as KeOps's where it is right, and right where it is not."""

import contextlib
import io

import numpy as np
import pytest
import torch

from sparseot import cluster

with contextlib.redirect_stdout(io.StringIO()):
    of_numpy = pytest.importorskip("pykeops.numpy.cluster")
    of_torch = pytest.importorskip("pykeops.torch.cluster")

KINDS = {"numpy": (of_numpy, np.asarray), "torch": (of_torch, torch.as_tensor)}
kinds = pytest.mark.parametrize(("theirs", "kind"), KINDS.values(), ids=KINDS)


def cloud(kind, n=500, d=3, dtype=np.float64, shift=0.0):
    return kind(np.random.default_rng(0).random((n, d)).astype(dtype) + np.asarray(shift, dtype))


def assert_same(ours, theirs):
    """One kind, dtype and value, whatever is nested."""
    if isinstance(theirs, tuple | list):
        assert type(ours) is type(theirs) and len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_same(mine, other)
        return
    assert type(ours) is type(theirs) and ours.dtype == theirs.dtype
    ours, theirs = torch.as_tensor(ours), torch.as_tensor(theirs)
    tolerance = 1e-6 if ours.dtype in (torch.float32, torch.float64) else 0
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@kinds
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cells_are_numbered_as_by_keops(theirs, kind, d, dtype):
    x = cloud(kind, d=d, dtype=dtype, shift=0.5)
    for size in (0.05, 0.3, kind(np.linspace(0.1, 0.3, d).astype(dtype))):
        assert_same(cluster.grid_cluster(x, size), theirs.grid_cluster(x, size))


@kinds
@pytest.mark.parametrize("weighted", [False, True])
def test_ranges_and_centroids_of_labels(theirs, kind, weighted):
    x = cloud(kind, dtype=np.float32)
    labels = theirs.grid_cluster(x, 0.3)
    weights = cloud(kind, d=1, dtype=np.float32)[:, 0] + 0.1 if weighted else None
    ours = cluster.cluster_ranges_centroids(x, labels, weights)
    assert_same(ours, theirs.cluster_ranges_centroids(x, labels, weights))
    assert_same(cluster.cluster_ranges(labels), theirs.cluster_ranges(labels))
    counted = kind(np.bincount(np.asarray(labels)))
    assert_same(cluster.cluster_ranges(labels, counted), theirs.cluster_ranges(labels, counted))
    centroids = theirs.cluster_centroids(x, labels, weights=weights)
    assert_same(cluster.cluster_centroids(x, labels, weights=weights), centroids)
    if weighted:
        totals = kind(np.bincount(np.asarray(labels), weights=np.asarray(weights)))
        assert_same(cluster.cluster_centroids(x, labels, counted, weights, totals), centroids)


@kinds
def test_points_are_sorted_with_all_that_belongs_to_them(theirs, kind):
    x, values = cloud(kind), cloud(kind, d=2)
    labels = theirs.grid_cluster(x, 0.3)
    sorted_x, sorted_labels = cluster.sort_clusters(x, labels)
    assert_same(sorted_labels, theirs.sort_clusters(x, labels)[1])
    for container in (tuple, list):
        parts, _ = cluster.sort_clusters(container((x, values)), labels)
        assert type(parts) is container
        order = np.argsort(np.asarray(labels), kind="stable")
        assert_same(parts, container((x[order], values[order])))
    ranges = cluster.cluster_ranges(labels)
    for label, (start, end) in enumerate(ranges.tolist()):
        assert (labels == label).sum() == end - start
        assert (sorted_labels[start:end] == label).all()
    means = cluster.cluster_centroids(sorted_x, sorted_labels)
    assert_same(means, theirs.cluster_centroids(x, labels))


@kinds
def test_masks_of_clusters_become_ranges(theirs, kind):
    rows, columns = kind(np.array([[2, 5], [7, 12]])), kind(np.array([[1, 4], [4, 9], [20, 30]]))
    for keep in (np.array([[1, 1, 0], [0, 1, 0]]), np.zeros((2, 3)), np.ones((2, 3))):
        ours = cluster.from_matrix(rows, columns, kind(keep.astype(bool)))
        assert_same(ours, theirs.from_matrix(rows, columns, kind(keep.astype(bool))))
        assert_same(cluster.swap_axes(ours), theirs.swap_axes(ours))
    assert cluster.swap_axes(None) is None


@kinds
def test_a_thousand_cells_along_an_axis_do_not_share_labels(theirs, kind):
    """KeOps packs the numbers of cells in ten bits each: cell 1024 of one row is cell 0 of the next."""
    x = kind(np.array([[0.5, 0.5], [0.5, 1024.5], [1.5, 0.5]]))
    assert cluster.grid_cluster(x, 1.0).tolist() == [0, 1, 2]
    assert theirs.grid_cluster(x, 1.0).tolist() == [0, 1, 1]


@kinds
def test_cells_of_any_dimension(theirs, kind):
    x = cloud(kind, n=200, d=5)
    with pytest.raises(NotImplementedError):
        theirs.grid_cluster(x, 0.5)
    labels = cluster.grid_cluster(x, 0.5)
    low = np.zeros(5) if kind is np.asarray else np.asarray(x).min(0)
    cells = np.floor((np.asarray(x) - low) / 0.5)
    same = (cells[:, None] == cells[None]).all(-1)
    assert ((np.asarray(labels)[:, None] == np.asarray(labels)[None]) == same).all()


def test_ranges_of_very_many_points_are_not_rounded():
    """KeOps's tensors count in single precision, whose integers end at 2^24."""
    counts = torch.tensor([2**24, 1, 1])
    labels = torch.tensor([0, 1, 2])
    wanted = [[0, 2**24], [2**24, 2**24 + 1], [2**24 + 1, 2**24 + 2]]
    assert cluster.cluster_ranges(labels, counts).tolist() == wanted
    assert of_torch.cluster_ranges(labels, counts.float()).tolist() != wanted


@kinds
def test_clusters_without_weight_have_a_place_and_those_without_points_have_none(theirs, kind):
    x, labels = kind(np.array([[1.0], [3.0], [5.0]])), kind(np.array([0, 0, 2]))
    ranges, centroids, weights = cluster.cluster_ranges_centroids(x, labels, kind(np.zeros(3)))
    assert ranges.tolist() == [[0, 2], [2, 2], [2, 3]]
    assert centroids[0] == 2 and centroids[2] == 5 and centroids[1] != centroids[1]
    assert weights[0] == 2e-9 and weights[1] == 0


def test_centroids_have_gradients():
    x = torch.rand(6, 2, dtype=torch.float64, requires_grad=True)
    w = torch.rand(6, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 1, 0, 2, 2])
    means = lambda x, w: cluster.cluster_centroids(x, labels, weights=w)  # noqa: E731
    assert torch.autograd.gradcheck(means, (x, w))


def test_reversed_and_strided_arrays():
    x = cloud(np.asarray, n=50)
    assert_same(cluster.grid_cluster(x[::-1, ::-1], 0.3), of_numpy.grid_cluster(x[::-1, ::-1], 0.3))
    lattice = torch.rand(3, 40).T
    assert_same(cluster.grid_cluster(lattice, 0.3), of_torch.grid_cluster(lattice, 0.3))


@kinds
def test_no_points_and_one(theirs, kind):
    empty, one = kind(np.zeros((0, 3))), kind(np.zeros((1, 3)))
    assert len(cluster.grid_cluster(empty, 0.1)) == 0
    labels = cluster.grid_cluster(one, 0.1)
    ranges, centroids, _ = cluster.cluster_ranges_centroids(one, labels)
    assert ranges.tolist() == [[0, 1]] and centroids.tolist() == [[0, 0, 0]]
    assert cluster.cluster_ranges(cluster.grid_cluster(empty, 0.1)).shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cluster.grid_cluster(torch.rand(3), 0.1), "points (N, D)"),
        (lambda: cluster.grid_cluster(torch.ones(3, 2, dtype=int), 0.1), "floating numbers"),
        (lambda: cluster.grid_cluster(torch.full((3, 2), torch.nan), 0.1), "not finite"),
        (lambda: cluster.grid_cluster(torch.rand(3, 2), 0), "a positive length"),
        (lambda: cluster.grid_cluster(torch.rand(3, 2), torch.tensor([0.1, -1])), "a positive"),
        (lambda: cluster.sort_clusters(torch.rand(3, 2), torch.zeros(4).int()), "4 labels"),
        (lambda: cluster.sort_clusters(torch.rand(3, 2), torch.zeros(3)), "integer labels"),
        (lambda: cluster.cluster_ranges(torch.tensor([0, -1])), "labels from 0"),
        (
            lambda: cluster.from_matrix(
                torch.ones(2, 2).int(), torch.ones(3, 2).int(), torch.ones(3, 2)
            ),
            "wanted (2, 3)",
        ),
        (
            lambda: cluster.from_matrix(torch.ones(2).int(), torch.ones(3, 2), torch.ones(2, 3)),
            "ranges_i",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_a_sentence(call, words):
    with pytest.raises((ValueError, TypeError), match=".*got .*wanted") as refused:
        call()
    assert words in str(refused.value)
