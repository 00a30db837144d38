"""The layer: weights of true distances, products, continuity, symmetry, saved states."""

import copy
import math
import warnings

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import sparseot as so
from sparseot.nn import RadiusGraph
from tests.references.neighbours import PROFILES, all_squares


@pytest.mark.parametrize("weight", PROFILES)
@pytest.mark.parametrize("taper", [False, True])
def test_products_are_those_of_the_dense_matrix(weight, taper):
    x, h = torch.rand(60, 3, dtype=torch.float64), torch.rand(60, 4, dtype=torch.float64)
    A = RadiusGraph(0.4, weight=weight, bandwidth=0.3, taper=taper)(x)
    d = all_squares(x, x).sqrt()
    fade = (1 - (d / 0.4) ** 2) ** 2 if taper else 1
    dense = (PROFILES[weight](d, 0.3) * fade * (d <= 0.4)).fill_diagonal_(0)
    torch.testing.assert_close(A.to_dense(), dense)
    torch.testing.assert_close(A @ h, dense @ h)
    torch.testing.assert_close(A.t() @ h, dense.T @ h)
    torch.testing.assert_close(A.distances, d[A.row, A.col])
    assert A.exact and not A.truncated and A.evaluations > 0 and "cells: exact" in repr(A)
    assert torch.equal(A.edge_index(), so.radius_graph(x, 0.4))


def test_batches_masks_and_two_clouds():
    x, y, h = torch.rand(3, 40, 2), torch.rand(3, 50, 2), torch.rand(3, 50, 6)
    of_x, of_y = torch.rand(3, 40) < 0.7, torch.rand(3, 50) < 0.7
    hidden = x.where(of_x[..., None], float("nan")), y.where(of_y[..., None], float("nan"))
    A = RadiusGraph(0.3, weight="connectivity")(*hidden, mask=(of_x, of_y))
    near = (torch.cdist(x, y) <= 0.3) & of_x[..., None] & of_y[:, None]
    assert A.shape == (3, 40, 50) and torch.equal(A.to_dense(), near.float())
    torch.testing.assert_close(A @ h, near.float() @ h)


def test_gradients_in_points_bandwidth_and_features():
    x = torch.rand(15, 2, dtype=torch.float64, requires_grad=True)
    h = torch.rand(15, 3, dtype=torch.float64, requires_grad=True)
    graph = RadiusGraph(0.4, taper=True, learnable_bandwidth=True, bandwidth=0.2).double()
    assert torch.autograd.gradcheck(lambda x, h: graph(x) @ h, (x, h))
    (graph(x) @ h).sum().backward()
    assert graph.log_bandwidth.grad.abs() > 0


def test_tapered_graphs_are_continuous_where_a_pair_comes_near():
    steps = {}
    for taper in (False, True):
        graph = RadiusGraph(1.0, taper=taper)
        dense = [graph(torch.tensor([[0.0], [1.0 + e]]).double()).to_dense() for e in (-1e-6, 1e-6)]
        steps[taper] = float((dense[0] - dense[1]).abs().max())
    assert steps[False] > 0.5 and steps[True] < 1e-10


@pytest.mark.parametrize("kind", ["row", "symmetric", "sinkhorn"])
def test_normalised_weights(kind):
    x = torch.rand(50, 2)
    A = RadiusGraph(0.3, loop=True, normalize=kind, bandwidth=0.2)(x)
    plain = RadiusGraph(0.3, loop=True, bandwidth=0.2)(x).to_dense()
    if kind == "symmetric":
        root = plain.sum(1).rsqrt()
        torch.testing.assert_close(A.to_dense(), root[:, None] * plain * root)
    else:
        torch.testing.assert_close(A.sum(-1), torch.ones(50), rtol=1e-5, atol=1e-5)
    assert A.distances.shape == A.weights.shape


def test_cut_graphs_say_so_and_can_be_made_symmetric():
    x = torch.rand(80, 2)
    with pytest.warns(UserWarning, match="max_num_neighbors=4 left out"):
        A = RadiusGraph(0.5, max_num_neighbors=4)(x)
    assert A.truncated and A.left_out > 0 and f"{A.left_out:,} left out" in repr(A)
    assert torch.equal(A.col.view(80, 4), so.knn(x, k=4).indices.sort(1).values)
    with pytest.warns(UserWarning, match="left out"):
        dense = RadiusGraph(0.5, max_num_neighbors=4, symmetrize="union")(x).to_dense()
    assert torch.equal(dense, dense.T)


def test_a_symmetric_graph_has_a_laplacian():
    x = torch.rand(200, 2)
    A = RadiusGraph(0.3, bandwidth=0.1)(x)
    found = so.eigsh(so.graph_laplacian(A), 2, "SA")
    assert abs(float(found.values[0])) < 1e-4


def test_no_edges_and_saved_states():
    x = torch.rand(30, 3, requires_grad=True)
    A = RadiusGraph(0.0, taper=True)(x)
    assert A.weights.shape == (0,)
    (A @ torch.ones(30, 2)).sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))
    first = RadiusGraph(0.3, bandwidth=2.0, learnable_bandwidth=True)
    second = RadiusGraph(0.3, learnable_bandwidth=True)
    second.load_state_dict(first.state_dict())
    assert math.isclose(second.bandwidth.item(), 2.0, rel_tol=1e-6)
    assert torch.equal(copy.deepcopy(first)(x).weights, second(x).weights)
    assert "r=0.3" in repr(first)
    half = first(x.detach().bfloat16())
    assert half.weights.dtype == half.distances.dtype == torch.float32
    assert torch.equal(half.weights, first(x.detach().bfloat16().float()).weights)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_without_a_break():
    """The number of edges is known when the code runs; an empty graph is one, too."""
    graph = RadiusGraph(0.3, bandwidth=0.2, taper=True, max_num_neighbors=4)
    h, counter = torch.rand(50, 2), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda x: graph(x) @ h, fullgraph=True, backend=counter)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "max_num_neighbors=4 left out")
        for stretch in (1.0, 0.5, 1e6):
            results = []
            x = stretch * torch.rand(50, 3)
            for function in (compiled, lambda x: graph(x) @ h):
                moving = x.clone().requires_grad_()
                product = function(moving)
                results.append((product, *torch.autograd.grad(product.sum(), moving)))
            torch.testing.assert_close(*results)
    assert counter.frame_count == 1
    edges = torch.compile(lambda x: so.radius_graph(x, 0.3), fullgraph=True, backend="aot_eager")
    assert torch.equal(edges(x.detach() / 1e6), so.radius_graph(x / 1e6, 0.3))
    with pytest.warns(UserWarning, match="max_num_neighbors=4 left out"):
        compiled(0.5 * torch.rand(50, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r": -1}, "r: got -1"),
        ({"r": 1.0, "weight": "cosine"}, 'weight: got "cosine"'),
        ({"r": 1.0, "bandwidth": 0.0}, "bandwidth: got 0"),
        ({"r": 1.0, "max_num_neighbors": 0}, "max_num_neighbors: got 0"),
        ({"r": 1.0, "symmetrize": "both"}, "symmetrize: got 'both'"),
        ({"r": 1.0, "method": "kdtree"}, "method: got 'kdtree'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RadiusGraph(**options)
