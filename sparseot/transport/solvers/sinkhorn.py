r"""Sinkhorn's algorithm to a tolerance: the marginals are right up to a number that is asked for.

Alternating updates, accelerated (:mod:`.relaxation`), at temperatures that fall to
:math:`\text{blur}^p`, each starting from the potentials of the one before. It ends when the L1
error of the marginals of the plan, over all pairs, is at most ``tol`` times the mass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...engines.base import Engine
from ...engines.choose import loops_for
from ...engines.ranks.rows import SharedRows
from ...engines.threads import share_ranges
from ...errors import bad_input
from ...formulas import GroundCost
from ...points import bounding_diameter, bounding_sides, check_positive, padded
from ..problem import Problem
from ..pruned.blocks.coarse import Cells
from ..pruned.kept_pairs import KeptPairs, worth
from ..solution import Potentials, Report, Solution, Solver
from .all_pairs import Start, is_stored, solve_all_pairs
from .course import Course, Found
from .multilevel import solve_kept_pairs
from .progress import WORDS, Bar

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

__all__ = ["Sinkhorn"]

DEFAULT = 1e-3  # tolerance
SWEEPING = 500  # multiplications that a pair takes in a small problem, about
BOXES = 6  # dimension above which boxes bound little
LEAVES = 1 << 26  # pairs from which on they are swept after leaves of a tree
SINGLE = 1e-5  # tolerance that single precision can reach
ROUNDING, BLIND = 1.1e-16, 1e-2  # of double precision, and the error of an entry that is too much


@dataclass(frozen=True)
class Sinkhorn(Solver):
    """The options of a solve to a tolerance.

    Args:
        tol: L1 error of the marginals of the plan, relative to the mass; None takes that of the
            function it is given to. Unbalanced, the error is the distance of ``P 1`` from what
            the potentials want it to be, ``a exp(-f / rho)``.
        max_sweeps: largest number of sweeps at the last temperature.
        accelerate: False for plain alternating updates.
        engine: "auto", or the name of an engine; "tiles" with ``multilevel=True`` compiles nothing,
            and visits kept pairs on any device.
        multilevel: coarse clouds first, then kept pairs only, or above six dimensions all of them, few times;
            None decides by the size, the dimension and the cost. False visits all pairs throughout.
        certificate: "cheap", an interval as wide as ``tol`` times a mean cost, for three products
            with the plan; or "tight", as wide as ``tol**2`` in ordinary cases, for some fifty.
        memory: bytes that a solve over kept pairs may take; where its points and lists of pairs
            would take more, it is refused before they are made. None for no limit; all pairs take
            no memory of their number.
        progress: show levels and sweeps while they run (tqdm); or a function of ``(blur, error,
            tol)`` to call after each sweep, with your number of threads. During :func:`solve_sample`, a KeyboardInterrupt raised
            there, and Ctrl-C, end the sweeps; the result holds the potentials of that moment, and
            ``converged`` is False. A second Ctrl-C is not waited with. In losses they are raised.
        checkpoint: a folder in which the potentials of two clouds are kept, at most every minute from the last
            temperature on, and at the end; ``solve_sample(..., init=folder)`` goes on from there.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Golub and Varga, 1961, "Chebyshev semi-iterative methods", section 4; Schmitzer, 2019,
        "Stabilized sparse scaling algorithms for entropy regularized transport problems".

    Example:
        >>> import torch
        >>> import sparseot as so
        >>> x = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
        >>> so.solve_sample(x, x + 1, blur=0.1, solver=so.Sinkhorn(tol=1e-5)).residual <= 1e-5
        True
    """

    tol: float | None = None
    max_sweeps: int = 2000
    accelerate: bool = True
    engine: str | Engine = "auto"
    multilevel: bool | None = None
    certificate: str = "cheap"
    memory: float | None = None
    progress: bool | Callable[[float, float, float], None] = False
    checkpoint: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        check_positive(tol=self.tol, max_sweeps=self.max_sweeps, memory=self.memory)
        if self.certificate not in ("cheap", "tight"):
            raise bad_input("certificate", repr(self.certificate), '"cheap" or "tight"')
        if self.tol is not None and self.tol >= 1:
            raise bad_input(
                "tol", f"{self.tol:g}", "a share of the mass, below 1", "1e-3 is usual."
            )

    def solve(self, problem: Problem, start: Potentials | None = None) -> Solution:
        return self.solve_all([problem], [start])[0]

    @torch.no_grad()
    def solve_all(
        self, problems: Sequence[Problem], starts: Sequence[Potentials | None]
    ) -> list[Solution]:
        cut: dict[Hashable, Cells] = {}  # clouds in blocks, which problems share
        return [
            self._batch(*pair, cut, self._checkpoint(number, pair[0]))
            for number, pair in enumerate(zip(problems, starts, strict=True))
        ]

    def _checkpoint(self, number: int, problem: Problem) -> Checkpoint | None:
        """Where the potentials of a problem are kept, by the first rank of a group."""
        if self.checkpoint is None:
            return None
        if len(problem.source.like) > 1:
            got = f"{len(problem.source.like)} pairs of clouds, with checkpoint"
            raise bad_input("x", got, "one pair", "Leave checkpoint=None, or solve one by one.")
        from .checkpoint import Checkpoint  # here, for a light import of the library

        shared = isinstance(self.engine, SharedRows) and self.engine.ranks.rank > 0
        return Checkpoint(self.checkpoint, number, problem.blur, problem.sizes, not shared)

    def _batch(
        self,
        problem: Problem,
        start: Potentials | None,
        cut: dict[Hashable, Cells],
        kept: Checkpoint | None,
    ) -> Solution:
        """Item by item, and over all pairs without padding: its potentials are those of what it repeats."""
        why = self.all_pairs(problem)
        items = [problem.item(k, why is None) for k in range(len(problem.source.like))]
        starts = _parts(start, items)
        sides = bounding_sides(problem.source, problem.target).tolist()
        if why is None:
            solved = [self._kept(*one, cut, kept) for one in zip(items, sides, starts, strict=True)]
        else:
            solved = self._all(items, sides, starts, why, kept)
        parts, reports = [found for found, _ in solved], [report for _, report in solved]
        if parts[0].apart:
            return parts[0].owned(reports, problem, kept)
        if kept is not None:
            kept.write(parts[0].outcome.f_prev, parts[0].outcome.g)
        n, m = problem.sizes
        ends = [part.outcome for part in parts]

        def all_of(name: str, size: int) -> Tensor:
            found = [getattr(end, name) for end in ends]
            alone = why is None and len(found) == 1  # made anew for this result, and long
            together = found[0][None] if alone else padded(found, size)
            return together.to(problem.source.weights)

        f, g = all_of("f", n), all_of("g", m)
        f_prev = f if all(end.f_prev is end.f for end in ends) else all_of("f_prev", n)
        g_prev = g if all(end.g_prev is end.g for end in ends) else all_of("g_prev", m)
        checks = [part.pruned for part in parts if part.pruned is not None]
        pairs = KeptPairs(checks) if checks else None
        slopes = zip(*(part.slopes for part in parts), strict=True)
        on_x, on_y = (_stacked(t, f, size) for t, size in zip(slopes, (n, m), strict=True))
        seen = tuple(  # of no padding
            part.seen if item.sizes == (n, m) else None
            for part, item in zip(parts, items, strict=True)
        )
        return Solution(f, g, f_prev, g_prev, reports, pairs, seen, slopes=(on_x, on_y))

    def _kept(
        self,
        item: Problem,
        sides: list[float],
        start: Start,
        cut: dict[Hashable, Cells],
        kept: Checkpoint | None,
    ) -> tuple[Found, Report]:
        """One item, over kept pairs."""
        course, loops = (
            self._course(item, sides, kept),
            loops_for(self.engine, item.source.like.device),
        )
        assert loops is not None
        by = self.engine.by(loops) if isinstance(self.engine, SharedRows) else loops
        found = solve_kept_pairs(course, start, cut, engine=by, memory=self.memory)
        return found, found.report(course)

    def _all(
        self,
        items: list[Problem],
        sides: list[list[float]],
        starts: list[Start],
        why: str,
        kept: Checkpoint | None,
    ) -> list[tuple[Found, Report]]:
        """Over all pairs. Threads share items that are compiled from end to end, which nobody watches."""
        asked, solved = self._asked, {}
        # functions of the caller's are called on the caller's thread
        known = all(isinstance(item.cost, GroundCost) for item in items)
        small = known and not self.progress and all(is_stored(item, asked) for item in items)
        pairs = sum(item.source.weights.numel() * item.target.weights.numel() for item in items)

        def solve(lo: int, hi: int) -> None:
            for k in range(lo, hi):
                course = self._course(items[k], sides[k], kept)
                found = self.solve_item(course, starts[k], why)
                solved[k] = found, found.report(course)

        share_ranges(len(items), solve, 1, SWEEPING * pairs if small else 0.0)
        return [solved[k] for k in range(len(items))]

    def _has_leaves(self, problem: Problem) -> bool:
        """Whether leaves of a tree may stand for the points, where all pairs are visited."""
        x, shared = problem.source.like, isinstance(self.engine, SharedRows)
        high = x.shape[-1] > BOXES and x.device.type == "cpu"
        known = isinstance(problem.cost, GroundCost) and not problem.cost.between
        return high and not shared and known

    @property
    def _asked(self) -> bool:
        """Whether an engine was asked for by name."""
        engine = self.engine.asked if isinstance(self.engine, SharedRows) else self.engine
        return engine != "auto"

    def solve_item(self, course: Course, start: Start, why: str) -> Found:
        """One item of a batch over all pairs; ``why`` says why they are visited."""
        problem, wanted = course.problem, self.multilevel
        if wanted is None:
            pairs = problem.source.weights.numel() * problem.target.weights.numel()
            wanted = pairs >= LEAVES
        if wanted and start is None and not problem.symmetric and self._has_leaves(problem):
            from .nested.leaves import solve_nested  # here, for a light import of the library

            return solve_nested(course, why=why)
        return solve_all_pairs(course, start, asked=self._asked, why=why)

    def _course(self, item: Problem, sides: list[float], kept: Checkpoint | None) -> Course:
        tol, words = float(self.tol or DEFAULT), f"{item.named} {WORDS}"
        bar = Bar(self.progress, words=words)
        return Course(item, tol, self.max_sweeps, self.accelerate, bar, sides, kept)

    def rounding(self, problem: Problem) -> float:
        """Zero where potentials are found in double precision anyway."""
        share = 0.1 * (self.tol or DEFAULT)
        return 0.0 if share < 0.1 * SINGLE or self.all_pairs(problem) is None else share

    def check(self, problem: Problem) -> None:
        """Refuses a blur at which exponents have no digits left, even in double precision."""
        diameter = float(bounding_diameter(problem.source, problem.target).max())
        least = diameter * (ROUNDING / (problem.p * BLIND)) ** (1 / problem.p)
        if problem.blur < least:
            wanted = f"at least {least:.2g} for points up to {diameter:.3g} apart"
            fix = (
                "Below, rounding alone changes the plan: take a larger blur, or sort out outliers."
            )
            raise bad_input("blur", f"{problem.blur:g}", wanted, fix)

    def keeps(self, problem: Problem) -> bool:
        return self.all_pairs(problem) is None

    def all_pairs(self, problem: Problem) -> str | None:
        """None, or why all pairs are visited."""
        x, cost, why = problem.source.like, problem.cost, None
        loops = loops_for(self.engine, x.device)
        if not isinstance(cost, GroundCost):
            why = f"{problem.told.rstrip('.')}; it has no bounds on blocks"
        elif x.device.type != "cpu" and (loops == "numba" or not self.multilevel):
            why = f"points on {x.device.type}"
        elif x.shape[-1] > BOXES:
            why = f"boxes bound little in dimension {x.shape[-1]}"
        elif loops is None or (loops == "tiles" and not self.multilevel):
            why = "as asked"
        if self.multilevel and why and not self._has_leaves(problem):
            fix = "Leave multilevel=None to visit all pairs."
            raise bad_input(
                "multilevel", "True", "a problem with few pairs that matter", why + ". " + fix
            )
        pairs = x.shape[1] * problem.target.like.shape[1]
        if why is None and self.multilevel is None and pairs < worth(problem.p):
            why = "small clouds"
        return "all pairs, as asked" if self.multilevel is False and why is None else why


def _stacked(items: Sequence[Tensor | None], like: Tensor, size: int) -> Tensor | None:
    """What is known of the points of each item, for all of them; None where it is not known of some."""
    known = [t for t in items if t is not None]
    return padded(known, size).to(like) if len(known) == len(items) else None


def _parts(start: Potentials | None, items: list[Problem]) -> list[Start]:
    """The potentials from which each item starts."""
    if start is None:
        return [None] * len(items)
    sizes = enumerate(item.sizes for item in items)
    return [(start.f_prev[k, :n].double(), start.g[k, :m].double()) for k, (n, m) in sizes]
