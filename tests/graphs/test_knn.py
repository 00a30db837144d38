"""The doors to the searches: gradients, kinds of input, the graph of PyG, and what is refused."""

import numpy as np
import pytest
import torch

from sparseot import knn, knn_graph, knn_recall, radius_graph


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("other", [False, True])
def test_gradients_of_distances(metric, other):
    x = torch.randn(20, 3, dtype=torch.float64, requires_grad=True)
    y = torch.randn(30, 3, dtype=torch.float64, requires_grad=True) if other else None

    def distances(*clouds):
        return knn(*clouds, k=4, metric=metric).distances

    inputs = (x, y) if other else (x,)
    assert torch.autograd.gradcheck(distances, inputs)
    assert torch.autograd.gradgradcheck(distances, inputs)


def test_gradients_are_finite_at_copies_and_padding():
    x = torch.ones(2, 10, 3)
    mask = torch.arange(10) < torch.tensor([[10], [6]])
    x[~mask] = float("nan")
    x.requires_grad_()
    found = knn(x, k=3, mask=mask)
    found.distances[mask].sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_cosine_distances():
    x = torch.randn(200, 5, dtype=torch.float64)
    expected = 1 - torch.nn.functional.cosine_similarity(x[:, None], x[None], dim=-1)
    values, indices = expected.fill_diagonal_(torch.inf).sort(dim=1)
    found = knn(x, k=4, metric="cosine")
    assert torch.equal(found.indices, indices[:, :4])
    torch.testing.assert_close(found.distances, values[:, :4])


def test_numpy_in_numpy_out():
    x = np.random.default_rng(0).random((50, 2), np.float32)
    found = knn(x, k=2)
    assert isinstance(found.indices, np.ndarray) and found.distances.dtype == np.float32
    assert isinstance(found.distances, np.ndarray)
    assert "brute: exact" in repr(found)


def test_half_precision_is_searched_in_single():
    x = (torch.randn(300, 8) + 1e3).bfloat16()
    assert torch.equal(knn(x, k=3).indices, knn(x.float(), k=3).indices)


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
def test_knn_graph_has_the_result_of_pyg(flow):
    x, batch = torch.rand(40, 3), torch.arange(40) // 13
    edge_index = knn_graph(x, 5, batch, flow=flow)
    neighbour, centre = edge_index if flow == "source_to_target" else edge_index.flip(0)
    assert torch.equal(batch[neighbour], batch[centre]) and (neighbour != centre).all()
    assert torch.bincount(centre).tolist() == [5] * 39  # the last point is alone
    assert torch.equal(neighbour[centre < 13], knn(x[:13], k=5).indices.flatten())
    assert (knn_graph(x, 5, loop=True)[:, ::5] == torch.arange(40)).all()


