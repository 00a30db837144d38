r"""Multilevel Sinkhorn: coarse clouds at high temperatures, kept pairs only, and a last check.

At a temperature :math:`\text{blur}_k^2` points that share a cell of side 1.4 blurs look alike, so
their centroid stands for them; only the last temperatures see all points. A solution is lifted to
the next clouds by its gradient, :math:`\nabla f(x) = x - T(x)`. At the end the kept pairs are
chosen from scratch and both marginals are summed in double precision, to which a bound on what the
other pairs may hold is added (after Schmitzer, 2019, and Feydy, 2020, section 3.3).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from .annealing import temperatures
from .cells import Cells, Lifted
from .marginals import Marginals
from .relaxation import Array, Outcome, alternate, self_fixed_point
from .sparse import SparseSoftmins

__all__ = ["Multilevel", "Step"]

RATIO = 2.5  # of successive temperatures
CELL = 1.4  # side of a cell, in blurs
WIDEST = 0.1  # and in sides of the box around both clouds, at most
COARSE = 0.005  # tolerance at all temperatures but the last
SWEEPS = 300  # there, at most; tens where no mass must cross a gap of hundreds of blurs
SINGLE = 1e-4  # tolerance below which the loops run in double precision
SLACK = 0.8  # share of the tolerance to sweep for, so that the last check finds it met


@dataclass(frozen=True)
class Step:
    """One temperature: the pairs that it visited, and what came of them."""

    eps: float
    points: tuple[int, int]
    sweeps: float
    error: float
    kept: float
    seconds: float


class Multilevel:
    """Solves one problem; the pairs of the last check stay, for plans and derivatives.

    Args:
        clouds: points ``(N, D)`` and weights ``(N,)`` of the source, and of the target; the same
            object twice for a cloud and itself.
        penalty: how marginals are held.
        eps: the last temperature.
        tol: relative L1 error of the marginals.
        budget: largest number of sweeps at the last temperature.
        rate: the factor of the slowest error under a plain sweep, as a function of eps.
        watch: called as ``watch(eps, error)`` after each sweep.
        engine: "numba" or "tiles".
        cut: clouds in blocks, by the addresses of points and weights, that problems share.
        memory: bytes that points and kept tiles may take.
    """

    def __init__(
        self,
        clouds: tuple[tuple[Array, Array], tuple[Array, Array]],
        penalty: Marginals,
        eps: float,
        *,
        tol: float,
        budget: float,
        rate: Callable[[float], float],
        watch: Callable[[float, float], None] = lambda eps, error: None,
        cut: dict[tuple[int, int], Cells] | None = None,
        engine: str = "numba",
        memory: float | None = None,
    ) -> None:
        self.engine, self.softmins = engine, partial(SparseSoftmins, engine=engine, memory=memory)
        self.clouds, self.penalty, self.eps = clouds, penalty, eps
        self.tol, self.budget, self.rate, self.watch = tol, budget, rate, watch
        self.steps: list[Step] = []
        self.dtype = np.float32 if tol >= SINGLE else np.float64
        self.cut = {} if cut is None else cut
        self.cells: list[tuple[float, Cells] | None] = [None, None]  # of the last width
        self.interrupted = False

    def solve(self, start: tuple[Array, Array] | None = None) -> Outcome:
        """The potentials in the order of the points, and the error over all pairs."""
        if self.clouds[0] is self.clouds[1]:
            found = self._solve_self(start)
        else:
            found = self._solve_pair(start)
        blocks = [cells.blocks for cells in self.last]
        f, g, f_prev, g_prev = (
            t[block.inverse]
            for t, block in zip(
                (found.f, found.g, found.f_prev, found.g_prev), (*blocks, *blocks), strict=True
            )
        )
        return Outcome(f, g, f_prev, g_prev, found.error, found.sweeps, found.value)

    # --- two clouds ---

    def _solve_pair(self, start: tuple[Array, Array] | None) -> Outcome:
        whole = self._whole(0), self._whole(1)
        both = np.concatenate([cloud[0] for cloud in self.clouds])
        sides = both.max(0) - both.min(0)
        first = max(float((sides**2).sum()), self.eps)
        now = None if start is None else Lifted(whole, start, None)
        schedule = temperatures(first, self.eps, RATIO) if start is None else [self.eps]
        for eps in schedule:
            cells = whole
            if eps > self.eps:
                side = min(CELL * math.sqrt(eps), WIDEST * float(sides.max()))
                cells = self._cells(0, side), self._cells(1, side)
            if now is None:
                f, g = (np.zeros(len(c.points)) for c in cells)
            else:
                f, g = (now.at(k, c) for k, c in enumerate(cells))
            if eps == self.eps:
                return self._last(cells, f, g)
            now = self._coarse(cells, f, g, eps)
        raise AssertionError("the schedule ends at the last temperature")

    def _coarse(self, cells: tuple[Cells, Cells], f: Array, g: Array, eps: float) -> Lifted:
        """One temperature before the last, with the gradients of its potentials."""
        began = time.perf_counter()
        X, Y = (c.blocks for c in cells)
        softmins = self.softmins(X, Y, self.penalty, eps, COARSE, np.float32)
        found = alternate(
            softmins,
            f[X.order],
            g[Y.order],
            tol=max(COARSE, self.tol),
            budget=1 if self.interrupted else min(SWEEPS, self.budget),
            rho2=self.rate(eps),
            watch=lambda f, g, error: self.watch(eps, error),
        )
        self.interrupted |= found.interrupted
        f_s, g_s = found.f, found.g_prev
        slopes = []
        for side, (here, there) in enumerate(((f_s, g_s), (g_s, f_s))):
            cloud, other = softmins.clouds[side], softmins.clouds[1 - side]
            damping = 1 / (1 + eps / self.penalty.rhos[side])
            logs = other.log_weights.reshape(-1)[: other.n] * (eps * math.log(2))
            ones, centre = np.ones((other.n, 1)), other.points.mean(0)
            columns = np.hstack((ones, other.points - centre))
            sums = softmins.products(side, here, there + logs, columns)
            mean = centre + sums[:, 1:] / np.maximum(sums[:, :1], 1e-30)
            slopes.append((damping * (cloud.points - mean))[cloud.inverse])
        self._note(softmins, found, began)
        values = f_s[X.inverse], g_s[Y.inverse]
        return Lifted(cells, values, (slopes[0], slopes[1]))

    def _last(self, cells: tuple[Cells, Cells], f: Array, g: Array) -> Outcome:
        began = time.perf_counter()
        self.last = cells
        X, Y = (c.blocks for c in cells)
        softmins = self.softmins(X, Y, self.penalty, self.eps, self.tol, self.dtype)
        f_s, g_s = f[X.order], g[Y.order]
        wanted, sweeps = SLACK * self.tol, 0.0
        while True:
            found = alternate(
                softmins,
                f_s,
                g_s,
                tol=wanted,
                budget=1 if self.interrupted else self.budget - sweeps,
                rho2=self.rate(self.eps),
                watch=lambda f, g, error: self.watch(self.eps, error),
            )
            sweeps += found.sweeps
            checked = self._check(softmins, found, sweeps)
            self.interrupted |= found.interrupted
            wanted /= 2
            done = self.interrupted or sweeps >= self.budget or wanted < self.tol / 20
            if checked.error <= self.tol or done:
                self._note(softmins, checked, began)
                return checked
            f_s, g_s = checked.f, checked.g

    def _check(self, softmins: SparseSoftmins, found: Outcome, sweeps: float) -> Outcome:
        """Both marginals over tiles chosen from scratch, in double precision, with a bound."""
        exact = self.softmins(*softmins.clouds, self.penalty, self.eps, self.tol, np.float64)
        f, g = found.f, found.g
        exact.build(f, g, 0.0)
        new, _, _ = exact.step(1, g, f)
        rise = float((new - g).max()) / self.eps
        f_new, error, _ = exact.step(0, f, new)
        masses = softmins.clouds[0].masses
        self.omitted = float(masses @ exact.tiles.omitted) * math.exp(min(max(rise, 0.0), 700.0))
        self.exact = exact
        error += self.omitted / float(exact.a.sum())
        value = exact.dual(f_new, new, exact.kept(0, f_new))
        return Outcome(f_new, new, f, new, error, sweeps + 1, value)

    # --- a cloud and itself ---

    def _solve_self(self, start: tuple[Array, Array] | None) -> Outcome:
        began = time.perf_counter()
        cells = self._whole(0)
        self.last = cells, cells
        X = cells.blocks
        softmins = self.softmins(X, X, self.penalty, self.eps, self.tol, self.dtype)
        if start is None:
            zero = np.zeros(X.n)
            softmins.diagonal()
            h = softmins.step(0, zero, zero)[0] / 2
            softmins.built = None
        else:
            h = start[0][X.order]
        wanted, sweeps = SLACK * self.tol, 0.0
        while True:
            found = self_fixed_point(softmins, h, tol=wanted, budget=self.budget - sweeps)
            sweeps += found.sweeps
            checked = self._check_self(softmins, found.f_prev, sweeps)
            wanted /= 2
            if checked.error <= self.tol or sweeps >= self.budget or wanted < self.tol / 20:
                self._note(softmins, checked, began)
                return checked
            h = (found.f_prev + 2 * checked.f) / 3

    def _check_self(self, softmins: SparseSoftmins, h: Array, sweeps: float) -> Outcome:
        exact = self.softmins(*softmins.clouds, self.penalty, self.eps, self.tol, np.float64)
        exact.build(h, h, 0.0)
        new, error, _ = exact.step(0, h, h)
        self.omitted = float(softmins.clouds[0].masses @ exact.tiles.omitted)
        self.exact = exact
        error += self.omitted / float(exact.a.sum())
        value = exact.dual(new, h, exact.kept(0, new))
        return Outcome(new, new, h, h, error, sweeps + 0.5, value)

    # --- both ---

    def _whole(self, side: int) -> Cells:
        """The points of a cloud, in blocks that other problems may have cut already."""
        points, weights = self.clouds[side]
        key = points.ctypes.data, weights.ctypes.data
        return self.cut.setdefault(key, Cells(points, weights, 0.0))

    def _cells(self, side: int, width: float) -> Cells:
        """The cells of a cloud; the points themselves where these are few enough."""
        before = self.cells[side]
        if before is None or before[0] != width:
            found = Cells(*self.clouds[side], width)
            before = self.cells[side] = width, self._whole(side) if found.whole else found
        return before[1]

    def _note(self, softmins: SparseSoftmins, found: Outcome, began: float) -> None:
        sizes = softmins.clouds[0].n, softmins.clouds[1].n
        seconds = time.perf_counter() - began
        kept = softmins.kept_fraction
        self.steps.append(Step(softmins.eps, sizes, found.sweeps, found.error, kept, seconds))
