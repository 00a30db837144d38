"""Pairs per second of each engine by dimension, on a CPU, float32: where "auto" draws its line.

python benchmarks/engines.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from helpers.timing import machine

from sparseot.engines.base import Reductions
from sparseot.engines.choose import load
from sparseot.formulas import Gaussian, ground_cost

N = 10_000
NAMES = ("numba", "tiles")


def softmin(sums: Reductions, x: torch.Tensor) -> None:
    """What an iteration of Sinkhorn does."""
    sums.logsumexp(ground_cost(2), torch.full((1,), 0.1), x[..., 0])


def gradient(sums: Reductions, x: torch.Tensor) -> None:
    """A Gaussian sum with the columns of a gradient."""
    sums.sum(Gaussian(0.3), torch.cat((x, x[..., :1]), -1))


def rate(act: Callable[..., None], name: str, x: torch.Tensor) -> float:
    """Pairs per second, the median of five runs."""
    sums = load(name).bind(x, x)
    act(sums, x)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        act(sums, x)
        times.append(time.perf_counter() - start)
    return N * N / sorted(times)[2]


def main() -> None:
    """One row a dimension; a softmin, and a Gaussian sum with the columns of a gradient."""
    print(f"1e9 pairs a second, {N:,} points ({machine()})\n")
    print("| D | softmin, numba | softmin, tiles | gradient, numba | gradient, tiles |")
    print("| --- | --- | --- | --- | --- |")
    for dimension in (1, 2, 3, 6, 10, 16, 24, 32, 48, 64):
        x = torch.rand(1, N, dimension)
        rates = [f"{rate(act, name, x) / 1e9:.2f}" for act in (softmin, gradient) for name in NAMES]
        print(f"| {dimension} | {' | '.join(rates)} |", flush=True)


if __name__ == "__main__":
    main()