@pytest.mark.parametrize("method", ["brute", "tiles", "kdtree"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_angles_do_not_know_the_size_of_vectors(method, dtype):
    """Squares of single precision end at 1e-45 and 3e38, those of double at 1e-324 and 2e308."""
    x = torch.randn(60, 4, dtype=dtype, requires_grad=True)
    sizes = (1e-35, 1e-20, 1e20, 1e35) if dtype == torch.float32 else (1e-250, 1e250)
    exact = knn(x, k=3, metric="cosine", method=method)
    (slope,) = torch.autograd.grad(exact.distances.sum(), x)
    for size in sizes:
        found = knn(size * x, k=3, metric="cosine", method=method)
        assert torch.equal(found.indices, exact.indices)
        torch.testing.assert_close(found.distances, exact.distances, atol=1e-6, rtol=1e-5)
        (same,) = torch.autograd.grad(found.distances.sum(), x)
        torch.testing.assert_close(same, slope, atol=1e-5, rtol=1e-3)


# --- bad input --------------------------------------------------------------------------------

X, HUGE = torch.rand(10, 3), torch.full((10, 3), 1e200, dtype=torch.float64)
REFUSED = [
    (lambda: knn(X, k=0), ValueError, "k: got 0, wanted an integer of at least 1"),
    (lambda: knn(X, k=2.0), TypeError, "k: got 2.0"),
    (lambda: knn(X.long(), k=1), TypeError, "x: got dtype torch.int64"),
    (lambda: knn([[0.0]], k=1), TypeError, "x: got list"),
    (lambda: knn(X[:, :0], k=1), ValueError, "dimension 0"),
    (lambda: knn(X[:, 0], k=1), ValueError, r"shape \(10,\)"),
    (lambda: knn(X, X[:, :2], k=1), ValueError, r"y: got shape \(10, 2\)"),
    (lambda: knn(X, X.double(), k=1), ValueError, "y: got torch.float64"),
    (lambda: knn(X.log().clamp(min=-1) * float("nan"), k=1), ValueError, "30 NaN or infinite"),
    (lambda: knn((X - X) ** -1.0, k=1), ValueError, "30 NaN or infinite"),
    (
        lambda: knn(X, k=1, method="magic"),
        ValueError,
        "method: got 'magic', wanted one of \"auto\"",
    ),
    (lambda: knn(X, k=1, metric="taxi"), ValueError, "metric: got 'taxi'"),
    (lambda: knn(X, k=1, batch=torch.tensor([1, 0] * 5)), ValueError, "not sorted.*argsort"),
    (lambda: knn(X, k=1, batch=torch.zeros(9).long()), ValueError, r"batch: got shape \(9,\)"),
    (lambda: knn(X, k=1, batch=torch.zeros(10)), TypeError, "batch: got dtype torch.float32"),
    (lambda: knn(X[None], k=1, batch=torch.zeros(1).long()), ValueError, "take a mask"),
    (lambda: knn(X, k=1, mask=torch.ones(10)), TypeError, "mask: got dtype torch.float32"),
    (lambda: knn(X, k=1, mask=torch.ones(9).bool()), ValueError, r"mask: got shape \(9,\)"),
    (lambda: knn(X, X, k=1, mask=torch.ones(10).bool()), ValueError, r"mask=\(of_x, of_y\)"),
    (lambda: knn(X, k=1, mask=(None, None)), ValueError, "mask: got a pair, wanted one tensor"),
    (lambda: knn_graph(X, 1, flow="up"), ValueError, "flow: got 'up'"),
    (lambda: knn_recall(X, torch.zeros(9, 2)), ValueError, r"indices: got shape \(9, 2\)"),
    (lambda: knn_recall(X, torch.zeros(10, 2)), TypeError, "indices: got dtype torch.float32"),
    (lambda: knn(X, X * float("nan"), k=1), ValueError, "y: got 30 NaN or infinite"),
    (lambda: knn(X.numpy() * np.inf, k=1), ValueError, "x: got 30 NaN or infinite"),
    (lambda: knn(X.half() * 1e6, k=1), ValueError, "x: got .* NaN or infinite"),
    (lambda: knn(X.long().numpy(), k=1), TypeError, "x: got dtype torch.int64"),
    (lambda: knn(HUGE, k=1), ValueError, r"x: got coordinates up to 1e\+200, wanted"),
    (lambda: knn(X.double() * 1e-200, k=1), ValueError, "x: got coordinates up to .*rescale"),
    (lambda: knn_recall(X * float("nan"), torch.zeros(10, 2).long()), ValueError, "NaN"),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("graph", [knn_graph, radius_graph])
def test_edges_between_rows_of_an_array_are_an_array(graph, flow):
    x, count = torch.rand(20, 3), {knn_graph: 3, radius_graph: 0.4}[graph]
    found = graph(x.numpy(), count, flow=flow)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, graph(x, count, flow=flow).numpy())
    with pytest.raises(TypeError, match="x: got list, wanted a tensor or a NumPy array"):
        graph(x.tolist(), count)
