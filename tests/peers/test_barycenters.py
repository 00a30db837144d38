"""POT's averages on a free support: the same minima, and objectives at least as low."""

import warnings

import numpy as np
import pytest

import sparseot as so

RNG = np.random.default_rng(0)
CLOUDS = [RNG.random((n, 2)) + shift for n, shift in ((40, 0.0), (50, 0.5), (30, -0.5))]
MASSES = [np.full(len(y), 1 / len(y)) for y in CLOUDS]
START = CLOUDS[0].copy()


@pytest.fixture
def ot():
    return pytest.importorskip("ot")


def test_entropic_averages(ot):
    blur = 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inner solves that stop early
        theirs = ot.bregman.free_support_sinkhorn_barycenter(
            CLOUDS, MASSES, START, 2 * blur**2, stopThr=1e-12, numItermax=300, numInnerItermax=1000
        )
    ours = so.barycenter(CLOUDS, support=START, blur=blur, debias=False, tol=3e-4)
    common = {"blur": blur, "debias": False, "tol": 1e-8}
    costs = [so.sinkhorn_divergence(theirs, y, **common) for y in CLOUDS]
    assert ours.converged and ours.value <= np.mean(costs) * (1 + 1e-6)
    np.testing.assert_allclose(ours.points, theirs, atol=0.02)


def test_averages_without_entropy(ot):
    """At a small blur the debiased average is as good for exact costs as the one of exact plans."""
    theirs = ot.lp.free_support_barycenter(CLOUDS, MASSES, START)
    ours = so.barycenter(CLOUDS, support=START, blur=0.02)

    def objective(x):
        return np.mean([ot.emd2([], [], ot.dist(x, y)) for y in CLOUDS])

    assert ours.converged and objective(ours.points) <= 1.01 * objective(theirs)
