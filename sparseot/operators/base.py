"""Matrices known by their products: what they share, and their algebra.

An operator multiplies vectors and blocks of vectors, in torch or in NumPy: the product is of the
kind of the vector. Sums, products and multiples of operators are operators again.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engines.openmp import own_settings
from ..errors import bad_input
from ..held import Watch, held
from .arrays import Array, as_tensor, floating, is_complex, like, numpy_dtype, tensor_of
from .autograd.compiled import one_operator
from .autograd.spread import Spread, gathered, group_of
from .coarse_space import CoarseSpace
from .products import check_kinds, empty_product, matmul
from .scipy_operator import ScipyNames

__all__ = ["Array", "Diagonal", "Operator"]

DENSE_LIMIT = 2**28  # numbers: 1 GiB in single precision


class Operator(ScipyNames, ABC):
    """A matrix of shape ``(N, M)``, or a batch of them, that is known by its products."""

    __array_ufunc__ = None  # NumPy arrays leave @, + and * to us

    shape: tuple[int, ...]
    reference: Array  # an array of the kind, dtype and device of the results of sum and diagonal
    spreads: tuple[Spread, Spread] | None = None  # how ranks of a group have its rows and columns
    symmetric = False  # whether it is known to be its transpose

    @abstractmethod
    def product(self, v: Tensor) -> Tensor:
        """The product with a block ``(..., M, R)`` on this operator's device, ``(..., N, R)``."""

    @abstractmethod
    def transpose(self) -> Operator:
        """The transpose, as an operator."""

    @abstractmethod
    def diagonal(self) -> Array:
        """The diagonal, ``(..., min(N, M))``."""

    @property
    def live(self) -> tuple[Tensor, ...]:
        """The tensors that its products read, for whoever takes sums of it once and keeps them."""
        return ()

    def coarse(self, pairs: int) -> CoarseSpace | None:
        """A coarse space that holds nearly all of the smallest eigenvectors, if one is known."""
        return None

    @property
    def T(self) -> Operator:
        """The transpose."""
        return self.transpose()

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's name of the dtype, as SciPy wants it."""
        return numpy_dtype(self.reference)

    def __matmul__(self, v: Array) -> Array:
        """Products with ``(M,)``, ``(M, R)`` or batches ``(B, M)``, ``(B, M, R)``, or an operator."""
        if isinstance(v, Operator):
            return _Product(self, v)
        return self._times(v) if isinstance(v, (Tensor, np.ndarray)) else NotImplemented

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return matmul(Operator, func, *args)

    @one_operator(empty_product)
    @own_settings
    def _times(self, v: Array) -> Array:
        if self.spreads is None:
            return self._times_whole(v)
        rows, columns = self.spreads
        with rows.ranks.together():
            return rows.own(self._times_whole(columns.whole("v", v)))

    def _times_whole(self, v: Array) -> Array:
        columns = v.ndim == len(self.shape)
        wanted = self.shape[:-2] + self.shape[-1:]
        if v.shape[: len(wanted)] != wanted or v.ndim > len(self.shape):
            rows = ", ".join(map(str, wanted))
            fix = "The vector's length is the number of columns."
            raise bad_input("v", f"shape {tuple(v.shape)}", f"({rows}) or ({rows}, R)", fix)
        if is_complex(v):
            return like(self._complex_product(tensor_of(v, "v"), columns), v)
        block = as_tensor(v, self.reference, "v")
        if columns and not block.shape[-1]:
            return like(block.new_empty(*self.shape[:-1], 0), v)
        out = self.product(block if columns else block[..., None])
        return like(out if columns else out[..., 0], v)

    def __rmatmul__(self, v: Array) -> Array:
        """``v @ self`` for ``(N,)``, ``(R, N)`` or batches ``(B, N)``, ``(B, R, N)``."""
        if not isinstance(v, (Tensor, np.ndarray)):
            return NotImplemented
        if v.ndim < len(self.shape):
            return self.T @ v
        return (self.T @ v.swapaxes(-1, -2)).swapaxes(-1, -2)

    def _complex_product(self, v: Tensor, columns: bool) -> Tensor:
        """A real matrix multiplies real and imaginary parts: twice as many columns."""
        parts = torch.stack((v.real, v.imag), -1)
        out = self @ (parts.flatten(-2) if columns else parts)
        out = out.unflatten(-1, (-1, 2)) if columns else out
        out = out.float() if out.itemsize < 4 else out
        return torch.complex(out[..., 0], out[..., 1])

    @own_settings
    def sum(self, dim: int = -1) -> Array:
        """Sums of the rows (``dim=-1``, the degrees of a graph) or of the columns (``dim=-2``)."""
        axes = len(self.shape)
        if dim not in (-1, -2, axes - 1, axes - 2):
            raise bad_input("dim", repr(dim), "-1 for row sums or -2 for column sums")
        operator = self.T if dim in (-2, axes - 2) else self
        ones = as_tensor(self.reference, self.reference).new_ones(
            (*self.shape[:-2], operator.shape[-1], 1)
        )
        return like(operator.product(ones)[..., 0], self.reference)

    @own_settings
    def to_dense(self) -> Array:
        """The whole matrix; refused above 2^28 numbers."""
        self.refuse_dense()
        eye = torch.eye(self.shape[-1]).to(as_tensor(self.reference, self.reference))
        return like(self.product(eye.expand(*self.shape[:-2], *eye.shape)), self.reference)

    def refuse_dense(self) -> None:
        """Raises ValueError where the whole matrix would have more than 2^28 numbers."""
        if math.prod(self.shape) > DENSE_LIMIT:
            size = math.prod(self.shape) * self.dtype.itemsize / 2**30
            fix = "Multiply with K @ v, or take some entries with K[rows, cols]."
            raise bad_input("to_dense()", f"{self.shape}, {size:.0f} GiB", "a small matrix", fix)

    def __add__(self, other: Any) -> Operator:
        if not isinstance(other, Operator):
            return NotImplemented
        return _Sum(self, other)

    def __mul__(self, factor: Any) -> Operator:
        if not isinstance(factor, Real):
            return NotImplemented
        return _Multiple(self, float(factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Operator:
        return self * (1 / divisor) if isinstance(divisor, Real) else NotImplemented

    def __neg__(self) -> Operator:
        return self * -1.0

    def __sub__(self, other: Any) -> Operator:
        return self + -other if isinstance(other, Operator) else NotImplemented


class Diagonal(Operator):
    """A diagonal matrix.

    Args:
        entries: ``(..., N)``, of which it keeps a copy; those that are part of a graph as they are, which must
            not change in place.
        group: processes of ``torch.distributed``, each of which gives its own entries.
    """

    symmetric = True

    def __init__(self, entries: Array, *, group: Any = None) -> None:
        if (group := group_of(group, entries)) is not None:
            entries, spread = gathered("Diagonal", group, "entries", entries)
            self.spreads = spread, spread
        self.entries = self.reference = held(floating(entries, "entries"))
        self.shape = (*entries.shape, entries.shape[-1])
        self._watch = Watch(*([self.entries] if isinstance(entries, Tensor) else []))

    @property
    def live(self) -> tuple[Tensor, ...]:
        """The entries, if they are a tensor."""
        return self._watch.tensors

    def product(self, v: Tensor) -> Tensor:
        self._watch.check("Diagonal", "entries that were")
        return as_tensor(self.entries, v)[..., None] * v

    def transpose(self) -> Operator:
        return self

    def diagonal(self) -> Array:
        self._watch.check("Diagonal", "entries that were")
        return held(self.entries)

    def __repr__(self) -> str:
        return f"Diagonal({self.shape[-1]:,})"


class _Sum(Operator):
    def __init__(self, left: Operator, right: Operator) -> None:
        if left.shape != right.shape:
            raise bad_input("+", f"shapes {left.shape} and {right.shape}", "equal shapes")
        check_kinds("+", left, right)
        self.left, self.right = left, right
        self.shape, self.reference = left.shape, left.reference
        self.spreads = left.spreads or right.spreads
        self.symmetric = left.symmetric and right.symmetric

    @property
    def live(self) -> tuple[Tensor, ...]:
        return self.left.live + self.right.live

    def product(self, v: Tensor) -> Tensor:
        return self.left.product(v) + self.right.product(v)

    def transpose(self) -> Operator:
        return _Sum(self.left.T, self.right.T)

    def diagonal(self) -> Array:
        return self.left.diagonal() + like(
            as_tensor(self.right.diagonal(), self.reference), self.reference
        )

    def __repr__(self) -> str:
        return f"({self.left!r} + {self.right!r})"


class _Multiple(Operator):
    def __init__(self, operator: Operator, factor: float) -> None:
        self.operator, self.factor = operator, factor
        self.shape, self.reference = operator.shape, operator.reference
        self.symmetric, self.spreads = operator.symmetric, operator.spreads

    @property
    def live(self) -> tuple[Tensor, ...]:
        return self.operator.live

    def product(self, v: Tensor) -> Tensor:
        return self.factor * self.operator.product(v)

    def transpose(self) -> Operator:
        return _Multiple(self.operator.T, self.factor)

    def diagonal(self) -> Array:
        return self.factor * self.operator.diagonal()

    def __repr__(self) -> str:
        return f"{self.factor:g} * {self.operator!r}"


class _Product(Operator):
    def __init__(self, left: Operator, right: Operator) -> None:
        if left.shape[-1] != right.shape[-2]:
            raise bad_input("@", f"shapes {left.shape} and {right.shape}", "shapes that chain")
        check_kinds("@", left, right)
        self.left, self.right = left, right
        self.shape, self.reference = (*left.shape[:-1], right.shape[-1]), left.reference
        first, last = left.spreads or right.spreads, right.spreads or left.spreads
        self.spreads = first and last and (first[0], last[1])

    @property
    def live(self) -> tuple[Tensor, ...]:
        return self.left.live + self.right.live

    def product(self, v: Tensor) -> Tensor:
        return self.left.product(self.right.product(v))

    def transpose(self) -> Operator:
        return _Product(self.right.T, self.left.T)

    def diagonal(self) -> Array:
        if isinstance(self.left, Diagonal):
            return self.left.entries * self.right.diagonal()
        if isinstance(self.right, Diagonal):
            return self.left.diagonal() * self.right.entries
        raise NotImplementedError(
            "The diagonal of a product is known only if a factor is diagonal."
        )

    def __repr__(self) -> str:
        return f"{self.left!r} @ {self.right!r}"
