r"""Alternating Sinkhorn updates, over-relaxed by the cyclic Chebyshev scheme, to a tolerance.

One half-step replaces a potential by :math:`f \gets f + \omega (\lambda S(g) - f)`, where S is the
softmin and :math:`\lambda` the damping of the marginal. Plain updates (:math:`\omega = 1`) forget an
error of wave length L by a factor :math:`1 - (\pi c\, \text{blur} / L)^2` a sweep, hundreds of
sweeps at small blur; the cyclic Chebyshev factors (Golub and Varga, 1961, section 4) make it
:math:`1 - O(\text{blur} / L)`. Over-relaxed iterates carry noise of short wave length that makes
them look far worse than they are, and one plain pair of updates removes it: so convergence is tested
by a *trial pair*, and the over-relaxed state is restored where the trial fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..softmins import HalfStep, Number, Outcome, Softmins
from .leaps import Stall, leap
from .progress import Stopped

__all__ = ["alternate", "close", "guessed_rate", "relaxed_sweeps", "self_fixed_point"]

Watch = Callable[[float], None]
Keep = Callable[[Tensor, Tensor], None]
Sweeps = Callable[[Softmins, list[Tensor], float, float, float, Watch], Outcome]

PLAIN = 3  # sweeps before the relaxation sets in: they find the supports
TRIAL = 6.0  # tolerances that the error must come near to for a first trial
FALL = 0.01  # of the dual value, in tolerances times the temperature, that is not yet a setback
APART = 3.0  # sweeps between two trials, at least
PACE = 4  # sweeps over which the pace of convergence is taken
RIPE = 0.5  # of 1 / sqrt(1 - rho2) sweeps, before which it tells little: the factors still grow
SLOWEST = 0.99  # pace that is believed
BELIEVED = 0.3  # share of the gap 1 - rho2 below which a measured gap replaces it
STEPS = 10  # and share of it, inverted, that it may fall to at once
STEP = 2 / 3  # of the self problem
CONSTANT = 3.0  # c of a bold rate 1 - (pi c)^2 eps / L^p, to be corrected by what is seen
GAP = 0.15  # between the rate and 1, at most


def guessed_rate(eps: float, cost: float, damping: float) -> float:
    """The factor of the slowest error under a plain sweep, at a guess.

    ``cost`` is ``L^p`` for the longest side L of the box around both clouds, ``damping`` the product
    of both factors of the marginals.
    """
    gap = (math.pi * CONSTANT) ** 2 * eps / max(cost, eps)
    return damping * (1 - min(gap, GAP))


class _Momentum:
    """The factors of the cyclic Chebyshev scheme for the squared rate ``rho2``, one a half-step.

    The scheme serves errors that a plain sweep multiplies by at most ``rho2``; a slower one shows
    itself by the pace of the whole, which tells its rate (Young, 1954): then ``rho2`` rises to it.
    """

    def __init__(self, rho2: float) -> None:
        self.rho2, self.omega, self.wait = rho2, 1.0, 2 * PLAIN
        self.errors: list[float] = []

    @property
    def plain(self) -> bool:
        """Whether the next two half-steps are exact updates."""
        return self.rho2 <= 0 or self.wait > 1

    def next(self) -> float:
        """The factor of the next half-step."""
        if self.rho2 <= 0 or self.wait > 0:
            self.wait -= 1
            return 1.0
        first = self.omega == 1.0
        self.omega = 1 / (1 - (self.rho2 / 2 if first else self.rho2 * self.omega / 4))
        return self.omega

    def observe(self, error: float) -> None:
        """The error after a relaxed sweep; where errors fall too slowly, ``rho2`` rises."""
        self.errors.append(error)
        if len(self.errors) <= max(PACE, RIPE / math.sqrt(1 - self.rho2)):
            return
        before = max(self.errors[-1 - PACE], 1e-300)
        pace = min((error / before) ** (1 / PACE), SLOWEST)
        excess = self.omega - 1
        if pace > excess:
            slowest = (pace + excess) ** 2 / (pace * self.omega**2)
            if 1 - slowest < BELIEVED * (1 - self.rho2):
                self.rho2, self.errors = min(slowest, 1 - (1 - self.rho2) / STEPS), []

    def sweeps(self, factor: float) -> float:
        """The number of sweeps that multiply smooth errors by this factor, once at full pace."""
        gap = math.sqrt(1 - self.rho2)
        return math.log(factor) / math.log(max((1 - gap) / (1 + gap), 0.01))

    def restart(self) -> None:
        """After a setback: plain sweeps, then a shorter memory."""
        self.rho2 = 1 - min(1.0, 2 * (1 - self.rho2))
        self.rest()

    def rest(self) -> None:
        """Plain sweeps, before the factors grow anew."""
        self.omega, self.wait, self.errors = 1.0, 2 * PLAIN, []


def alternate(
    softmins: Softmins,
    f: Tensor,
    g: Tensor,
    *,
    tol: float,
    budget: float,
    rho2: float = 0.0,
    watch: Watch = lambda error: None,
    keep: Keep | None = None,
    sweeps: Sweeps | None = None,
) -> Outcome:
    """Sweeps until the L1 error of the marginals is at most ``tol`` times the mass.

    Args:
        softmins: the problem.
        f: ``(N,)``, where to start.
        g: ``(M,)``, where to start.
        tol: relative L1 error of the marginals.
        budget: largest number of sweeps (two half-steps each).
        rho2: an estimate of the factor by which a plain sweep multiplies the slowest error; 0
            for plain sweeps throughout. Where the dual value falls, the estimate was too bold: it
            is lowered and the sweeps start anew.
        watch: called with the error after each sweep; where it raises Stopped, the sweeps end
            with the potentials as they are.
        keep: called with the potentials from which each sweep began.
        sweeps: another way than :func:`relaxed_sweeps` to the same end.
    """
    state, sweeps = [f, g], sweeps or relaxed_sweeps

    def watched(error: float) -> None:
        if keep is not None:
            keep(state[0], state[1])
        watch(error)

    try:
        return sweeps(softmins, state, tol, budget, rho2, watched)
    except Stopped:
        found = close(softmins, state[0], state[1], 0.0, pair=True)
        return replace(found, interrupted=True)


def relaxed_sweeps(
    softmins: Softmins,
    state: list[Tensor],
    tol: float,
    budget: float,
    rho2: float,
    watch: Watch,
) -> Outcome:
    """The sweeps of :func:`alternate`; ``state`` holds the last potentials at any moment."""
    f, g = state
    momentum, spent, best = _Momentum(rho2), 0.0, -math.inf
    threshold, due, stall = TRIAL * tol, math.inf, Stall()
    while True:
        state[:] = f, g
        plain = momentum.plain
        (g, f_new), (error, dual) = _sweep(softmins, f, g, momentum.next())
        spent += 1
        watch(error)
        if plain and (error <= tol or spent >= budget):
            return close(softmins, f_new, g, spent)
        if not plain and dual < best - FALL * tol * softmins.eps * softmins.masses[0]:
            momentum.restart()
        best = max(best, dual)
        if not plain:
            momentum.observe(error)
        if stall.observe(error):
            (f, g), length, half_steps = _leap(softmins, f_new, g)
            spent += PLAIN + 1 + half_steps / 2
            stall.tried(length > 0)
            momentum.rest()
            continue
        f = torch.lerp(f, f_new, momentum.next())
        if not plain and (error <= threshold or spent >= due or spent >= budget):
            found, spent = close(softmins, f, g, spent, pair=True), spent + 1.5
            if found.error <= tol or spent >= budget:
                return found
            threshold = error * min(max(1.2 * tol / found.error, 0.2), 0.8)
            due = spent + max(momentum.sweeps(tol / found.error), APART)
        if (move := softmins.shift(f, g)) is not None:
            f, g = f + move, g - move


def _leap(softmins: Softmins, f: Tensor, g: Tensor) -> tuple[tuple[Tensor, Tensor], float, int]:
    """Where a leap from these potentials ends: along a plain sweep, after some that remove noise."""
    old = f, g
    for _ in range(PLAIN + 1):
        old = f, g
        (g, f), _ = _sweep(softmins, f, g, 1.0)
    return leap(softmins, old, (f, g))


def _sweep(
    softmins: Softmins, f: Tensor, g: Tensor, omega: float
) -> tuple[tuple[Tensor, Tensor], list[float]]:
    """g, relaxed, and the update of f; the error of its marginal, and the dual value of (f, g)."""

    def run(step: HalfStep) -> tuple[tuple[Tensor, Tensor], list[Number]]:
        there = torch.lerp(g, step(1, g, f).value, omega)
        new = step(0, f, there)
        return (there, new.value), [new.error, softmins.dual(f, there, new.mass)]

    return softmins.told(run)


def close(
    softmins: Softmins, f: Tensor, g: Tensor, sweeps: float, *, pair: bool = False
) -> Outcome:
    """One more half-step from f, the exact update of g: it tells the error that is left.

    As a trial ``pair``, both are brought up to date before it.
    """

    def run(step: HalfStep) -> tuple[tuple[Tensor, Tensor, Tensor], list[Number]]:
        there = step(1, g, f).value if pair else g
        here = step(0, f, there).value if pair else f
        last = step(1, there, here)
        dual = softmins.dual(here, last.value, softmins.kept(1, last.value))
        return (here, there, last.value), [last.error, dual]

    (here, there, last), (error, value) = softmins.told(run)
    return Outcome(here, last, here, there, error, sweeps + pair + 0.5, value)


def self_fixed_point(
    softmins: Softmins,
    h: Tensor,
    *,
    tol: float,
    budget: float,
    watch: Watch = lambda error: None,
    keep: Keep | None = None,
) -> Outcome:
    """The potential of a cloud with itself, by Chebyshev steps that divide its error by six.

    The errors of ``h - softmin(h)`` are those of h times numbers between 1 and 2, whatever the
    temperature (Golub and Varga, 1961, for that interval). ``watch`` is called with the error after
    each step, and ``keep`` with the potential before it; where watch raises Stopped, that step is the last.
    """
    sweeps, omega, before, stopped = 0.0, 1.0, h, False
    while True:
        new, (error,) = _self_step(softmins, h)
        sweeps += 0.5
        if keep is not None:
            keep(h, h)
        try:
            watch(error)
        except Stopped:
            stopped = True
        if error <= tol or sweeps >= budget or stopped:
            value = float(softmins.dual(new, h, softmins.kept(0, new)))
            return Outcome(new, new, h, h, error, sweeps, value, stopped)
        h, before = before + omega * (h - before + STEP * (new - h)), h
        omega = 1 / (1 - omega / 18 if omega == 1 else 1 - omega / 36)


def _self_step(softmins: Softmins, h: Tensor) -> tuple[Tensor, list[float]]:
    """The update of h, and the error of its marginal."""

    def run(step: HalfStep) -> tuple[Tensor, list[Number]]:
        found = step(0, h, h)
        return found.value, [found.error]

    return softmins.told(run)
