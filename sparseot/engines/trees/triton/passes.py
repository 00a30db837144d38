"""Which kernels a reduction takes: each visits all pairs, and leaves as many sums as registers hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ....formulas.trees.expressions import HERE, Expr, const, pairwise
from ..base import Reduction
from ..scalars import UNROLL, Unprintable, component
from .matrices import factored, wide
from .modules import module
from .shapes import MOST_SLOTS, Shape, halves, shape_of
from .sources import Kernel, Spec

__all__ = ["Pass", "passes", "unprintable"]

AT_ONCE = 8  # outputs of a kernel
MOST = 16  # kernels of a reduction
LINES = 1000  # operations of a kernel, beyond which compilers take long and registers spill


@dataclass(frozen=True)
class Pass:
    """A kernel for some outputs of a reduction.

    Attributes:
        spec: what it reduces.
        outputs: how many numbers of each row are asked for.
        groups: how many programs share them, each with as many coordinates of a long vector.
        formulas: what the source says above.
    """

    spec: Spec
    outputs: int
    groups: int
    formulas: tuple[Expr, ...]

    def kernel(self) -> tuple[Any, list[Shape]]:
        """The kernel, written and loaded, and its tiles, the usual one first."""
        return _loaded(self)

    def source(self) -> Kernel:
        """Its text."""
        return Kernel.of(self.spec, self.formulas)


@lru_cache(1024)
def passes(reduction: Reduction, bits: int) -> list[Pass]:
    """The kernels of a reduction for rows, in the order of its outputs."""
    memo: dict[Any, Expr] = {}

    def one(kind: str, bodies: Sequence[Expr], outputs: int, groups: int = 1) -> Pass:
        count = 1 << (reduction.count - 1).bit_length()
        spec = Spec(kind, tuple(bodies), reduction.slots, bits, count)
        return Pass(spec, outputs, groups, reduction.outputs)

    if reduction.kind == "least":
        (e,) = reduction.outputs
        each = [component(e, d, memo) for d in range(e.dim)]
        if reduction.count > 1:
            return [one("several", [body], reduction.count) for body in each]
        return [one("least", some, len(some)) for some in _split(each, AT_ONCE // 2)]
    outputs, shared = list(reduction.outputs), []
    if reduction.kind == "softmax":
        shared = [component(outputs.pop(0), 0, memo)]
    found, short = [], []
    for e in outputs:
        if e.dim <= UNROLL or e.op == "concat":
            short += [component(e, d, memo) for d in range(e.dim)]
            continue
        found += [one(reduction.kind, shared + some, len(some)) for some in _split(short, AT_ONCE)]
        product = factored(component(e, (HERE, 0), memo)) if bits == 32 else None
        if product and _fits(reduction.kind, product[0]):
            found.append(_of_columns(reduction, shared, *product, e.dim))
            short = []
            continue
        bodies = [component(e, (HERE, k), memo) for k in range(AT_ONCE)]
        found.append(one(reduction.kind, shared + bodies, e.dim, -(-e.dim // AT_ONCE)))
        short = []
    found += [one(reduction.kind, shared + some, len(some)) for some in _split(short, AT_ONCE)]
    return found or [one(reduction.kind, shared, 0)]


def _fits(kind: str, factor: Expr) -> bool:
    """Whether matrix units multiply columns by a factor; those of exponentials have none beside."""
    return pairwise(factor) if kind == "sum" else factor == const(1.0)


def _of_columns(
    reduction: Reduction, shared: list[Expr], factor: Expr, column: Expr, dim: int
) -> Pass:
    """The kernel that sums multiples of long columns."""
    bodies, width = tuple(shared or [factor]), wide(dim)
    spec = Spec(reduction.kind, bodies, reduction.slots, 32, 1, column, width)
    return Pass(spec, dim, -(-dim // width), reduction.outputs)


@lru_cache(1024)
def unprintable(reduction: Reduction) -> str | None:
    """Why a formula should not be kernels, or None."""
    if reduction.count > MOST_SLOTS:
        return f"{reduction.count} smallest values do not fit into registers, {MOST_SLOTS} do."
    try:
        found = passes(reduction, 32)
    except Unprintable as why:
        return f"The formula cannot be a kernel: {why}."
    longest = max(one.source().lines for one in found)
    if len(found) > MOST or longest > LINES:
        return f"The formula has {longest:,} operations and {reduction.width:,} outputs."
    return None


@lru_cache(1024)
def _loaded(one: Pass) -> tuple[Any, list[Shape]]:
    kernel = one.source()
    slots = one.spec.count if one.spec.kind == "several" else 1
    shape = shape_of(kernel, one.spec.bits, slots)
    return module(kernel.text).reduce, halves(shape, kernel, slots)


def _split(bodies: Sequence[Expr], size: int) -> list[list[Expr]]:
    return [list(bodies[k : k + size]) for k in range(0, len(bodies), size)]
