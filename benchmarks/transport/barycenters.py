"""Averages of three clouds against POT's, at the objective that POT reaches.

cd benchmarks && PYTHONPATH=. python transport/barycenters.py [sinkhorn] [emd] [N ...]

``sinkhorn`` is ``ot.bregman.free_support_sinkhorn_barycenter``, of 30 steps at most (5 from 2,000 points on), against
``debias=False``: both minimise the mean entropic cost. ``emd`` is ``ot.lp.free_support_barycenter``, which minimises the mean of W_2^2 without entropy,
against the debiased average; there both are judged by exact costs. All start from the same points. POT stops by its own
rule; ours is stopped by the step whose objective is as low, told by its ``progress``. One call of each is counted,
after a small one that compiles.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import ot
from helpers.timing import machine

import sparseot as so

BLUR = {"sinkhorn": 0.1, "emd": 0.02}
TOL = {"sinkhorn": 1e-2, "emd": 0.1}  # no blur agrees with exact costs to more than that
Cloud = np.ndarray


def clouds(n: int) -> list[Cloud]:
    """A ring, three blobs and a square, of nearly as many points."""
    random = np.random.default_rng(0)
    angle = 2 * np.pi * random.random(n)
    ring = 0.5 + 0.4 * np.stack((np.cos(angle), np.sin(angle)), 1)
    centres = np.array([[0.2, 0.2], [0.8, 0.3], [0.5, 0.9]])
    blobs = centres[random.integers(3, size=n + n // 10)]
    parts = [ring, blobs, 0.6 * random.random((n - n // 10, 2))]
    return [x + 0.03 * random.standard_normal(x.shape) for x in parts]


def pot(name: str, given: list[Cloud], start: Cloud) -> Cloud:
    """What POT finds."""
    masses = [np.full(len(y), 1 / len(y)) for y in given]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its inner solves need not converge
        if name == "emd":
            return ot.lp.free_support_barycenter(given, masses, start)
        options = {"numItermax": 30 if len(start) < 2000 else 5, "numInnerItermax": 200}
        reg = 2 * BLUR[name] ** 2
        return ot.bregman.free_support_sinkhorn_barycenter(given, masses, start, reg, **options)


def objective(name: str, given: list[Cloud], x: Cloud) -> float:
    """The mean cost, |x - y|^2 / 2: entropic, or exact."""
    if name == "sinkhorn":
        costs = [
            so.sinkhorn_divergence(x, y, blur=BLUR[name], debias=False, tol=1e-6) for y in given
        ]
    else:
        costs = [ot.emd2([], [], ot.dist(x, y), numItermax=10**8) / 2 for y in given]
    return float(np.mean(costs))


def ours(name: str, given: list[Cloud], start: Cloud, stop: Callable[..., None]) -> so.Barycenter:
    """What we find."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is stopped
        common = {"blur": BLUR[name], "debias": name == "emd", "progress": stop}
        return so.barycenter(given, support=start, tol=TOL[name], **common)


def compare(name: str, n: int) -> None:
    """One row of the table."""
    given = clouds(n)
    start = given[1][:n].copy()
    began = time.perf_counter()
    theirs = pot(name, given, start)
    seconds = time.perf_counter() - began
    aim = objective(name, given, theirs)

    def stop(value: float, error: float, tol: float) -> None:
        if name == "sinkhorn" and value <= aim:
            raise KeyboardInterrupt

    began = time.perf_counter()
    found = ours(name, given, start, stop)
    mine = time.perf_counter() - began
    reached, last = objective(name, given, found.points), found.report[-1]
    print(
        f"| {name} | {n:,} | {seconds:.2f} s | {aim:.7f} | {mine:.2f} s | {reached:.7f} | "
        f"{seconds / mine:.1f} | {len(found.report) - 1} | {last.solves} | {last.sweeps} |",
        flush=True,
    )


def main(asked: list[str]) -> None:
    """A row for each method and size."""
    names = [name for name in asked if name in BLUR] or list(BLUR)
    sizes = [int(size) for size in asked if size not in BLUR] or [1_000]
    for name in names:  # compiles
        small = clouds(100)
        ours(name, small, small[1][:100], lambda *state: None)
    print(f"\nAverages of three clouds in the plane ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print(
        "| peer | points | POT | its objective | sparseot | objective | ratio | steps | solves | sweeps |"
    )
    print("|" + " --- |" * 10)
    for size in sizes:
        for name in names:
            compare(name, size)


if __name__ == "__main__":
    main(sys.argv[1:])
