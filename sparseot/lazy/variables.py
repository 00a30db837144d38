"""Arrays, tensors and numbers as the variables of a formula."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from ..errors import bad_input
from ..formulas.trees.algebra import concat
from ..formulas.trees.expressions import Expr, I, J, P, const
from ..formulas.trees.slots import variable
from ..operators.arrays import Array, is_complex, tensor_of
from ..points import unwrap
from ..precision import at_least_single

__all__ = ["Frame", "followed", "is_whole", "joined", "read"]

SIDES = (I, J, P)
NAMES = ("rows", "columns", "parameters")
FLOATS = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Frame:
    """What a formula stands in: batch axes, numbers of rows and columns (None: any), and what its numbers are.

    ``like`` is a tensor of its dtype on its device, None for constants; ``of_numpy`` says whether
    results are arrays. ``single`` says that a variable has one point, of which nobody knows whether it
    is a row, a column or a parameter: an index that is nowhere else has the length one.
    """

    batch: tuple[int, ...] = ()
    rows: int | None = None
    columns: int | None = None
    like: Tensor | None = None
    of_numpy: bool = False
    single: bool = False

    @property
    def T(self) -> Frame:
        """Rows and columns exchanged."""
        return replace(self, rows=self.columns, columns=self.rows)

    @property
    def rows_known(self) -> int | None:
        """The number of rows; None where it may be any."""
        return 1 if self.rows is None and self.single else self.rows

    @property
    def columns_known(self) -> int | None:
        """The number of columns; None where it may be any."""
        return self.T.rows_known

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of rows and columns, one where nothing says how many."""
        return tuple(1 if n is None else n for n in (self.rows, self.columns))  # type: ignore[return-value]


def joined(a: Frame, b: Frame, what: str) -> Frame:
    """The frame of a formula of two others.

    Raises:
        ValueError, TypeError: where sizes, dtypes, devices or kinds do not fit.
    """
    sizes: list[int | None] = []
    for name, left, right in zip(NAMES, (a.rows, a.columns), (b.rows, b.columns), strict=False):
        if left is not None and right is not None and left != right:
            got = f"{left:,} and {right:,} {name}"
            fix = "Index i has one length in a formula, and j has one: were the two mixed up?"
            raise bad_input(what, got, f"as many {name} on both sides", fix)
        sizes.append(right if left is None else left)
    try:
        batch = torch.broadcast_shapes(a.batch, b.batch)
    except RuntimeError:
        got, wanted = f"batch axes {a.batch} and {b.batch}", "axes that broadcast"
        raise bad_input(what, got, wanted, "Give axes of length one to the other.") from None
    if a.like is None or b.like is None:
        known = b if a.like is None else a
        return Frame(tuple(batch), sizes[0], sizes[1], known.like, known.of_numpy, known.single)
    mine, other = ("arrays" if frame.of_numpy else "tensors" for frame in (a, b))
    what_fits: tuple[tuple[Any, Any, str], ...] = (
        (mine, other, "torch.from_numpy(...) makes tensors of arrays."),
        (a.like.dtype, b.like.dtype, "Convert one of them, with .to(...) or .astype(...)."),
        (a.like.device, b.like.device, "Move one of them with .to(...)."),
    )
    for one, two, fix in what_fits:
        if one != two:
            got = f"{one} and {two}"
            raise bad_input(what, got, "one kind, dtype and device", fix, TypeError)
    return Frame(tuple(batch), sizes[0], sizes[1], a.like, a.of_numpy, a.single or b.single)


def followed(given: Any, frame: Frame) -> Any:
    """A tensor or an array without axes in the dtype of the formula, as torch has it; anything else as it is."""
    if isinstance(given, np.ndarray) and given.ndim == 0 and given.dtype.kind in "fiu":
        return float(given)
    if isinstance(given, Tensor) and given.dim() == 0 and frame.like is not None:
        return given if given.is_complex() else given.to(frame.like.dtype)
    return given


def is_whole(k: Any) -> TypeGuard[int]:
    """Whether it is an integer, Python's or NumPy's."""
    return isinstance(k, (int, np.integer)) and not isinstance(k, bool)


