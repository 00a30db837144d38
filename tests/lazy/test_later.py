"""Reductions that wait: for a call, or for the numbers of their placeholders."""

import numpy as np
import pytest
import torch

from sparseot import LazyTensor, Pm, Vi, Vj

X, Y, V = torch.rand(7, 3), torch.rand(9, 3), torch.rand(9, 2)


def squares(x, y):
    return ((x - y) ** 2).sum(-1)


SQUARES = squares(X[:, None], Y[None])
SYMBOLIC = squares(Vi(0, 3), Vj(1, 3))
# each reduction, and the same of a whole matrix
REDUCTIONS = {
    "sum": (lambda d: d.sum(1), lambda d: d.sum(1, keepdim=True)),
    "sum over i": (lambda d: d.sum(axis=0), lambda d: d.sum(0)[:, None]),
    "mean": (lambda d: d.mean(dim=1), lambda d: d.mean(1, keepdim=True)),
    "min": (lambda d: d.min(dim=1), lambda d: d.min(1, keepdim=True).values),
    "argmax": (lambda d: d.argmax(1), lambda d: d.argmax(1, keepdim=True)),
    "Kmin": (lambda d: d.Kmin(2, 1), lambda d: d.sort(1).values[:, :2]),
    "argKmin": (lambda d: d.argKmin(K=2, dim=1), lambda d: d.sort(1).indices[:, :2]),
    "logsumexp": (lambda d: d.logsumexp(1), lambda d: d.logsumexp(1, keepdim=True)),
    "sumsoftmaxweight": (
        lambda d: d.sumsoftmaxweight(Vj(V), dim=1),
        lambda d: d.softmax(1) @ V,
    ),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_every_reduction_waits_for_its_placeholders(name):
    lazily, whole = REDUCTIONS[name]
    function = lazily(SYMBOLIC)
    torch.testing.assert_close(function(X, Y), whole(SQUARES))
    torch.testing.assert_close(function(Y, Y), whole(squares(Y[:, None], Y[None])))


def test_two_results_come_together():
    low, place = SYMBOLIC.min_argmin(dim=1)(X, Y)
    assert torch.equal(place, SQUARES.argmin(1, keepdim=True))
    torch.testing.assert_close(low, SQUARES.min(1, keepdim=True).values)


def test_sums_over_coordinates_do_not_wait():
    assert isinstance(SYMBOLIC, LazyTensor)
    assert isinstance(Vi(0, 3).max(-1), LazyTensor) and isinstance(Vi(0, 3).sum(), LazyTensor)


def test_placeholders_in_weights_and_in_three_ways():
    function = LazyTensor((0, 3, 0)).sqdist(LazyTensor((1, 3, 1))).sumsoftmaxweight(Vj(3, 2), 1)
    with pytest.raises(ValueError, match="got 3 arrays, wanted 4"):
        function(X, Y, V)
    function = (Vi(0, 3).sqdist(Vj(1, 3)) * Pm(3, 1)).sumsoftmaxweight(Vj(2, 2), dim=1)
    half = torch.tensor([0.5])
    torch.testing.assert_close(function(X, Y, V, half), (SQUARES / 2).softmax(1) @ V)


def test_arrays_batches_and_gradients():
    function = (-SYMBOLIC).exp().sum(1)
    assert isinstance(function(X.numpy(), Y.numpy()), np.ndarray)
    x = torch.rand(2, 7, 3, requires_grad=True)
    found = function(x, Y)  # still over j
    wanted = (-squares(x[:, :, None], Y[None, None])).exp().sum(2)[..., None]
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad(z.sum(), x)[0] for z in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_a_call_reads_what_then_stands_in_memory():
    v = V.clone()
    function = ((-squares(Vi(X), Vj(Y))).exp() * Vj(v)).sum_reduction(axis=1, call=False)
    before = function()
    torch.testing.assert_close(before, (-SQUARES).exp() @ V)
    v.mul_(3)
    torch.testing.assert_close(function(), 3 * before)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SYMBOLIC.sum(1)(X), "got 1 arrays, wanted 2"),
        (lambda: SYMBOLIC.sum(1)(X, Y[:, :2]), "argument 1: got 2 coordinates, wanted 3"),
        (lambda: SYMBOLIC.sum(1)(X, Y.double()), "Convert one of them"),
        (lambda: LazyTensor((0, 3, 4)), "0 for i, 1 for j"),
        (lambda: Vi(-1, 3), "the number of an argument"),
        (lambda: squares(Vi(0, 3), Vj(0, 2)), "lengths"),
    ],
)
def test_what_does_not_fit_is_said(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
