"""How many sums registers hold at a time, and strips of outputs of so many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ....formulas.trees.expressions import AT, Expr, ordered, pairwise

__all__ = ["Strip", "held", "strips"]

FEW = 4  # at most, where bodies are more than arithmetic
LIGHT = {"add", "sub", "mul", "neg", "buffer", "get", "const", "coordinate", "leaf"}


@dataclass(frozen=True)
class Strip:
    """Outputs of a long vector, or of some scalars.

    Attributes:
        first: the output that coordinate 0 is.
        start: the first coordinate.
        stop: the one after the last.
        bodies: one for each output that is added up at a time.
    """

    first: int
    start: int
    stop: int
    bodies: tuple[Expr, ...]


def held(body: Expr, sums: int) -> int:
    """How many sums of a body are taken at a time, of the most that fit: half of them if it has numbers to keep.

    What is added of a product is never kept, since sums and products are one instruction.
    """
    inner = [n for n in ordered(body, closed=("loop", "get", "buffer")) if n.on & AT]
    kept = [n for n in inner if pairwise(n) and not (n is body and n.op == "mul")]
    return max(1, sums // 2) if kept else sums


def strips(parts: Sequence[tuple[int, Expr]], sums: int) -> Iterator[Strip]:
    """The strips of parts, each a length and a body, in their order; at most ``sums`` outputs at a time."""
    first = 0
    for long, group in groupby(parts, lambda part: part[0] > 1):
        some = list(group)
        if long:
            for dim, body in some:
                yield from _of_a_vector(first, dim, body, sums)
                first += dim
        else:
            for k in range(0, len(some), sums):
                bodies = tuple(body for _, body in some[k : k + sums])
                yield Strip(first, 0, len(bodies), bodies)
                first += len(bodies)


def _of_a_vector(first: int, dim: int, body: Expr, sums: int) -> Iterator[Strip]:
    """As few strips as there may be, whose widths differ by one at most."""
    light = all(n.op in LIGHT for n in ordered(body))
    most = held(body, sums) if light else min(FEW, sums)
    low, more = divmod(dim, -(-dim // most))
    middle = more * (low + 1)
    for start, stop, width in ((0, middle, low + 1), (middle, dim, low)):
        if start < stop:
            yield Strip(first, start, stop, (body,) * width)
