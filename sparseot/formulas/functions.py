"""Formulas that are functions: of two clouds, of two points, or written in KeOps's language.

Where a function does with points what a tree can say, it is traced: called once, with stand-ins that note what is
done with them (:mod:`.trees.tracing`). The tree is summed and differentiated in its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import bad_input
from ..points import refuse_map
from .base import Single

if TYPE_CHECKING:
    from .ground import GroundCost
    from .trees.expressions import Expr

__all__ = ["EVEN", "Opaque", "Pointwise", "Symbolic", "even", "finite"]

EVEN = 1e-3  # difference of C(x, y) and C(y, x) that may be rounding, relative to the largest cost
NUMBERS = 1 << 24  # that a block of rows may hold, a difference of coordinates for each pair
MISFITS = "must match", "broadcast", "Dimension out of range", "Expected size"  # of shapes
Numbers = Sequence[int] | Tensor | None


@dataclass(frozen=True)
class Opaque(Single):
    """A cost or kernel given as a Python function of ``(B, N, D)`` and ``(B, M, D)`` tensors.

    It returns a ``(B, N, M)`` tensor. Where it can be traced it has a :meth:`tree`; else its derivatives
    are those that autograd finds, and only engines that run Python can evaluate it. It need not be
    symmetric: it is called with the points of the first cloud first, whoever asks.
    """

    function: Callable[[Any, Any], Any]
    clouds: tuple[str, str] = ("x", "y")  # what errors call its two arguments

    def __call__(self, x: Any, y: Any) -> Any:
        """Values for all pairs, checked for their shape; a stand-in, of stand-ins for points."""
        try:
            value = self._values(x, y)
        except (IndexError, RuntimeError) as error:
            if not isinstance(x, Tensor) or not any(words in str(error) for words in MISFITS):
                raise
            raise self._misfit(x, y, error) from error
        return self._checked(value, x, y) if isinstance(x, Tensor) else value

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Values for all pairs."""
        values: Tensor = self(x, y)
        return values

    def tree(self, x: Tensor, y: Tensor) -> Expr:
        """The formula of two points; those of x are the variable of rows, those of y that of columns.

        Tensors that the function holds are parameters, with their graph: it is traced anew at each use.

        Raises:
            Untraceable: if there is none, with the reason.
        """
        from .trees.tracing import traced  # here, for a light import of the library

        return traced(self._values, x, y)

    def learnable(self, x: Tensor, y: Tensor) -> bool:
        """Whether its formula holds tensors to learn; raises Untraceable if it has none."""
        from .trees.tracing import learnt_by  # here, for a light import of the library

        return bool(learnt_by(self.tree(x, y)))

    def gibbs(self, eps: float) -> Opaque:
        """Of a cost, the Gibbs kernel ``exp(-cost / eps)``."""
        return Opaque(lambda x, y: (self(x, y) / -eps).exp(), self.clouds)

    def weighted_gibbs(self, eps: float) -> Opaque:
        """The cost times the Gibbs kernel."""

        def function(x: Any, y: Any) -> Any:
            cost = self(x, y)
            return cost * (cost / -eps).exp()

        return Opaque(function, self.clouds)

    @property
    def T(self) -> Opaque:
        """The function of (y, x): the same values, transposed."""
        return Opaque(lambda y, x: self(x, y).mT, self.clouds[::-1])

    def check(
        self, x: Tensor, y: Tensor, clouds: tuple[str, str] = ("x", "y"), fixed: bool = False
    ) -> None:
        """Refuses a cost that is not finite between two clouds; evaluates it once for all pairs.

        Within one cloud (``y is x``) it must be symmetric as well, which is looked at in blocks; and
        a ``fixed`` one must not be learnt.
        """
        rows = max(1, NUMBERS // (len(x) * y.shape[1] * x.shape[-1]))
        fixed = fixed and torch.is_grad_enabled()
        with torch.set_grad_enabled(fixed):
            for i in range(0, x.shape[1], rows):
                values = self(x[:, i : i + rows], y)
                if fixed and values.requires_grad:
                    raise self.learns()
                finite(values, range(i, i + rows), clouds=clouds, what="cost")
                if y is x:
                    block = values[..., i : i + rows]
                    even(block, block.mT, range(i, i + rows), range(i, i + rows), clouds[0])

    @staticmethod
    def learns() -> Exception:
        """What to raise for a cost that has something to learn, where that cannot be."""
        fix = "Freeze them with requires_grad_(False), or use the Sinkhorn divergence."
        got = "a function with parameters to learn"
        return bad_input("cost", got, "a fixed cost", fix)

    @property
    def ground(self) -> GroundCost | None:
        """The same cost for kept pairs, where these know one."""
        return None

    def scaled(self, factor: float) -> Opaque:
        """The multiple of this kernel."""
        return type(self)(lambda x, y: self.function(x, y) * factor)

    def times(self, other: Single) -> Opaque:
        """The product with another kernel."""
        return Opaque(lambda x, y: self(x, y) * other.matrix(x, y))

    def _values(self, x: Any, y: Any) -> Any:
        return self.function(x, y)

    def _misfit(self, x: Tensor, y: Tensor, error: Exception) -> Exception:
        """What says that shapes within the function do not fit."""
        shapes = tuple(x.shape), tuple(y.shape)
        got = f"a function that cannot take points {shapes[0]} and {shapes[1]} ({error})"
        wanted = f"one with values {(len(x), x.shape[1], y.shape[1])}"
        fix = "A batch axis comes first: x[..., :, None, :] and y[..., None, :, :] broadcast to pairs."
        return bad_input("cost, kernel", got, wanted, fix)

    def _checked(self, value: Any, x: Tensor, y: Tensor) -> Tensor:
        wanted = len(x), x.shape[1], y.shape[1]
        if not isinstance(value, Tensor) or value.shape != wanted:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise bad_input("cost, kernel", f"values of shape {came}", f"a tensor {wanted}")
        refuse_map(value, "what the function of a cost or a kernel holds")
        return value


class Pointwise(Opaque):
    """A kernel written for one pair of points, which runs on tensors and on KeOps LazyTensors.

    Args:
        function: of ``x_i``, ``(..., N, 1, D)``, and ``y_j``, ``(..., 1, M, D)``; it reduces the
            last axis. Broadcasting makes it the matrix of all pairs.

    Example:
        >>> import torch
        >>> cauchy = Pointwise(lambda x_i, y_j: 1 / (1 + ((x_i - y_j) ** 2).sum(-1)))
        >>> cauchy(torch.zeros(1, 2, 3), torch.ones(1, 5, 3)).shape
        torch.Size([1, 2, 5])
    """

    def _values(self, x: Any, y: Any) -> Any:
        return self.function(x[..., :, None, :], y[..., None, :, :])

    @property
    def T(self) -> Pointwise:
        """The function of (y_j, x_i)."""
        return Pointwise(lambda y, x: self.function(x, y), self.clouds[::-1])


@dataclass(frozen=True)
class Symbolic:
    """A ground cost as a KeOps formula of ``X`` and ``Y``, such as ``"SqDist(X,Y) / IntCst(2)"``.

    KeOps compiles and differentiates it; no other engine can read it. ``turned`` says that rows are
    points of Y.
    """

    expression: str
    turned: bool = False

    @property
    def T(self) -> Symbolic:
        """The same formula, seen from the second cloud."""
        return replace(self, turned=not self.turned)


def finite(
    values: Tensor,
    rows: Numbers = None,
    cols: Numbers = None,
    *,
    clouds: tuple[str, str] | None = ("x", "y"),
    what: str = "kernel",
) -> Tensor:
    """The values ``(B, N, M)`` of a function, if all of them are finite.

    Args:
        values: between all points of two clouds, or some of them.
        rows: the numbers of these points; None where they are all there.
        cols: likewise.
        clouds: their names; None for one cloud and itself.
        what: the argument that the function came as.

    Raises:
        ValueError: with the numbers of the first two points between which it is NaN or infinite.
    """
    plain = values.detach()
    if math.isfinite(float(plain.sum())):  # one pass, and one number from the device
        return values
    bad = (~plain.isfinite()).nonzero()
    if not len(bad):  # only their sum was too large
        return values
    b, *pair = bad[0].tolist()
    i, j = (
        int(k if known is None else known[k]) for k, known in zip(pair, (rows, cols), strict=True)
    )
    where = f"points {i} and {j} of one cloud"
    if clouds is not None:
        where = f"{clouds[0]}[{i}] and {clouds[1]}[{j}]"
    where += f", item {b}" if len(plain) > 1 else ""
    fix = "Where two points must not meet, give a large number, far above all others."
    got = f"a function that is {plain[b, pair[0], pair[1]].item()} between {where}"
    raise bad_input(what, got, "finite values", fix)


def even(
    values: Tensor, back: Tensor, rows: Sequence[int], cols: Sequence[int], cloud: str
) -> None:
    """Refuses a cost that is not symmetric within a cloud.

    Args:
        values: costs ``(B, N, M)`` from some points to others.
        back: costs of the way back, ``(B, N, M)``.
        rows: the numbers of these points.
        cols: likewise.
        cloud: its name.

    Raises:
        ValueError: with two points whose order matters. Rounding passes.
    """
    gap = (values - back).abs()
    if not bool((gap > EVEN * values.abs().amax()).any()):
        return
    b, *pair = (gap == gap.amax()).nonzero()[0].tolist()
    i, j = (int(known[k]) for k, known in zip(pair, (rows, cols), strict=True))
    there, again = (float(t[b, pair[0], pair[1]]) for t in (values, back))
    raise bad_input(
        "cost",
        f"one that is {there:g} from {cloud}[{i}] to {cloud}[{j}] and {again:g} back",
        "a symmetric one: a divergence compares each cloud with itself",
        "Solve with debias=False, or take the mean of both ways.",
    )
