"""Polynomials of elementary functions on short intervals around zero, the highest power first.

Keys are the bits of numbers. Sine, arctangent, logarithm and hyperbolic tangent are odd: theirs are
polynomials of the square of the argument, to be multiplied by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "ATAN",
    "COS",
    "EXP",
    "LN2",
    "LOG",
    "PARTS_LN2",
    "PARTS_PI",
    "SIN",
    "SMALL",
    "TANH",
]

LN2 = math.log(2)
SMALL = 0.4


def _fitted(f: Callable[[Any], Any], bound: float, degree: int) -> list[float]:
    """A polynomial near the best one on [-bound, bound], the highest power first."""
    fit = np.polynomial.chebyshev.Chebyshev.interpolate(f, degree, domain=[-bound, bound])
    found: list[float] = fit.convert(kind=np.polynomial.Polynomial).coef[::-1].tolist()
    return found


def _slope_of_exp(r: Any) -> Any:
    return np.where(r == 0, 1.0, np.expm1(r) / np.where(r == 0, 1.0, r))


def _series(term: Callable[[int], float], last: int) -> list[float]:
    return [term(k) for k in range(last, -1, -1)]


def _tanh(last: int) -> list[float]:
    """The series of ``tanh(r) / r`` in r^2, by ``tanh' = 1 - tanh^2``."""
    found = [1.0]
    for k in range(1, last + 1):
        found.append(-sum(found[i] * found[k - 1 - i] for i in range(k)) / (2 * k + 1))
    return found[::-1]


# twice exp on [-ln 2 / 2, ln 2 / 2], as exp(r) = 1 + r slope(r)
EXP = {
    32: [2.0 * c for c in (*_fitted(_slope_of_exp, LN2 / 2 + 1e-3, 5), 1.0)],
    64: [2.0 / math.factorial(k) for k in range(13, -1, -1)],
}
SIN = {
    b: _series(lambda k: (-1) ** k / math.factorial(2 * k + 1), n) for b, n in ((32, 4), (64, 8))
}
COS = {b: _series(lambda k: (-1) ** k / math.factorial(2 * k), n) for b, n in ((32, 5), (64, 8))}
LOG = {b: _series(lambda k: 2 / (2 * k + 1), n) for b, n in ((32, 4), (64, 10))}
ATAN = {b: _series(lambda k: (-1) ** k / (2 * k + 1), n) for b, n in ((32, 8), (64, 20))}
TANH = {
    b: _tanh(n) for b, n in ((32, 6), (64, 14))
}  # up to SMALL, beyond which exponentials lose nothing
# -ln 2 and -pi / 2 in parts, the first of few digits, so that products with small integers are exact
PARTS_LN2 = {
    32: (-0.693359375, 0.693359375 - LN2),
    64: (-0.6931471803691238, -1.9082149292705877e-10),
}
PARTS_PI = {
    32: (-1.5703125, -4.837512969970703e-4, -7.549789948768648e-8),
    64: (-1.5707963267341256, -6.077100506303966e-11, -2.0222662487959506e-21),
}
