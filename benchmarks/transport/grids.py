"""solve_grid and grid_barycenter against GeomLoss and POT, at equal errors.

cd benchmarks && PYTHONPATH=. python transport/grids.py [images [N]] [volumes [N]] [averages [N]]

Images are smooth blobs and the same blobs moved by v, so that the truth is known at every blur: the
debiased value is |v|^2 / 2, and its gradient in the first image the linear function -<v, x>, up to a
constant. GeomLoss takes its own schedule, as fine as `scaling` says; ours stops at the largest tolerance,
of some powers of ten, whose gradient is as good. Averages are those of two moved blobs, which are known as
well. GeomLoss 0.3.1 fails where blur is above two pixels, so it is compared at one. It sums along lines by KeOps, which compiles at its first call (not counted).
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from helpers.timing import machine

import sparseot

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from geomloss._legacy.sinkhorn_images import sinkhorn_divergence

BLURS = {2: (0.1, 0.02), 3: (0.1, 0.05)}  # without a peer, of the side
TOLS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
MOVE = 1 / 8  # of the side, along the first axis; half of it along the others


def blobs(n: int, dim: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An image in the unit square or cube, the same moved, and the way, in float32."""
    random = torch.Generator().manual_seed(0)
    axes = torch.meshgrid(*[torch.arange(n) / n] * dim, indexing="ij")
    image = torch.zeros([n] * dim)
    for _ in range(12):
        centre = 0.25 + 0.35 * torch.rand(dim, generator=random)
        width = 0.02 + 0.03 * torch.rand((), generator=random)
        square = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
        image += (-square / (2 * width**2)).exp()
    image = image.where(image > 1e-3, 0)
    steps = [int(MOVE * n)] + [int(MOVE * n / 2)] * (dim - 1)
    image = image / image.double().sum()
    return image, image.roll(steps, list(range(dim))), torch.tensor(steps) / n


def errors(
    value: torch.Tensor, gradient: torch.Tensor, a: torch.Tensor, v: torch.Tensor
) -> tuple[float, float]:
    """Relative errors of the value, and of the gradient in the mean over the mass."""
    n, truth = len(a), float(v.double().square().sum()) / 2
    axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) / n] * a.dim(), indexing="ij")
    line = -sum(float(s) * axis for s, axis in zip(v, axes, strict=True))
    wrong, a = gradient.double() - line, a.double()
    wrong = wrong - (a * wrong).sum()
    spread = (a * (line - (a * line).sum()).abs()).sum()
    return abs(float(value) - truth) / truth, float((a * wrong.abs()).sum() / spread)


def timed(run: Callable[[], tuple], repeats: int) -> tuple[float, tuple]:
    """The median of some runs after one that compiles, and the last result."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = run()
        times.append(time.perf_counter() - start)
    return statistics.median(times), found


def ours(a: torch.Tensor, b: torch.Tensor, blur: float, tol: float) -> tuple:
    """Value and gradient in a, and the number of sweeps."""
    moving = a.clone().requires_grad_()
    found = sparseot.solve_grid(moving, b, spacing=1 / len(a), blur=blur, tol=tol, debias=True)
    return found.value.detach(), torch.autograd.grad(found.value, moving)[0], found.n_iter


def theirs(a: torch.Tensor, b: torch.Tensor, blur: float, scaling: float) -> tuple:
    """The same by GeomLoss, whose gradient is its dual potential."""
    given = a[None, None], b[None, None]
    options = {"p": 2, "blur": blur, "scaling": scaling}
    f, g = sinkhorn_divergence(*given, **options, potentials=True)
    return (a * f[0, 0]).sum() + (b * g[0, 0]).sum(), f[0, 0], "its schedule"


def pairs(n: int, dim: int, repeats: int = 3) -> None:
    """Value and gradient of two images, or two volumes."""
    size = " x ".join([str(n)] * dim)
    print(f"\nDebiased, value and gradient, {size}, float32 ({machine()})\n")
    print("| blur | library | seconds | value (relative) | gradient (L1) | sweeps |")
    print("| --- | --- | --- | --- | --- | --- |")
    a, b, v = blobs(n, dim)
    for blur in (*BLURS[dim], 1 / n):
        rows, aim = [], 1e-3
        if blur == 1 / n:
            seconds, peer = timed(lambda blur=blur: theirs(a, b, blur, 0.7), repeats)
            rows = [("GeomLoss, scaling 0.7", seconds, peer)]
            aim = errors(*peer[:2], a, v)[1]
        for tol in TOLS:
            found = ours(a, b, blur, tol)
            if errors(*found[:2], a, v)[1] <= aim:
                break
        seconds, found = timed(lambda blur=blur, tol=tol: ours(a, b, blur, tol), repeats)
        rows.append((f"sparseot, tol {tol:g}", seconds, found))
        for name, seconds, row in rows:
            value, gradient = errors(*row[:2], a, v)
            numbers = f"{seconds:.2f} | {value:.1e} | {gradient:.1e} | {row[2]}"
            print(f"| {blur:g} | {name} | {numbers} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\nPeak of the process {peak:,.0f} MB; one image in float64 has {a.numel() / 2**17:.1f} MB"
    )


def averages(n: int, repeats: int = 3) -> None:
    """The debiased average of two translates, whose error is its L1 distance from the middle one."""
    import ot
    from geomloss import ImagesBarycenter

    a, b, v = blobs(n, 2)
    images = torch.stack((a, b)).double()
    middle = a.double().roll([int(s * n / 2) for s in v], [0, 1])
    print(f"\nDebiased averages of two images, {n} x {n} ({machine()})\n")
    print("| blur | library | seconds | L1 error |\n| --- | --- | --- | --- |")
    for blur in BLURS[2]:
        reg = 2 * blur**2 * (n / (n - 1)) ** 2  # POT puts pixels between 0 and 1, ends included

        def pot(stop: float, reg: float = reg) -> torch.Tensor:
            made = ot.bregman.convolutional_barycenter2d_debiased
            return torch.as_tensor(made(images.numpy(), reg, stopThr=stop, warn=False))

        def house(tol: float, blur: float = blur) -> torch.Tensor:
            return sparseot.grid_barycenter(images, spacing=1 / n, blur=blur, tol=tol).image

        def geomloss(blur: float = blur) -> torch.Tensor:
            return ImagesBarycenter(images[None], torch.full((1, 2), 0.5).double(), blur).squeeze()

        rows = [("POT", *timed(lambda pot=pot: pot(1e-3), 1))]
        rows.append(("GeomLoss", *timed(lambda geomloss=geomloss: geomloss(), 1)))
        aim = min(float((image - middle).abs().sum()) for _, _, image in rows)
        for tol in TOLS:
            if float((house(tol) - middle).abs().sum()) <= aim:
                break
        rows.append(
            (f"sparseot, tol {tol:g}", *timed(lambda tol=tol, house=house: house(tol), repeats))
        )
        for name, seconds, image in rows:
            error = float((image - middle).abs().sum())
            print(f"| {blur:g} | {name} | {seconds:.2f} | {error:.1e} |", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:] or ["images", "volumes", "averages"]
    for word, after in zip(words, [*words[1:], ""], strict=True):
        size = int(after) if after.isdigit() else None
        if word == "images":
            pairs(size or 1024, 2)
        elif word == "volumes":
            pairs(size or 128, 3)
        elif word == "averages":
            averages(size or 256)
