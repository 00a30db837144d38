"""The doors to the search: gradients, kinds of input, the graph of PyG, and what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from sparseot import radius, radius_graph


@pytest.mark.parametrize("method", ["cells", "tiles"])
@pytest.mark.parametrize("other", [False, True])
def test_gradients_of_distances(method, other):
    g = torch.Generator().manual_seed(1)
    x = torch.rand(20, 3, dtype=torch.float64, generator=g).requires_grad_()
    y = torch.rand(30, 3, dtype=torch.float64, generator=g).requires_grad_() if other else None

    def distances(x, y=None):
        return radius(x, y, 0.5, method=method).distances

    inputs = (x, y) if other else (x,)
    assert len(distances(*inputs)) > 50
    assert torch.autograd.gradcheck(distances, inputs)
    assert torch.autograd.gradgradcheck(distances, inputs)


def test_gradients_are_finite_at_copies_and_padding():
    x = torch.ones(2, 10, 3)
    mask = torch.arange(10) < torch.tensor([[10], [6]])
    x[~mask] = float("nan")
    x.requires_grad_()
    found = radius(x, None, 0.5, mask=mask, loop=True)
    assert len(found.distances) == 100 + 36
    found.distances.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_numpy_in_numpy_out_and_a_matrix_of_scipy():
    x = np.random.default_rng(0).random((50, 2), np.float32)
    found = radius(x, None, 0.3)
    assert all(isinstance(part, np.ndarray) for part in (*found, found.rows))
    assert found.distances.dtype == np.float32 and "cells: exact" in repr(found)
    matrix = csr_array(tuple(found), shape=(50, 50))
    matrix.check_format()
    apart = np.linalg.norm(x[:, None].astype(float) - x, axis=-1)
    np.testing.assert_allclose(matrix.toarray(), apart * (apart <= 0.3), rtol=1e-6)


def test_half_precision_is_searched_in_single():
    x = (torch.randn(300, 3) + 10).bfloat16()
    half, single = radius(x, None, 0.5), radius(x.float(), None, 0.5)
    assert torch.equal(half.indices, single.indices)
    assert torch.equal(half.distances, single.distances)
    radius(x.requires_grad_(), None, 0.5).distances.sum().backward()
    y = x.detach().float().requires_grad_()
    radius(y, None, 0.5).distances.sum().backward()
    assert torch.equal(x.grad, y.grad.bfloat16())


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("loop", [False, True])
def test_radius_graph_has_the_result_of_pyg(flow, loop):
    x, batch = torch.rand(40, 3), torch.arange(40) // 13
    edge_index = radius_graph(x, 0.5, batch, loop, None, flow)  # in the order of torch_cluster
    neighbour, centre = edge_index if flow == "source_to_target" else edge_index.flip(0)
    near = (torch.cdist(x, x) <= 0.5) & (batch[:, None] == batch)
    near = near.fill_diagonal_(loop)
    assert torch.equal(torch.stack((centre, neighbour)), near.nonzero().T)


# --- bad input --------------------------------------------------------------------------------

X = torch.rand(10, 3)
REFUSED = [
    (lambda: radius(X, None, -1.0), ValueError, "r: got -1, wanted a finite number >= 0"),
    (lambda: radius(X, None, math.nan), ValueError, "r: got nan"),
    (lambda: radius(X, None, math.inf), ValueError, "r: got inf"),
    (lambda: radius(X, None, "1"), TypeError, "r: got '1', wanted a number"),
    (lambda: radius(X, None, True), TypeError, "r: got True"),
    (lambda: radius(X, None, torch.tensor(1.0)), TypeError, r"Give r.item\(\)"),
    (lambda: radius(X * math.nan, None, 1.0), ValueError, "x: got 30 NaN or infinite"),
    (lambda: radius(X, X * math.nan, 1.0), ValueError, "y: got 30 NaN or infinite"),
    (lambda: radius_graph(X * math.inf, 1.0), ValueError, "x: got 30 NaN or infinite"),
    (lambda: radius(X, X[:, :2], 1.0), ValueError, r"y: got shape \(10, 2\)"),
    (lambda: radius(X, X.double(), 1.0), ValueError, "y: got torch.float64"),
    (lambda: radius(X.long(), None, 1.0), TypeError, "x: got dtype torch.int64"),
    (lambda: radius([[0.0]], None, 1.0), TypeError, "x: got list"),
    (
        lambda: radius(X, None, 1.0, method="magic"),
        ValueError,
        "method: got 'magic', wanted \"auto",
    ),
    (lambda: radius(X, None, 1.0, max_num_neighbors=0), ValueError, "max_num_neighbors: got 0"),
    (lambda: radius_graph(X, 1.0, max_num_neighbors=2.5), TypeError, "max_num_neighbors: got 2.5"),
    (lambda: radius_graph(X, 1.0, 32), TypeError, "batch: got int"),
    (lambda: radius_graph(X, 1.0, torch.tensor([1, 0] * 5)), ValueError, "not sorted.*argsort"),
    (lambda: radius(X, X, 1.0, mask=torch.ones(10).bool()), ValueError, r"mask=\(of_x, of_y\)"),
    (lambda: radius_graph(X, 1.0, flow="up"), ValueError, "flow: got 'up'"),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_more_edges_than_anyone_stores_are_refused(monkeypatch):
    monkeypatch.setattr("sparseot.graphs.radius.search.MOST", 50)
    monkeypatch.setattr("sparseot.graphs.radius.tiles.CACHED", 20)
    for method, count in (("cells", 90), ("tiles", 54)):  # tiles of two rows, given up in the third
        with pytest.raises(
            ValueError, match=f"r: got 100, which gives {count} edges.*smaller radius"
        ):
            radius(X, None, 100.0, method=method)
