"""Sinkhorn's and Newton's methods on a cost matrix that is stored, for clouds of some hundred points.

Such problems are all overhead where each sweep is called from Python, so the whole descent is
compiled: sweeps, and steps of Newton's method where sweeps would take longer. All loops run on one
thread, walk over contiguous rows, and are typed for float64 only. A matrix that is too large for them
is summed row by row, in any precision (``logsumexp``). As in :mod:`.pairs`, no infinity and no NaN may enter.
"""

from __future__ import annotations

import math

import numpy as np
from numba import uint64

from .algebra import RIDGE, less_gram, solve
from .compiled import njit
from .exponentials import exp2
from .pairs import BLOCK, HIGHEST, LOWEST, OPTIONS

__all__ = ["cool", "descend", "fixed_point", "half_step", "logsumexp", "prepare"]

LOG2E = math.log2(math.e)
FIRST = 3  # sweeps before Newton's method: they find the supports
REACH = 3.0  # temperatures by which a step may move a potential
STEP = 2 / 3  # of the self problem: divides its error by three
EMPTY = 1e-200  # sums of points that no mass reaches yet: their steps would be beyond all numbers
# an exponent: products of such entries would be subnormal, which are twenty times as slow
NOTHING = -400.0
FARTHEST = 1e250  # a step that is no number, or nearly none
FLOPS = 0.07  # of the time of an exponential, that a multiplication takes


@njit(**OPTIONS)
def prepare(x, y, a, b, factor, power, closed, cost, back, logs_a, logs_b):
    """``factor |x - y|^power``, power 1 or 2, into ``back``, and its transpose into the rows of ``cost``.

    And the logarithms of both weights, in base 2: ``closed`` for that of zero. Points are
    coordinate-major.
    """
    for weights, logs in ((a, logs_a), (b, logs_b)):
        for i in range(len(weights)):
            logs[i] = np.log2(weights[i]) if weights[i] > 0 else closed
    for j in range(len(b)):
        for i in range(len(a)):
            back[j, i] = 0.0
        for d in range(len(x)):
            for i in range(len(a)):
                t = x[d, i] - y[d, j]
                back[j, i] += t * t
        for i in range(len(a)):
            back[j, i] = factor * (back[j, i] if power == 2 else np.sqrt(back[j, i]))
    for i in range(len(cost)):
        for j in range(len(b)):
            cost[i, j] = back[j, i]


@njit(**OPTIONS)
def half_step(cost, weights, logs, here, there, eps, rate, out):
    """The damped softmin of ``there`` into ``out``; error and mass of the marginal before it.

    ``cost`` is ``(here, there)``; ``logs`` are logarithms, in base 2, of the weights of ``there``;
    ``rate`` is 1 / rho.
    """
    scale, error, mass, whole = LOG2E / eps, 0.0, 0.0, 0.0
    col = np.empty(len(there))
    for j in range(len(there)):
        col[j] = logs[j] + there[j] * scale
    for i in range(len(here)):
        shift, total = here[i] * scale, 0.0
        for attempt in range(2):
            total = 0.0
            for j in range(len(there)):
                total += exp2(shift + col[j] - scale * cost[i, j])
            if attempt == 1 or (total > LOWEST and total < HIGHEST):
                break
            shift = -1e300
            for j in range(len(there)):
                shift = max(shift, col[j] - scale * cost[i, j])
            shift = -shift
        softmin = (shift - np.log2(total)) / scale
        ratio = np.exp(min((here[i] - softmin) / eps, 600.0))
        wanted = np.exp(min(-here[i] * rate, 600.0))
        error += weights[i] * abs(ratio - wanted)
        mass += weights[i] * ratio
        whole += weights[i]
        out[i] = softmin / (1 + eps * rate)
    return error / whole, mass


@njit(**OPTIONS)
def fixed_point(cost, a, logs, eps, rate, h, new, tol, budget):
    """The potential of a cloud with itself, in place, and its update; the error, and the passes."""
    passes = 0
    while True:
        error, _ = half_step(cost, a, logs, h, h, eps, rate, new)
        passes += 1
        if error <= tol or passes >= budget:
            return error, passes
        for i in range(len(h)):
            h[i] += STEP * (new[i] - h[i])


