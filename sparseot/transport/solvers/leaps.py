r"""Leaps: many sweeps at once, where each does the same.

A point far from all others may have settled on more partners than its mass can serve. They have no
other, so that each sweep moves its potential, and theirs against it, by the same step of about a temperature,
until the next points come into reach: thousands of sweeps whose error does not fall. The dual value,
which is concave, rises along that step all the way; so the step is doubled as long as it rises.
"""

from __future__ import annotations

from torch import Tensor

from ..softmins import HalfStep, Number, Softmins

__all__ = ["Stall", "leap"]

FALL = 0.8  # of the lowest error so far: as long as errors do, nothing stalls
PATIENCE = 20  # sweeps without a fall, at first
MOVING = 0.1  # temperatures a sweep, from which on a potential is on its way
TRIALS = 60  # half-steps, at most; few leaps need half of them


class Stall:
    """Whether the errors of sweeps have stopped falling."""

    def __init__(self) -> None:
        self.lowest, self.since, self.patience = float("inf"), 0, PATIENCE

    def observe(self, error: float) -> bool:
        """The error after a sweep; where it stalls, a leap may help."""
        self.since += 1
        if error < FALL * self.lowest:
            self.lowest, self.since = error, 0
        return self.since >= self.patience

    def tried(self, moved: bool) -> None:
        """After a leap, from which errors start anew; one that went nowhere is not soon tried again."""
        self.patience = PATIENCE if moved else 2 * self.patience
        self.lowest, self.since = (float("inf") if moved else self.lowest), 0


def leap(
    softmins: Softmins, old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor]
) -> tuple[tuple[Tensor, Tensor], float, int]:
    """The potentials at the end of a leap along a sweep, from ``old`` to ``new``.

    Only potentials that are on their way move. Also its length, in sweeps like that one, and the number
    of half-steps that it took; both are zero where none is.
    """
    moves = [_on_its_way(n - o, softmins.eps) for o, n in zip(old, new, strict=True)]
    if not any(softmins.most(float(move.any())) for move in moves):
        return new, 0.0, 0

    def at(length: float) -> tuple[Tensor, Tensor]:
        f, g = (n + length * move for n, move in zip(new, moves, strict=True))
        return f, g

    length, step, growing, best, taken = 0.0, 1.0, True, _dual(softmins, *new), 1
    while step >= 1 and taken < TRIALS:
        taken += 1
        value = _dual(softmins, *at(length + step))
        if value > best:
            length, best = length + step, value
        else:
            growing = False
        step *= 2 if growing else 0.5
    return at(length), length, taken


def _on_its_way(move: Tensor, eps: float) -> Tensor:
    return move.where(move.abs() >= MOVING * eps, 0.0)


def _dual(softmins: Softmins, f: Tensor, g: Tensor) -> float:
    def run(step: HalfStep) -> tuple[None, list[Number]]:
        return None, [softmins.dual(f, g, step(0, f, g).mass)]

    _, (value,) = softmins.told(run)
    return value
