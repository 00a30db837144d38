"""Scalar expressions as lines of a Triton function, one operation a line.

``x3`` is the fourth number of the rows, ``y0`` the first of the columns, ``p0`` of the parameters;
a value has the shape of the pairs that it depends on, and broadcasts.
"""

from __future__ import annotations

from collections.abc import Sequence

from ....formulas.trees.expressions import AT, Expr, I, J, P, ordered, pairwise
from ..scalars import outermost
from .matrices import scalar_product, step_of

__all__ = ["Printer"]

CLOSED = ("loop", "get")
ARITHMETIC = {"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}"}
FUNCTIONS = {
    "exp": "exponential({}, BITS)",
    "log": "tl.log({})",
    "sqrt": "tl.sqrt({})",
    "rsqrt": "tl.where({0} == 0, 0.0, tl.rsqrt({0}))",
    "abs": "tl.abs({})",
    "floor": "tl.floor({})",
    "step": "({} >= 0).to(REAL)",
    "iszero": "({} == 0).to(REAL)",
    "max": "tl.where({0} < {1}, {1}, {0})",
    "ifelse": "tl.where({} >= 0, {}, {})",
    "sign": "sign({})",
    "round": "nearest({}, BITS)",
    "sin": "sine({}, BITS)",
    "cos": "cosine({}, BITS)",
    "atan": "arctangent({}, BITS)",
    "acos": "arccosine({}, BITS)",
    "atan2": "angle({}, {}, BITS)",
    "tanh": "hyperbolic_tangent({}, BITS)",
}
INSIDE = {
    "sin": 4,
    "cos": 4,
    "atan": 3,
    "acos": 3,
    "atan2": 4,
    "tanh": 3,
}  # values that functions hold
LETTERS = {I: "x", J: "y", P: "p"}


class Printer:
    """The lines that compute expressions.

    Rows stand in tiles ``(tiles, coordinates, BM)``, columns as ``(coordinates, height)``, parameters
    as ``(items, coordinates)``.

    Args:
        slots: the leaves, in the order in which their numbers are packed.
        step: how many coordinates of a scalar product of long vectors matrix units take at a time, if they do.

    Attributes:
        lines: what was written so far.
        held: most values of pairs that are waited for at a time.
        rows: how many numbers of rows are loaded, apart from those of loops over coordinates.
    """

    def __init__(self, slots: Sequence[Expr], step: int = 0) -> None:
        self.step = step
        self.first: dict[Expr, int] = {}
        self.width = {I: 0, J: 0, P: 0}
        for leaf in slots:
            self.first[leaf] = self.width[leaf.on]
            self.width[leaf.on] += leaf.dim
        self.lines: list[str] = []
        self.names: dict[Expr, str] = {}
        self.counter, self.depth, self.rows, self.held = "at", 1, 0, 0
        self.count = 0

    def values(self, roots: Sequence[Expr]) -> list[str]:
        """Writes what scalar expressions take; their names, each a whole tile."""
        self.held = _most_held(roots)
        return [self._whole(e, self._printed(e)) for e in roots]

    def _write(self, text: str, prefix: str = "t") -> str:
        name = f"{prefix}{self.count}"
        self.count += 1
        self._line(f"{name} = {text}")
        return name

    def _line(self, text: str) -> None:
        self.lines.append(f"{'    ' * self.depth}{text}")

    def _whole(self, e: Expr, name: str) -> str:
        return name if pairwise(e) else self._write(f"tl.zeros((BM, BN), REAL) + {name}")

    def _printed(self, e: Expr) -> str:
        for n in ordered(e, closed=CLOSED):
            if n not in self.names and n.op != "coordinate":
                self.names[n] = self._one(n)
        return self.names[e]

    def _one(self, e: Expr) -> str:
        if e.op == "const":
            return f"{e.attr!r}"
        if e.op == "get":
            return self._loaded(e)
        if e.op == "loop":
            return self._looped(e)
        args = [self.names[a] for a in e.args]
        if e.op in ARITHMETIC and any(a.op != "const" for a in e.args):
            return self._write(ARITHMETIC[e.op].format(*args))
        args = [self._number(a) for a in e.args]
        return self._write((ARITHMETIC | FUNCTIONS)[e.op].format(*args))

    def _number(self, e: Expr) -> str:
        """The name of an argument that must be a value of Triton's, not a number of Python's."""
        if e.op != "const":
            return self.names[e]
        return f"tl.full((1, 1), {e.attr!r}, REAL)"

    def _loaded(self, e: Expr) -> str:
        leaf, there = e.args[0], e.args[1:]
        place, last = self.first[leaf] + e.attr, self.width[leaf.on] - 1
        number = f"({self.counter} + {place})" if there else f"{place}"
        if there and self.counter == "at":  # the last group may reach beyond its vector
            number = f"tl.minimum(at + {place}, {last})"
        name = f"{LETTERS[leaf.on]}{place}"
        if there:
            name, self.count = f"{name}_{self.count}", self.count + 1
        if leaf.on == I:
            self.rows += not there
            address = f"xs + (tile * {self.width[I]} + {number}) * BM + i"
            self._line(f"{name} = tl.load({address})[:, None]")
        elif leaf.on == J:
            self._line(f"{name} = tl.load(ys + {number} * height + j)[None, :]")
        else:
            self._line(f"{name} = tl.load(ps + item * {self.width[P]} + {number})")
        return name

    def place(self, e: Expr) -> int:
        """Where the first number stands that a loop over coordinates fetches."""
        return self.first[e.args[0]] + int(e.attr)

    def _multiplied(self, e: Expr, row: Expr, column: Expr) -> str:
        """A scalar product of long vectors, on matrix units."""
        xs = f"xs + (tile * {self.width[I]} + {self.place(row)}) * BM"
        ys = f"ys + {self.place(column)} * height"
        self.held += 5  # parts of the rows, which stay in registers
        return self._write(
            f"inner({xs}, {ys}, height, {e.attr}, {step_of(e.attr, self.step)}, BM, BN)", "s"
        )

    def _looped(self, e: Expr) -> str:
        """A sum over coordinates; what does not depend on the coordinate is computed before."""
        pair = scalar_product(e) if self.step else None
        if pair:
            return self._multiplied(e, *pair)
        for n in outermost(e.args[0], lambda n: not n.on & AT):
            self._printed(n)
        total = self._write("tl.zeros((BM, BN), REAL)", "s")
        known, around = self.names, self.counter
        self.names = {n: name for n, name in known.items() if not n.on & AT}
        self.counter = f"d{self.count}"
        self.count += 1
        self.held += 1  # a term of the sum
        self._line(f"for {self.counter} in range(unknown({e.attr}, height)):")
        self.depth += 1
        self._line(f"{total} += {self._printed(e.args[0])}")
        self.depth -= 1
        self.names, self.counter = known, around
        return total


def _most_held(roots: Sequence[Expr]) -> int:
    """How many values of pairs wait for a later use, at most, when operations are done in their order."""
    order = [n for n in ordered(*roots, closed=CLOSED) if pairwise(n)]
    last = {a: k for k, n in enumerate(order) for a in n.args}
    last |= {root: len(order) for root in roots}
    ends = [0] * (len(order) + 1)
    held = most = 0
    for k, n in enumerate(order):
        held += 1
        ends[min(last.get(n, k), len(order))] += 1
        most = max(most, held + INSIDE.get(n.op, 0))
        held -= ends[k]
    return most