@njit(**OPTIONS)
def _log_mass(weights, h, rate):
    """``log sum_i weights_i exp(-rate h_i)``."""
    top, total = -1e300, 0.0
    for i in range(len(h)):
        if weights[i] > 0:
            top = max(top, -rate * h[i])
    for i in range(len(h)):
        total += weights[i] * np.exp(min(-rate * h[i] - top, 0.0))
    return top + np.log(total)


@njit(**OPTIONS)
def _lack(weights, h, eps, rate, sums, lack):
    """What a marginal lacks, and the diagonal of the system to the power -1/2, into ``sums``."""
    for i in range(len(h)):
        wanted = weights[i] * np.exp(min(-h[i] * rate, 600.0))
        lack[i] = eps * (wanted - sums[i])
        diagonal = sums[i] + eps * rate * wanted
        sums[i] = 1 / np.sqrt(diagonal) if diagonal > EMPTY else 0.0
        lack[i] *= sums[i]


@njit(**OPTIONS)
def _newton(cost, a, b, f, g, eps, rate_a, rate_b):
    """A step of Newton's method for both marginals, in place; the share of it that was taken.

    With P the plan, r and c its row and column sums, ``[[d1, P], [P', d2]] dz = eps (wanted -
    marginals)`` with d1 = r + eps / rho times what is wanted; f is eliminated. Where both marginals
    are imposed constants are a null space, which ``c c'`` takes out.
    """
    (n, m), scale = cost.shape, LOG2E / eps
    H, d1, d2, q1, q2 = np.empty((n, m)), np.zeros(n), np.zeros(m), np.empty(n), np.empty(m)
    for i in range(n):
        for j in range(m):
            t = scale * (f[i] + g[j] - cost[i, j])
            entry = a[i] * b[j] * exp2(t) if t > NOTHING else 0.0
            H[i, j] = entry
            d1[i] += entry
            d2[j] += entry
    mass = d2.sum() if rate_a + rate_b == 0 else 0.0
    _lack(a, f, eps, rate_a, d1, q1)
    _lack(b, g, eps, rate_b, d2, q2)
    for i in range(n):
        for j in range(m):
            H[i, j] *= d1[i] * d2[j]
            q2[j] -= H[i, j] * q1[i]
    S = np.empty((m, m))
    less_gram(H, S)
    for j in range(m):  # parts that nearly depend on each other would leave pivots of rounding
        S[j, j] += RIDGE
    if mass > 0:
        for j in range(m):
            for k in range(j + 1):
                both = d2[j] * d2[k]
                S[j, k] += 1 / (both * mass) if both > 0 else 0.0
    solve(S, q2)
    largest = 1e-300
    for i in range(n):
        for j in range(m):
            q1[i] -= H[i, j] * q2[j]
        q1[i] *= d1[i]
        largest = max(largest, abs(q1[i]))
    for j in range(m):
        q2[j] *= d2[j]
        largest = max(largest, abs(q2[j]))
    if largest > FARTHEST:
        return 0.0
    length = min(1.0, REACH * eps / largest)
    for i in range(n):
        f[i] += length * q1[i]
    for j in range(m):
        g[j] += length * q2[j]
    return length


@njit(**OPTIONS)
def _copy(source, target):
    for i in range(len(source)):
        target[i] = source[i]


