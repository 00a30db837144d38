"""Transport to a tolerance, on kept pairs: speed, true errors, growth and hard data.

python benchmarks/scale.py [--processor] [errors] [geomloss] [multiscale N] [growth] [million] [hard] [distances]

Each name is a table of its own. Uniform clouds as in losses.py. With --processor, seconds are those
of all processors together, on which other programs have little influence.
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
from losses import clouds

import sparseot as so

PROCESSOR = "--processor" in sys.argv
now = time.process_time if PROCESSOR else time.perf_counter


def clock(run: Callable[[], object], repeats: int = 3) -> tuple[float, object]:
    """Median seconds and the last result; :func:`warm` has compiled what runs."""
    result, times = None, []
    for _ in range(repeats):
        start = now()
        result = run()
        times.append(now() - start)
    return statistics.median(times), result


def divergence(x: torch.Tensor, y: torch.Tensor, **options):
    """A function that solves, and takes the gradient of the value in x."""

    def run():
        moving = x.detach().requires_grad_()
        found = so.solve_sample(moving, y, debias=True, **options)
        return found, torch.autograd.grad(found.value, moving)[0]

    return run


def geomloss_run(x, y, blur, backend, scaling=0.5):
    """GeomLoss's value and gradient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import geomloss
    loss = geomloss.SamplesLoss("sinkhorn", blur=blur, backend=backend, scaling=scaling)

    def run():
        moving = x.detach().requires_grad_()
        value = loss(moving, y)
        return value.item(), torch.autograd.grad(value, moving)[0]

    return run


def warm() -> None:
    """Compiles the loops, over kept pairs in both precisions, and wakes the threads."""
    x, y = clouds(20_000, 3)
    for points in ((x, y), (x[:, :2].contiguous(), y[:, :2].contiguous())):
        divergence(*points, blur=0.02)()


