r"""Sinkhorn's algorithm to a tolerance: the marginals are right up to a number that is asked for.

Alternating updates, accelerated (:mod:`.relaxation`), at temperatures that fall to
:math:`\text{blur}^p`, each starting from the potentials of the one before. It ends when the L1
error of the marginals of the plan, over all pairs, is at most ``tol`` times the mass.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch

from ...engines.base import Engine
from ...engines.choose import loops_for
from ...engines.ranks.rows import SharedRows
from ...errors import bad_input
from ...formulas import GroundCost
from ...points import bounding_diameter, check_positive, padded
from ..problem import Problem
from ..pruned.coarse import Cells
from ..pruned.kept_pairs import WORTH, KeptPairs
from ..solution import Potentials, Solution, Solver
from .all_pairs import solve_all_pairs
from .course import Course
from .multilevel import solve_kept_pairs
from .progress import Bar

__all__ = ["Sinkhorn"]

DEFAULT = 1e-3  # tolerance
BOXES = 6  # dimension above which boxes bound little
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
        multilevel: coarse clouds first, then kept pairs only; None decides by the size, the
            dimension and the cost.
        certificate: "cheap", an interval as wide as ``tol`` times a mean cost, for three products
            with the plan; or "tight", as wide as ``tol**2`` in ordinary cases, for some fifty.
        memory: bytes that a solve over kept pairs may take; where its points and lists of pairs
            would take more, it is refused before they are made. None for no limit; all pairs take
            no memory of their number.
        progress: show levels and sweeps while they run (tqdm); or a function of ``(blur, error,
            tol)`` to call after each sweep, with your number of threads. During :func:`solve_sample`, a KeyboardInterrupt raised
            there, and Ctrl-C, end the sweeps; the result holds the potentials of that moment, and
            ``converged`` is False. A second Ctrl-C is not waited with. In losses they are raised.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Golub and Varga, 1961, "Chebyshev semi-iterative methods", section 4; Schmitzer, 2019,
        "Stabilized sparse scaling algorithms for entropy regularized transport problems".
    """

    tol: float | None = None
    max_sweeps: int = 2000
    accelerate: bool = True
    engine: str | Engine = "auto"
    multilevel: bool | None = None
    certificate: str = "cheap"
    memory: float | None = None
    progress: bool | Callable[[float, float, float], None] = False

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
        return [self._batch(*pair, cut) for pair in zip(problems, starts, strict=True)]

    def _batch(
        self, problem: Problem, start: Potentials | None, cut: dict[Hashable, Cells]
    ) -> Solution:
        """Item by item, and over all pairs without padding: its potentials are those of what it repeats."""
        why, parts, reports = self.all_pairs(problem), [], []
        shared = self.engine if isinstance(self.engine, SharedRows) else None
        asked = (shared.asked if shared else self.engine) != "auto"
        for k in range(len(problem.source.positions)):
            bar = Bar(self.progress)
            item, tol = problem.item(k, why is None), float(self.tol or DEFAULT)
            one = Course(item, tol, self.max_sweeps, self.accelerate, bar)
            first = None
            if start is not None:
                n, m = (cloud.weights.shape[1] for cloud in (item.source, item.target))
                first = start.f_prev[k, :n].double(), start.g[k, :m].double()
            if why is None:
                loops = loops_for(self.engine, problem.source.positions.device)
                assert loops is not None
                by = shared.by(loops) if shared else loops
                found = solve_kept_pairs(one, first, cut, engine=by, memory=self.memory)
            else:
                found = solve_all_pairs(one, first, asked=asked, why=why)
            parts.append(found)
            reports.append(found.report(one))
        n, m = (cloud.weights.shape[1] for cloud in (problem.source, problem.target))
        f, g, f_prev, g_prev = (
            torch.stack([padded(getattr(part.outcome, name), size) for part in parts]).to(
                problem.source.positions
            )
            for name, size in (("f", n), ("g", m), ("f_prev", n), ("g_prev", m))
        )
        checks = [part.pruned for part in parts if part.pruned is not None]
        pairs = KeptPairs(checks) if checks else None
        return Solution(f, g, f_prev, g_prev, reports, pairs)

    def rounding(self, problem: Problem) -> float:
        """None where potentials are found in double precision anyway."""
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

    def all_pairs(self, problem: Problem) -> str | None:
        """None, or why all pairs are visited."""
        x, cost, why = problem.source.positions, problem.cost, None
        loops = loops_for(self.engine, x.device)
        if not isinstance(cost, GroundCost):
            why = "a function has no bounds on blocks"
        elif x.device.type != "cpu" and (loops == "numba" or not self.multilevel):
            why = f"points on {x.device.type}"
        elif x.shape[-1] > BOXES:
            why = f"boxes bound little in dimension {x.shape[-1]}"
        elif loops is None or (loops == "tiles" and not self.multilevel):
            why = "as asked"
        if self.multilevel and why:
            fix = "Leave multilevel=None to visit all pairs."
            raise bad_input(
                "multilevel", "True", "a problem with few pairs that matter", why + ". " + fix
            )
        pairs = x.shape[1] * problem.target.positions.shape[1]
        if why is None and self.multilevel is None and pairs < WORTH[problem.p]:
            why = "small clouds"
        return "all pairs, as asked" if self.multilevel is False and why is None else why
