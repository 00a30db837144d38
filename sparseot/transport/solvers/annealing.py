r"""The averaged, annealed Sinkhorn schedule of GeomLoss: a fixed number of symmetric updates.

The temperature falls from :math:`\text{diameter}^p` to :math:`\text{blur}^p` by a factor
:math:`\text{scaling}^p` a step; each step computes both updates from the old potentials and
averages; the last is a full update of both, from which gradients are taken (Feydy, 2020,
algorithm 3.5). It stops when the schedule ends, not when a residual is small: with the default
``scaling=0.5`` values are off by some 1e-3, gradients by some percent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...engines.base import Engine, Formula, Reductions
from ...errors import bad_input
from ...points import Points, check_positive
from ..marginals import Marginals

__all__ = ["AveragedAnnealing", "Potentials", "temperatures"]


@dataclass(frozen=True)
class Potentials:
    """Dual potentials of one problem, without a graph.

    ``f`` ``(B, N)`` is the damped softmin of ``g_prev`` ``(B, M)``, and ``g`` that of ``f_prev``:
    what the envelope theorem needs to differentiate the value in x, a and in y, b.
    """

    f: Tensor
    g: Tensor
    f_prev: Tensor
    g_prev: Tensor


@dataclass(frozen=True)
class AveragedAnnealing:
    """GeomLoss's schedule; a batch follows one schedule per item."""

    scaling: float = 0.5

    def __post_init__(self) -> None:
        check_positive(scaling=self.scaling)
        if self.scaling >= 1:
            got = f"{self.scaling:g}"
            raise bad_input("scaling", got, "a ratio between 0 and 1", "0.5 is usual.")

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
    ) -> Potentials:
        """Potentials of the transport from source to target.

        ``diameter`` is ``(B,)``, the length at which each item's schedule starts. ``partner``
        says that both potentials of every problem are first potentials of items of this batch:
        item k holds its own, item ``partner[k]`` the other. A cloud and itself are their own
        partner; (x, y) and (y, x), of equal sizes, are each other's. Then one softmin a step
        updates all.
        """
        schedule, start = _schedule(p, tuple(diameter.tolist()), blur, self.scaling)
        together = not start.any()
        schedule, start = schedule.to(source.positions), start.to(source.positions.device)
        damped = (-schedule * marginals.damping(schedule)).unbind()
        steps = list(zip(schedule.unbind(), damped, strict=True))
        towards = _Update(source, target, cost, engine)
        back = None if partner else _Update(target, source, cost, engine)
        swaps = partner is not None and partner != sorted(partner)
        holders = torch.tensor(partner, device=source.positions.device) if swaps else None

        def other(
            now: tuple[Tensor, Tensor], f: Tensor, f_old: Tensor | None, g: Tensor | None
        ) -> Tensor:
            """The second potentials: computed, or taken from the items that hold them."""
            if back is not None:
                return back(*now, f_old, g)
            return f if holders is None else f.index_select(0, holders)

        f = towards(*steps[0], None, None)
        g = other(steps[0], f, None, None)
        for step, now in enumerate(steps):
            f_new = towards(*now, g, f)
            g_new = other(now, f_new, f, g)
            # Weight of the new iterate: items with a shorter schedule wait at first.
            weight = 0.5 if together else 0.5 * (start <= step).to(f)
            f, g = torch.lerp(f, f_new, weight), torch.lerp(g, g_new, weight)
        f_new = towards(*steps[-1], g, f)
        return Potentials(f_new, other(steps[-1], f_new, f, g), f, g)


class _Update:
    """The damped softmin over one cloud, seen from the points of another."""

    def __init__(self, here: Points, there: Points, cost: Formula, engine: Engine) -> None:
        self.sums: Reductions = engine.bind(here.positions.detach(), there.positions.detach())
        self.log_weights, self.cost = there.log_weights, cost

    def __call__(self, eps: Tensor, damped: Tensor, g: Tensor | None, f: Tensor | None) -> Tensor:
        """The new f ``(B, N)`` from the other potential g; the old f is the engine's guess.

        ``eps`` ``(B, 1)`` is a temperature for each item, ``damped`` minus its damped value.
        """
        col = self.log_weights if g is None else self.log_weights + g / eps
        guess = None if f is None else f / damped
        return damped * self.sums.logsumexp(self.cost, eps.view(-1), col, guess)


def temperatures(first: float, last: float, ratio: float) -> list[float]:
    """From ``first`` down to exactly ``last``, by equal factors of at most ``ratio``."""
    steps = max(0, math.ceil(math.log(first / last) / math.log(ratio)))
    return [last * (first / last) ** (k / max(steps, 1)) for k in range(steps, 0, -1)] + [last]


@lru_cache(maxsize=64)
def _schedule(
    p: int, diameters: tuple[float, ...], blur: float, scaling: float
) -> tuple[Tensor, Tensor]:
    """Temperatures ``(T, B, 1)`` and the step ``(B, 1)`` at which each item's schedule starts.

    Schedules end together; before its start an item waits at its first temperature.
    """
    lists = []
    for length in diameters:
        length = length if length > 1e-9 * blur else blur  # all points in one place
        between = np.arange(p * np.log(length), p * np.log(blur), p * np.log(scaling))
        lists.append([length**p, *np.exp(between), blur**p])
    steps = max(map(len, lists))
    start = torch.tensor([[steps - len(temperatures)] for temperatures in lists])
    padded = [[t[0]] * (steps - len(t)) + t for t in lists]
    return torch.tensor(padded, dtype=torch.float64).T[..., None].contiguous(), start
