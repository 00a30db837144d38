"""Sums along edges against the whole matrix, and as operators of torch."""

import pytest
import torch

from sparseot.graphs.edges import edge_dot, edge_pull, edge_sum


def graph(edges=60, n=9, m=7, dtype=torch.float64):
    row, col = torch.randint(0, n, (edges,)), torch.randint(0, m, (edges,))
    return torch.randn(edges, dtype=dtype), row, col, n, m


@pytest.mark.parametrize("features", [1, 16, 37])
@pytest.mark.parametrize("threads", [1, 3])
def test_sums_are_those_of_the_matrix(features, threads):
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
