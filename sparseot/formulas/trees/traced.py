"""A stand-in for a tensor of pairs: what a function does with it becomes a formula.

It has the shape, the dtype and the names of the tensor that the function is given otherwise, ``(B, N, D)``
or ``(B, M, D)``, and knows of each axis what it counts. Where a function asks for more than a formula of two
points can say, it raises :class:`~.axes.Untraceable`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from numbers import Real
from typing import Any, Self

import torch
from torch import Tensor

from . import algebra
from .algebra import ONE, add, expand, mul, sub, total
from .axes import COORDINATES, SINGLE, Axes, Axis, Untraceable, joined, of_numbers, once
from .expressions import Expr, P, const
from .functions import matrix_vector, smallest
from .indexing import contracted, coordinates, indexed
from .names import ALIASES, TorchNames
from .slots import variable

__all__ = ["Traced"]

MATRIX = 1 << 12  # numbers of a matrix that is written out
MOST = 64  # the largest power that is made of products
TRUTHS = ("<", ">", "<=", ">=", "==", "!=")
LOGIC = ("*", "ifelse", *TRUTHS)  # what is done with truth values; they are no numbers otherwise
Fold = Callable[[Expr], Expr]


class Traced(TorchNames):
    """A formula with axes.

    Args:
        tree: the formula; its vector is the axis of coordinates, if there is one.
        axes: what each axis counts.
        like: a tensor of its dtype on its device.
        truth: whether its values are truth values.
    """

    __array_ufunc__ = None  # NumPy arrays leave arithmetic to us

    def __init__(self, tree: Expr, axes: Axes, like: Tensor, truth: bool = False) -> None:
        self.axes, self.like, self.truth = once(axes), like, truth
        size = next((axis.size for axis in axes if axis.role == COORDINATES), 1)
        self.tree = expand(tree, size)

    def _of(self, tree: Expr) -> Self:
        if self.truth:
            raise Untraceable("it takes truth values for numbers")
        return type(self)(tree, self.axes, self.like)

    def _with(self, *others: Any, what: str, tree: Callable[..., Expr]) -> Self:
        given: list[Traced] = [self, *map(self._lifted, others)]
        if what not in LOGIC and any(t.truth for t in given):
            raise Untraceable("it takes truth values for numbers")
        truth = what in TRUTHS or all(t.truth for t in given)
        axes = joined(*(t.axes for t in given))
        return type(self)(tree(*(t.tree for t in given)), axes, self.like, truth)

    def _lifted(self, other: Any) -> Traced:
        """Numbers, and tensors that the function holds, as such stand-ins."""
        if isinstance(other, Traced):
            return other
        if isinstance(other, Real):
            return Traced(const(float(other)), (), self.like, isinstance(other, bool))
        if not isinstance(other, Tensor):
            raise Untraceable(f"it joins points with {type(other).__name__}")
        axes = of_numbers(other.shape)
        truth = other.dtype == torch.bool
        return Traced(variable(self._numbers(other).reshape(1, -1), P), axes, self.like, truth)

    def _numbers(self, held: Tensor) -> Tensor:
        """A tensor that the function holds, in the dtype of the points, if that loses nothing."""
        wider = torch.promote_types(held.dtype, self.like.dtype) != self.like.dtype
        if held.dim() and wider:
            raise Untraceable(f"it holds a tensor of {held.dtype}, the points are of {self.dtype}")
        return held.to(self.like.dtype) if held.dim() else held.to(self.like)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Torch's functions of stand-ins are their methods."""
        name = function.__name__.strip("_")
        known = next((t for t in args if isinstance(t, cls)), None)
        if name == "einsum" and known is not None:
            return contracted(args[0], [known._lifted(t) for t in args[1:]])
        method = getattr(cls, ALIASES.get(name, name), None)
        in_place = function.__name__.endswith("_") and not function.__name__.startswith("__")
        if known is None or method is None or in_place:
            raise Untraceable(f"torch.{name} is not known to formulas")
        first, *others = args
        if name == "to" and known is not first:  # of a tensor that the function holds
            return first.to(known.like)
        if name == "matmul" and not isinstance(first, cls):
            return known.__rmatmul__(first)
        chosen = {k: v for k, v in (kwargs or {}).items() if v is not None and v is not False}
        return method(known._lifted(first), *others, **chosen)

    def __pow__(self, exponent: Any) -> Self:
        """Powers whose derivatives are known where the base is zero or negative."""
        plain = isinstance(exponent, Real) and not isinstance(exponent, bool)
        if not plain or not float(2 * exponent).is_integer() or abs(exponent) > MOST:
            what = f"the power {exponent}" if plain else "a power that is a tensor"
            raise Untraceable(f"it raises points to {what}")
        return super().__pow__(exponent)

    def _in_place(self, other: Any) -> Self:
        raise Untraceable("it changes a tensor in place")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = _in_place

    def __getattr__(self, name: str) -> Any:
        raise Untraceable(f"it asks for .{name} of its points")

    def __iter__(self) -> Any:
        raise Untraceable("it loops over points")

    def __bool__(self) -> bool:
        raise Untraceable("it takes a decision by the values of points")

    # shapes

    @property
    def shape(self) -> torch.Size:
        """As the tensor would have it."""
        return torch.Size(axis.size for axis in self.axes)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """The number of axes."""
        return len(self.axes)

    ndim = property(dim)

    @property
    def dtype(self) -> torch.dtype:
        """That of the points."""
        return torch.bool if self.truth else self.like.dtype

    @property
    def device(self) -> torch.device:
        """That of the points."""
        return self.like.device

    def __len__(self) -> int:
        return self.axes[0].size

    def _moved(self, axes: Sequence[Axis]) -> Self:
        return type(self)(self.tree, tuple(axes), self.like, self.truth)

    def _axis(self, dim: Any) -> int:
        if isinstance(dim, (tuple, list)) and len(dim) == 1:
            (dim,) = dim
        if not isinstance(dim, int) or not -len(self.axes) <= dim < len(self.axes):
            raise Untraceable(f"it reduces the axes {dim} of a tensor of {len(self.axes)}")
        return dim % len(self.axes)

    def unsqueeze(self, dim: int) -> Self:
        """A new axis of length one."""
        place = dim % (len(self.axes) + 1)
        return self._moved((*self.axes[:place], SINGLE, *self.axes[place:]))

    def squeeze(self, dim: int) -> Self:
        """Without an axis of length one."""
        place = self._axis(dim)
        return self._reduced(place, False, lambda e: e) if self.shape[place] == 1 else self

    def permute(self, *dims: Any) -> Self:
        """The axes in another order."""
        order = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
        return self._moved([self.axes[self._axis(k)] for k in order])

    def transpose(self, dim0: int, dim1: int) -> Self:
        """Two axes exchanged."""
        axes, (k, l) = list(self.axes), map(self._axis, (dim0, dim1))
        axes[k], axes[l] = axes[l], axes[k]
        return self._moved(axes)

    swapaxes = swapdims = transpose

    @property
    def mT(self) -> Self:
        """The last two axes exchanged."""
        return self.transpose(-1, -2)

    def __getitem__(self, key: Any) -> Self:
        """New axes, coordinates, and whole axes."""
        tree, axes = indexed(self.tree, self.axes, key)
        return type(self)(tree, axes, self.like, self.truth)

    # sums over coordinates, and products with matrices

    def _reduced(self, dim: Any, keepdim: bool, fold: Fold) -> Self:
        place = self._axis(dim)
        axis, kept = self.axes[place], (SINGLE,) if keepdim else ()
        if axis.role != COORDINATES and axis != SINGLE:
            raise Untraceable(f"it reduces over {axis.role}")
        tree = fold(self.tree) if axis.role == COORDINATES else self.tree
        axes = (*self.axes[:place], *kept, *self.axes[place + 1 :])
        return type(self)(tree, axes, self.like, self.truth)

    def sum(self, dim: Any = None, keepdim: bool = False) -> Self:
        """Over coordinates."""
        return (self * 1.0)._reduced(dim, keepdim, total)

    def mean(self, dim: Any = None, keepdim: bool = False) -> Self:
        """Over coordinates."""
        return self.sum(dim, keepdim) / self.shape[self._axis(dim)]

    def prod(self, dim: Any = None, keepdim: bool = False) -> Self:
        """Over coordinates."""
        return self._reduced(dim, keepdim, lambda e: reduce(mul, coordinates(e)))

    def amin(self, dim: Any = None, keepdim: bool = False) -> Self:
        """The smallest coordinate."""
        return self._reduced(dim, keepdim, lambda e: smallest(e)[0])

    def amax(self, dim: Any = None, keepdim: bool = False) -> Self:
        """The largest coordinate."""
        return -(-self).amin(dim, keepdim)

    def __matmul__(self, other: Any) -> Self:
        """Scalar products, with vectors or with a matrix that the function holds."""
        if isinstance(other, Traced):
            if len(self.axes) < 2 or len(other.axes) < 2:
                raise Untraceable("it multiplies a vector by a matrix of points")
            axes = joined(self.axes[:-2], other.axes[:-2])
            inner, kept = (self.axes[-1], other.axes[-2]), (self.axes[-2], other.axes[-1])
            return self._contracted(inner, (*axes, *kept), other.tree)
        if isinstance(other, Tensor) and other.dim() == 1:
            return (self * other).sum(-1)
        return self._by_matrix(other, -1)

    def __rmatmul__(self, other: Any) -> Self:
        """The same, with the matrix on the left."""
        if isinstance(other, Tensor) and other.dim() == 1:
            return self.mT @ other
        return self._by_matrix(other.mT if isinstance(other, Tensor) else other, -2)

    def _contracted(self, inner: tuple[Axis, Axis], axes: Axes, other: Expr) -> Self:
        if any(axis.role != COORDINATES for axis in inner) or inner[0].size != inner[1].size:
            raise Untraceable(f"it sums a product over {inner[0].role} and {inner[1].role}")
        return type(self)(total(mul(self.tree, other)), axes, self.like)

    def _by_matrix(self, matrix: Any, dim: int) -> Self:
        """The coordinates, on an axis, times ``(D, K)``."""
        place = self._axis(dim)
        if not isinstance(matrix, Tensor) or matrix.dim() != 2:
            raise Untraceable("it multiplies by a batch of matrices")
        axis, (rows, cols) = self.axes[place], matrix.shape
        if axis.role != COORDINATES or axis.size != rows or matrix.numel() > MATRIX:
            raise Untraceable(f"it multiplies {axis.role} by a matrix {rows} x {cols}")
        numbers = variable(self._numbers(matrix).mT.reshape(1, -1), P)
        axes = (*self.axes[:place], Axis(COORDINATES, cols), *self.axes[place + 1 :])
        return type(self)(matrix_vector(numbers, self.tree), axes, self.like)

    # truth values

    def _truths(self, other: Any, tree: Callable[[Expr, Expr], Expr]) -> Self:
        if not (self.truth and self._lifted(other).truth):
            raise Untraceable("it joins bits of numbers")
        return self._with(other, what="*", tree=tree)

    def __and__(self, other: Any) -> Self:
        return self._truths(other, mul)

    def __or__(self, other: Any) -> Self:
        return self._truths(other, lambda a, b: sub(add(a, b), mul(a, b)))

    def __invert__(self) -> Self:
        return self._truths(True, lambda a, b: sub(ONE, a))

    def where(self, there: Any, other: Any) -> Self:
        """``there`` where this holds, ``other`` where it does not."""
        if not self.truth:
            raise Untraceable("it chooses by what is no comparison")
        return self._with(
            there,
            other,
            what="ifelse",
            tree=lambda c, a, b: algebra.function("ifelse", sub(c, const(0.5)), a, b),
        )
