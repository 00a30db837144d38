"""What is refused names the item; and what a form is."""

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot.ragged.forms import as_sets, is_ragged, weights_of

from .clouds import NX, NY, clouds, nested, vector, weights

X, Y, A, B = clouds(NX, 0), clouds(NY, 1), weights(NX, 2), weights(NY, 3)
ARRAYS = [y.numpy() for y in Y]
BATCH = (vector(NX), vector(NY))


def _with(parts, k, item):
    return [*parts[:k], item, *parts[k + 1 :]]


def _loss(x, y=Y, a=None, b=None, **options):
    return so.sinkhorn_divergence(x, y, a, b, blur=0.2, **options)


def _mixed(x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return so.kernel_norm([part.bfloat16() for part in x], Y, kernel=so.kernels.Energy())


def _flat(x=None, y=None, **options):
    x = torch.cat(X) if x is None else x
    return _loss(x, torch.cat(Y) if y is None else y, **options)


REFUSED = {
    "arrays beside tensors": (lambda: _loss(X, ARRAYS), TypeError, "y: got an array, wanted a torch tensor"),
    "an array in a list": (lambda: _loss(_with(X, 2, ARRAYS[2])), TypeError, "item 2 of x: got an array"),
    "numbers in a list": (lambda: _loss(_with(X, 3, 1.0)), TypeError, "item 3 of x: got float"),
    "dimensions in a list": (lambda: _loss(_with(X, 1, X[1][:, :2])), ValueError, "item 1 of x: got dimension 2, wanted 3"),
    "dimensions": (lambda: _loss(X, [y[:, :2] for y in Y]), ValueError, "y: got points of dimension 2"),
    "precisions in a list": (lambda: _loss(_with(X, 2, X[2].float())), TypeError, "item 2 of x: got dtype torch.float32"),
    "an empty cloud": (lambda: _loss(_with(X, 2, X[2][:0])), ValueError, "item 2 of x: got an empty cloud"),
    "an empty sample": (lambda: _flat(batch=(2 * BATCH[0], 2 * BATCH[1])), ValueError, "item 1 of x: got an empty cloud"),
    "an empty cloud in a nested tensor": (lambda: _loss(nested(_with(X, 4, X[4][:0]))), ValueError, "item 4 of x: got an empty"),
    "NaN": (lambda: _loss(_with(X, 3, X[3] * torch.nan)), ValueError, "item 3 of x: got 45 points with NaN"),
    "NaN under autocast": (lambda: _mixed(_with(X, 3, X[3] * torch.nan)), ValueError, "item 3 of x: got 45 points with NaN"),
    "NaN in a sample": (lambda: _flat(torch.cat(_with(X, 2, X[2] / 0)), batch=BATCH), ValueError, "item 2 of x: got 6 points"),
    "transposed": (lambda: _loss(nested(X).transpose(1, 2)), ValueError, "x: got a nested tensor that is ragged elsewhere"),
    "not sorted": (lambda: _flat(batch=(BATCH[0].flip(0), BATCH[1])), ValueError, "not sorted, 3 after 4 at place 2, for x.*argsort"),
    "below zero": (lambda: _flat(batch=(BATCH[0] - 1, BATCH[1])), ValueError, "a number below 0, for x"),
    "one vector": (lambda: _flat(batch=BATCH[0]), ValueError, "batch: got Tensor, wanted a pair"),
    "vectors of floats": (lambda: _flat(batch=(BATCH[0].double(), BATCH[1])), TypeError, "wanted integers"),
    "a short vector": (lambda: _flat(batch=(BATCH[0][:-1], BATCH[1])), ValueError, "wanted .84,., the sample of each point of x"),
    "vectors beside lists": (lambda: _loss(X, batch=BATCH), ValueError, "batch: got one for x, which is several clouds"),
    "vectors beside a batch": (lambda: _loss(X[0][None], X[0][None], batch=BATCH), ValueError, "batch: got with x .1, 30, 3"),
    "fewer clouds": (lambda: _loss(X, Y[:3]), ValueError, "y: got 3 clouds, wanted 5"),
    "one cloud": (lambda: _loss(X, Y[0]), ValueError, "y: got shape .21, 3., wanted as many clouds"),
    "lines": (lambda: _loss([x[:, 0] for x in X]), TypeError, r"x: got a list of points, each \(30,\).*torch\.stack"),
    "masses": (lambda: _loss(X, Y, _with(A, 2, 2 * A[2]), B), ValueError, "item 2: a, b: got total masses 2 and 1"),
    "negative weights": (lambda: _loss(X, Y, _with(A, 1, A[1] - 2), B), ValueError, "item 1: a: got a negative weight"),
    "no mass": (lambda: _loss(X, Y, A, _with(B, 3, 0 * B[3])), ValueError, "item 3: b: got weights that are all zero"),
    "fewer weights": (lambda: _loss(X, Y, _with(A, 3, A[3][1:]), B), ValueError, "a: got 44 weights in item 3, wanted 45"),
    "weights of fewer clouds": (lambda: _loss(X, Y, A[:2], B), ValueError, "a: got the weights of 2 clouds, wanted those of 5"),
    "weights that are none": (lambda: _flat(a=torch.ones(3), batch=BATCH), ValueError, "a: got shape .3,., wanted one for each of the 84"),
    "an engine": (lambda: _loss(X, engine="fast"), ValueError, "^engine: got 'fast'"),
    "whole numbers": (lambda: _loss([x.long() for x in X], [y.long() for y in Y]), TypeError, "^x: got dtype torch.int64"),
    "a vector of words": (lambda: _flat(batch=(["a"] * 84, BATCH[1])), TypeError, "batch: got list, wanted a tensor or an array"),
    "blurs of lists": (lambda: so.suggest_blur(X, Y), TypeError, r"x: got clouds of different sizes.*so.suggest_blur\(x, y\) for"),
    "distances of lists": (lambda: so.wasserstein_distance(X[0], Y), TypeError, "y: got clouds of different.*so.wasserstein_distance"),
    "distances of nested tensors": (lambda: so.wasserstein_distance(nested(X), nested(Y)), TypeError, "x: got clouds of different sizes"),
    "blurs of lines": (lambda: so.suggest_blur(list(X[0]), list(Y[0])), TypeError, r"x: got a list that is no array.*torch\.stack"),
    "nothing": (lambda: _loss(X, None), TypeError, "y: got NoneType"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_names_the_item(case):
    call, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        call()


def test_vectors_may_be_lists():
    exact = _flat(batch=BATCH)
    assert torch.equal(_flat(batch=(BATCH[0].tolist(), BATCH[1].numpy())), exact)
    assert torch.equal(_flat(batch=(tuple(BATCH[0].tolist()), BATCH[1])), exact)
    found = so.knn(torch.cat(X), k=2, batch=BATCH[0].tolist())
    assert torch.equal(found.indices, so.knn(torch.cat(X), k=2, batch=BATCH[0]).indices)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_strided_nested_tensors_are_refused():
    with pytest.raises(
        ValueError, match="x: got a nested tensor of the strided layout.*layout=torch.jagged"
    ):
        _loss(torch.nested.nested_tensor(X))


def test_what_is_several_clouds():
    assert is_ragged(X) and is_ragged(tuple(X)) and is_ragged(ARRAYS) and is_ragged(nested(X))
    rows = [[0.0, 1.0], [2.0, 3.0]]
    assert not any(
        map(is_ragged, (X[0], ARRAYS[0], rows, [np.array(row) for row in rows], [], None))
    )


def test_nested_tensors_with_gaps():
    """As ``torch.nested.narrow`` makes them: the values hold more than the items."""
    padded = torch.arange(36.0).double().view(3, 6, 2)
    starts, lengths = torch.tensor([0, 1, 2]), torch.tensor([2, 3, 4])
    x = torch.nested.narrow(padded, 1, starts, lengths, layout=torch.jagged)
    sets, items = (
        as_sets("x", x),
        [padded[k, s : s + n] for k, (s, n) in enumerate(zip(starts, lengths, strict=True))],
    )
    assert sets.sizes == [2, 3, 4] and torch.equal(sets.points, torch.cat(items))
    back = sets.back(sets.points)
    assert all(torch.equal(*pair) for pair in zip(back.unbind(), items, strict=True))


@pytest.mark.parametrize("column", [False, True])
def test_weights_in_every_form(column):
    flat = torch.cat(A)[:, None] if column else torch.cat(A)
    parts = list(flat.split(list(NX)))
    sets = as_sets("x", X)
    for given in (flat, parts, tuple(parts), nested(parts), [w.numpy() for w in parts]):
        assert torch.equal(weights_of("a", given, sets, "x"), torch.cat(A))
    equal = as_sets("x", torch.ones(3, 4, 2))
    assert torch.equal(
        weights_of("a", torch.arange(12.0).view(3, 4), equal, "x"), torch.arange(12.0)
    )
