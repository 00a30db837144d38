"""Random formulas, of functions that LazyTensors and stored tensors both have."""

import random

from sparseot import LazyTensor, Vi, Vj
from tests.references.stored import Stored

__all__ = ["lazy_and_stored", "random_formula"]

SMOOTH = (
    lambda u: (-u.square()).exp(),
    lambda u: (u.square() + 0.3).log(),
    lambda u: (u.square() + 0.1).sqrt(),
    lambda u: (u * u + 0.1).rsqrt(),
    lambda u: u.sin(),
    lambda u: (u * 2.7).cos(),
    lambda u: u.atan(),
    lambda u: (u.sin() * 0.9).acos(),
    lambda u: (u.cos() * 0.9).asin(),
    lambda u: 1 / (1 + u**2),
    lambda u: -u * 0.37,
    lambda u: u**3 / 7,
    lambda u: (u * u + 1) ** 1.5 / 4,
    lambda u: u.sinxdivx(),
)
ROUGH = (
    lambda u: u.abs(),
    lambda u: u.relu(),
    lambda u: u.sign(),
    lambda u: u.step(),
    lambda u: u.clamp(-0.6, 0.8),
    lambda u: u.mod(0.7),
    lambda u: (u > 0.1) + u,
    lambda u: u.ifelse(u * 2, 0.25),
    lambda u: u.round(1),
)
PAIRS = (
    lambda u, v: u + v,
    lambda u, v: u - v,
    lambda u, v: u * v,
    lambda u, v: u / (2 + v.cos()),
    lambda u, v: u.maximum(v),
    lambda u, v: u.minimum(v * 0.5),
    lambda u, v: u.atan2(2 + v.sin()),
)
SHORTER = (
    lambda u, v: (u | v) / 3,
    lambda u, v: u.sqdist(v) / 5,
    lambda u, v: (u - v).norm2(),
    lambda u, v: u.normalize() | v,
    lambda u, v: u[0] * v[1],
    lambda u, v: (u * v).sum(-1) / 2,
)


def random_formula(seed, rough=False, size=9):
    """A function of two variables of three coordinates and a parameter; its values are vectors or numbers."""
    draw = random.Random(seed)
    singles = SMOOTH + ROUGH if rough else SMOOTH
    steps = []
    for _ in range(size):
        steps.append(
            (draw.random(), draw.randrange(100), draw.randrange(100), draw.randrange(1000))
        )

    def formula(x, y, p):
        vectors, numbers = [x, y, x - y], [p]
        for kind, a, b, which in steps:
            long = vectors if kind < 0.5 else numbers
            if kind % 0.5 < 0.2:
                long.append(singles[which % len(singles)](long[a % len(long)]))
            elif kind % 0.5 < 0.35:
                long.append(PAIRS[which % len(PAIRS)](long[a % len(long)], long[b % len(long)]))
            elif kind < 0.5:
                long.append(long[a % len(long)] * numbers[b % len(numbers)])
            else:
                shorter = SHORTER[which % len(SHORTER)]
                numbers.append(shorter(vectors[a % len(vectors)], vectors[b % len(vectors)]))
        return (vectors[-1] | (x - y)) + numbers[-1]

    return formula


def lazy_and_stored(x, y, p, formula, engine="auto"):
    """A formula of points ``(..., N, D)``, ``(..., M, D)`` and parameters, both ways."""
    x_i, y_j = Vi(x), Vj(y)
    x_i.engine = engine
    stored = Stored(x[..., :, None, :]), Stored(y[..., None, :, :]), Stored(p)
    return formula(x_i, y_j, LazyTensor(p)), formula(*stored)