def row(*cells: object) -> None:
    """One row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(title: str, *cells: str) -> None:
    """The title, the machine, and the head of a table."""
    kind = "processor seconds, " if PROCESSOR else ""
    print(f"\n{title} ({kind}{machine()}, {time.strftime('%Y-%m-%d')})\n")
    row(*cells)
    row(*["---"] * len(cells))


def errors() -> None:
    """True errors at n = 10,000, against all pairs in double precision at tol 1e-7."""
    head("True errors, n = 10,000", "blur", "tol", "seconds", "value", "gradient (L2)")
    x, y = clouds(10_000, 3)
    for blur in (0.05, 0.01):
        solver = so.Sinkhorn(multilevel=False, max_sweeps=3000)
        exact, gradient = divergence(x.double(), y.double(), blur=blur, tol=1e-7, solver=solver)()
        torch.save((exact.value.item(), gradient), f"/tmp/scale_reference_{blur}.pt")
        for tol in (1e-2, 1e-3, 1e-4):
            seconds, (found, close) = clock(divergence(x, y, blur=blur, tol=tol))
            value = abs(found.value.item() / exact.value.item() - 1)
            distance = (close - gradient).norm() / gradient.norm()
            row(blur, f"{tol:g}", f"{seconds:.2f}", f"{value:.1e}", f"{distance:.1e}")


def geomloss() -> None:
    """n = 10,000 against the online backend, with true errors after ``errors``."""
    head("n = 10,000", "blur", "sparseot", "GeomLoss online", "ratio", "errors (ours)", "theirs")
    x, y = clouds(10_000, 3)
    for blur in (0.05, 0.01):
        value, gradient = torch.load(f"/tmp/scale_reference_{blur}.pt")
        mine, (found, close) = clock(divergence(x, y, blur=blur), 5)
        geomloss_run(x[:100], y[:100], blur, "online")()  # compiles
        other, (theirs, far) = clock(geomloss_run(x, y, blur, "online"), 1)
        shown = []
        for number, grad in ((found.value.item(), close), (theirs, far)):
            distance = (grad - gradient).norm() / gradient.norm()
            shown.append(f"{abs(number / value - 1):.1e}, {distance:.1e}")
        row(blur, f"{mine:.2f} s", f"{other:.1f} s", f"{other / mine:.0f}", *shown)


def multiscale(n: int) -> None:
    """Against the multiscale backend at blur .01, once; errors against a solve to 1e-6 in float64."""
    cells = (
        "sparseot",
        "GeomLoss multiscale",
        "ratio",
        "errors (ours)",
        "theirs",
        "reference within",
    )
    head(f"n = {n:,}, blur .01", "n", *cells)
    x, y = clouds(n, 3)
    exact, gradient = divergence(x.double(), y.double(), blur=0.01, tol=1e-6)()
    width = float((exact.upper - exact.lower) / exact.value)
    mine, (found, close) = clock(divergence(x, y, blur=0.01))
    geomloss_run(x[:3000], y[:3000], 0.01, "multiscale")()
    other, (theirs, far) = clock(geomloss_run(x, y, 0.01, "multiscale"), 1)
    shown = []
    for number, grad in ((found.value.item(), close), (theirs, far)):
        distance = (grad - gradient).norm() / gradient.norm()
        shown.append(f"{abs(number / exact.value.item() - 1):.1e}, {distance:.1e}")
    row(n, f"{mine:.2f} s", f"{other:.1f} s", f"{other / mine:.0f}", *shown, f"{width:.0e}")


def growth() -> None:
    """Seconds over n, at blur .01 and at a blur that shrinks with the spacing."""
    head("Growth", "n", "blur", "seconds", "kept pairs", "residual", "value")
    for n in (10_000, 30_000, 100_000):
        for blur in (0.01, 0.01 * (1e5 / n) ** (1 / 3)):
            x, y = clouds(n, 3)
            seconds, (found, _) = clock(divergence(x, y, blur=blur), 3)
            kept = f"{100 * found.levels[-1].kept:.2f} %"
            value = f"{found.value.item():.8f}"
            row(f"{n:,}", f"{blur:.4f}", f"{seconds:.2f}", kept, f"{found.residual:.1e}", value)


def million() -> None:
    """From 1e5 points to 1e6, at a blur that shrinks with the spacing and at blur .01; raw value."""
    head("Growth, raw value", "n", "blur", "seconds", "converged", "error", "peak GB", "value")
    for n, blur in ((100_000, 0.01), (1_000_000, 0.01 * 0.1 ** (1 / 3)), (1_000_000, 0.01)):
        x, y = clouds(n, 3)
        repeats = 3 if n == 100_000 else 1
        seconds, found = clock(
            lambda x=x, y=y, blur=blur: so.solve_sample(x, y, blur=blur), repeats
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        shown = f"{seconds:.2f}", found.converged, f"{found.residual:.1e}", f"{peak:.1f}"
        row(f"{n:,}", f"{blur:.4f}", *shown, f"{found.value.item():.7f}")


def distances() -> None:
    """p = 1 beside p = 2 at n = 100,000 and blur .01, in turn; raw value, medians of three."""
    head("p = 1 and p = 2, n = 100,000, blur .01", "D", "p", "seconds", "ratio", "kept", "error")
    for dim in (2, 3):
        x, y = clouds(100_000, dim)
        times: dict[int, list[float]] = {1: [], 2: []}
        found = {}
        for _ in range(4):
            for p, seconds in times.items():
                taken, found[p] = clock(
                    lambda p=p, x=x, y=y: so.solve_sample(x, y, p=p, blur=0.01), 1
                )
                seconds.append(taken)
        middle = {p: statistics.median(seconds[1:]) for p, seconds in times.items()}
        for p, one in found.items():
            kept = f"{100 * one.kept_fraction:.1f} %"
            ratio = f"{middle[p] / middle[2]:.1f}"
            row(dim, p, f"{middle[p]:.2f}", ratio, kept, f"{one.residual:.1e}")


def hard() -> None:
    """Gaps, clusters, anisotropy, weights, two dimensions: accelerated against plain sweeps."""
    cells = "seconds", "sweeps", "error", "plain: seconds", "sweeps", "error", "ratio"
    head("Hard data, n = 10,000, blur .01", "data", *cells)
    torch.manual_seed(0)
    n = 10_000

    def clusters(count: int, spread: float, dim: int = 3) -> torch.Tensor:
        centres = torch.rand(count, dim)
        return centres[torch.randint(count, (n,))] + spread * torch.randn(n, dim)

    weights = torch.randn(n).exp()
    data = {
        "5 and 7 clusters, sd .05": (clusters(5, 0.05), clusters(7, 0.05), None),
        "5 and 7 clusters, sd .015": (clusters(5, 0.015), clusters(7, 0.015), None),
        "anisotropic": (
            torch.rand(n, 3) * torch.tensor([1, 0.1, 0.01]),
            torch.rand(n, 3) * 0.3,
            None,
        ),
        "two dimensions": (torch.rand(n, 2), 0.5 * torch.rand(n, 2) + 0.4, None),
        "log-normal weights": (torch.rand(n, 3), torch.rand(n, 3), weights / weights.sum()),
    }
    for name, (x, y, a) in data.items():
        cells = []
        for accelerate in (True, False):
            solver = so.Sinkhorn(accelerate=accelerate, max_sweeps=4000)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seconds, found = clock(
                    lambda s=solver, x=x, y=y, a=a: so.solve_sample(x, y, a, blur=0.01, solver=s), 1
                )
            cells += [seconds, found.levels[-1].sweeps, found.residual]
        shown = (f"{c:.2f}" if k % 3 == 0 else f"{c:.0f}" if k % 3 == 1 else f"{c:.0e}"
                 for k, c in enumerate(cells))  # fmt: skip
        row(name, *shown, f"{cells[3] / cells[0]:.1f}")


TABLES = {t.__name__: t for t in (errors, geomloss, growth, million, hard, distances)}

if __name__ == "__main__":
    asked = [name for name in sys.argv[1:] if name != "--processor"] or [
        "errors",
        "geomloss",
        "growth",
        "hard",
    ]
    warm()
    while asked:
        name = asked.pop(0)
        if name == "multiscale":
            multiscale(int(asked.pop(0)))
        else:
            TABLES[name]()
