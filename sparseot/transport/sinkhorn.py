r"""Sinkhorn's algorithm to a tolerance: the marginals are right up to a number that is asked for.

Alternating updates, accelerated (:mod:`.relaxation`), at temperatures that fall to
:math:`\text{blur}^p`, each starting from the potentials of the one before. It ends when the L1
error of the marginals of the plan, over all pairs, is at most ``tol`` times the mass.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engines.base import Engine, Formula
from ..engines.choose import loops_for
from ..errors import bad_input
from ..formulas import Radial, Term
from ..points import Points, bounding_sides, check_positive
from .annealing import Potentials, temperatures
from .cells import Cells
from .marginals import Marginals
from .memory import check_memory
from .multilevel import Multilevel
from .problem import equal_clouds
from .relaxation import Array, Outcome, Softmins, alternate
from .report import Bar, Level, Report, Solution
from .sparse import SparseSoftmins
from .stored import softmins_of

__all__ = ["Sinkhorn"]

DEFAULT = 1e-3  # tolerance
FEW = 1e6  # pairs, below which all of them are visited
BOXES = 6  # dimension above which boxes bound little
RATIO = 4.0  # of successive temperatures
COARSE = 0.01  # tolerance at all temperatures but the last
CONSTANT = 3.0  # c of a bold rate 1 - (pi c)^2 eps / L^p, to be corrected by what is seen
GAP = 0.15  # between the rate and 1, at most


@dataclass(frozen=True)
class Sinkhorn:
    """The options of a solve to a tolerance.

    Args:
        tol: L1 error of the marginals of the plan, relative to the mass; None takes that of the
            function it is given to. Unbalanced, the error is the distance of ``P 1`` from what
            the potentials want it to be, ``a exp(-f / rho)``.
        max_sweeps: largest number of sweeps at the last temperature.
        accelerate: False for plain alternating updates.
        engine: "auto", or the name of an engine; "tiles" with ``multilevel=True`` compiles nothing.
        multilevel: coarse clouds first, then kept pairs only; None decides by the size, the
            dimension and the cost.
        certificate: "cheap", an interval as wide as ``tol`` times a mean cost, for three products
            with the plan; or "tight", as wide as ``tol**2`` in ordinary cases, for some fifty.
        memory: bytes that a solve over kept pairs may take; where its points and lists of pairs
            would take more, it is refused before they are made. None for no limit; all pairs take
            no memory of their number.
        progress: show levels and sweeps while they run (tqdm); or a function of ``(blur, error,
            tol)`` to call after each sweep. Ctrl-C, or a KeyboardInterrupt raised there, ends the
            sweeps; the result holds the potentials of that moment, and ``converged`` is False.

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

    @torch.no_grad()
    def solve(
        self,
        source: Points,
        target: Points,
        cost: Formula,
        marginals: Marginals,
        *,
        p: int,
        blur: float,
        diameter: Tensor,
        engine: Engine,
        partner: list[int] | None = None,
        start: Potentials | None = None,
        cut: dict[tuple[int, int], Cells] | None = None,
    ) -> Solution:
        """Potentials of the transport from source to target, item by item.

        ``diameter`` is ``(B,)``, the length at which the temperatures start. ``partner`` is that
        of :meth:`AveragedAnnealing.solve`: an item that is its own partner is a cloud and itself.
        ``start`` gives potentials to start from, at the last temperature. ``cut`` holds
        clouds in blocks, for the problems of one divergence.
        """
        found: list[Outcome] = []
        reports: list[Report] = []
        checks: list[SparseSoftmins] = []
        dense = self.all_pairs(source, target, cost)
        for k, length in enumerate(diameter.tolist()):
            holder = k if partner is None else partner[k]
            if holder < k:
                o = found[holder]
                found.append(Outcome(o.g, o.f, o.g_prev, o.f_prev, o.error, 0, o.value))
                reports.append(reports[holder])
                continue
            here = _item(source, k)
            own = partner is not None or equal_clouds(source, target, k, marginals)
            there = here if own and holder == k else _item(target, k)
            longest = float(bounding_sides(here, there).max())
            bar, known = Bar(self.progress), {} if cut is None else cut
            problem = _Item(
                self, cost, marginals, p, blur, max(length, blur), longest, engine, bar, known
            )
            init = None
            if start is not None:
                init = start.f_prev[k].double().cpu().numpy(), start.g[k].double().cpu().numpy()
            if dense is None:
                outcome, report, check = problem.solve_multilevel(here, there, init)
                checks.append(check)
            else:
                outcome, report = problem.solve(here, there, init, dense)
            found.append(outcome)
            reports.append(report)
        parts = ("f", "g", "f_prev", "g_prev")
        f, g, f_prev, g_prev = (
            torch.stack([torch.from_numpy(getattr(o, part)) for o in found]).to(source.positions)
            for part in parts
        )
        return Solution(f, g, f_prev, g_prev, reports, checks)

    def all_pairs(self, source: Points, target: Points, cost: Formula) -> str | None:
        """None, or why all pairs are visited."""
        loops = loops_for(self.engine)
        x, sizes = source.positions, (source.weights.shape[1], target.weights.shape[1])
        why = None
        if not (isinstance(cost, Radial) and cost.terms == (Term(0.5, 2),)):
            why = "only |x - y|^2 / 2 has bounds on blocks"
        elif x.device.type != "cpu":
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
        if why is None and self.multilevel is None and math.prod(sizes) < FEW:
            why = "small clouds"
        return "all pairs, as asked" if self.multilevel is False and why is None else why


