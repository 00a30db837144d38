"""Sets of different sizes: searches and layers take lists and nested tensors as they take a batch vector."""

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot import nn

from ..ragged.clouds import NX, NY, clouds, leaves, nested, vector

X, Y = clouds(NX, 0), clouds(NY, 1)
FLAT, EACH = torch.cat(X), vector(NX)
FORMS = {"list": X, "tuple": tuple(X), "nested": nested(X)}


@pytest.mark.parametrize("form", FORMS)
def test_edges_are_those_of_the_batch_vector(form):
    assert torch.equal(so.knn_graph(FORMS[form], 3), so.knn_graph(FLAT, 3, EACH))
    assert torch.equal(so.radius_graph(FORMS[form], 0.3), so.radius_graph(FLAT, 0.3, EACH))
    found, exact = so.radius(FORMS[form], None, 0.3), so.radius(FLAT, None, 0.3, batch=EACH)
    assert all(torch.equal(*pair) for pair in zip(found, exact, strict=True))
    for layer in (nn.KNNGraph(3), nn.RadiusGraph(0.3)):
        A, B = layer(FORMS[form]), layer(FLAT, batch=EACH)
        assert torch.equal(A.edge_index(), B.edge_index()) and A.shape == B.shape
        assert torch.equal(A.edge_weight(), B.edge_weight())


@pytest.mark.parametrize("others", [None, Y, nested(Y), clouds((6,) * len(NX), 2)])
def test_neighbours_are_those_of_each_set(others):
    found = so.knn(X, others, k=3)
    items = (
        [None] * len(X)
        if others is None
        else list(others.unbind() if torch.is_tensor(others) else others)
    )
    exact = [so.knn(x, y, k=3) for x, y in zip(X, items, strict=True)]
    for k, one in enumerate(exact):
        assert torch.equal(found.distances[k], one.distances)
        assert torch.equal(found.indices[k], one.indices)
    jagged = so.knn(nested(X), others, k=3).distances
    assert jagged.is_nested
    assert all(torch.equal(*p) for p in zip(jagged.unbind(), found.distances, strict=True))


def test_distances_have_gradients_in_each_set():
    x = leaves(X)
    sum(d[d.isfinite()].sum() for d in so.knn(x, k=2).distances).backward()
    for here in x:
        alone = here.detach().clone().requires_grad_()
        d = so.knn(alone, k=2).distances
        (gradient,) = torch.autograd.grad(d[d.isfinite()].sum(), alone)
        torch.testing.assert_close(here.grad, gradient)


LAYERS = {
    "GravNetConv": lambda: nn.GravNetConv(3, 4, 2, 5, 3).double(),
    "DynamicEdgeConv": lambda: nn.DynamicEdgeConv(torch.nn.Linear(6, 4).double(), 3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_give_features_in_the_form_of_the_points(name):
    layer, x = LAYERS[name](), leaves(X)
    found = layer(x)
    assert type(found) is list
    exact = [layer(t) for t in X]
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one, other)
    torch.cat(found).square().sum().backward()
    flat = FLAT.clone().requires_grad_()
    layer(flat, EACH).square().sum().backward()
    torch.testing.assert_close(torch.cat([t.grad for t in x]), flat.grad)
    torch.testing.assert_close(layer(nested(X)).values(), torch.cat(exact))
    pair = layer((X, Y))
    for one, x, y in zip(pair, X, Y, strict=True):
        torch.testing.assert_close(one, layer((x, y)))


def test_arrays_give_arrays():
    arrays = [x.numpy() for x in X]
    found = [so.knn_graph(arrays, 3), so.radius_graph(arrays, 0.3), *so.radius(arrays, None, 0.3)]
    assert all(isinstance(t, np.ndarray) for t in (*found, *so.knn(arrays, k=2).indices))


REFUSED = {
    "an empty cloud": (lambda: so.knn_graph([X[0], X[1][:0]], 2), "item 1 of x: got an empty cloud"),
    "mixed kinds": (lambda: so.knn([X[0], X[1].numpy()], k=2), "item 1 of x: got an array"),
    "fewer clouds": (lambda: so.knn(X, Y[:2], k=1), "y: got 2 clouds, wanted 5"),
    "a vector, too": (lambda: so.knn(X, k=1, batch=EACH), "batch: got one for x, which is several"),
    "a mask, too": (lambda: nn.KNNGraph(2)(X, mask=EACH > 0), "mask, batch: got both"),
    "NaN": (lambda: so.radius_graph([X[0], X[2] * torch.nan], 1.0), "item 1 of x: got 6 points"),
    "arrays in a layer": (lambda: nn.KNNGraph(2)([x.numpy() for x in X]), "x: got list"),
    "an array in a layer": (lambda: nn.KNNGraph(2)([X[0], X[1].numpy()]), "x.1.: got an array"),
    "arrays in a convolution": (lambda: nn.GravNetConv(3, 4, 2, 5, 3)([x.numpy() for x in X]), "x: got list"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_names_the_item(case):
    call, words = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=words):
        call()
