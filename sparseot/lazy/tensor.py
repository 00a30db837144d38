"""The LazyTensor: a tensor of all pairs of points, known by its formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from torch import Tensor
from torch.nn.functional import pad

from ..engines.openmp import own_settings
from ..engines.trees.base import TreeEngine
from ..errors import bad_input
from ..formulas.trees.expressions import Expr
from ..formulas.trees.slots import swapped
from ..operators.arrays import Array, as_tensor, like, numpy_dtype
from ..operators.autograd.compiled import eager_methods
from .later import placeholder
from .ranges import Pairs, in_common, pairs_of
from .systems import Systems
from .variables import Frame, followed, joined, read

__all__ = ["LazyTensor", "Pm", "Vi", "Vj"]

NEAREST = {  # what pykeops has and this class has not, and what is nearest
    **dict.fromkeys(("view", "reshape"), "arrays may be reshaped before they become LazyTensors"),
    "permute": "K.T exchanges rows and columns",
    "numpy": "sums over i or j are arrays",
    "softdtw_sqdist": "formulas are written with arithmetic, exp, log, minimum and sums",
    "bspline": "formulas are written with arithmetic, step and powers",
    "keops_tensordot": "matvecmult, vecmatmult and tensorprod multiply matrices and vectors",
    "keops_kron": "tensorprod gives all products of coordinates",
    "sigmoid": "1 / (1 + (-x).exp())",
    "conj": "formulas are real: use two variables for .real and .imag",
    "exp1j": "formulas are real: x.cos() and x.sin() are its two parts",
    **dict.fromkeys(
        ("laplacian", "divergence", "trace_operator"),
        "autograd differentiates sums over i or j, and grad differentiates formulas",
    ),
}


@eager_methods
class LazyTensor(Systems):
    r"""A tensor :math:`F(x_i, y_j, p)` of all pairs of points, known by its formula and never stored.

    Arithmetic, functions and comparisons give LazyTensors; reductions over i or j give arrays. Written
    as if ``(N, M, D)`` arrays broadcast, computed by loops that are compiled for the formula, in
    milliseconds, on a CPU, and by torch on other devices. Derivatives of every order are formulas, too.
    It reads the numbers of its arrays when it is reduced: changes in place count.

    Args:
        x: what the formula is made of,

           * ``(..., N, 1, D)``: vectors :math:`x_i` of D coordinates; axes before are batch axes;
           * ``(..., 1, M, D)``: vectors :math:`y_j`;
           * ``(..., 1, 1, D)``, ``(D,)``, a list or a number: parameters;
           * ``(N, D)`` with ``axis``;
           * ``(k, D, axis)``: a placeholder of D coordinates. Reductions are then functions, whose k-th
             argument, counted from zero, brings its numbers.

           Tensors or arrays in single or double precision, all of one kind and dtype; half precision
           becomes single.
        axis: of an array of two axes, 0 for i, 1 for j, 2 for parameters.

    Attributes:
        engine: "auto"; or "compiled", "triton" or "tiles", which reduces all formulas made of this one.

    Raises:
        ValueError, TypeError: if x is not as described.

    References:
        Charlier, Feydy, Glaunès, Collin and Durif, 2021, "Kernel operations on the GPU, with
        autodiff, without memory overflows", whose language this is.

    Example:
        >>> import torch
        >>> x, y = torch.rand(1000, 3), torch.rand(2000, 3)
        >>> x_i, y_j = LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :])
        >>> K = (-((x_i - y_j) ** 2).sum(-1) / 2).exp()
        >>> K.shape, (K @ torch.ones(2000)).shape, K.argKmin(5, dim=1).shape
        ((1000, 2000), torch.Size([1000]), torch.Size([1000, 5]))
    """

    __array_ufunc__ = None  # NumPy arrays leave arithmetic to us

    def __init__(self, x: Any, axis: int | None = None) -> None:
        if isinstance(x, tuple) and len(x) == 3 and axis is None:
            self.tree, self.frame = placeholder(*x), Frame()
        else:
            self.tree, self.frame = read(x, axis)
        self.engine: str | TreeEngine = "auto"
        self._pairs: Pairs | None = None
        self._ranges: Any = None

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Torch's functions of LazyTensors are their methods; tensors leave arithmetic to them."""
        name = function.__name__.strip("_")
        turned = {"rsub": "sub", "rdiv": "truediv", "rtruediv": "truediv", "div": "truediv"}
        name = turned.get(name, name)
        first, *others = args
        if isinstance(first, cls):
            method = getattr(first, name, None) or getattr(first, f"__{name}__", None)
        else:
            method = getattr(others[0], f"__r{name}__", None) if others else None
            others = [first]
        if method is None:
            fix = "Call the method of the LazyTensor that does it, or reduce it first."
            raise bad_input(f"torch.{name}", "a LazyTensor", "a tensor", fix, TypeError)
        return method(*others, **(kwargs or {}))

    def _new(self, tree: Expr, frame: Frame, pairs: Pairs | None, ranges: Any) -> Self:
        found = object.__new__(type(self))
        found.tree, found.frame, found.engine = tree, frame, self.engine
        found._pairs, found._ranges = pairs, ranges
        return found

    def _of(self, tree: Expr) -> Self:
        return self._new(tree, self.frame, self._pairs, self._ranges)

    def _common(self, what: str, others: Sequence[Any]) -> tuple[Self, tuple[Expr, ...]]:
        trees, frame, engine = [self.tree], self.frame, self.engine
        pairs, ranges = self._pairs, self._ranges
        for given in others:
            other = given if isinstance(given, LazyTensor) else LazyTensor(followed(given, frame))
            frame = joined(frame, other.frame, what)
            trees.append(other.tree)
            engine = other.engine if engine == "auto" else engine
            pairs, ranges = in_common((pairs, ranges), (other._pairs, other._ranges), what)
        found = self._new(self.tree, frame, pairs, ranges)
        found.engine = engine
        return found, tuple(trees)

    def _with(self, *others: Any, what: str, tree: Callable[..., Expr]) -> Self:
        found, trees = self._common(what, others)
        found.tree = tree(*trees)
        return found

    @staticmethod
    def concatenate(tensors: Sequence[Any], axis: int = -1) -> Any:
        """Vectors one after the other."""
        if not tensors or not isinstance(tensors[0], LazyTensor):
            raise bad_input("concatenate", repr(tensors), "a tuple of LazyTensors", kind=TypeError)
        tensors[0]._only_coordinates("concatenate", axis)
        found = tensors[0]
        for other in tensors[1:]:
            found = found.concat(other)
        return found

    @staticmethod
    def cat(tensors: Sequence[Any], dim: int = -1) -> Any:
        """Vectors one after the other."""
        return LazyTensor.concatenate(tensors, dim)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(..., N, M)`` of numbers, ``(..., N, M, D)`` of vectors."""
        sizes = (*self.frame.batch, *self.frame.sizes)
        return sizes if self.tree.dim == 1 else (*sizes, self.tree.dim)

    @property
    def _shape(self) -> tuple[int, ...]:
        """The same with the coordinates, even if there is one: pykeops's name, which its tutorials use."""
        return (*self.shape, 1) if self.tree.dim == 1 else self.shape

    @property
    def ndim(self) -> int:
        """The number of coordinates, as pykeops counts."""
        return self.tree.dim

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """NumPy's name of the dtype, as SciPy wants it; None of numbers alone."""
        return None if self.frame.like is None else numpy_dtype(self.frame.like)

    @property
    def ranges(self) -> Any:
        """The pairs of blocks that are visited; None for all pairs.

        They are set as KeOps's six arrays, or as those of ``Blocks(radius).between(x, y)``.
        """
        return self._ranges

    @ranges.setter
    def ranges(self, given: Any) -> None:
        frame = self.frame
        self._pairs = None if given is None else pairs_of(given, frame.rows, frame.columns)
        self._ranges = given

    # a matrix of numbers

    @own_settings
    def __matmul__(self, v: Array) -> Array:
        """The product with ``(M,)``, ``(M, R)`` or batches ``(..., M, R)``, of the kind of the vector."""
        if not isinstance(v, (Tensor, np.ndarray)):
            raise bad_input("v", type(v).__name__, "a vector", "Multiply by an array.", TypeError)
        if self.tree.dim > 1:
            got = f"K of {self.tree.dim} coordinates"
            raise bad_input("K @ v", got, "K of numbers", "Sum over coordinates: K.sum(-1).")
        if self.frame.like is None or v.ndim == 0:
            raise bad_input("K @ v", f"K {self.shape}, v {tuple(v.shape)}", "a matrix and a vector")
        block = v[:, None] if v.ndim == 1 else v
        m = self.frame.columns_known
        if block.shape[-2] != m:
            wanted = f"({m},) or (..., {m}, R)"
            raise bad_input("v", f"shape {tuple(v.shape)}", wanted, "Its length is that of j.")
        here = self._of(self.tree)
        here.frame = replace(here.frame, of_numpy=False)
        count, columns = block.shape[-1], as_tensor(block, self.frame.like, "v")
        columns = columns if count else pad(columns, (0, 1))
        found = (here * LazyTensor(columns[..., None, :, :])).sum(-2)[..., :count]
        return like(found[..., 0] if v.ndim == 1 else found, v)

    def __rmatmul__(self, v: Array) -> Array:
        """``v @ K`` for ``(N,)`` or ``(..., R, N)``."""
        if getattr(v, "ndim", 1) < 2:
            return self.T @ v
        return (self.T @ v.swapaxes(-1, -2)).swapaxes(-1, -2)

    @property
    def T(self) -> Self:
        """Rows and columns exchanged."""
        (tree,) = swapped([self.tree])
        ranges = self._ranges
        if isinstance(ranges, (tuple, list)):
            ranges = (*ranges[3:], *ranges[:3])
        elif ranges is not None:
            ranges = ranges.T
        return self._new(tree, self.frame.T, self._pairs and self._pairs.T, ranges)

    def t(self) -> Self:
        """Rows and columns exchanged."""
        return self.T

    def __repr__(self) -> str:
        size = " x ".join(f"{n:,}" for n in self.shape)
        pairs = "" if self._pairs is None else f", {self._pairs.ranges.pairs:,} pairs"
        return f"LazyTensor({self.tree!r}, {size}, {self.dtype}{pairs})"

    def __getattr__(self, name: str) -> Any:
        """Raises AttributeError with the nearest that there is."""
        near = NEAREST.get(name)
        what = f"{name}: {near}" if near else f"attribute {name!r}; see help(sparseot.LazyTensor)"
        raise AttributeError(f"LazyTensor has no {what}.")


