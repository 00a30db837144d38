"""What an engine is: two reductions over pairs of two clouds, all pairs or kept ones.

Each may come with what moves it when its points move, where one pass over the pairs gives both.

Engines never see an autograd graph. They are handed contiguous batches ``(B, N, D)`` and
``(B, M, D)`` of one dtype on one device; everything was checked before.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ..formulas import Opaque, Radial, Symbolic
from ..pairs import BlockPairs

__all__ = [
    "KEPT_BLOCK",
    "LOG2E",
    "Engine",
    "Formula",
    "Pairs",
    "PlanPairs",
    "Reductions",
    "ShiftedReductions",
    "centred",
    "reductions",
]

LOG2E = math.log2(math.e)
KEPT_BLOCK = 32  # points in a block of kept pairs: fewer than with 64, at nearly the same rate
Formula = Radial | Opaque | Symbolic


class Reductions(ABC):
    """The sums over j for one pair of clouds; the preparation of the clouds is done once."""

    @abstractmethod
    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        r"""Scaled kernel sums :math:`\sum_j e^{r_i + c_j} k(x_i, y_j) v_j`.

        Args:
            kernel: the formula k.
            v: ``(B, M, R)`` right-hand sides.
            row: ``(B, N)`` logarithmic scalings r, or None for zero.
            col: ``(B, M)`` logarithmic scalings c, or None for zero.

        Returns:
            ``(B, N, R)``. The caller sees to it that the scaled entries do not overflow.
        """

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        r"""The logarithms :math:`\log \sum_j \exp(c_j - C(x_i, y_j) / \varepsilon)`, ``(B, N)``.

        Args:
            cost: the formula C.
            eps: ``(B,)`` temperatures.
            col: ``(B, M)`` exponents c; -1e30 stands for minus infinity.
            guess: ``(B, N)``, what the result may be (the previous iterate). It takes the place
                of a running maximum; a bad guess costs time and never accuracy.
        """
        raise NotImplementedError("These reductions are sums only.")

    def least(self, cost: Formula, col: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""The minima :math:`\min_j C(x_i, y_j) - c_j` and their columns, ``(B, N)`` (int64).

        Args:
            cost: the formula C.
            col: ``(B, M)`` heights c, or None for zero; a column at -1e30 is not there.
        """
        raise NotImplementedError("These reductions are sums only.")

    def sum_slopes(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        r"""Scaled kernel sums of one right-hand side, and what moves them, if one pass gives both.

        .. math:: \sum_j e^{r_i + c_j} v_j \nabla_{x_i} k(x_i, y_j)

        Returns:
            ``(B, N, 1)`` and ``(B, N, D)``; None where that would be two passes over the pairs.
        """
        return None

    def logsumexp_slopes(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        r"""The logarithms, and the mean slopes of the cost, if one pass over the pairs gives both.

        .. math:: \frac{\sum_j w_{ij} \nabla_{x_i} C(x_i, y_j)}{\sum_j w_{ij}}, \qquad
                  w_{ij} = \exp(c_j - C(x_i, y_j) / \varepsilon)

        Returns:
            ``(B, N)`` and ``(B, N, D)``; None where that would be two passes.
        """
        return None

    def annealed(
        self, cost: Formula, eps: Tensor, damped: Tensor, starts: Tensor,
        log_weights: Tensor, firsts: Tensor, partner: Tensor,
    ) -> Tensor | None:  # fmt: skip
        """Both potentials before the last step of GeomLoss's schedule, if one call takes all steps of small clouds.

        Args:
            cost: the formula.
            eps: temperatures ``(T, B)``.
            damped: minus their damped values.
            starts: ``(B,)``, the step before which an item waits.
            log_weights: of the columns, ``(B, N)``.
            firsts: one item of each two that belong together, ``(P,)``.
            partner: ``(B,)``, the item whose potential is the other one; a symmetric item is its own.

        Returns:
            ``(B, N)``; None where steps are taken one by one.
        """
        return None

    def both_ways(
        self, cost: Formula, eps: Tensor, row: Tensor, col: Tensor, right: Tensor, left: Tensor
    ) -> tuple[Tensor, Tensor, tuple[float, float]] | None:
        r"""Products with a plan from both sides, if one pass over the pairs gives both.

        .. math:: \sum_j P_{ij} v_j, \qquad \sum_i P_{ij} u_i, \qquad
                  P_{ij} = \exp(r_i + c_j - C(x_i, y_j) / \varepsilon)

        Args:
            cost: the formula C.
            eps: ``(B,)`` temperatures.
            row: ``(B, N)`` exponents r; -1e30 stands for minus infinity.
            col: ``(B, M)`` exponents c, likewise.
            right: ``(B, M, R)`` values v.
            left: ``(B, N, L)`` values u.

        Returns:
            ``(B, N, R)`` and ``(B, M, L)``, float64, and two bounds: on the relative error of an entry,
            and on that of sums of the entries as they were rounded, as a share of the same sums of absolute
            values; below the smallest normal number entries are zero. None where that would be two passes.
        """
        return None

    def guessed(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The same, without waiting for the device where that can be helped.

        The second result is a truth value on the device: whether the first may be used; None for yes.
        """
        return self.logsumexp(cost, eps, col, guess), None


class ShiftedReductions(Reductions):
    """Reductions that take a guess as the shift of all exponents, and check that it was good.

    Where the sums come out beyond what exponents can hold, they are taken once more from the
    true maxima. To know, :meth:`logsumexp` waits for the device once; :meth:`guessed` does not.
    """

    @abstractmethod
    def sum_exp(self, cost: Formula, eps: Tensor, row: Tensor, col: Tensor) -> Tensor:
        r"""Sums :math:`\sum_j \exp(r_i + c_j - C(x_i, y_j) / \varepsilon)`, ``(B, N)``."""

    @abstractmethod
    def max_exponent(self, cost: Formula, eps: Tensor, col: Tensor) -> Tensor:
        r"""Maxima :math:`\max_j (c_j - C(x_i, y_j) / \varepsilon)`, ``(B, N)``."""

    def logsumexp(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor | None = None
    ) -> Tensor:
        guess = col.new_zeros(len(col), 1) if guess is None else guess
        found, sound = self.guessed(cost, eps, col, guess)
        if bool(sound):
            return found
        guess = self.max_exponent(cost, eps, col)
        return guess + self.sum_exp(cost, eps, -guess, col).log()

    def guessed(
        self, cost: Formula, eps: Tensor, col: Tensor, guess: Tensor
    ) -> tuple[Tensor, Tensor]:
        total = self.sum_exp(cost, eps, -guess, col)
        low, high = total.aminmax()
        return guess + total.log(), (low > 1e-20) & (high < 1e30)


class Engine(ABC):
    """A way of computing :class:`Reductions`; its options are its constructor's arguments."""

    name: str
    approximate = False  # whether its sums have an error beyond rounding,
    tol = 0.0  # which this bounds
    sloped = False  # whether one pass may give a sum and what moves it
    differentiable = False  # whether its sums of opaque formulas carry derivatives of their own
    traces = False  # whether it takes opaque formulas as trees

    @abstractmethod
    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        """None, or a sentence that says why this engine cannot sum this formula on this data."""

    @abstractmethod
    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        """Prepares two clouds ``(B, N, D)`` and ``(B, M, D)``; with kept pairs, B is 1."""

    def pads(self, count: int, items: int, programs: int, device: torch.device) -> bool:
        """Whether softmins of clouds of different sizes are faster as one batch, padded, than apart.

        Args:
            count: points of the largest cloud.
            items: softmins of the batch.
            programs: problems, of which those of two clouds are two items each.
            device: of the points.
        """
        return False

    def repeated(
        self, steps: Callable[..., Tensor], x: Tensor, y: Tensor, *tensors: Tensor
    ) -> Tensor | None:
        """``steps(x, y, *tensors)``, softmins of these clouds, from a recording of what they launch.

        Args:
            steps: reads nothing from the device, and no tensors but these; equal ones do the same.
            x, y: ``(B, N, D)`` and ``(B, M, D)``.
            tensors: what else it takes.

        Returns:
            What the steps give; None where they are to be taken.
        """
        return None

    def __repr__(self) -> str:
        return f"<engine {self.name}>"


class PlanPairs(ABC):
    """Pairs that were kept for one plan; they know how sums over them are taken.

    Kernels are multiples of the Gibbs kernel of that plan, and scalings are near its potentials.
    """

    @abstractmethod
    def reductions(self) -> Reductions:
        """The sums over the second cloud."""

    @property
    @abstractmethod
    def T(self) -> PlanPairs:
        """The same pairs, seen from the second cloud."""


Pairs = BlockPairs | PlanPairs


def reductions(engine: Engine, x: Tensor, y: Tensor, pairs: Pairs | None = None) -> Reductions:
    """Those of an engine over all pairs or block pairs, or those over the pairs of a plan."""
    if isinstance(pairs, PlanPairs):
        return pairs.reductions()
    return engine.bind(x, y, pairs)


def centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both clouds about their common centre, against cancellation; it takes no derivative."""
    centre = (x.detach().mean(1, keepdim=True) + y.detach().mean(1, keepdim=True)) / 2
    return x - centre, y - centre
