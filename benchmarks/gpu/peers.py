"""On one CUDA device: sums, losses, solves and neighbours beside KeOps, GeomLoss and flash-sinkhorn.

cd benchmarks && python -m gpu.peers [seconds]

It ends after 540 seconds, or as many as are given: the rows that matter most come first. Speeds are
compared with the errors that both made, of a few rows against float64. flash-sinkhorn is compared
where it is installed, with TF32 and without.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable

import torch
from helpers.timing import loss_and_gradient, machine
from losses import clouds

import sparseot as so
from sparseot.engines.choose import load
from sparseot.engines.triton.card.tuning import ENOUGH
from sparseot.formulas import ground_cost

ROWS = 64  # that are summed in double precision
BLUR = 0.1
Run = Callable[[], torch.Tensor]
DEADLINE = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 540)


def seconds(run: Run, most: int = 5) -> tuple[float, torch.Tensor]:
    """The median of some runs, fewer where one takes long, and the result; the first is not counted."""
    result, times = run(), []
    torch.cuda.synchronize()
    while len(times) < most and sum(times) < 5:
        start = time.perf_counter()
        result = run()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def row(label: str, pairs: float, runs: dict[str, Run], error: Callable[[torch.Tensor], float]):
    """One line: what each takes, how many pairs a second that is, and how wrong it is."""
    cells = []
    for name, run in runs.items():
        if time.monotonic() > DEADLINE:
            sys.exit("\nOut of time.")
        try:
            took, result = seconds(run)
        except Exception as failure:  # a peer that fails is a result
            cells.append(f"{name}: {type(failure).__name__}")
            torch.cuda.empty_cache()
            continue
        rate = f", {pairs / took:.2g}/s" if pairs else ""
        cells.append(f"{name} {1e3 * took:.3g} ms{rate}, error {error(result):.1e}")
    print(f"| {label} | {' | '.join(cells)} |", flush=True)


def points(n: int, dimension: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Both clouds of all rows."""
    x, y = (z.cuda() for z in clouds(n, dimension))
    return x, y


def softmins(n: int, dimension: int) -> None:
    """A softmin by Triton and by KeOps, with a guess that is right to a temperature."""
    x, y = (z[None] for z in points(n, dimension))
    eps, col = x.new_full((1,), BLUR**2 * dimension / 3), torch.zeros_like(y[..., 0])
    few = x[:, :ROWS].double()
    exact = torch.logsumexp(-torch.cdist(few, y.double()).square() / (2 * eps.double()), -1)
    ours = load("triton").bind(x, y)
    guess = ours.logsumexp(ground_cost(2), eps, col) + 1
    runs = {"triton": lambda: ours.logsumexp(ground_cost(2), eps, col, guess)}
    if n**2 >= ENOUGH:
        usual = load("triton", tuned=False).bind(x, y)
        runs["triton, its usual tile"] = lambda: usual.logsumexp(ground_cost(2), eps, col, guess)
    if n <= 100_000:
        keops = load("keops").bind(x, y)
        runs["KeOps"] = lambda: keops.logsumexp(ground_cost(2), eps, col, guess)
    row(f"softmin, n={n:,}, D={dimension}", float(n) ** 2, runs,
        lambda found: float((found[:, :ROWS] - exact).abs().max()))  # fmt: skip


def products(n: int, dimension: int) -> None:
    """A Gaussian sum of one column."""
    x, y = (z[None] for z in points(n, dimension))
    v, kernel = torch.rand_like(y[..., :1]), so.kernels.Gaussian(0.2 * dimension**0.5)
    squares = torch.cdist(x[:, :ROWS].double(), y.double()).square()
    exact = kernel(squares) @ v.double()
    names = ("triton", "keops") if n <= 100_000 else ("triton",)
    bound = {name: load(name).bind(x, y) for name in names}
    runs = {name: lambda s=sums: s.sum(kernel, v) for name, sums in bound.items()}
    row(f"Gaussian sum, n={n:,}, D={dimension}", float(n) ** 2, runs,
        lambda found: float(((found[:, :ROWS] - exact) / exact).abs().max()))  # fmt: skip