def Vi(x: Any, dim: int | None = None) -> LazyTensor:
    """Vectors of rows: the variable :math:`x_i`.

    Args:
        x: ``(N, D)`` or ``(..., N, D)``; or the number of an argument, see :class:`LazyTensor`.
        dim: the coordinates of that argument.

    Example:
        >>> import torch
        >>> ((Vi(torch.zeros(2, 3)) - Vj(torch.ones(4, 3))) ** 2).sum(-1).sum(dim=1).tolist()
        [[12.0], [12.0]]
    """
    return _variable(x, dim, 0)


def Vj(x: Any, dim: int | None = None) -> LazyTensor:
    """Vectors of columns: the variable :math:`y_j`.

    Args:
        x: ``(M, D)`` or ``(..., M, D)``; or the number of an argument, see :class:`LazyTensor`.
        dim: the coordinates of that argument.

    Example:
        >>> import torch
        >>> (Vi(torch.zeros(2, 1)) - Vj(torch.tensor([[3.0], [1.0]]))).abs().argmin(dim=1).tolist()
        [[1], [1]]
    """
    return _variable(x, dim, 1)


def Pm(x: Any, dim: int | None = None) -> LazyTensor:
    """Parameters.

    Args:
        x: a number, a list, ``(D,)`` or ``(..., D)``; or the number of an argument, see :class:`LazyTensor`.
        dim: the coordinates of that argument.

    Example:
        >>> import torch
        >>> (Pm(0.5) * Vj(torch.ones(4, 1)) + Vi(torch.zeros(2, 1))).sum(dim=1).tolist()
        [[2.0], [2.0]]
    """
    return _variable(x, dim, 2)


def _variable(x: Any, dim: int | None, axis: int) -> LazyTensor:
    if dim is not None:
        return LazyTensor((x, dim, axis))
    return LazyTensor(x, None if axis == 2 and getattr(x, "ndim", 0) < 2 else axis)
