"""wasserstein_distance against POT's exact solvers: the relative width of an interval against seconds.

cd benchmarks && PYTHONPATH=. python transport/wasserstein.py [N ...] [p1] [plane] [peers] [wide]

Two clouds in the unit cube, one of them bent and pushed towards a corner. Each width that is asked for is a call of its
own, after a small one that compiles, so that seconds of one row are not those of another. ``peers`` adds POT's exact solvers, the dense one up to
10,000 points, as it stores the costs of all pairs, and the lazy one, up to LAZY, which does not; their distance is compared with the
interval. ``wide`` asks for 1 % only, ``p1`` for W_1 instead of W_2, and ``plane`` for
clouds of the unit square.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import ot
from helpers.timing import machine

import sparseot as so

WIDTHS = (0.1, 0.03, 0.01, 0.003)
DENSE, LAZY = 10_000, 10_000  # points, up to which POT's solvers are run
Cloud = np.ndarray


def clouds(n: int, dim: int) -> tuple[Cloud, Cloud]:
    """Points of the cube, or of the square, and others of it, bent and pushed."""
    random = np.random.default_rng(0)
    return random.random((n, dim)), 0.1 + 0.9 * random.random((n, dim)) ** 1.2


def timed(run: Callable[[], object]) -> tuple[str, object]:
    """Seconds, those of all cores together, and the result."""
    began, spent = time.perf_counter(), time.process_time()
    found = run()
    ends = time.perf_counter() - began, time.process_time() - spent
    return " | ".join(f"{seconds:.1f} s" for seconds in ends), found


def peers(x: Cloud, y: Cloud, p: int) -> list[tuple[str, str, float]]:
    """Names, seconds and distances of POT's exact solvers."""
    n, metric, rows = len(x), {1: "euclidean", 2: "sqeuclidean"}[p], []
    even = np.full(n, 1 / n)
    ways: dict[str, Callable[[], float]] = {}
    if n <= DENSE:
        ways["ot.emd2"] = lambda: ot.emd2(even, even, ot.dist(x, y, metric), numItermax=10**9)
    if n <= LAZY:
        options = {"metric": metric, "lazy": True, "max_iter": 10**9}
        ways["ot.solve_sample(lazy=True)"] = lambda: ot.solve_sample(x, y, **options).value
    for name, run in ways.items():
        seconds, value = timed(run)
        rows.append((name, seconds, float(value) ** (1 / p)))
    return rows


def table(n: int, dim: int, p: int, widths: tuple[float, ...], beside: bool) -> None:
    """Rows of one size."""
    x, y = clouds(n, dim)
    for rtol in widths:
        seconds, found = timed(lambda rtol=rtol: so.wasserstein_distance(x, y, p=p, rtol=rtol))
        width = (found.upper - found.lower) / found.upper
        ends = f"[{found.lower:.6f}, {found.upper:.6f}]"
        name = f"sparseot, rtol {rtol:g}"
        print(
            f"| {n:,} | W_{p} | {name} | {seconds} | {100 * width:.2g} % | {ends} | "
            f"{len(found.blurs)} |",
            flush=True,
        )
    for name, seconds, value in peers(x, y, p) if beside else []:
        inside = found.lower <= value * (1 + 1e-9) and value * (1 - 1e-9) <= found.upper
        state = "in the interval" if inside else "NOT IN THE INTERVAL"
        print(
            f"| {n:,} | W_{p} | {name} | {seconds} | exact | {value:.6f}, {state} | |", flush=True
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak of the process so far: {peak:,.0f} MB\n", flush=True)


def main(words: list[str]) -> None:
    """A table for each size."""
    p = 1 if "p1" in words else 2
    sizes = [int(word) for word in words if word.isdigit()] or [10_000, 100_000]
    dim = 2 if "plane" in words else 3
    small = clouds(3_000, dim)
    so.wasserstein_distance(*small, p=p, rtol=0.05, solver=so.Sinkhorn(multilevel=True))  # compiles
    print(f"\nIntervals for W_{p}, D = {dim} ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print("| points | | | seconds | of all cores | width | distance | solves |\n|" + " --- |" * 8)
    for n in sizes:
        table(n, dim, p, (0.01,) if "wide" in words else WIDTHS, "peers" in words)


if __name__ == "__main__":
    main(sys.argv[1:])
