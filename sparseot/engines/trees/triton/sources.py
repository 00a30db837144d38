"""The source of a kernel: the formulas of a tile, and a reduction of them over the columns of each row.

A program walks through the runs of columns that a tile of rows meets, or through its share of each.
Only the last tile of a share needs a mask. Terms are added in the precision of the points within
``CHUNK`` tiles, and these to a total in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....formulas.trees.expressions import Expr
from .matrices import ATTENTION, STEP, SUM, WHOLE
from .printer import Printer

__all__ = ["Kernel", "Spec"]

HEAD = '''"""Written by sparseot, in float{bits}: {kind} of {formulas}."""

import triton
import triton.language as tl

from sparseot.engines.trees.triton.functions import (
    angle, arccosine, arctangent, cosine, exponential, hyperbolic_tangent, nearest, sign, sine,
)
from sparseot.engines.trees.triton.parts import (
    inner, multiples, nearer, risen, share, shifted, unknown,
)

REAL, BITS, CHUNK = tl.float{bits}, tl.constexpr({bits}), tl.constexpr(64)


@triton.jit
def terms(xs, ys, ps, tile, item, height, at, BM: tl.constexpr, BN: tl.constexpr):
    """The formulas for a tile of rows and columns; ys begins with the first column."""
    i, j = tl.arange(0, BM), tl.arange(0, BN)
'''
OPENING = '''


@triton.jit
def reduce(
    out, where, tiles, runs, xs, ys, ps, height, columns, parts, BM: tl.constexpr, BN: tl.constexpr,
):
    """The reduction for the rows of a tile, over a part of their columns."""
    tile, part, group = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    first, last = tl.load(tiles + 3 * tile).to(tl.int32), tl.load(tiles + 3 * tile + 1).to(tl.int32)
    item, height, at = tl.load(tiles + 3 * tile + 2), height.to(tl.int64), group * {width}
    i, j = tl.arange(0, BM), tl.arange(0, BN)
    place = (part * tl.num_programs(0) + tile) * tl.num_programs(2) + group
'''
RUNS = """\
    for run in range(first, last):
        begin, count = share(runs, run, part, parts, BN)
"""
CHUNKS = """\
        for start in range(0, count, CHUNK * BN):
            stop = tl.minimum(start + CHUNK * BN, count)
            whole = stop // BN * BN
