"""Hessians of the debiased Sinkhorn divergence, against OTT-JAX: both solve to 1e-3, solve included.

python benchmarks/hessians.py PYTHON_WITH_OTT     (a virtual environment: pip install ott-jax)
python benchmarks/hessians.py                     (ours alone)
python benchmarks/hessians.py --processor         (ours, in processor time: for a busy machine)
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from helpers.timing import machine
from torch.autograd.functional import hessian as by_autograd

import sparseot

Clouds = tuple[torch.Tensor, ...]
BLUR = 0.1


def clouds(n: int, m: int) -> Clouds:
    """Uniform points of the unit cube, and random weights, as in OTT's tutorial."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(k, 3, generator=generator).double() for k in (n, m))
    a, b = (torch.rand(k, generator=generator).double() + 0.1 for k in (n, m))
    return x, y, a / a.sum(), b / b.sum()


def direct(inputs: Clouds, wrt: str, tol: float = 1e-3) -> torch.Tensor:
    """The solve and the dense Hessian, by the direct door."""
    x, y, a, b = inputs
    found = sparseot.solve_sample(x, y, a, b, blur=BLUR, debias=True, tol=tol)
    return sparseot.hessian(found, wrt).to_dense()


def autograd(inputs: Clouds, wrt: str) -> torch.Tensor:
    """The same through torch.autograd.functional.hessian, one row at a time."""
    x, y, a, b = inputs
    loss = sparseot.SamplesLoss("sinkhorn", blur=BLUR, tol=1e-3)
    if wrt == "x":
        return by_autograd(lambda x: loss(a, x, b, y), x)
    return by_autograd(lambda a: loss(a, x, b, y), a)


def seconds(run: Callable[[], torch.Tensor], repeats: int) -> tuple[float, torch.Tensor]:
    """The median, the first call apart, and the result."""
    found, times = run(), []
    for _ in range(repeats):
        start = time.perf_counter()
        found = run()
        times.append(time.perf_counter() - start)
    return statistics.median(times), found


def processor() -> None:
    """The smallest time that the processor spent on a run, over all threads."""
    print("\n| Hessian | hessian(...) | functional.hessian |\n| --- | --- | --- |")
    for (n, m), repeats in (((15, 17), 100), ((100, 100), 20)):
        inputs = clouds(n, m)
        for wrt in "ax":
            row = [f"in {wrt}, {n} x {m}"]
            for run in (direct, autograd):
                run(inputs, wrt)
                times = []
                for _ in range(repeats):
                    start = time.process_time()
                    run(inputs, wrt)
                    times.append(time.process_time() - start)
                row.append(f"{1e3 * min(times):.3g} ms")
            print("| " + " | ".join(row) + " |", flush=True)


def peer(python: str, inputs: Clouds, wrt: str, repeats: int) -> tuple[float, float, torch.Tensor]:
    """OTT's median, its compile time, and its Hessian for our cost |x - y|^2 / 2."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clouds.npz"
        arrays = {k: v.float().numpy() for k, v in zip("xyab", inputs, strict=True)}
        np.savez(path, epsilon=2 * BLUR**2, **arrays)
        script = str(Path(__file__).parent / "helpers" / "hessians_ott.py")
        command = [python, script, str(path), wrt, str(repeats)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        told = json.loads(out.splitlines()[-1])
        return told["median"], told["compile"], torch.from_numpy(np.load(f"{path}.{wrt}.npy")) / 2


def error(found: torch.Tensor, exact: torch.Tensor, wrt: str) -> float:
    """Relative, of centred matrices in the weights, where constants are free."""
    found = found.double()
    if wrt == "a":
        found = found - found.mean(0)
        found = found - found.mean(1, keepdim=True)
    return float((found - exact).norm() / exact.norm())


def against_ott(python: str | None) -> None:
    """One row for each size and argument; errors against the Hessian of a solve to 1e-12."""
    print(f"\n{machine()}, {time.strftime('%Y-%m-%d')}; times and relative errors\n")
    print("| Hessian | hessian(...) | functional.hessian | OTT, jitted | its compilation |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    for (n, m), repeats in (((15, 17), 30), ((100, 100), 5)):
        inputs = clouds(n, m)
        for wrt in "ax":
            exact = direct(inputs, wrt, tol=1e-12)
            row = [f"in {wrt}, {n} x {m}"]
            for run in (direct, autograd):
                time_, found = seconds(partial(run, inputs, wrt), repeats)
                row.append(f"{1e3 * time_:.3g} ms, {error(found, exact, wrt):.0e}")
            if python:
                time_, first, found = peer(python, inputs, wrt, repeats)
                row.append(f"{1e3 * time_:.3g} ms, {error(found, exact, wrt):.0e}")
                row.append(f"{first:.1f} s")
            print("| " + " | ".join(row) + " |", flush=True)


def larger() -> None:
    """A dense Hessian of 1,500 x 1,500, and one product at 5,000 points."""
    inputs = clouds(500, 500)
    time_, _ = seconds(lambda: direct(inputs, "x"), 5)
    print(f"\nn = 500, dense in x, solve included: {1e3 * time_:.0f} ms")
    x, y, a, b = clouds(5000, 5000)
    found = sparseot.solve_sample(x, y, a, b, blur=BLUR, debias=True)
    v = torch.randn(5000, 3).double()
    time_, _ = seconds(lambda: found.hvp(v), 3)
    print(f"n = 5,000, one product: {time_:.2f} s; eight: ", end="")
    time_, _ = seconds(lambda: found.hvp(v[..., None].expand(-1, -1, 8).contiguous()), 1)
    print(f"{time_:.2f} s")


if __name__ == "__main__":
    if sys.argv[1:] == ["--processor"]:
        sys.exit(processor())
    against_ott(sys.argv[1] if len(sys.argv) > 1 else None)
    larger()
