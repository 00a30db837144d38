"""Kept solves of some thousand points, which are mostly what surrounds their sums: means over eight clouds.

cd benchmarks && PYTHONPATH=. taskset -c 0 python transport/few.py

Processor time of one thread, the least of four calls for each cloud, after one that compiles. Run in turn in two
trees of the library, it compares them.
"""

from __future__ import annotations

import statistics
import time

import torch
from helpers.timing import machine

import sparseot

CASES = (1500, 2, 0.01), (2500, 2, 0.01), (4000, 2, 0.01), (4000, 3, 0.02)
CLOUDS, CALLS = 8, 4


def solves(n: int, dim: int, blur: float, seed: int) -> tuple[float, float]:
    """Seconds of a solve, and its sweeps of all points."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, dim, generator=generator)
    y = torch.rand(n, dim, generator=generator) * 0.8 + 0.1
    seconds = []
    for _ in range(CALLS):
        began = time.process_time()
        levels = sparseot.solve_sample(x, y, blur=blur).levels
        seconds.append(time.process_time() - began)
    return min(seconds), levels[-1].sweeps


def main() -> None:
    """A row for each size."""
    torch.set_num_threads(1)
    print(f"\nKept solves ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print(
        "| points | dimension | blur | processor time | sweeps of all points |\n"
        + "| --- " * 5
        + "|"
    )
    solves(*CASES[0], 0)
    for case in CASES:
        seconds, sweeps = zip(*(solves(*case, seed) for seed in range(CLOUDS)), strict=True)
        n, dim, blur = case
        print(
            f"| {n:,} | {dim} | {blur} | {1e3 * statistics.mean(seconds):.0f} ms "
            f"| {statistics.mean(sweeps):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
