"""Averages of three clouds against POT's, at the objective that POT reaches.

cd benchmarks && PYTHONPATH=. python transport/barycenters.py [sinkhorn] [emd] [support=K] [dim=D] [steps=S] [processor] [N ...]

Clouds have N points, 1.1 N and 0.9 N, in the plane or in dimension D, and the average K, or N.
``sinkhorn`` is ``ot.bregman.free_support_sinkhorn_barycenter``, of 30 steps at most (5 from 2,000 x 2,000 pairs on; or S), against
``debias=False``: both minimise the mean entropic cost. ``emd`` is ``ot.lp.free_support_barycenter``, which minimises the mean of W_2^2 without entropy,
against the debiased average; there both are judged by exact costs. All start from the same points. POT stops by its own
rule; ours is stopped by the step whose objective is as low, told by its ``progress``. One call of each is counted,
after a small one that compiles. ``processor`` counts processor time, which tells more where other work runs beside; take one thread then.
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
COARSE = 1e-5  # share by which the value of coarse solves may be too low
Cloud = np.ndarray


def clouds(n: int, dim: int = 2) -> list[Cloud]:
    """A ring, three blobs and a cube, of nearly as many points."""
    random = np.random.default_rng(0)
    angle = 2 * np.pi * random.random(n)
    ring, centres = np.full((n, dim), 0.5), np.full((3, dim), 0.5)
    ring[:, :2] += 0.4 * np.stack((np.cos(angle), np.sin(angle)), 1)
    centres[:, :2] = [[0.2, 0.2], [0.8, 0.3], [0.5, 0.9]]
    blobs = centres[random.integers(3, size=n + n // 10)]
    parts = [ring, blobs, 0.6 * random.random((n - n // 10, dim))]
    return [x + 0.03 * random.standard_normal(x.shape) for x in parts]


def pot(name: str, given: list[Cloud], start: Cloud, steps: int) -> Cloud:
    """What POT finds."""
    masses = [np.full(len(y), 1 / len(y)) for y in given]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its inner solves need not converge
        if name == "emd":
            options = {"numItermax": steps} if steps else {}
            return ot.lp.free_support_barycenter(given, masses, start, **options)
        few = len(start) * len(given[0]) < 2000**2
        options = {"numItermax": steps or (30 if few else 5), "numInnerItermax": 200}
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


def compare(name: str, n: int, size: int, dim: int, steps: int, clock: Callable[[], float]) -> None:
    """One row of the table."""
    given = clouds(n, dim)
    start = given[1][: size or n].copy()
    began = clock()
    theirs = pot(name, given, start, steps)
    seconds = clock() - began
    aim = objective(name, given, theirs)

    def stop(value: float, error: float, tol: float) -> None:
        if name == "sinkhorn" and value <= aim * (1 - COARSE):
            raise KeyboardInterrupt

    began = clock()
    found = ours(name, given, start, stop)
    mine = clock() - began
    reached, last = objective(name, given, found.points), found.report[-1]
    print(
        f"| {name} | {n:,} | {len(start):,} | {dim} | {seconds:.2f} s | {aim:.7f} | {mine:.2f} s | {reached:.7f} | "
        f"{seconds / mine:.1f} | {len(found.report) - 1} | {last.solves} | {last.sweeps} |",
        flush=True,
    )


def main(asked: list[str]) -> None:
    """A row for each method and size."""
    names = [name for name in asked if name in BLUR] or list(BLUR)
    set_to = dict(word.split("=") for word in asked if "=" in word)
    size, dim, steps = (int(set_to.get(*one)) for one in (("support", 0), ("dim", 2), ("steps", 0)))
    clock = time.process_time if "processor" in asked else time.perf_counter
    sizes = [int(word) for word in asked if word.isdigit()] or [1_000]
    for name in names:  # compiles
        small = clouds(100)
        ours(name, small, small[1][:100], lambda *state: None)
    print(f"\nAverages of three clouds ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print(
        "| peer | points | average | D | POT | its objective | sparseot | objective | ratio | steps | solves | sweeps |"
    )
    print("|" + " --- |" * 12)
    for n in sizes:
        for name in names:
            compare(name, n, size, dim, steps, clock)


if __name__ == "__main__":
    main(sys.argv[1:])