@dataclass
class _Item:
    """One problem: its temperatures, and what they took."""

    solver: Sinkhorn
    cost: Formula
    penalty: Marginals
    p: int
    blur: float
    length: float  # diameter, where the temperatures start
    longest: float  # side of the box around both clouds
    engine: Engine
    bar: Bar
    cut: dict[tuple[int, int], Cells]

    def solve_multilevel(
        self, source: Points, target: Points, init: tuple[Array, Array] | None
    ) -> tuple[Outcome, Report, SparseSoftmins]:
        """Over kept pairs of blocks."""
        began, tol = time.perf_counter(), self.solver.tol or DEFAULT
        own = _arrays(source)
        sizes = source.weights.shape[1] + target.weights.shape[1]
        check_memory(self.solver.memory, sizes, source.positions.shape[-1])
        solver = Multilevel(
            (own, own if target is source else _arrays(target)),
            self.penalty,
            self.blur**self.p,
            tol=tol,
            budget=self.solver.max_sweeps,
            rate=self.rate if self.solver.accelerate else lambda eps: 0.0,
            cut=self.cut,
            engine=loops_for(self.solver.engine) or "numba",
            memory=self.solver.memory,
            watch=lambda eps, error: self.bar.update(eps ** (1 / self.p), error, tol),
        )
        outcome = solver.solve(init)
        self.bar.close()
        levels = tuple(
            Level(math.sqrt(s.eps), s.points, s.sweeps, s.error, s.kept, s.seconds)
            for s in solver.steps
        )
        report = Report(
            outcome.error <= tol,
            math.ceil(sum(level.sweeps for level in levels)),
            outcome.error,
            outcome.value,
            tol,
            f"{solver.engine} on kept pairs of blocks",
            levels,
            solver.exact.kept_fraction,
            solver.omitted,
            time.perf_counter() - began,
        )
        return outcome, report, solver.exact

    def solve(
        self, source: Points, target: Points, init: tuple[Array, Array] | None, why: str
    ) -> tuple[Outcome, Report]:
        """Over all pairs."""
        began = time.perf_counter()
        softmins, how = softmins_of(
            source,
            target,
            self.cost,
            self.penalty,
            self.blur**self.p,
            self.engine,
            asked=self.solver.engine != "auto",
        )
        self.tol = self.solver.tol or DEFAULT
        levels: list[Level] = []
        if target is source:
            h = np.zeros_like(softmins.a)
            h = softmins.step(0, h, h)[0] / 2 if init is None else init[0]
            budget = self.solver.max_sweeps
            outcome = softmins.fixed_point(h, tol=self.tol, budget=budget)
            levels.append(self._level(softmins, outcome, began))
        else:
            outcome = self._anneal(softmins, init, levels)
        n_iter = math.ceil(sum(level.sweeps for level in levels))
        report = Report(
            outcome.error <= self.tol,
            n_iter,
            outcome.error,
            outcome.value,
            self.tol,
            f"{how} ({why})",
            tuple(levels),
            seconds=time.perf_counter() - began,
        )
        return outcome, report

    def _anneal(
        self, softmins: Softmins, init: tuple[Array, Array] | None, levels: list[Level]
    ) -> Outcome:
        last, interrupted = self.blur**self.p, False
        f, g = init or (np.zeros_like(softmins.a), np.zeros_like(softmins.b))
        for eps in temperatures(self.length**self.p, last, RATIO) if init is None else [last]:
            began = time.perf_counter()
            softmins.eps = eps
            outcome = alternate(
                softmins,
                f,
                g,
                tol=self.tol if eps == last else max(COARSE, self.tol),
                budget=1 if interrupted else self.solver.max_sweeps if eps == last else 30,
                rho2=self.rate(eps) if self.solver.accelerate else 0.0,
                watch=lambda f, g, error, eps=eps: self.bar.update(  # type: ignore[misc]
                    eps ** (1 / self.p), error, self.tol
                ),
            )
            interrupted |= outcome.interrupted
            levels.append(self._level(softmins, outcome, began))
            f, g = outcome.f, outcome.g_prev
        self.bar.close()
        return outcome

    def rate(self, eps: float) -> float:
        """The factor of the slowest error under a plain sweep, at a guess."""
        damping = math.prod(1 / (1 + eps / rho) for rho in self.penalty.rhos)
        gap = (math.pi * CONSTANT) ** 2 * eps / max(self.longest**self.p, eps)
        return damping * (1 - min(gap, GAP))

    def _level(self, softmins: Softmins, outcome: Outcome, began: float) -> Level:
        sizes = len(softmins.a), len(softmins.b)
        seconds = time.perf_counter() - began
        blur = softmins.eps ** (1 / self.p)
        return Level(blur, sizes, outcome.sweeps, outcome.error, 1.0, seconds)


def _arrays(cloud: Points) -> tuple[Any, Any]:
    return cloud.positions[0].double().numpy(), cloud.weights[0].double().numpy()


def _item(cloud: Points, k: int) -> Points:
    return Points(cloud.positions[k : k + 1].detach(), cloud.weights[k : k + 1].detach())
