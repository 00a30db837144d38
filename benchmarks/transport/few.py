"""Kept solves of some thousand points, which are mostly what surrounds their sums: means over eight clouds.

cd benchmarks && PYTHONPATH=. taskset -c 0 python transport/few.py [another tree of the library, with its .venv]

Processor time of one thread, the median of five calls for each cloud, after one that compiles. Told of another tree, it
asks both in turn for each call, and the ratio of the means is that of this tree to the other one.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

CASES = [
    (n, dim, blur, dtype)
    for dim, blur in ((2, 0.01), (3, 0.02))
    for n in (1500, 2500, 4000)
    for dtype in ("float32", "float64")
]
CLOUDS, CALLS = 8, 5
Case = tuple[int, int, float, str]


def solve(n: int, dim: int, blur: float, dtype: str, seed: int) -> tuple[float, float]:
    """Seconds of a solve, and its sweeps of all points."""
    import torch

    import sparseot

    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, dim, generator=generator).to(getattr(torch, dtype))
    y = (torch.rand(n, dim, generator=generator) * 0.8 + 0.1).to(x)
    began = time.process_time()
    levels = sparseot.solve_sample(x, y, blur=blur).levels
    return time.process_time() - began, levels[-1].sweeps


def answer() -> None:
    """Solves what is asked for, line by line: one tree of the library, in a process of its own."""
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        n, dim, blur, dtype, seed = line.split()
        print(*solve(int(n), int(dim), float(blur), dtype, int(seed)), flush=True)


class Tree:
    """One tree of the library, asked in its own process."""

    def __init__(self, root: Path) -> None:
        command = [str(root / ".venv/bin/python"), __file__, "--answer"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root)

    def solve(self, case: Case, seed: int) -> tuple[float, float]:
        """Seconds and sweeps of one solve."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(*case, seed, file=self.process.stdin, flush=True)
        seconds, sweeps = self.process.stdout.readline().split()
        return float(seconds), float(sweeps)


def measure(trees: list[Tree], case: Case) -> tuple[list[float], list[float]]:
    """Milliseconds and sweeps of each tree."""
    found: list[list[list[tuple[float, float]]]] = [[[] for _ in range(CLOUDS)] for _ in trees]
    for call in range(CALLS):
        for seed in range(CLOUDS):
            for k in range(len(trees))[:: 1 if call % 2 else -1]:
                found[k][seed].append(trees[k].solve(case, seed))
    times = [[statistics.median(t for t, _ in calls) for calls in clouds] for clouds in found]
    sweeps = [statistics.mean(calls[0][1] for calls in clouds) for clouds in found]
    return [1e3 * statistics.mean(clouds) for clouds in times], sweeps


def main() -> None:
    """A row for each size."""
    from helpers.timing import machine

    here = Path(__file__).parents[2]
    trees = [Tree(Path(root).resolve()) for root in (*sys.argv[1:], here)]
    print(f"\nKept solves ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print(
        "| points | dimension | blur | precision | processor time | ratio | sweeps of all points |"
    )
    print("| --- " * 7 + "|")
    for tree in trees:
        tree.solve(CASES[0], 0)
    for case in CASES:
        times, sweeps = measure(trees, case)
        told = ", ".join(f"{t:.0f} ms" for t in times)
        ratio = f"{times[-1] / times[0]:.2f}" if len(trees) > 1 else ""
        n, dim, blur, dtype = case
        swept = ", ".join(f"{s:.0f}" for s in sweeps)
        print(f"| {n:,} | {dim} | {blur} | {dtype} | {told} | {ratio} | {swept} |", flush=True)


if __name__ == "__main__":
    answer() if "--answer" in sys.argv else main()