def read(x: Any, axis: int | None = None) -> tuple[Expr, Frame]:
    """An expression and its frame, from what a user gives; see :class:`sparseot.LazyTensor`."""
    if isinstance(x, (bool, np.bool_, complex)):
        raise bad_input("LazyTensor", repr(x), "real numbers", kind=TypeError)
    if isinstance(x, Real):
        return const(float(x)), Frame()
    if isinstance(x, tuple):
        fix = "Parameters are lists; placeholders are Vi(0, 3), or LazyTensor((0, 3, 0))."
        raise bad_input("LazyTensor", f"the tuple {x}", "an array or a list", fix, TypeError)
    if isinstance(x, list) and x and all(isinstance(v, Real) for v in x):
        if axis not in (None, 2):
            raise bad_input("axis", repr(axis), "2 for a list of parameters")
        return concat(*(const(float(v)) for v in x)), Frame()
    if not isinstance(x, (Tensor, np.ndarray)):
        fix = "Numbers, lists of numbers, arrays and tensors can be."
        raise bad_input("LazyTensor", type(x).__name__, "numbers", fix, TypeError)
    return _of_array(x, axis)


def _of_array(x: Array, axis: int | None) -> tuple[Expr, Frame]:
    of_numpy = not isinstance(x, Tensor)
    if not of_numpy and unwrap(x) is not x:
        got, fix = "a tensor inside of torch.func or torch.vmap", "Batches are (B, N, 1, D)."
        wanted = "a plain one, whose sums torch.autograd differentiates to any order"
        raise bad_input("LazyTensor", got, wanted, fix)
    if is_complex(x):
        fix = "Take .real and .imag as two variables."
        raise bad_input("LazyTensor", f"dtype {x.dtype}", "real numbers", fix, TypeError)
    (tensor,) = at_least_single(tensor_of(x, "LazyTensor"))
    if tensor.layout != torch.strided:
        fix = "x.to_dense() makes one."
        raise bad_input("LazyTensor", f"{tensor.layout}", "a dense tensor", fix, TypeError)
    if tensor.dtype not in FLOATS:
        fix = "Convert with .float() or .double(); of an array, .astype(float)."
        raise bad_input("LazyTensor", f"dtype {x.dtype}", "floating point numbers", fix, TypeError)
    side, tensor = _side(tensor, axis)
    if tensor.shape[-1] == 0:
        raise bad_input("LazyTensor", f"shape {tuple(x.shape)}", "at least one coordinate")
    sizes = {I: (tensor.shape[-2], None), J: (None, tensor.shape[-2])}.get(side, (None, None))
    single = side == P and axis is None and x.ndim > 2
    frame = Frame(tuple(tensor.shape[:-2]), *sizes, tensor, of_numpy, single)
    return variable(tensor, side), frame


def _side(x: Tensor, axis: int | None) -> tuple[int, Tensor]:
    """The index that numbers depend on, and the numbers as ``(..., N or M or 1, D)``."""
    shape = tuple(x.shape)
    if axis not in (None, 0, 1, 2) or isinstance(axis, bool):
        raise bad_input("axis", repr(axis), "0 for rows, 1 for columns, 2 for parameters")
    if x.dim() < 2:
        if axis not in (None, 2):
            fix = "Give (N, D) points: x[:, None] are points on a line."
            raise bad_input("LazyTensor", f"shape {shape} with axis={axis}", "two axes", fix)
        return P, x.reshape(1, -1)
    if axis is not None:
        if axis == 2:
            return P, x[..., None, :]
        return SIDES[axis], x
    if x.dim() == 2:
        fix = "Say which index counts points: x[:, None, :] for i, x[None, :, :] for j, or Vi, Vj."
        raise bad_input("LazyTensor", f"shape {shape}", "(N, 1, D) or (1, M, D)", fix)
    if shape[-3] == 1:
        return (P if shape[-2] == 1 else J), x.squeeze(-3)
    if shape[-2] == 1:
        return I, x.squeeze(-2)
    fix = "One of the axes -3 (for i) and -2 (for j) is 1: entries of a matrix are not stored."
    raise bad_input("LazyTensor", f"shape {shape}", "(..., N, 1, D) or (..., 1, M, D)", fix)
