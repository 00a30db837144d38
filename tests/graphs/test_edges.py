"""Sums along edges against the whole matrix, and as operators of torch."""

import pytest
import torch

from sparseot.graphs import edges
from sparseot.graphs.edges import edge_dot, edge_mean_max, edge_pull, edge_sum


def graph(edges=60, n=9, m=7, dtype=torch.float64):
    row, col = torch.randint(0, n, (edges,)), torch.randint(0, m, (edges,))
    return torch.randn(edges, dtype=dtype), row, col, n, m


@pytest.mark.parametrize("features", [1, 16, 37])
@pytest.mark.parametrize("threads", [1, 3])
def test_sums_are_those_of_the_matrix(features, threads, shared):
    w, row, col, n, m = graph()
    A = torch.zeros(n, m, dtype=w.dtype).index_put((row, col), w, accumulate=True)
    x, y = torch.randn(n, features, dtype=w.dtype), torch.randn(m, features, dtype=w.dtype)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        torch.testing.assert_close(edge_sum(w, y, row, col, n, False), A @ y)
        torch.testing.assert_close(edge_dot(x, y, row, col), (x @ y.T)[row, col])
        expected = A.sum(1, keepdim=True) * x - A @ y
        torch.testing.assert_close(edge_pull(w, x, y, row, col), expected)
    finally:
        torch.set_num_threads(before)


def test_derivatives_of_every_sum():
    w, row, col, n, m = graph(12, 4, 5)
    x, y = torch.randn(n, 3, dtype=w.dtype), torch.randn(m, 3, dtype=w.dtype)
    for t in (w, x, y):
        t.requires_grad_()
    checks = (
        (lambda w, y: edge_sum(w, y, row, col, n, False), (w, y)),
        (lambda x, y: edge_dot(x, y, row, col), (x, y)),
        (lambda w, x, y: edge_pull(w, x, y, row, col), (w, x, y)),
    )
    for function, inputs in checks:
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def slots(n=6, k=4, m=5, features=3):
    """Neighbours of six points, of which the last has none and another one has two."""
    w, h = torch.rand(n, k).double() + 0.1, torch.randn(m, features).double()
    real = torch.ones(n, k, dtype=torch.bool)
    real[2, 2:], real[-1] = False, False
    return w * real, h, torch.randint(0, m, (n, k)), real


@pytest.mark.parametrize("chunk", [2**21, 10])
def test_mean_and_maximum_of_weighted_features(chunk, monkeypatch):
    monkeypatch.setattr(edges, "CHUNK", chunk)
    w, h, col, real = slots()
    found = edge_mean_max(w, h, col, real)
    for i in range(len(w)):
        values = (w[i, :, None] * h[col[i]])[real[i]]
        if len(values):
            wanted = torch.cat((values.mean(0), values.amax(0)))
            torch.testing.assert_close(found[i], wanted)
    assert not found[-1].any()
    w.requires_grad_(), h.requires_grad_()
    assert torch.autograd.gradcheck(lambda w, h: edge_mean_max(w, h, col, real), (w, h))
    assert torch.autograd.gradgradcheck(lambda w, h: edge_mean_max(w, h, col, real), (w, h))


def test_mean_and_maximum_in_mixed_precision():
    w, h, col, real = slots()
    found = edge_mean_max(w.float(), h.bfloat16(), col, real)
    assert found.dtype == torch.float32
    wanted = edge_mean_max(w, h.bfloat16().double(), col, real)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_nan_and_infinity_stay_where_they_are():
    w, row, col, n, m = graph(dtype=torch.float32)
    y = torch.ones(m, 3)
    y[0, 1], y[1, 2] = torch.nan, torch.inf
    out = edge_sum(w, y, row, col, n, False)
    assert torch.equal(out[:, 0].isfinite(), torch.ones(n, dtype=torch.bool))
    reached = torch.zeros(n, dtype=torch.bool).index_fill(0, row[col == 0], True)
    assert torch.equal(out[:, 1].isnan(), reached)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_well_formed_operators(dtype):
    w, row, col, n, m = graph(dtype=dtype)
    x, y = torch.randn(n, 3, dtype=dtype), torch.randn(m, 3, dtype=dtype)
    ops = torch.ops.sparseot
    torch.library.opcheck(ops.edge_scatter.default, (w, y, row, col, n))
    torch.library.opcheck(ops.edge_dots.default, (x, y, row, col))
    torch.library.opcheck(ops.edge_pulls.default, (w.double(), x, y, row, col))
