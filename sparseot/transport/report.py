"""What a solve to a tolerance tells: one temperature, one problem, a batch, and while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .annealing import Potentials
from .sparse import SparseSoftmins

__all__ = ["Bar", "Level", "Report", "Solution"]


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
class Solution(Potentials):
    """Potentials at the tolerance, with one report for each item of the batch.

    ``checks`` hold the kept pairs, if only those were visited.
    """

    reports: list[Report] = field(default_factory=list)
    checks: list[SparseSoftmins] = field(default_factory=list)


class Bar:
    """A progress bar, made at the first sweep; silent unless it was asked for.

    A function is called in its place after each sweep, with the blur, the error and ``tol``.
    """

    def __init__(self, shown: bool | Callable[[float, float, float], None]) -> None:
        self.shown = shown
        self.bar: Any = None

    def update(self, blur: float, error: float, tol: float) -> None:
        """One more sweep."""
        if callable(self.shown):
            self.shown(blur, error, tol)
            return
        if not self.shown:
            return
        if self.bar is None:
            from tqdm.auto import tqdm  # here, for a light import of the library

            self.bar = tqdm(unit=" sweeps")
        self.bar.set_description(f"blur {blur:.3g}, error {error:.1e} (tol {tol:g})")
        self.bar.update()

    def close(self) -> None:
        """Leaves the last line where it is."""
        if self.bar is not None:
            self.bar.close()