@njit(**OPTIONS)
def descend(cost, back, a, b, logs_a, logs_b, eps, rate_a, rate_b, f, g, tol, budget, newton):
    """Sweeps, and Newton's steps where these are faster, until f, g have the error ``tol``.

    In place: g is the exact update of the f before, f that of g. ``back`` is the transpose of
    ``cost``. Returns the error before the last half-step, and the sweeps; a step counts as one.
    """
    n, m = cost.shape
    few, many = min(n, m), max(n, m)
    dear = 2 + FLOPS * few * (many / 2 + few / 6) / many  # sweeps that a step of Newton's takes
    new_f, new_g, old_f, old_g = np.empty(n), np.empty(m), np.empty(n), np.empty(m)
    error, before, sweeps, wait, pause, length = 0.0, 1e300, 0, FIRST, FIRST, 0.0
    while True:
        for side in range(2):
            if side == 0:
                of, weights, logs, here, there, rate, new = back, b, logs_a, g, f, rate_b, new_g
            else:
                of, weights, logs, here, there, rate, new = cost, a, logs_b, f, g, rate_a, new_f
            error, _ = half_step(of, weights, logs, here, there, eps, rate, new)
            if side == 0:
                _copy(new_g, g)
        sweeps += 1
        if length > 0 and not error < (1 - length / 2) * before:  # a step that went astray
            _copy(old_f, new_f)
            _copy(old_g, g)
            pause *= 2
            wait, error = pause, before
        fall = error / before if length == 0 else 1.0
        before, length, wait = error, 0.0, wait - 1
        if error <= tol or sweeps >= budget:
            _copy(new_f, f)
            return error, sweeps
        left = np.log(tol / error) / np.log(fall) if fall > 0 and fall < 1 else 1e30
        if newton and wait <= 0 and left > 2 * dear:
            _copy(new_f, old_f)
            _copy(g, old_g)
            if m <= n:
                of, weights, other, here, there, first, second = cost, a, b, f, g, rate_a, rate_b
            else:
                of, weights, other, here, there, first, second = back, b, a, g, f, rate_b, rate_a
            length = _newton(of, weights, other, here, there, eps, first, second)
            sweeps += 1
        else:
            _copy(new_f, f)
            if rate_a + rate_b > 0:  # the constant that is best moved from g to f
                move = _log_mass(a, f, rate_a) - _log_mass(b, g, rate_b)
                move /= rate_a + rate_b
                for i in range(n):
                    f[i] += move
                for j in range(m):
                    g[j] -= move


@njit(**OPTIONS)
def cool(cost, back, a, b, logs_a, logs_b, schedule, rate_a, rate_b, f, g, last, newton, told):
    """Descents at falling temperatures, each until the marginals of both sides have its tolerance.

    A row of ``schedule`` has a temperature, its tolerance, the sweeps that it may take, and those within
    which Newton's method finds a way, or ends; a row of ``told`` gets error and sweeps. In place, with the
    exact update of the last g into ``last``. Returns whether the last temperature is at its end.
    """
    end = True
    for k in range(len(schedule)):
        eps, tol = schedule[k, 0], schedule[k, 1]
        budget, patience = int(schedule[k, 2]), int(schedule[k, 3])
        aim, sweeps, end = tol, 0, False
        while not end:
            most = min(budget - sweeps, patience)
            error, count = descend(
                cost, back, a, b, logs_a, logs_b, eps, rate_a, rate_b, f, g, aim, most, newton
            )
            left, _ = half_step(back, b, logs_a, g, f, eps, rate_b, last)
            sweeps += count
            told[k, 0], told[k, 1] = left, sweeps + 0.5
            end = left <= tol or sweeps >= budget
            if error <= aim:  # of one marginal, where the error of the other is larger
                aim *= 0.8 * tol / left
            elif newton:
                break
    return end


@njit(**OPTIONS)
def _total(costs, col, scale, shift, i):
    """``sum_j 2^(shift + col[j] - scale costs[i, j])``, added in double precision block by block."""
    m, total = uint64(costs.shape[1]), 0.0
    for start in range(uint64(0), m, uint64(BLOCK)):
        part = costs.dtype.type(0)
        for j in range(start, min(start + uint64(BLOCK), m)):
            part += exp2(shift + col[j] - scale * costs[i, j])
        total += part
    return total


@njit(**OPTIONS)
def logsumexp(costs, col, guess, scale, out, lo, hi):
    """``out[i] = log2 sum_j 2^(col[j] - scale costs[i, j])``, rows lo to hi, all in the precision of the costs.

    A guess of the result shifts the exponents; where it was too far off, the row is summed again from its maximum.
    """
    for i in range(uint64(lo), uint64(hi)):
        shift = -guess[i]
        total = _total(costs, col, scale, shift, i)
        if not (total > LOWEST and total < HIGHEST):
            top = costs.dtype.type(-1e38)
            for j in range(uint64(costs.shape[1])):
                top = max(top, col[j] - scale * costs[i, j])
            shift = -top
            total = _total(costs, col, scale, shift, i)
        out[i] = np.log2(total) - shift
