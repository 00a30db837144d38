"""Laws of the Sinkhorn divergence, for whatever clouds are drawn."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import sparseot as so

from .draws import clouds, lengths

EXACT = {"tol": 1e-10}
P = st.sampled_from([1, 2])
REACHES = st.sampled_from([None, 0.1, 1.0])
MASSES = st.sampled_from([0.1, 1.0, 3.0])


def pair(one, other):
    """Two drawn clouds in the same space."""
    (x, a), (y, b) = one, other
    dim = min(x.shape[1], y.shape[1])
    return x[:, :dim], a, y[:, :dim], b


def value(x, a, y, b, **options):
    return so.sinkhorn_divergence(x, y, a, b, **EXACT, **options).item()


@given(clouds(), clouds(), lengths, P, REACHES, MASSES)
def test_positive_symmetric_and_zero_at_equality(one, other, blur, p, reach, mass):
    x, a, y, b = pair(one, other)
    b = mass * b if reach else b
    options = {"blur": blur, "p": p, "reach": reach}
    there, back = value(x, a, y, b, **options), value(y, b, x, a, **options)
    slack = 1e-8 * (1 + mass) ** 2
    assert there >= -slack and there == pytest.approx(back, rel=1e-6, abs=slack)
    assert abs(value(x, a, x, a, **options)) <= slack


@given(clouds(), clouds(), lengths, P, st.randoms(use_true_random=False))
def test_order_and_place_do_not_matter(one, other, blur, p, random):
    x, a, y, b = pair(one, other)
    order = list(range(len(x)))
    random.shuffle(order)
    plain = value(x, a, y, b, blur=blur, p=p)
    shift = torch.full((x.shape[1],), 0.5).double()
    assert value(x[order], a[order], y, b, blur=blur, p=p) == pytest.approx(
        plain, rel=1e-6, abs=1e-9
    )
    moved = value(x + shift, a, y + shift, b, blur=blur, p=p)
    assert moved == pytest.approx(plain, rel=1e-6, abs=1e-9)


@given(clouds(), clouds(), lengths, P, REACHES, st.sampled_from([0.01, 7.0, 300.0]))
def test_units(one, other, blur, p, reach, c):
    """Points, blur and reach times c: the value times c^p."""
    x, a, y, b = pair(one, other)
    plain = value(x, a, y, b, blur=blur, p=p, reach=reach)
    scaled = value(c * x, a, c * y, b, blur=c * blur, p=p, reach=reach and c * reach)
    assert scaled == pytest.approx(c**p * plain, rel=1e-5, abs=1e-8 * c**p)


@given(clouds(), clouds(), lengths, P, REACHES, st.sampled_from([1e-1, 1e-3, 1e-6]))
def test_the_interval_contains_the_value(one, other, blur, p, reach, tol):
    """At any tolerance, and ever narrower ones meet."""
    x, a, y, b = pair(one, other)
    options = {"blur": blur, "p": p, "reach": reach, "debias": True}
    rough, fine = (so.solve_sample(x, y, a, b, tol=t, **options) for t in (tol, 1e-10))
    assume(rough.converged and fine.converged)
    slack = 1e-9
    assert rough.lower <= rough.value + slack and rough.value <= rough.upper + slack
    assert rough.lower <= fine.value + slack and fine.value <= rough.upper + slack
