"""Logarithms and polynomials in vectors, against NumPy."""

import numpy as np
import pytest
from numba import njit, uint64

from sparseot.engines.loops.lanes import load, store
from sparseot.engines.loops.pairs import OPTIONS
from sparseot.engines.loops.powers.lanes import TERMS_32, TERMS_64, beyond, log2, polynomial

PLAIN = {**OPTIONS, "cache": False}
SIZE = 32  # numbers of single precision in a vector, and twice those of double precision


@njit(**PLAIN)
def logarithms(t, out):
    for i in range(uint64(0), uint64(len(t)), uint64(128 // t.itemsize)):
        store(out, i, log2(load(t, i)))


@njit(**PLAIN)
def polynomials(t, coefficients, out):
    for i in range(uint64(0), uint64(len(t)), uint64(128 // t.itemsize)):
        store(out, i, polynomial(load(t, i), coefficients))


@njit(**PLAIN)
def above(t, least, out):
    for i in range(uint64(0), uint64(len(t)), uint64(128 // t.itemsize)):
        store(out, i, beyond(load(t, i), load(t, i), load(least, i)))


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_logarithms(real):
    """Right to four units in the last place of one, or of themselves; zero has a very small one."""
    draws = np.random.default_rng(0)
    near, wide = 2 ** draws.uniform(-1, 1, 3200), 2 ** draws.uniform(-100, 100, 3200)
    for values in (near, wide, np.full(SIZE, 1.0), np.full(SIZE, 0.5**0.5)):
        t = values.astype(real)
        out = np.empty_like(t)
        logarithms(t, out)
        exact = np.log2(t.astype(np.longdouble))
        limit = 4 * np.finfo(real).eps * np.maximum(np.abs(exact), 0.0 if values is near else 1.0)
        assert (np.abs(out - exact) <= limit).all()
    out = np.empty(SIZE, real)
    logarithms(np.zeros(SIZE, real), out)
    assert (out < (-125 if real == np.float32 else -1021)).all() and np.isfinite(out).all()


@pytest.mark.parametrize(("real", "terms"), [(np.float32, TERMS_32), (np.float64, TERMS_64)])
def test_polynomials(real, terms):
    draws = np.random.default_rng(0)
    coefficients, t = draws.standard_normal(terms).astype(real), draws.uniform(-1, 1, 96)
    t = t.astype(real)
    out = np.empty_like(t)
    polynomials(t, coefficients, out)
    exact = np.polyval(coefficients.astype(np.longdouble), t.astype(np.longdouble))
    np.testing.assert_allclose(out, exact, rtol=0, atol=64 * np.finfo(real).eps)


def test_values_beyond_a_bar():
    t = np.linspace(0, 1, SIZE)
    out = np.empty_like(t)
    above(t, np.full(SIZE, t[7]), out)
    np.testing.assert_array_equal(out, np.where(t > t[7], t, 0.0))
