"""SamplesLoss against GeomLoss on a CPU: value and gradient in x, debiased, float32.

python benchmarks/losses.py [large] [small] [memory]
"""

from __future__ import annotations

import resource
import sys
import time
import warnings

import torch
from helpers.timing import compare, header, loss_and_gradient

import sparseot

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import geomloss


def clouds(n: int, dimension: int, batch: tuple[int, ...] = ()) -> tuple[torch.Tensor, ...]:
    """The unit cube, and half of it moved: the clouds of all tables."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(*batch, n, dimension, generator=generator)
    return x, 0.5 * torch.rand(*batch, n, dimension, generator=generator) + 0.4


def race(label: str, x: torch.Tensor, y: torch.Tensor, backend: str, repeats: int, **options):
    """One row; checks that both computed the same thing."""
    ours = loss_and_gradient(sparseot.SamplesLoss(**options), x, y)
    theirs = loss_and_gradient(geomloss.SamplesLoss(backend=backend, **options), x, y)
    for mine, other in zip(*compare(label, ours, theirs, repeats), strict=True):
        assert (mine - other).norm() < 0.005 * other.norm(), f"{label}: not the same result"


def large() -> None:
    """10,000 points, against the online backend, which also never stores the matrix."""
    header("Large clouds: 10,000 points each", "GeomLoss online")
    for dimension, repeats in ((3, 3), (64, 1)):
        x, y = clouds(10_000, dimension)
        race(f"Sinkhorn p=2 blur .05, D={dimension}", x, y, "online", repeats, blur=0.05)
    x, y = clouds(10_000, 3)
    race("Sinkhorn p=1 blur .05, D=3", x, y, "online", 3, p=1, blur=0.05)
    for loss, blur in (("gaussian", 0.1), ("laplacian", 0.1), ("energy", 0.1)):
        race(f"{loss} blur {blur}, D=3", x, y, "online", 5, loss=loss, blur=blur)


def small() -> None:
    """Training loops, against the tensorized backend."""
    header("Small and batched clouds", "GeomLoss tensorized")
    for n, repeats in ((100, 50), (1000, 7)):
        for dimension in (2, 16):
            x, y = clouds(n, dimension)
            race(f"Sinkhorn p=2, n={n}, D={dimension}", x, y, "tensorized", repeats)
    for dimension in (2, 16):
        x, y = clouds(128, dimension, (64,))
        # One schedule for the whole batch is GeomLoss's; a common diameter makes ours the same.
        race(f"64 batches of 128, D={dimension}", x, y, "tensorized", 15, diameter=1.5)
    for loss in ("gaussian", "energy"):
        x, y = clouds(1000, 2)
        race(f"{loss}, n=1000, D=2", x, y, "tensorized", 15, loss=loss, blur=0.1)


def memory() -> None:
    """Peak of the process above its start, and the first call of a fresh process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    x, y = clouds(20_000, 3)
    start = time.perf_counter()
    loss_and_gradient(sparseot.SamplesLoss(), x[:100], y[:100])()
    first = time.perf_counter() - start
    loss_and_gradient(sparseot.SamplesLoss(), x, y)()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"\nFirst call {first:.2f} s; 20,000 points in 3D peak {peak / 1024:.0f} MB above start")


if __name__ == "__main__":
    for name in sys.argv[1:] or ["memory", "small", "large"]:
        {"large": large, "small": small, "memory": memory}[name]()
