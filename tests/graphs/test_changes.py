"""Graphs whose points are changed in place afterwards: they do not follow, or say so."""

import pytest
import torch

from sparseot.nn import KNNGraph
from tests.references.clouds import cloud


def _points(kind, batch=()):
    x = cloud(40, 2, batch=batch)[0]
    return x.numpy() if kind == "numpy" else x


@pytest.mark.parametrize("weight", ["gaussian", "connectivity", lambda d: d])
@pytest.mark.parametrize(
    "options", [{}, {"symmetrize": "union", "normalize": "row"}, {"taper": True}]
)
def test_graphs_do_not_follow_their_points(weight, options):
    x, h = _points("torch"), _points("torch")
    A = KNNGraph(4, weight=weight, bandwidth=0.3, loop=True, **options)(x)
    exact, product = A.to_dense(), A @ h
    parts = [part.clone() for part in A.live]
    x += 0.3 * (x > 0.5)
    torch.testing.assert_close(A.to_dense(), exact)
    torch.testing.assert_close(A @ h, product)
    assert all(torch.equal(part, same) for part, same in zip(A.live, parts, strict=True))


def test_graphs_between_forward_and_backward():
    """The points that weights were made of, and the features, are watched by torch."""
    for changed in ("x", "h"):
        x, h = _points("torch").requires_grad_(), _points("torch").requires_grad_()
        out = KNNGraph(3, bandwidth=0.3)(x) @ h
        with torch.no_grad():
            (x if changed == "x" else h).add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            out.sum().backward()
