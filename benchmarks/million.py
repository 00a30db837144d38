"""The Swiss roll of KeOps's tutorial: a Gaussian product and six eigenpairs, up to a million points.

python benchmarks/million.py
"""

from __future__ import annotations

import resource
import time

import torch
from helpers.timing import machine

from sparseot import Blocks, KernelMatrix, datasets, eigsh, graph_laplacian, kernels
from sparseot.operators.spectral.laplacian import Laplacian

SIGMA = 0.01
KEOPS = [1.5488e-4, 6.0963e-4, 7.9121e-4, 9.4554e-4, 1.3957e-3, 1.9849e-3]  # its tutorial's


def median(function, repeats: int = 5) -> float:
    """Seconds, the first call apart."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return sorted(times)[repeats // 2]


def products() -> None:
    """One product three ways; dense tiles are timed on a part of the rows and scaled up."""
    x = datasets.swiss_roll(1_000_000)
    v = torch.rand(len(x), generator=torch.Generator().manual_seed(0))
    part = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1))[:2_000]]
    series = KernelMatrix(kernels.Gaussian(SIGMA), x, tol=1e-5)
    near = KernelMatrix(kernels.Gaussian(SIGMA), x, pairs=Blocks(5 * SIGMA))
    tiles = KernelMatrix(kernels.Gaussian(SIGMA), part, x, engine="tiles")
    loops = KernelMatrix(kernels.Gaussian(SIGMA), part, x, engine="numba")
    exact = KernelMatrix(kernels.Gaussian(SIGMA), part.double(), x.double(), tol=0) @ v.double()
    scale = len(x) / len(part)
    print("| product of 1,000,000 points | time | relative error |\n| --- | --- | --- |")
    for name, K, factor, rows in (
        ("dense, torch tiles", tiles, scale, None),
        ("dense, compiled loops", loops, scale, None),
        (f"kept blocks, {near.kept_fraction:.1%} of the pairs", near, 1, part),
        ("Fourier series", series, 1, part),
    ):
        seconds = factor * median(lambda K=K: K @ v, 3)
        found = K @ v
        if rows is not None:
            places = torch.cdist(part[:200], x).argmin(1)
            found, wanted = found[places], exact[:200]
        else:
            wanted = exact
        error = float((found - wanted).norm() / wanted.norm())
        print(f"| {name} | {seconds:.3g} s | {error:.0e} |", flush=True)


def eigenpairs(n: int) -> None:
    """Everything from the points on; residuals are checked with exact products of some rows."""
    x = datasets.swiss_roll(n)
    start = time.perf_counter()
    K = KernelMatrix(kernels.Gaussian(SIGMA), x, tol=1e-5)
    L = graph_laplacian(K, normed=True)
    found = eigsh(L, 7, "SA")
    seconds = time.perf_counter() - start
    worst = _exact_residual(L, found, x)
    apart = max(abs(v / k - 1) for v, k in zip(found.values[1:].tolist(), KEOPS, strict=True))
    told = f"{apart:.1%}" if n == 1_000_000 else "-"  # eigenvalues depend on the number of points
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"| {n:,} | {seconds:.1f} s | {found.products} | {float(found.residuals.max()):.0e} | "
        f"{worst:.0e} | {float(found.values[0]):.0e} | {told} | {peak:.1f} GiB |",
        flush=True,
    )


def _exact_residual(L: Laplacian, found, x: torch.Tensor, rows: int = 500) -> float:
    """``|L u - lambda u|`` estimated from exact rows in float64, the largest of the pairs."""
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:rows]
    K = KernelMatrix(kernels.Gaussian(SIGMA), x[chosen].double(), x.double(), tol=0)
    root = L.degrees.double().rsqrt()[:, None]
    u = found.vectors.double()
    image = u[chosen] - root[chosen] * (K @ (root * u))
    gap = (image - found.values.double() * u[chosen]).square().sum(0)
    return float((gap * len(x) / rows).sqrt().max())


def main() -> None:
    """Two tables."""
    print(f"\nThe Swiss roll, sigma {SIGMA} ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print("| points | time | products | residual | on exact rows | lambda_0 | off KeOps | peak |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for n in (100_000, 1_000_000):
        eigenpairs(n)
    print()
    products()


if __name__ == "__main__":
    main()
