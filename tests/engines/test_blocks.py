"""The compiled loops: exponentials, threads, forks, and no surprise at import."""

import os
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
import torch

from sparseot import kernels
from sparseot.engines.choose import load
from sparseot.engines.loops import pairs as simd

from ..clouds import cloud


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


def _large_sum(seed):
    x = torch.rand(1, 600, 3, generator=torch.Generator().manual_seed(seed))
    return load("numba").bind(x, x).sum(kernels.Gaussian(0.1), x)


def test_two_threads_may_enter_at_once():
    """As a viewer's worker does beside the notebook; the results are those of one thread."""
    alone = [_large_sum(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(_large_sum, range(4)))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes():
    """A DataLoader forks: the child must not wait for threads it did not inherit."""
    expected = _large_sum(0)
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(_large_sum(0), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_choice_is_refused_in_a_sentence():
    from sparseot import SamplesLoss

    x = torch.rand(3, 2)
    with pytest.raises(ValueError, match="engine: got 'numba'.*use engine=\"tiles\""):
        SamplesLoss(cost=lambda x, y: torch.cdist(x, y), backend="numba")(x, x)
