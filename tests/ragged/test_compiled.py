"""Compiled code takes sets of different sizes, whole, but for nested tensors in losses."""

import pytest
import torch

import sparseot as so
from sparseot import nn

from .clouds import NX, NY, clouds, leaves, nested, vector

X, Y = clouds(NX, 0), clouds(NY, 1)
FLAT, EACH = torch.cat(X), (vector(NX), vector(NY))
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # torch's
LOSS, POTENTIALS = so.SamplesLoss(blur=0.2), so.SamplesLoss(blur=0.2, potentials=True)


def _compiled(function, **options):
    torch._dynamo.reset()
    return torch.compile(function, backend="eager", **{"fullgraph": True, **options})


def test_a_list_of_clouds():
    x = leaves(X)
    found = _compiled(lambda x: 2 * LOSS(x, Y))(x)
    exact = 2 * LOSS(X, Y)
    assert torch.equal(found, exact)
    gradients = torch.autograd.grad(found.sum(), x)
    wanted = torch.autograd.grad(2 * LOSS(x, Y).sum(), x)
    assert all(torch.equal(*pair) for pair in zip(gradients, wanted, strict=True))


def test_a_batch_vector():
    """How many samples there are is known when the graph runs."""

    def run(x, vectors):
        return 2 * LOSS(x, torch.cat(Y), batch=vectors)

    assert torch.equal(_compiled(run)(FLAT, EACH), 2 * LOSS(X, Y))
    found = _compiled(lambda x: POTENTIALS(x, torch.cat(Y), batch=EACH))(FLAT)
    exact = POTENTIALS(FLAT, torch.cat(Y), batch=EACH)
    assert all(torch.equal(*pair) for pair in zip(found, exact, strict=True))


def test_what_no_operator_takes():
    assert torch.equal(
        _compiled(lambda x: LOSS(x, nested(Y)), fullgraph=False)(nested(X)), LOSS(X, Y)
    )
    with pytest.raises(Exception, match="torch.compile: got potentials of a list of clouds"):
        _compiled(lambda x: POTENTIALS(x, Y))(X)


def test_layers():
    graph, conv = nn.KNNGraph(3), nn.GravNetConv(3, 4, 2, 5, 3).double()
    ones = torch.ones(len(FLAT), 2).double()
    assert torch.equal(_compiled(lambda x: graph(x) @ ones)(X), graph(X) @ ones)
    for form in (X, nested(X)):
        found, exact = _compiled(conv)(form), conv(form)
        pairs = (
            zip(found, exact, strict=True)
            if type(form) is list
            else [(found.values(), exact.values())]
        )
        for one, other in pairs:
            torch.testing.assert_close(one, other)
