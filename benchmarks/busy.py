"""Processor time of small and middle jobs, quiet and beside four other programs.

python benchmarks/busy.py [rounds] [part of a job's name]
python benchmarks/busy.py large

The second takes large jobs, which all threads share, once each and with nobody beside.

The time is that of all threads of this process, user's and system's: on a busy machine it tells what
the work costs, where the clock on the wall tells who else is there. Threads that spin while they
wait show up in it. The four other programs are busy loops, started and ended here.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from helpers.timing import machine

import sparseot
from sparseot import kernels

OTHERS = 4
LOOP = "import os; mine = os.getppid()\nwhile os.getppid() == mine:\n for _ in range(10**6): pass"
LEAST = 0.05  # seconds of processor time that a measurement takes
SETTLED = 0.02  # seconds after which threads that wait have gone to sleep
Job = Callable[[], object]


def clouds(n: int, dim: int = 3, items: tuple[int, ...] = ()) -> tuple[torch.Tensor, torch.Tensor]:
    """The unit cube, and half of it moved."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(*items, n, dim, generator=generator)
    return x, 0.5 * torch.rand(*items, n, dim, generator=generator) + 0.4


def solve(n: int, **options: object) -> Job:
    """A solve to a tolerance, with its certificate."""
    x, y = clouds(n)

    def run() -> object:
        found = sparseot.solve_sample(x, y, blur=0.05, debias=True, **options)
        return found.value, found.lower

    return run


def loss(n: int, dim: int = 3, items: tuple[int, ...] = (), **options: object) -> Job:
    """Value and gradient of a loss, as in training."""
    x, y = clouds(n, dim, items)
    moving, of = x.requires_grad_(), sparseot.SamplesLoss(**options)
    return lambda: torch.autograd.grad(of(moving, y).sum(), moving)


def hessian(n: int, wrt: str) -> Job:
    """A solve and the dense Hessian."""
    x, y = (cloud.double() for cloud in clouds(n))

    def run() -> object:
        found = sparseot.solve_sample(x, y, blur=0.1, debias=True)
        return sparseot.hessian(found, wrt).to_dense()

    return run


def hvp(n: int) -> Job:
    """A solve and one product with the Hessian."""
    x, y = clouds(n)
    return lambda: sparseot.solve_sample(x, y, blur=0.1, debias=True).hvp(y - x)


def matrix(n: int, columns: int, dim: int = 3) -> Job:
    """A product with a kernel matrix, and its gradient."""
    x, v = clouds(n, dim)[0].requires_grad_(), torch.ones(n, columns)
    return lambda: (sparseot.KernelMatrix(kernels.Gaussian(0.3), x) @ v).square().sum().backward()


def eigenpairs(n: int) -> Job:
    """The smallest pairs of a normed Laplacian."""
    x = clouds(n)[0]

    def run() -> object:
        K = sparseot.KernelMatrix(kernels.Gaussian(0.3), x)
        return sparseot.eigsh(sparseot.graph_laplacian(K, normed=True), k=6, which="SA")

    return run