"""
MASK = "true = (whole + j < {stop})[None, :]"
LOWEST = {32: -1e38, 64: -1e307}  # below all exponents


@dataclass(frozen=True)
class Spec:
    """What a kernel reduces.

    Attributes:
        kind: "sum"; "softmax", of an exponent and weights; "least" and "several", the smallest value
            of each formula, or the ``count`` smallest of one.
        bodies: scalar expressions; in a group of a long vector those of its coordinates from ``at`` on.
        slots: the leaves of the formulas.
        bits: of their numbers.
        count: of slots for smallest values, a power of two.
        column: the coordinate of a long vector of columns whose multiples are summed on matrix units: by
            the only body, or by the exponentials of it.
        wide: how many of its coordinates one program takes.
    """

    kind: str
    bodies: tuple[Expr, ...]
    slots: tuple[Expr, ...]
    bits: int
    count: int = 1
    column: Expr | None = None
    wide: int = 0

    @property
    def width(self) -> int:
        """Numbers that a program writes for each row."""
        if self.kind == "several":
            return self.count
        return self.step + (2 if self.kind == "softmax" else 0)

    @property
    def step(self) -> int:
        """Coordinates of an output that a program takes."""
        return self.wide or len(self.bodies) - (self.kind == "softmax")


@dataclass(frozen=True)
class Kernel:
    """A source, and what decides the size of its tiles.

    Attributes:
        text: the source of a module with the kernel ``reduce``.
        rows: numbers of each row that it reads.
        held: values of each pair that it holds: totals, and what formulas wait for.
        lines: how many operations a formula takes.
        multiplied: whether sums of multiples of long columns are left to matrix units.
    """

    text: str
    rows: int
    held: int
    lines: int
    multiplied: bool = False

    @staticmethod
    def of(spec: Spec, formulas: Sequence[Expr]) -> Kernel:
        """The kernel of what is reduced, and the formulas that are named above it."""
        printer = Printer(spec.slots, _step(spec))
        found = ", ".join(printer.values(spec.bodies))
        names = ", ".join(map(repr, formulas))
        head = HEAD.format(bits=spec.bits, kind=spec.kind, formulas=names)
        text = (
            head
            + "\n".join([*printer.lines, f"    return {found}"])
            + OPENING.format(width=spec.step)
            + (_products(spec, printer) if spec.column else "\n".join(_BODIES[spec.kind](spec)))
        )
        totals = {"softmax": 2, "least": len(spec.bodies), "several": 0}.get(spec.kind, 0)
        held = printer.held + len(spec.bodies) + totals
        return Kernel(f"{text}\n", printer.rows, held, len(printer.lines), spec.column is not None)


def _step(spec: Spec) -> int:
    """Of scalar products on matrix units; slots of smallest values leave no registers for parts of vectors."""
    if spec.bits != 32 or spec.kind == "several":
        return 0
    return WHOLE if spec.column else STEP


def _products(spec: Spec, printer: Printer) -> str:
    """The reduction whose terms are multiples of columns."""
    assert spec.column is not None
    text = ATTENTION if spec.kind == "softmax" else SUM
    return text.format(
        width=spec.wide, more=spec.width, lowest=LOWEST[spec.bits],
        place=printer.place(spec.column), dim=spec.column.args[0].dim - spec.column.attr,
    )  # fmt: skip


def _sum(spec: Spec) -> list[str]:
    n = len(spec.bodies)
    return [
        *_each(n, 1, "total{r} = tl.zeros((BM,), tl.float64)"),
        RUNS + CHUNKS.rstrip(),
        *_each(n, 3, "some{r} = tl.zeros((BM, BN), REAL)"),
        *_line(3, "for c in range(start, whole, BN):"),
        *_line(4, _call(n, "c")),
        *_each(n, 4, "some{r} += v{r}"),
        *_line(3, "if whole < stop:"),
        *_line(4, _call(n, "whole"), MASK.format(stop="stop")),
        *_each(n, 4, "some{r} += tl.where(true, v{r}, 0.0)"),
        *_each(n, 3, "total{r} += tl.sum(some{r}, 1).to(tl.float64)"),
        *_stored([f"total{r}" for r in range(n)]),
    ]


def _softmax(spec: Spec) -> list[str]:
    n = len(spec.bodies)
    add = [
        *_line(4, "old, new, top = risen(v0, top, BITS)", "mass = mass * old + new"),
        *_each(n, 4, "some{r} = some{r} * old + v{r} * new", 1),
    ]
    return [
        *_line(1, f"highest = tl.full((BM,), {LOWEST[spec.bits]}, REAL)"),
        *_each(n, 1, "total{r} = tl.zeros((BM,), tl.float64)"),
        RUNS + CHUNKS.rstrip(),
        *_line(3, "top = tl.zeros((BM, BN), REAL) + highest[:, None]"),
        *_line(3, "mass = tl.zeros((BM, BN), REAL)"),
        *_each(n, 3, "some{r} = tl.zeros((BM, BN), REAL)", 1),
        *_line(3, "for c in range(start, whole, BN):"),
        *_line(4, _call(n, "c")),
        *add,
        *_line(3, "if whole < stop:"),
        *_line(4, _call(n, "whole"), MASK.format(stop="stop")),
        *_line(4, 'v0 = tl.where(true, v0, float("-inf"))'),
        *add,
        *_line(
            3,
            "higher = tl.max(top, 1)",
            "scale = exponential(highest - higher, BITS).to(tl.float64)",
        ),
        *_line(3, "shares = exponential(top - higher[:, None], BITS)", "highest = higher"),
        *_line(3, "total0 = total0 * scale + tl.sum(mass * shares, 1).to(tl.float64)"),
        *_each(n, 3, "total{r} = total{r} * scale + tl.sum(some{r} * shares, 1).to(tl.float64)", 1),
        *_stored(["highest", *(f"total{r}" for r in range(n))]),
    ]


FIRST = "number = (begin - item * columns).to(tl.int32)"


def _least(spec: Spec) -> list[str]:
    n = len(spec.bodies)

    def kept(column: str) -> list[str]:
        return [
            *_each(n, 3, "near{r} = v{r} < best{r}"),
            *_each(n, 3, "best{r} = tl.where(near{r}, v{r}, best{r})"),
            *_each(n, 3, f"found{{r}} = tl.where(near{{r}}, number + {column}, found{{r}})"),
        ]

    return [
        *_each(n, 1, 'best{r} = tl.full((BM, BN), float("inf"), REAL)'),
        *_each(n, 1, "found{r} = tl.full((BM, BN), -1, tl.int32)"),
        RUNS + f"        {FIRST}",
        *_line(2, "whole = count // BN * BN"),
        *_line(2, "for c in range(0, whole, BN):"),
        *_line(3, _call(n, "c")),
        *kept("c"),
        *_line(2, "if whole < count:"),
        *_line(3, _call(n, "whole"), MASK.format(stop="count")),
        *_each(n, 3, 'v{r} = tl.where(true, v{r}, float("inf"))'),
        *kept("whole"),
        *_each(n, 1, "low{r} = tl.min(best{r}, 1)"),
        *_each(
            n, 1, "at{r} = tl.where(best{r} == low{r}[:, None], found{r} + j[None, :], 2147483647)"
        ),
        *_each(n, 1, 'at{r} = tl.where(low{r} < float("inf"), tl.min(at{r}, 1), -1)'),
        *_stored([f"low{r}" for r in range(n)]),
        *_stored([f"at{r}" for r in range(n)], "where"),
    ]


def _several(spec: Spec) -> list[str]:
    K = spec.count
    call = "best, found, worst = nearer(best, found, worst, v0, number + {c}, BN, {K})"
    at = f"(place * {K} + k[None, :]) * BM + i[:, None]"
    return [
        *_line(1, f"k = tl.arange(0, {K})"),
        *_line(1, f'best = tl.full((BM, {K}), float("inf"), REAL)'),
        *_line(1, f"found = tl.full((BM, {K}), -1, tl.int32)"),
        *_line(1, 'worst = tl.full((BM,), float("inf"), REAL)'),
        RUNS + f"        {FIRST}",
        *_line(2, "whole = count // BN * BN"),
        *_line(2, "for c in range(0, whole, BN):"),
        *_line(3, _call(1, "c"), call.format(c="c", K=K)),
        *_line(2, "if whole < count:"),
        *_line(3, _call(1, "whole"), MASK.format(stop="count")),
        *_line(3, 'v0 = tl.where(true, v0, float("inf"))', call.format(c="whole", K=K)),
        *_line(1, f"tl.store(out + {at}, best)", f"tl.store(where + {at}, found)"),
    ]


_BODIES = {"sum": _sum, "softmax": _softmax, "least": _least, "several": _several}


def _line(depth: int, *texts: str) -> list[str]:
    return [f"{'    ' * depth}{text}" for text in texts]


def _each(count: int, depth: int, text: str, first: int = 0) -> list[str]:
    return _line(depth, *(text.format(r=r) for r in range(first, count)))


def _call(count: int, column: str) -> str:
    values = ", ".join(f"v{r}" for r in range(count))
    return f"{values} = terms(xs, ys + begin + {column}, ps, tile, item, height, at, BM, BN)"


def _stored(values: Sequence[str], array: str = "out") -> list[str]:
    return _line(
        1,
        *(
            f"tl.store({array} + (place * {len(values)} + {r}) * BM + i, {value})"
            for r, value in enumerate(values)
        ),
    )
