"""The rows of the page "Coming from SparseDistance or PyG"; the peers' side is in plain torch."""

import pytest
import torch

from sparseot import knn, knn_graph, knn_recall, radius, radius_graph
from sparseot.nn import DynamicEdgeConv, GravNetConv, SparseHashedNNDistance, pairwise_dist


def sparsedistance_bins(x, size, seed=0):
    """SparseDistance's bins: slices of the points sorted by the largest of random products."""
    bins = len(x) // size
    codebook = 0.05 * torch.randn(
        x.shape[1], bins // 2, generator=torch.Generator().manual_seed(seed)
    )
    products = x @ codebook
    hashes = torch.cat((products, -products), 1).argmax(1)
    return hashes.argsort(stable=True).view(bins, size)


def sparsedistance_neighbours(x, size, k):
    """The nearest points of each point in its bin, itself among them."""
    out = torch.empty(len(x), k, dtype=torch.long)
    for members in sparsedistance_bins(x, size):
        weights = torch.exp(-0.1 * pairwise_dist(x[members], x[members]))
        out[members] = members[weights.topk(k).indices]
    return out


def test_neighbours():
    x = torch.randn(4000, 16)
    theirs = knn_recall(x, sparsedistance_neighbours(x, 100, 5), loop=True)
    ours = SparseHashedNNDistance()(x[None])
    assert knn_recall(x, ours.indices[0], loop=True) == 1 and theirs < 0.6


@pytest.mark.parametrize("count", [777, 3, 1])
def test_number_of_points(count):
    assert SparseHashedNNDistance()(torch.randn(1, count, 4)).shape == (1, count, count)


def test_padding():
    x = torch.randn(1, 100, 3)
    mask = torch.arange(100)[None] < 60
    A = SparseHashedNNDistance()(x.where(mask[..., None], 0), mask=mask)
    assert (A.indices[0, :60] < 60).all() and not A.mask[0, 60:].any()


def test_order_of_the_points():
    x = torch.randn(500, 4)
    order = torch.randperm(500)
    A, B = (SparseHashedNNDistance()(cloud[None]) for cloud in (x, x[order]))
    assert torch.equal(order[B.indices[0]], A.indices[0][order])


def test_distances_above_1000():
    x = torch.randn(200, 3) * 1e5
    A = SparseHashedNNDistance(num_neighbors=3)(x[None])
    assert (A.weights[0, :, 1:] == 0).any()  # they underflow here too
    assert torch.equal(A.indices[0], knn(x, k=3, loop=True).indices)


def test_distances_near_zero():
    x = torch.zeros(10, 3, requires_grad=True)
    distances = pairwise_dist(x, x)
    assert torch.equal(distances, torch.zeros(10, 10))
    (grad,) = torch.autograd.grad(SparseHashedNNDistance()(x[None]).weights.sum(), x)
    assert torch.equal(grad, torch.zeros(10, 3))


def test_cosine_dist():
    x = torch.randn(50, 4)
    A = SparseHashedNNDistance(num_neighbors=3, cosine_dist=True)(x[None])
    y = torch.nn.functional.normalize(x, dim=1)
    torch.testing.assert_close(A.weights[0], (y @ y.T).topk(3).values)


def test_max_num_bins_and_bin_size():
    layer = SparseHashedNNDistance(max_num_bins=2, bin_size=64)
    assert layer.graph.forest.leaf_size == 64
    assert layer(torch.randn(1, 1000, 3)).exact


def test_result():
    A = SparseHashedNNDistance()(torch.randn(2, 50, 3))
    sparse = A.to_sparse_coo().coalesce()
    assert sparse.shape == (2, 50, 50) and sparse._nnz() == 2 * 50 * 5


def test_knn_runs_from_x_to_y():
    x, y = torch.rand(10, 2), torch.rand(20, 2)
    found = knn(x, y, k=3)
    assert found.indices.shape == (10, 3)
    torch.testing.assert_close(found.distances, torch.cdist(x, y).sort(dim=1).values[:, :3])


def test_number_of_edges_and_self_loops():
    x = torch.zeros(20, 2)
    for loop in (False, True):
        source, target = knn_graph(x, 4, loop=loop)
        assert torch.bincount(target).tolist() == [4] * 20
        assert bool((source == target).any()) == loop


def test_radius_runs_from_x_to_y():
    x, y = torch.rand(10, 2), torch.rand(20, 2)
    found = radius(x, y, 0.3, batch=(torch.arange(10) // 5, torch.arange(20) // 10))
    near = torch.cdist(x, y) <= 0.3
    near[:5, 10:], near[5:, :10] = False, False
    assert torch.equal(torch.stack((found.rows, found.indices)), near.nonzero().T)


def test_radius_graph_keeps_all_or_the_nearest():
    x = torch.rand(100, 2)
    assert radius_graph(x, 2.0).shape == (2, 9900)
    with pytest.warns(UserWarning, match="max_num_neighbors=32 left out 6,700 of 9,900 edges"):
        source, _ = radius_graph(x, 2.0, max_num_neighbors=32)
    assert torch.equal(source.view(100, 32), knn(x, k=32).indices.sort(1).values)


def test_layers_have_the_parameters_of_pyg():
    conv = GravNetConv(4, 8, space_dimensions=3, propagate_dimensions=5, k=6)
    shapes = {name: tuple(p.shape) for name, p in conv.named_parameters()}
    assert shapes == {
        "lin_s.weight": (3, 4), "lin_s.bias": (3,), "lin_h.weight": (5, 4), "lin_h.bias": (5,),
        "lin_out1.weight": (8, 4), "lin_out2.weight": (8, 10), "lin_out2.bias": (8,),
    }  # fmt: skip
    edge = DynamicEdgeConv(torch.nn.Linear(8, 2), 3)
    assert list(edge.state_dict()) == ["nn.weight", "nn.bias"]


def test_k_above_100():
    assert knn(torch.rand(300, 3), k=150, method="tiles").indices.shape == (300, 150)
