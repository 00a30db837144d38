r"""Steps of Newton's method over kept pairs, for what sweeps are slow at.

Groups of points with few points between them exchange mass slowly: of a group that holds too much, each sweep moves all
potentials by the same small number, thousands of times. The semi-dual :math:`g \mapsto \langle a, f(g) \rangle + \langle b, g \rangle`,
with f the softmin of g, has the Hessian :math:`-(\mathrm{diag}(c) - P^\top \mathrm{diag}(1 / a) P) / \varepsilon`, where c is the
column marginal of the plan P. Its system is solved by conjugate gradients, to which such groups are a few
isolated eigenvalues; each product is two passes over the kept pairs, as a sweep is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ..softmins import HalfStep, Number, Outcome, Softmins
from .softmins import PrunedSoftmins

__all__ = ["newton_after"]

Watch = Callable[[float], None]
Sweeps = Callable[[Softmins, list[Tensor], float, float, float, Watch], Outcome]

SWEEPS, AGAIN = 30.0, 8.0  # before the first step, and between two
PRODUCTS = 30  # of a step, at most
SHARE = 0.2  # of the right-hand side, that is left of it
FAR = 2.0  # temperatures, that a step moves a potential at first; for longer ones its model is no good guide
TRIES = 20  # lengths of a step, at most
ENOUGH = 1e-4  # of the rise that the slope promises
ROUNDING = 1e-2  # of the dual value, in tolerances times the temperature


def newton_after(relaxed: Sweeps) -> Sweeps:
    """Sweeps of that kind, in turn with steps of Newton's method."""
    return partial(_newton_sweeps, relaxed=relaxed)


def _newton_sweeps(
    softmins: Softmins,
    state: list[Tensor],
    tol: float,
    budget: float,
    rho2: float,
    watch: Watch,
    *,
    relaxed: Sweeps,
) -> Outcome:
    """Sweeps, and steps of Newton's method in turn with them, until the tolerance is met or the budget spent."""
    assert isinstance(softmins, PrunedSoftmins)
    spent, most = 0.0, SWEEPS
    if rho2 <= 0 or not softmins.penalty.imposed:
        most = math.inf
    while True:
        found = relaxed(softmins, state, tol, min(most, budget - spent), rho2, watch)
        spent += found.sweeps
        if found.error <= tol or spent >= budget:
            return replace(found, sweeps=spent)
        state[:], taken = _step(softmins, found, tol)
        spent += taken
        most = AGAIN if state[1] is not found.g_prev else 2 * max(most, SWEEPS)


def _step(
    softmins: PrunedSoftmins, found: Outcome, tol: float
) -> tuple[tuple[Tensor, Tensor], float]:
    """Potentials after a step from those that sweeps found, or these; and what it took, in sweeps."""
    f, g, b, eps = found.f_prev, found.g_prev, softmins.b, softmins.eps
    ratio = softmins.ratio(g, found.g)  # of the columns; those of rows are right
    direction, products = _solved(softmins, f, g, b * ratio, eps * b * (1 - ratio))
    slope = _dot(softmins, b * (1 - ratio), direction)
    best, here, spent = 0.0, (f, g), float(products)
    start = _dot(softmins, softmins.a, f) + _dot(softmins, b, g)
    length = min(1.0, FAR * eps / max(softmins.clouds[1].highest(direction.abs()), 1e-300))
    slack = ROUNDING * tol * eps * softmins.masses[0]
    for _ in range(TRIES):
        there = g + length * direction

        def run(step: HalfStep, there: Tensor = there) -> tuple[Tensor, list[Number]]:
            softmin = step(0, f, there).value
            value = torch.dot(softmins.a, softmin) + torch.dot(b, there)
            return softmin, [*softmins.total(value)]

        softmin, (value,) = softmins.told(run)
        spent += 0.5
        rise = value - start
        if rise > best and rise >= ENOUGH * length * slope - slack:
            best, here = rise, (softmin, there)
            if length == 1.0:
                break
            length = min(1.0, 2 * length)
        elif best > 0:
            break
        else:
            length /= 4
    return here, spent


def _solved(
    softmins: PrunedSoftmins, f: Tensor, g: Tensor, c: Tensor, right: Tensor
) -> tuple[Tensor, int]:
    """The direction of Newton's method, and how many products it took."""
    a, b = softmins.a, softmins.b
    scale, ones = torch.where(c > 0, c, 1.0).reciprocal(), torch.ones_like(c)
    shares = c / _dot(softmins, c, ones)

    def scaled(r: Tensor) -> Tensor:
        """Without the constant, which changes no plan, and which rounding would bring in."""
        z = scale * r
        return z - _dot(softmins, shares, z)

    def product(v: Tensor) -> Tensor:
        means = softmins.products(0, f, g, (b * v)[:, None])[:, 0].double()
        return c * v - b * softmins.products(1, g, f, (a * means)[:, None])[:, 0].double()

    x, r = torch.zeros_like(right), right.clone()
    z = scaled(r)
    p, rz = z, _dot(softmins, r, z)
    aim, taken = SHARE**2 * rz, 0
    while rz > aim and taken < PRODUCTS:
        q = product(p)
        taken += 1
        curved = _dot(softmins, p, q)
        if not curved > 0:  # rounding
            break
        x, r = x + rz / curved * p, r - rz / curved * q
        z, last = scaled(r), rz
        rz = _dot(softmins, r, z)
        p = z + rz / last * p
    return x, taken


def _dot(softmins: PrunedSoftmins, u: Tensor, v: Tensor) -> float:
    """The scalar product of vectors over the points of all ranks."""
    return float(softmins.total(torch.dot(u, v))[0])
