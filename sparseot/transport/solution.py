"""What a solver is, and what it returns: potentials, and how they were found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field

from torch import Tensor

from ..engines.base import Engine
from .problem import Problem
from .pruned.blocks.clouds import BlockCloud
from .pruned.kept_pairs import KeptPairs

__all__ = ["Level", "Potentials", "Report", "Seen", "Solution", "Solver"]


@dataclass(frozen=True)
class Potentials:
    """Dual potentials of one problem, without a graph.

    ``f`` ``(B, N)`` is the damped softmin of ``g_prev`` ``(B, M)``, and ``g`` that of ``f_prev``:
    what the envelope theorem needs to differentiate the value in x, a and in y, b. ``slopes``
    ``(B, N, D)`` and ``(B, M, D)`` are their gradients, where the last softmins brought them.
    """

    f: Tensor
    g: Tensor
    f_prev: Tensor
    g_prev: Tensor
    slopes: tuple[Tensor | None, Tensor | None] = field(default=(None, None), kw_only=True)


@dataclass(frozen=True)
class Level:
    """One temperature of a solve: what it was solved on and what it took."""

    blur: float
    points: tuple[int, int]
    sweeps: float
    error: float
    kept: float  # share of the pairs that were visited
    seconds: float


@dataclass(frozen=True)
class Report:
    """How one problem was solved."""

    converged: bool
    n_iter: int  # sweeps, over all levels
    residual: float  # relative L1 error of the marginals, over all pairs
    value: float  # the dual objective
    tol: float
    engine: str
    levels: tuple[Level, ...]
    kept_fraction: float = 1.0
    omitted: float = 0.0  # bound on the mass of the pairs that were not visited
    seconds: float = 0.0


@dataclass(frozen=True)
class Seen:
    """What one pass over all pairs saw of the plan of (f, g) of one item, in float64.

    Attributes:
        f, g: ``(N,)`` and ``(M,)`` potentials, f being the update of g.
        rows: ``(N,)``, sums of the rows of the plan, as shares of the weights.
        cols: ``(M,)``, likewise.
        centre: ``(D,)``, from which points are told here.
        heights: ``(M,)`` sums over the rows, ``sum_i P_ij (f_i - level)``.
        moments: ``(M, D)``, ``sum_i P_ij x_i``.
        squares: ``(M,)``, ``sum_i P_ij |x_i|^2``.
        level: the mean of f.
        entry: a bound on the relative error of an entry of the plan.
        sums: and on that of sums of entries as they were rounded, relative to those of absolute values.
    """

    f: Tensor
    g: Tensor
    rows: Tensor
    cols: Tensor
    centre: Tensor
    heights: Tensor
    moments: Tensor
    squares: Tensor
    level: float
    entry: float
    sums: float


@dataclass(frozen=True)
class Solution(Potentials):
    """Potentials, with one report for each item of the batch if they were found to a tolerance.

    ``pairs`` are those that were kept for their plan; None for all pairs. ``seen`` is what the last pass over
    these told of each item, where one pass told all.
    """

    reports: list[Report] = field(default_factory=list)
    pairs: KeptPairs | None = None
    seen: tuple[Seen | None, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether all items met their tolerance."""
        return all(report.converged for report in self.reports)

    def own(self, clouds: tuple[BlockCloud, BlockCloud]) -> list[Tensor]:
        """f, g, f_prev and g_prev of one item at the points of the blocks here, ``(n,)`` and ``(m,)``."""
        whole = self.f, self.g, self.f_prev, self.g_prev
        return [clouds[k % 2].own(h[0]) for k, h in enumerate(whole)]


class OwnedSolution(Solution):
    """Potentials of which each rank has those of its blocks; all of them are put together where they are asked for.

    Args:
        parts: f, g, f_prev and g_prev ``(n,)`` and ``(m,)``, in the order of the blocks.
        clouds: both clouds in blocks.
    """

    def __init__(
        self,
        parts: list[Tensor],
        clouds: tuple[BlockCloud, BlockCloud],
        reports: list[Report],
        pairs: KeptPairs,
    ) -> None:
        given = {"parts": parts, "clouds": clouds, "reports": reports, "pairs": pairs}
        for name, value in (given | {"seen": (None,), "slopes": (None, None)}).items():
            object.__setattr__(self, name, value)

    parts: list[Tensor]
    clouds: tuple[BlockCloud, BlockCloud]

    def own(self, clouds: tuple[BlockCloud, BlockCloud]) -> list[Tensor]:
        return self.parts

    @property
    def f(self) -> Tensor:
        return self._whole(0)

    @property
    def g(self) -> Tensor:
        return self._whole(1)

    @property
    def f_prev(self) -> Tensor:
        return self._whole(2)

    @property
    def g_prev(self) -> Tensor:
        return self._whole(3)

    def _whole(self, k: int) -> Tensor:
        return self.clouds[k % 2].whole(self.parts[k])[None]


class Solver(ABC):
    """A way of finding potentials; its options are its constructor's arguments.

    It builds no autograd graph and leaves problems as they are.
    """

    engine: str | Engine  # how sums over all pairs are taken

    def on(self, engine: str | Engine) -> Solver:
        """The same solver, by another engine."""
        other = copy(self)
        object.__setattr__(other, "engine", engine)  # solvers may be frozen
        return other

    def rounding(self, problem: Problem) -> float:
        """The share of an entry of the plan that may be lost to the rounding of single precision."""
        return 0.01

    def check(self, problem: Problem) -> None:
        """Raises ValueError where a problem is beyond this solver."""
        return

    def keeps(self, problem: Problem) -> bool:
        """Whether a problem is solved over kept pairs."""
        return False

    @abstractmethod
    def solve(self, problem: Problem, start: Potentials | None = None) -> Solution:
        """The potentials of a batch, from those of an earlier solution if there is one."""

    def solve_all(
        self, problems: Sequence[Problem], starts: Sequence[Potentials | None]
    ) -> list[Solution]:
        """Those of all problems of one divergence, which share their clouds."""
        return [self.solve(*pair) for pair in zip(problems, starts, strict=True)]
