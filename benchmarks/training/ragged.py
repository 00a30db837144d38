"""256 pairs of clouds of different sizes at once: value and gradient of SamplesLoss, D = 3.

cd benchmarks && PYTHONPATH=. python training/ragged.py [schedule] [tolerance]

Sizes are uniform between a smallest and a largest one of 200, for pad ratios (the largest size over
the mean one) from 1 to nearly 2, and for a few large clouds among small ones up to 4. The contestants
take turns, and the table shows the median of their seconds and of their processor time. GeomLoss has
all clouds padded to the largest, with weights of zero and copies of a point; a common diameter gives
both its one schedule.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from helpers.timing import machine
from torch import Tensor

import sparseot

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import geomloss

PAIRS, DIMENSION, BLUR, DIAMETER = 256, 3, 0.05, 1.8
Step = Callable[[], tuple[Tensor, Tensor]]


def sizes(ratio: float, seed: int) -> list[int]:
    """As many as there are pairs, the largest of which is 200: 50 to 200 for a ratio of 1.6."""
    generator = torch.Generator().manual_seed(seed)
    mean = 200 / ratio
    if mean >= 100:  # uniform, up to the largest
        low = max(1, round(2 * mean - 200))
        return [200, *torch.randint(low, 201, (PAIRS - 1,), generator=generator).tolist()]
    rare = torch.rand(PAIRS, generator=generator) < (mean - 30) / 170
    return [200 if large else 30 for large in rare]


def padded(clouds: list[Tensor], size: int) -> tuple[Tensor, Tensor]:
    """All clouds with copies of their last point up to that size, and their weights."""
    points = [torch.cat((x, x[-1:].expand(size - len(x), -1))) for x in clouds]
    weights = [torch.tensor([1 / len(x)] * len(x) + [0.0] * (size - len(x))) for x in clouds]
    return torch.stack(points), torch.stack(weights)


def contestants(x: list[Tensor], y: list[Tensor], **options: float) -> dict[str, Step]:
    """What is timed; each returns values, and the gradients of all points one after the other."""
    ours = sparseot.SamplesLoss(blur=BLUR, **options)

    def batch() -> tuple[Tensor, Tensor]:
        values = ours(x, y)
        return values, torch.cat(torch.autograd.grad(values.sum(), x))

    def loop() -> tuple[Tensor, Tensor]:
        found, moved = [], []
        for here, there in zip(x, y, strict=True):
            value = ours(here, there)
            moved += torch.autograd.grad(value, here)
            found.append(value)
        return torch.stack(found), torch.cat(moved)

    steps = {"sparseot, lists": batch, "sparseot, a loop": loop}
    if "tol" in options:
        return steps
    theirs = geomloss.SamplesLoss(blur=BLUR, backend="tensorized", **options)
    size = max(map(len, (*x, *y)))
    real = torch.cat([torch.arange(size) < len(t) for t in x])

    def tensorized() -> tuple[Tensor, Tensor]:
        (here, a), (there, b) = padded(x, size), padded(y, size)
        moving = here.detach().requires_grad_()
        values = theirs(a, moving, b, there)
        (gradient,) = torch.autograd.grad(values.sum(), moving)
        return values, gradient.flatten(0, 1)[real]

    return steps | {"GeomLoss, padded": tensorized}


def race(ratio: float, repeats: int, **options: float) -> None:
    """One row of the table, after all were seen to compute the same."""
    of_x, of_y = sizes(ratio, 0), sizes(ratio, 1)
    generator = torch.Generator().manual_seed(2)
    x = [torch.rand(n, DIMENSION, generator=generator).requires_grad_() for n in of_x]
    y = [0.5 * torch.rand(m, DIMENSION, generator=generator) + 0.4 for m in of_y]
    steps = contestants(x, y, **options)
    results = {name: step() for name, step in steps.items()}
    exact = results["sparseot, a loop"]
    for name, found in results.items():
        for mine, other in zip(found, exact, strict=True):
            assert (mine - other).norm() < 0.005 * other.norm(), f"{name}: not the same result"
    clocks = (time.perf_counter, time.process_time)
    spent: dict[str, list[list[float]]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = [clock() for clock in clocks]
            step()
            spent[name].append(
                [clock() - began for clock, began in zip(clocks, start, strict=True)]
            )
    medians = {n: [statistics.median(s) for s in zip(*t, strict=True)] for n, t in spent.items()}
    mean = sum(of_x + of_y) / len(of_x + of_y)
    first, *others = medians.values()
    cells = [f"{first[0]:.2f} s"]
    cells += [f"{other[0] / first[0]:.1f} ({other[1] / first[1]:.1f})" for other in others]
    print(f"| {200 / mean:.2f} | {' | '.join(cells)} |", flush=True)


def table(question: str, names: list[str], repeats: int, **options: float) -> None:
    """All pad ratios; processor time stands in brackets."""
    print(f"\n{question} ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print(f"| pad ratio | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
    for ratio in (1.0, 1.3, 1.6, 2.0, 4.0):
        race(ratio, repeats, **options)


def main() -> None:
    """The tables that were asked for."""
    asked = sys.argv[1:] or ["schedule", "tolerance"]
    if "schedule" in asked:
        names = ["sparseot, lists", "a loop takes, times", "GeomLoss, padded, takes, times"]
        table("GeomLoss's schedule", names, 5, diameter=DIAMETER)
    if "tolerance" in asked:
        names = ["sparseot, lists", "a loop takes, times"]
        table("Solved to tol = 1e-3", names, 5, tol=1e-3)


if __name__ == "__main__":
    main()
