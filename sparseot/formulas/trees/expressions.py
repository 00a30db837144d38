"""The nodes of a formula: an operation, its arguments, and the length of the vector that it is.

A node is made once: equal expressions are one object, so that they are compared by identity and
computed once. It says which indices it depends on, those of rows (``I``), of columns (``J``), both,
or none (``P``, parameters). Leaves are the only nodes that know numbers; see :mod:`.slots`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import bad_input

__all__ = ["AT", "HERE", "Expr", "I", "J", "P", "const", "make", "ordered", "pairwise", "rebuilt"]

I, J, P, AT = 1, 2, 4, 8  # rows, columns, parameters; the coordinate of a loop over a vector


class Expr:
    """One node. ``attr`` is what the operation needs beside its arguments."""

    __slots__ = ("__weakref__", "args", "attr", "dim", "on", "op")

    op: str
    args: tuple[Expr, ...]
    attr: Any
    dim: int
    on: int

    def __deepcopy__(self, memo: dict[int, Any]) -> Expr:
        """Nodes do not change, and there is one of each."""
        return self

    def __repr__(self) -> str:
        texts: dict[Expr, str] = {}
        for node in ordered(self):
            texts[node] = _text(node, [texts[a] for a in node.args])
            if len(texts[node]) > 400:
                return f"a formula of {len(ordered(self)):,} operations"
        return texts[self]


_made: weakref.WeakValueDictionary[tuple[Any, ...], Expr] = weakref.WeakValueDictionary()
_lock = threading.RLock()
COMMUTE = ("add", "mul")


def make(op: str, *args: Expr, attr: Any = None, dim: int | None = None, on: int = 0) -> Expr:
    """The node of that operation: the one there is, or a new one.

    Args:
        op: the name of the operation.
        args: its arguments; vectors of one length, or of length one, where ``dim`` is None.
        attr: what else says what it computes; it must be hashable.
        dim: the length of the result; None for that of the arguments.
        on: what it depends on beside its arguments.

    Raises:
        ValueError: for vectors of several lengths.
    """
    if dim is None:
        dims = {a.dim for a in args} - {1}
        if len(dims) > 1:
            got = " and ".join(str(a.dim) for a in args)
            fix = "Take coordinates with [...] or join vectors with concat."
            raise bad_input(op, f"vectors of lengths {got}", "one length, or length one", fix)
        dim = dims.pop() if dims else 1
    key = (op, attr, dim, on, *map(id, args))
    with _lock:
        found = _made.get(key)
        if found is None and op in COMMUTE:
            found = _made.get((*key[:4], *key[:3:-1]))
        if found is None:
            found = Expr()
            found.op, found.args, found.attr, found.dim = op, args, attr, dim
            for a in args:
                on |= a.on
            found.on = on & ~AT if op == "loop" else on
            _made[key] = found
    return found


def const(value: float) -> Expr:
    """A number."""
    return make("const", attr=float(value))


HERE = make("coordinate", dim=1, on=AT)  # the coordinate of the loop that an expression stands in


def pairwise(e: Expr) -> bool:
    """Whether it depends on rows and on columns."""
    return e.on & (I | J) == I | J


def ordered(*roots: Expr, closed: tuple[str, ...] = ()) -> list[Expr]:
    """All nodes below the roots, arguments first; what is inside of ``closed`` operations is left out."""
    seen: set[Expr] = set()
    order: list[Expr] = []
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            if node.op not in closed:
                stack.extend((a, False) for a in reversed(node.args) if a not in seen)
    return order


def rebuilt(roots: Iterable[Expr], replaced: Mapping[Expr, Expr]) -> tuple[Expr, ...]:
    """The same expressions, with some nodes replaced by others."""
    roots = tuple(roots)
    done: dict[Expr, Expr] = {}
    for n in ordered(*roots):
        args = tuple(done[a] for a in n.args)
        done[n] = replaced.get(n) or (
            n if args == n.args else make(n.op, *args, attr=n.attr, dim=n.dim)
        )
    return tuple(done[root] for root in roots)


INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def _text(node: Expr, args: list[str]) -> str:
    if node.op == "const":
        return f"{node.attr:g}"
    if node.op == "leaf":
        side = {I: "x", J: "y", P: "p"}[node.on]
        return f"{side}{node.dim}" if not isinstance(node.attr, int) else f"{side}{node.attr}"
    if node.op in INFIX:
        return f"({args[0]} {INFIX[node.op]} {args[1]})"
    if node.op == "neg":
        return f"-{args[0]}"
    if node.op == "extract":
        return f"{args[0]}[{node.attr}:{node.attr + node.dim}]"
    return f"{node.op}({', '.join(args)})"
