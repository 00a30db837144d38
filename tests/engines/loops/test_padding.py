"""Padding costs the loops nothing: columns that are shut or zero, and rows as the one before."""

import numpy as np
import pytest
import torch

from sparseot import kernels
from sparseot.engines.choose import load
from sparseot.engines.loops import pairs
from sparseot.formulas import ground_cost
from sparseot.pairs import Blocks

RNG = np.random.default_rng(0)
B, N, M, D = 2, 7, 9, 3


def _points(dtype):
    """Coordinate-major clouds; the last three rows and four columns of the second item are padding."""
    x, y = RNG.random((B, D, N)).astype(dtype), RNG.random((B, D, M)).astype(dtype)
    x[1, :, 4:], y[1, :, 5:] = x[1, :, 3:4], y[1, :, 4:5]
    return x, y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logsumexp_never_reads_padding(dtype):
    x, y = _points(dtype)
    col, guess = RNG.random((B, M)).astype(dtype), np.zeros((B, N), dtype)
    col[1, 5:] = -1.44e30
    rates, out = np.full(B, 2, dtype), np.empty((B, N), dtype)
    y[1, :, 5:] = np.nan
    pairs.logsumexp(x, y, col, guess, rates, 2, out, 0, B * N)
    squares = ((x[1, :, :, None] - y[1, :, None, :5]) ** 2).sum(0)
    exact = np.log2(np.exp2(col[1, None, :5] - 2 * squares).sum(1))
    np.testing.assert_allclose(out[1], exact, rtol=1e-5 if dtype == np.float32 else 1e-13)
    assert len(set(out[1, 3:].tolist())) == 1 and len(set(out[0].tolist())) == N


@pytest.mark.parametrize("shut", ["columns", "weights"])
def test_sums_never_read_padding(shut):
    x, y = _points(np.float64)
    v, row, col = RNG.random((B, 2, M)), RNG.random((B, N)), RNG.random((B, M))
    row[1, 4:] = row[1, 3]
    if shut == "columns":
        col[1, 5:] = -1.44e30
    else:
        v[1, :, 5:] = 0
    y[1, :, 5:] = np.nan
    out, run = np.zeros((B, 2, N)), (np.array([0, 1]), np.array([0]), np.array([M]))
    factors, powers = np.ones(1), np.zeros(1, np.int64)
    pairs.sums(x, y, v, row, col, 2.0, 2, factors, powers, 0.0, *run, N, out, 0, B * N)
    squares = ((x[1, :, :, None] - y[1, :, None, :5]) ** 2).sum(0)
    entries = np.exp2(row[1, :, None] + col[1, None, :5] - 2 * squares)
    np.testing.assert_allclose(out[1], (entries @ v[1, :, :5].T).T, rtol=1e-13)


def test_equal_points_in_other_blocks_have_their_own_sums():
    """Copies of a point may stand in two blocks, which meet other columns."""
    x = torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(0)).double()
    x[0, 50:120] = x[0, 50]
    K = kernels.Gaussian(0.1)
    from sparseot import KernelMatrix

    matrix = KernelMatrix(K, x[0], pairs=Blocks(0.15, size=16), engine="numba")
    v = torch.rand(200, 2, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(matrix @ v, matrix.to_dense() @ v)


def test_threads_share_padded_items():
    """Ranges of rows begin anywhere, in padding too."""
    x = torch.rand(3, 40, 2, generator=torch.Generator().manual_seed(0)).double()
    x[1, 10:] = x[1, 9:10]
    eps, col = torch.full((3,), 0.1).double(), torch.zeros(3, 40).double()
    col[1, 10:] = -1e30
    sums = load("numba").bind(x, x)
    whole = sums.logsumexp(ground_cost(2), eps, col)
    real, out = sums.x.dtype.type, np.empty((3, 40))
    rates = real(ground_cost(2).factor * np.log2(np.e)) / eps.numpy()
    scalings = col.numpy() * np.log2(np.e), np.zeros((3, 40))
    for lo, hi in ((0, 55), (55, 56), (56, 120)):
        pairs.logsumexp(sums.x, sums.y, *scalings, rates, 2, out, lo, hi)
    torch.testing.assert_close(torch.from_numpy(out) / np.log2(np.e), whole, rtol=1e-13, atol=1e-13)