def system(n: int) -> Job:
    """A linear system by conjugate gradients, with a preconditioner."""
    x, y = (cloud.double() for cloud in clouds(n))

    def run() -> object:
        K = sparseot.KernelMatrix(kernels.Gaussian(0.3), x)
        near = sparseot.nystrom(K, noise=0.1, rank=min(50, n // 2))
        A = K + sparseot.Diagonal(torch.full((n,), 0.1).double())
        return sparseot.conjugate_gradient(A, y, preconditioner=near)

    return run


def neighbours(n: int, dim: int = 3, method: str = "auto") -> Job:
    """A search of eight neighbours."""
    x = clouds(n, dim)[0]
    return lambda: sparseot.knn(x, k=8, method=method)


def layer(n: int, make: Callable[[], torch.nn.Module]) -> Job:
    """A layer of sixteen features, forward and backward."""
    x, module = clouds(n, 16)[0].requires_grad_(), make()
    return lambda: module(x).square().mean().backward()


def gravnet() -> torch.nn.Module:
    """GravNet in four dimensions."""
    return sparseot.nn.GravNetConv(16, 16, 4, 22, k=8)


def edges() -> torch.nn.Module:
    """An edge convolution of one linear layer."""
    return sparseot.nn.DynamicEdgeConv(torch.nn.Sequential(torch.nn.Linear(32, 16)), k=8)


class Weighted(torch.nn.Module):
    """A learnable graph, multiplied by the features."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = sparseot.nn.KNNGraph(8, learnable_bandwidth=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product of the graph of the points with their coordinates."""
        product: torch.Tensor = self.graph(x) @ x
        return product


JOBS: dict[str, Job] = {
    **{f"solve to 1e-3, N={n:,}": solve(n) for n in (15, 100, 500, 1000, 2000, 5000)},
    "solve to 1e-3, reach 0.5, N=200": solve(200, reach=0.5),
    "solve to 1e-6, tight, N=200": solve(
        200, tol=1e-6, solver=sparseot.Sinkhorn(certificate="tight")
    ),
    **{f"Sinkhorn loss, N={n:,}": loss(n) for n in (15, 100, 1000, 5000)},
    "Sinkhorn loss, D=64, N=100": loss(100, 64),
    "Sinkhorn loss, D=64, N=1,000": loss(1000, 64),
    "Sinkhorn loss, 16 items, N=50": loss(50, 3, (16,)),
    **{f"Sinkhorn loss with tol, N={n:,}": loss(n, tol=1e-3) for n in (15, 100, 1000, 5000)},
    "Sinkhorn loss with tol, D=64, N=500": loss(500, 64, tol=1e-3),
    **{
        f"{name} norm, N={n:,}": loss(n, loss=name, blur=0.1)
        for name in ("gaussian", "energy")
        for n in (15, 1000, 5000)
    },
    "gaussian norm, D=64, N=1,000": loss(1000, 64, loss="gaussian", blur=1.0),
    **{f"Hausdorff, N={n:,}": loss(n, loss="hausdorff") for n in (15, 1000)},
    "Hessian in x, N=15": hessian(15, "x"),
    "Hessian in x, N=100": hessian(100, "x"),
    "Hessian in a, N=300": hessian(300, "a"),
    **{f"solve and hvp, N={n:,}": hvp(n) for n in (15, 200, 1000, 2500)},
    "kernel matrix, 1 column, N=100": matrix(100, 1),
    "kernel matrix, 8 columns, N=2,000": matrix(2000, 8),
    "kernel matrix, D=64, N=500": matrix(500, 4, 64),
    **{f"eigsh, N={n:,}": eigenpairs(n) for n in (50, 500, 5000)},
    **{f"conjugate gradients, N={n:,}": system(n) for n in (100, 2000)},
    **{f"knn, N={n:,}": neighbours(n) for n in (15, 500, 5000)},
    "knn, D=32, N=2,000": neighbours(2000, 32),
    "knn, a forest, D=32, N=2,000": neighbours(2000, 32, "forest"),
    **{f"KNNGraph, N={n:,}": layer(n, Weighted) for n in (100, 2000)},
    **{f"GravNet, N={n:,}": layer(n, gravnet) for n in (100, 2000)},
    **{f"DynamicEdgeConv, N={n:,}": layer(n, edges) for n in (100, 2000)},
}


@contextmanager
def others() -> Iterator[None]:
    """Busy loops, as other programs; each is ended at the end, and ends by itself if we are killed."""
    command = [sys.executable, "-c", LOOP]
    running = [subprocess.Popen(command) for _ in range(OTHERS)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()


def spent(run: Job, count: int) -> tuple[float, float]:
    """Processor time and wall time of a run, in seconds, the mean of ``count`` in a row."""
    time.sleep(SETTLED)
    processor, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        run()
    wall = time.perf_counter() - wall
    time.sleep(SETTLED)  # what spins after the last of them counts too
    return (time.process_time() - processor) / count, wall / count


def embedding(n: int) -> Job:
    """Spectral coordinates by a Gaussian graph."""
    x = clouds(n)[0]
    return lambda: sparseot.spectral_embedding(x, 8, 0.05)


LARGE: dict[str, Job] = {
    "Sinkhorn loss, D=64, N=10,000": loss(10_000, 64),
    "spectral_embedding, N=300,000": embedding(300_000),
}


def large() -> None:
    """A row a large job: seconds of one run, after a first one of a small cloud."""
    loss(1000, 64)(), embedding(5000)()
    print(f"\nSeconds, one run ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print("| job | processor | wall |\n| --- | --- | --- |")
    for name, run in LARGE.items():
        print(f"| {name} | {' | '.join(f'{t:.3g}' for t in spent(run, 1))} |", flush=True)


def main(rounds: int, part: str) -> None:
    """A row a job, medians over the rounds, and the sum of all."""
    jobs = {name: run for name, run in JOBS.items() if part in name}
    counts = {}
    for name, run in jobs.items():
        run(), run()  # compiled, and its memory taken
        counts[name] = max(1, round(LEAST / spent(run, 1)[0]))
    quiet: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    beside: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, run in jobs.items():
            quiet[name].append(spent(run, counts[name]))
        with others():
            for name, run in jobs.items():
                beside[name].append(spent(run, counts[name]))
    print(f"\nMilliseconds, {rounds} rounds ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print("| job | processor, quiet | beside 4 | ratio | wall, quiet | beside 4 |")
    print("| --- | --- | --- | --- | --- | --- |")
    total = [0.0] * 4
    for name in jobs:
        middle = [
            statistics.median(times)
            for t in (quiet, beside)
            for times in zip(*t[name], strict=True)
        ]
        total = [a + b for a, b in zip(total, middle, strict=True)]
        print(row(name, *middle), flush=True)
    print(row("all of them, once", *total))


def row(name: str, quiet: float, wall: float, beside: float, wall_beside: float) -> str:
    """One row of the table."""
    times = [f"{1e3 * t:.3g}" for t in (quiet, beside, wall, wall_beside)]
    times.insert(2, f"{beside / quiet:.2f}")
    return f"| {name} | {' | '.join(times)} |"


if __name__ == "__main__":
    if sys.argv[1:] == ["large"]:
        sys.exit(large())
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2] if len(sys.argv) > 2 else "")
