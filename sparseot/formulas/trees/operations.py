"""What is done pair by pair: arithmetic, functions and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from ...errors import bad_input
from . import algebra
from .algebra import ONE, add, div, mul, neg, sub, total
from .expressions import Expr
from .functions import FUNCTIONS, equal, power, rounded

__all__ = ["Operations"]


def _unary(name: str) -> Callable[[Any], Any]:
    function, text = FUNCTIONS[name]

    def operation(self: Any) -> Any:
        return self._of(function(self.tree))

    operation.__name__, operation.__doc__ = name, text
    return operation


class Operations:
    """What LazyTensors share with tensors that are traced: the methods that give such again.

    Vectors have one length, or length one, which is that of any other.
    """

    tree: Expr

    def _of(self, tree: Expr) -> Self:
        """The formula of another tree, in the same frame."""
        raise NotImplementedError

    def _with(self, *others: Any, what: str, tree: Callable[..., Expr]) -> Self:
        """The formula of the trees of this one and others, in their common frame."""
        raise NotImplementedError

    # arithmetic

    def __add__(self, other: Any) -> Self:
        return self._with(other, what="+", tree=add)

    def __radd__(self, other: Any) -> Self:
        return self._with(other, what="+", tree=lambda a, b: add(b, a))

    def __sub__(self, other: Any) -> Self:
        return self._with(other, what="-", tree=sub)

    def __rsub__(self, other: Any) -> Self:
        return self._with(other, what="-", tree=lambda a, b: sub(b, a))

    def __mul__(self, other: Any) -> Self:
        return self._with(other, what="*", tree=mul)

    def __rmul__(self, other: Any) -> Self:
        return self._with(other, what="*", tree=lambda a, b: mul(b, a))

    def __truediv__(self, other: Any) -> Self:
        return self._with(other, what="/", tree=div)

    def __rtruediv__(self, other: Any) -> Self:
        return self._with(other, what="/", tree=lambda a, b: div(b, a))

    def __neg__(self) -> Self:
        return self._of(neg(self.tree))

    def __pow__(self, exponent: Any) -> Self:
        """Powers: by products for integers, by roots for halves, else ``exp(exponent * log)``."""
        return self._with(exponent, what="**", tree=power)

    def __rpow__(self, base: Any) -> Self:
        return self._with(base, what="**", tree=lambda a, b: power(b, a))

    def __or__(self, other: Any) -> Self:
        """The scalar product ``(x | y)``."""
        return self._with(other, what="|", tree=lambda a, b: total(mul(a, b)))

    __ror__ = __or__

    # comparisons: 1 where they hold, else 0

    def __lt__(self, other: Any) -> Self:
        return self._with(other, what="<", tree=lambda a, b: sub(ONE, _step(sub(a, b))))

    def __gt__(self, other: Any) -> Self:
        return self._with(other, what=">", tree=lambda a, b: sub(ONE, _step(sub(b, a))))

    def __le__(self, other: Any) -> Self:
        return self._with(other, what="<=", tree=lambda a, b: _step(sub(b, a)))

    def __ge__(self, other: Any) -> Self:
        return self._with(other, what=">=", tree=lambda a, b: _step(sub(a, b)))

    def __eq__(self, other: Any) -> Self:  # type: ignore[override]
        return self._with(other, what="==", tree=equal)

    def __ne__(self, other: Any) -> Self:  # type: ignore[override]
        return self._with(other, what="!=", tree=lambda a, b: sub(ONE, equal(a, b)))

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        fix = "Use ifelse, or multiply by comparisons, which are 0 or 1."
        raise bad_input("if", "a LazyTensor", "one truth value", fix, TypeError)

    # functions

    exp, log, sqrt, rsqrt = map(_unary, ("exp", "log", "sqrt", "rsqrt"))
    sin, cos, asin, acos, atan = map(_unary, ("sin", "cos", "asin", "acos", "atan"))
    tanh = _unary("tanh")
    abs, sign, step, relu, square = map(_unary, ("abs", "sign", "step", "relu", "square"))
    floor, xlogx, sinxdivx, sinc = map(_unary, ("floor", "xlogx", "sinxdivx", "sinc"))
    __abs__ = abs

    def power(self, exponent: Any) -> Self:
        """``x ** exponent``."""
        return self**exponent

    def atan2(self, other: Any) -> Self:
        """The angle of the point ``(other, self)``."""
        return self._with(other, what="atan2", tree=lambda a, b: algebra.function("atan2", a, b))

    def minimum(self, other: Any) -> Self:
        """The smaller of two numbers."""
        return self._with(other, what="minimum", tree=algebra.minimum)

    def maximum(self, other: Any) -> Self:
        """The larger of two numbers."""
        return self._with(other, what="maximum", tree=_larger)

    def clamp(self, low: Any, high: Any) -> Self:
        """The nearest number between ``low`` and ``high``."""
        return self.maximum(low).minimum(high)

    def ifelse(self, there: Any, else_: Any) -> Self:
        """``there`` where this is not negative, ``else_`` where it is."""
        choice = lambda c, a, b: algebra.function("ifelse", c, a, b)  # noqa: E731
        return self._with(there, else_, what="ifelse", tree=choice)

    def mod(self, modulus: Any, offset: Any = 0) -> Self:
        """What is left of division by ``modulus``, from ``offset`` on."""

        def tree(a: Expr, b: Expr, c: Expr) -> Expr:
            return sub(a, mul(b, algebra.function("floor", div(sub(a, c), b))))

        return self._with(modulus, offset, what="mod", tree=tree)

    def round(self, digits: int = 0) -> Self:
        """Rounded to so many decimal places, halves to even numbers."""
        return self._of(rounded(self.tree, digits))


def _step(a: Expr) -> Expr:
    return algebra.function("step", a)


def _larger(a: Expr, b: Expr) -> Expr:
    return algebra.function("max", a, b)