def losses(n: int, dimension: int) -> None:
    """Value and gradient; the error is the distance from a gradient in double precision, where n allows."""
    x, y = points(n, dimension)
    double = loss_and_gradient(so.SamplesLoss(blur=BLUR), x.double(), y.double())()[1]
    runs = {"sparseot": so.SamplesLoss(blur=BLUR)}
    if n <= 50_000:
        import geomloss

        runs["GeomLoss online"] = geomloss.SamplesLoss(blur=BLUR, backend="online")
    try:
        from flash_sinkhorn import SamplesLoss as Flash
    except ImportError:
        pass
    else:
        for fast in (True, False):
            flash = Flash("sinkhorn", blur=BLUR, half_cost=True, allow_tf32=fast)
            runs[f"flash-sinkhorn{', TF32' if fast else ''}"] = flash
    row(f"divergence and gradient, n={n:,}, D={dimension}", 0.0,
        {name: lambda f=f: loss_and_gradient(f, x, y)()[1] for name, f in runs.items()},
        lambda found: float((found - double).norm() / double.norm()))  # fmt: skip


def solves(n: int, dimension: int, blur: float, multilevel: bool | None) -> None:
    """Transport to marginals of a thousandth; the error is that of the marginals."""
    x, y = points(n, dimension)
    solver = so.Sinkhorn(multilevel=multilevel)
    errors: list[float] = []

    def run() -> torch.Tensor:
        found = so.solve_sample(x, y, blur=blur, tol=1e-3, solver=solver)
        errors.append(float(torch.as_tensor(found.residual).max()))
        return found.value

    how = "kept pairs" if multilevel else "all pairs"
    row(f"solve, n={n:,}, D={dimension}, blur {blur}, {how}", 0.0, {"sparseot": run},
        lambda _: errors[-1])  # fmt: skip


def hessian(n: int) -> None:
    """One product with the Hessian of a divergence."""
    x, y = points(n, 3)
    H = so.hessian(so.solve_sample(x, y, blur=BLUR, debias=True))
    v = torch.rand_like(x).flatten()
    row(f"Hessian product, n={n:,}, D=3", 0.0, {"sparseot": lambda: H @ v}, lambda _: math.nan)


def neighbours(n: int, dimension: int, k: int) -> None:
    """The share of wrong neighbours of a few points."""
    x, _ = points(n, dimension)
    few = torch.cdist(x[:ROWS].double(), x.double()).topk(k + 1, largest=False).indices[:, 1:]
    runs = {
        name: lambda m=name: so.knn(x, k=k, method=m).indices
        for name in ("triton", "tiles", "keops")
    }
    row(f"{k} neighbours, n={n:,}, D={dimension}", float(n) ** 2, runs,
        lambda found: float((found[:ROWS].sort().values != few.sort().values).float().mean()))  # fmt: skip


TABLE: list[Callable[[], None]] = [
    *(lambda d=d, n=n: softmins(n, d) for n in (100_000, 10_000) for d in (3, 16, 64)),
    *(lambda d=d: products(100_000, d) for d in (3, 16, 64)),
    lambda: losses(10_000, 3),
    lambda: losses(10_000, 64),
    lambda: solves(100_000, 3, 0.01, True),
    lambda: solves(1_000_000, 3, 0.01, True),
    lambda: neighbours(1_000_000, 3, 10),
    lambda: losses(50_000, 64),
    lambda: solves(100_000, 50, 1.0, None),
    lambda: hessian(10_000),
    *(lambda d=d: softmins(1_000_000, d) for d in (3, 16, 64)),
    *(lambda d=d: products(1_000_000, d) for d in (3, 16, 64)),
]


def main() -> None:
    """All rows, until the time is over."""
    if not torch.cuda.is_available():
        sys.exit("gpu.peers needs a CUDA device; torch.cuda.is_available() is False.")
    print(f"{machine()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}\n", flush=True)
    for rows in TABLE:
        rows()


if __name__ == "__main__":
    main()
