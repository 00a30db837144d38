"""The layer: weights, continuity, masks, saved states, compiled code."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch

from sparseot.nn import Forest, KNNGraph, RadiusGraph
from tests.references.neighbours import PROFILES, all_squares


@pytest.mark.parametrize("weight", PROFILES)
def test_weights_are_the_functions_of_true_distances(weight):
    x = torch.rand(50, 3)
    A = KNNGraph(4, weight=weight, bandwidth=0.3)(x)
    d = all_squares(x, x).fill_diagonal_(torch.inf).sort(dim=1).values[:, :4].sqrt()
    torch.testing.assert_close(A.distances, d.float())
    torch.testing.assert_close(A.weights, PROFILES[weight](d, 0.3).float())
    assert A.exact and A.evaluations == 2500 and A.mask.all()


def test_cosine_and_functions_as_weights():
    x = torch.randn(50, 6)
    A = KNNGraph(4, metric="cosine", weight="cosine")(x)
    y = x[A.indices]
    torch.testing.assert_close(A.weights, torch.cosine_similarity(x[:, None], y, dim=-1))
    B = KNNGraph(4, weight=lambda d: 1 / (1 + d**2))(x)
    torch.testing.assert_close(B.weights, 1 / (1 + B.distances**2))


def test_padding_changes_nothing_forward_and_backward():
    x, mask = torch.rand(2, 30, 3), torch.arange(30) < torch.tensor([[20], [3]])
    results = []
    for fill in (0.0, float("nan"), float("inf")):
        padded = x.where(mask[..., None], fill).requires_grad_()
        A = KNNGraph(5, taper=True)(padded, mask=mask)
        A.weights.square().sum().backward()
        assert (A.weights[~mask] == 0).all() and not A.mask[~mask].any()
        results.append((A.weights[mask], A.indices[mask], padded.grad))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert (A.mask.sum(-1)[1, :3] == 2).all()  # three points have two neighbours each
    alone = KNNGraph(5, taper=True)(x[0, :20])
    assert torch.equal(alone.weights, results[0][0][:20])
    with pytest.raises(ValueError, match=r"k: got 5, more than 3 points have.*strict=False"):
        KNNGraph(5, strict=True)(x, mask=mask)


@pytest.mark.parametrize("loop", [False, True])
def test_gradients_are_finite_at_copies(loop):
    x = torch.ones(10, 3, requires_grad=True)
    for weight in PROFILES:
        A = KNNGraph(3, weight=weight, loop=loop, taper=True)(x)
        (grad,) = torch.autograd.grad(A.weights.sum() + A.distances.sum(), x)
        assert torch.equal(grad, torch.zeros_like(x))


def test_tapered_graphs_are_continuous_where_neighbours_change():
    """A point moves past the place where its neighbour changes: A jumps, or fades over."""
    jumps = {}
    for taper in (False, True):
        layer = KNNGraph(1, bandwidth=1.0, taper=taper).double()

        def dense(t, layer=layer):
            x = torch.tensor([[t], [-1.0], [1.0]], dtype=torch.float64)
            return layer(x).to_dense()

        jumps[taper] = [float((dense(e) - dense(-e)).abs().max()) for e in (1e-2, 1e-4, 1e-6)]
    assert min(jumps[False]) > 0.5
    assert jumps[True] == sorted(jumps[True], reverse=True) and jumps[True][-1] < 1e-5


def test_gradients_with_taper_and_a_longest_distance():
    x = torch.rand(20, 2, dtype=torch.float64, requires_grad=True)
    layer = KNNGraph(4, taper=True, max_distance=0.3)
    assert torch.autograd.gradcheck(lambda x: layer(x).to_dense(), x)
    A = KNNGraph(4, max_distance=0.3)(x)
    assert (A.distances[A.mask] <= 0.3).all() and (A.weights[~A.mask] == 0).all()
    assert torch.equal(A.mask, A.distances < torch.inf) and not A.mask.all()


def test_batch_vectors_pairs_and_precision():
    x, y = torch.rand(30, 2), torch.rand(40, 2)
    of_x, of_y = torch.arange(30) // 10, torch.arange(40) // 14
    A = KNNGraph(3)(x, y, batch=(of_x, of_y))
    assert torch.equal(of_y[A.indices], of_x[:, None].expand(-1, 3))
    half = KNNGraph(3)(1e3 + x.bfloat16())
    assert half.weights.dtype == half.distances.dtype == torch.float32
    assert torch.equal(half.weights, KNNGraph(3)((1e3 + x.bfloat16()).float()).weights)
    assert (half @ torch.ones(30, 2).bfloat16()).dtype == torch.float32


def test_saved_states_reproduce_the_graph():
    x = torch.randn(3000, 16)
    forest = Forest(n_trees=2, leaf_size=64, n_refine=0)
    first = KNNGraph(5, method=forest, seed=3, bandwidth=2.0, learnable_bandwidth=True)
    second = KNNGraph(5, method=forest, learnable_bandwidth=True)
    assert not torch.equal(first(x).indices, second(x).indices)
    second.load_state_dict(first.state_dict())
    third, fourth = copy.deepcopy(first), pickle.loads(pickle.dumps(first))
    for other in (second, third, fourth):
        assert torch.equal(first(x).indices, other(x).indices)
        assert torch.equal(first(x).weights, other(x).weights)
    assert math.isclose(second.bandwidth.item(), 2.0, rel_tol=1e-6)
    assert "method=Forest(n_trees=2" in repr(first) and not first(x).exact


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_without_a_break():
    layer = KNNGraph(5, learnable_bandwidth=True)
    mask = torch.arange(50) < torch.tensor([[50], [30]])

    def step(x, h):
        return layer(x, mask=mask) @ h

    compiled = torch.compile(step, fullgraph=True)
    x, h = torch.rand(2, 50, 3, requires_grad=True), torch.randn(2, 50, 4, requires_grad=True)
    plain = torch.autograd.grad(step(x, h).square().sum(), (x, h, layer.log_bandwidth))
    fast = torch.autograd.grad(compiled(x, h).square().sum(), (x, h, layer.log_bandwidth))
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(compiled(x, h), step(x, h))


@pytest.mark.parametrize("weight", [*PROFILES, "cosine", lambda d: 1 / (1 + d**2)])
def test_gradients_of_weights(weight):
    x = torch.rand(12, 3, dtype=torch.float64, requires_grad=True)
    metric = "cosine" if weight == "cosine" else "euclidean"
    layer = KNNGraph(3, weight=weight, bandwidth=0.4, metric=metric).double()
    assert not layer(x).indices.requires_grad
    if weight != "connectivity":  # constant
        assert torch.autograd.gradcheck(lambda x: layer(x).weights, x)
        assert torch.autograd.gradgradcheck(lambda x: layer(x).weights, x)


def test_lower_precision_around_the_layer_does_not_change_the_graph():
    x = 1e3 + torch.randn(200, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        A = KNNGraph(4)(x)
    assert torch.equal(A.indices, KNNGraph(4)(x).indices) and A.weights.dtype == torch.float32


def test_the_search_is_a_well_formed_operator():
    options = (3, False, "euclidean", "brute", 16, 256, 1)
    arguments = (torch.rand(20, 2), None, None, None, None, None, torch.tensor(0), *options)
    torch.library.opcheck(torch.ops.sparseot.neighbours.default, arguments)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"k": 0}, ValueError, "k: got 0"),
        ({"weight": "linear"}, ValueError, "weight: got 'linear'"),
        ({"weight": "cosine"}, ValueError, 'metric="cosine" with it'),
        ({"bandwidth": 0.0}, ValueError, "bandwidth: got 0"),
        ({"max_distance": -1.0}, ValueError, "max_distance: got -1"),
        ({"symmetrize": "yes"}, ValueError, "symmetrize: got 'yes'"),
        ({"normalize": "max"}, ValueError, "normalize: got 'max'"),
        ({"method": "magic"}, ValueError, "method: got 'magic'"),
        ({"metric": "taxi"}, ValueError, "metric: got 'taxi'"),
        ({"seed": -1}, ValueError, "seed: got -1"),
    ],
)
def test_bad_options_are_refused(options, kind, message):
    with pytest.raises(kind, match=message):
        KNNGraph(**{"k": 3} | options)


def test_bad_forests_are_refused():
    for options in ({"n_trees": 0}, {"leaf_size": 0}, {"n_refine": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            Forest(**options)


@pytest.mark.parametrize("layer", [KNNGraph(3), RadiusGraph(0.3)], ids=["knn", "radius"])
def test_layers_are_given_tensors(layer):
    """What they return is a tensor; arrays and lists are refused by name."""
    x = torch.rand(9, 2)
    with pytest.raises(TypeError, match=r"x: got an array, wanted a tensor.*from_numpy\(x\)"):
        layer(x.numpy())
    with pytest.raises(TypeError, match="y: got an array, wanted a tensor"):
        layer(x, x.numpy())
    with pytest.raises(TypeError, match=r"x: got list, wanted a tensor.*as_tensor\(x\)"):
        layer(x.tolist())
    with pytest.raises(TypeError, match="x: got an array, wanted a tensor"):
        layer(np.ma.masked_less(x.numpy(), 0.5))
