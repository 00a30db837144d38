"""The compiled loops over pairs: exponentials, and coordinates read some at a time."""

import numba
import numpy as np
import pytest
import torch

from sparseot import kernels
from sparseot.engines.choose import load
from sparseot.engines.loops import pairs as simd
from tests.references.clouds import cloud


@numba.njit(fastmath=True)
def _exponentials(t, out):
    for i in range(len(t)):
        out[i] = simd.exp2(t[i])


@pytest.mark.parametrize(("real", "tolerance"), [(np.float32, 2e-7), (np.float64, 3e-16)])
def test_exponentials_are_exact_to_rounding(real, tolerance):
    lowest = -126 if real == np.float32 else -1022
    t = np.linspace(lowest, 100, 100_001).astype(real)
    out = np.empty_like(t)
    _exponentials(t, out)
    assert np.abs(out / np.exp2(t.astype(np.longdouble)) - 1).max() < tolerance
    beyond = np.array([-1e30, -1e5, lowest - 1, 101, 1e5], real)
    out = np.empty_like(beyond)
    _exponentials(beyond, out)
    assert np.isfinite(out).all() and out[0] < 1e-37 and out[-1] == real(2) ** 100


@pytest.mark.parametrize("dimension", range(1, 11))
def test_every_dimension_takes_its_own_path(dimension):
    """Coordinates are read one to four at a time: all remainders are visited."""
    x, _ = cloud(5, dimension, batch=(1,))
    y, b = cloud(600, dimension, batch=(1,))  # more than one block of columns
    exact = -torch.cdist(x, y) @ b[..., None]
    found = load("numba").bind(x, y).sum(kernels.Energy(), b[..., None])
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)
