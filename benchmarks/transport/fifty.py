"""Fifty dimensions: all pairs throughout against leaves first, and low rank beside them.

cd benchmarks && PYTHONPATH=. python transport/fifty.py [N ...] [oracle] [ott PYTHON_WITH_OTT]

Simulated cells of two stages (``sparseot.datasets.cells``), epsilon 5 % of the mean cost, tol 1e-2: the value,
its gradients in both clouds and the interval, of ``Sinkhorn(multilevel=False)`` and of the default, in turn.
Up to 20,000 points errors are those against a solve to 1e-4 from leaves; above, the interval is the evidence.
"oracle" tells which share of tiles of 256 points holds any part of a row or column, for the first N. OTT's
LRSinkhorn runs in a process of its own, this script's with the word "peer"; the objective of its plan,
entropy included, is set beside the interval that contains the least one.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TOL, SHARE, D = 1e-2, 0.05, 50
CHECKED, TIGHT = 20_000, 1e-4
RANKS = (50, 200, 500)


def clouds(n: int) -> tuple[Any, Any, float]:
    """Early and late cells, and the blur."""
    import torch

    import sparseot as so

    x, y = (so.datasets.cells(n, D, stage=s, seed=k)[0] for k, s in enumerate((0.35, 0.8)))
    cost = (torch.cdist(x[:4000], y[:4000]).double() ** 2 / 2).mean()
    return x, y, math.sqrt(SHARE * float(cost))


def answer(
    x: Any, y: Any, blur: float, multilevel: bool | None, tol: float = TOL
) -> dict[str, Any]:
    """Value, gradients, interval, and the seconds that each took."""
    import torch

    import sparseot as so

    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    marks = [time.perf_counter()]
    found = so.solve_sample(x, y, blur=blur, tol=tol, solver=so.Sinkhorn(multilevel=multilevel))
    marks.append(time.perf_counter())
    gradients = torch.autograd.grad(found.value, (x, y))
    marks.append(time.perf_counter())
    ends = float(found.lower), float(found.upper)
    marks.append(time.perf_counter())
    parts = [after - before for before, after in zip(marks[:-1], marks[1:], strict=True)]
    value, sweeps = found.value.item(), sum(v.sweeps for v in found.levels if v.points[0] == len(x))
    return {
        "value": value,
        "gradients": gradients,
        "ends": ends,
        "parts": parts,
        "seconds": sum(parts),
        "sweeps": sweeps,
        "residual": found.residual,
    }


def compare(n: int) -> None:
    """Two rows, and how far they are from each other or from a tighter solve."""
    x, y, blur = clouds(n)
    new, old = answer(x, y, blur, True), answer(x, y, blur, False)
    best = answer(x, y, blur, True, TIGHT) if n <= CHECKED else None
    for name, found in (("all pairs", old), ("from leaves", new)):
        solve, gradient, interval = found["parts"]
        times = f"{solve:.1f} + {gradient:.1f} + {interval:.1f} s | {found['sweeps']:g}"
        low, high = found["ends"]
        width = f"{found['residual']:.1e} | {100 * (high - low) / found['value']:.2f} %"
        errors = "| |"
        if best is not None:
            wrong = [
                float((g - t).norm() / t.norm())
                for g, t in zip(found["gradients"], best["gradients"], strict=True)
            ]
            assert low <= best["ends"][1] and best["ends"][0] <= high
            off = abs(found["value"] / best["value"] - 1)
            errors = f"| {off:.1e} | {wrong[0]:.1e}, {wrong[1]:.1e} |"
        print(f"| {n:,} | {name} | {times} | {width} {errors}", flush=True)
    print(f"| | ratio | {old['seconds'] / new['seconds']:.1f} | | | | | |", flush=True)


def oracle(n: int, size: int = 256) -> None:
    """Which share of the tiles of a kd-tree along principal axes holds any row's or column's part."""
    import torch

    import sparseot as so
    from sparseot.pairs import partition

    x, y, blur = clouds(n)
    found = so.solve_sample(x, y, blur=blur, tol=1e-3)
    f, g = found.potentials
    axes = torch.linalg.eigh(torch.cov(torch.cat((x, y)).T))[1].flip(1)
    orders = [torch.from_numpy(partition((c @ axes).numpy(), size).order) for c in (x, y)]
    count = n // size * size
    (x, f), (y, g) = ((c[o], h[o]) for c, h, o in zip((x, y), (f, g), orders, strict=True))
    shares = []
    for first in range(0, count, size):
        rows = slice(first, first + size)
        cost = torch.cdist(x[rows], y[:count]) ** 2 / 2
        plan = ((f[rows, None] + g[None, :count] - cost) / blur**2).exp() / n
        tiles = plan.view(size, -1, size)
        shares.append(torch.maximum(tiles.sum(2).amax(0), tiles.sum(0).amax(1)))
    largest = torch.cat(shares)
    kept = [
        f"{float((largest > bar).float().mean()):.0%} hold {bar:g}" for bar in (1e-2, 1e-3, 1e-4)
    ]
    print(f"\nOf tiles of {size} points, n = {n:,}: {', '.join(kept)} of a row or column\n")


def low_rank(python: str, n: int) -> None:
    """The objective of OTT's low-rank plans, beside the interval."""
    import numpy as np
    import torch

    x, y, blur = clouds(n)
    mine = answer(x, y, blur, True, 1e-3)
    (low, high), eps = mine["ends"], blur**2
    print(
        f"\nn = {n:,}: the least objective is in [{low:.3f}, {high:.3f}]; {mine['seconds']:.1f} s\n"
    )
    print(
        "| rank | seconds | cost of the plan | objective, entropy included | excess |\n|"
        + " --- |" * 5
    )
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "clouds.npz", x=x.numpy(), y=y.numpy())
        for rank in RANKS:
            command = [python, __file__, "peer", folder, str(rank)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            seconds = json.loads(out.splitlines()[-1])
            plan = np.load(Path(folder) / "plan.npz")
            q, r, g = (torch.from_numpy(plan[k]).double() for k in ("q", "r", "g"))
            q, r = q * (1 / n / q.sum(1, keepdim=True)), r * (1 / n / r.sum(1, keepdim=True))
            cost = entropy = 0.0
            for rows in torch.arange(n).split(1000):
                entries = (q[rows] / g) @ r.T
                cost += float((entries * (torch.cdist(x[rows], y).double() ** 2 / 2)).sum())
                entropy += float(torch.xlogy(entries, entries * n * n).sum())
            total = cost + eps * entropy
            print(
                f"| {rank} | {seconds:.1f} s | {cost:.3f} | {total:.3f} | {100 * (total / high - 1):.1f} % |",
                flush=True,
            )


def peer(folder: str, rank: int) -> None:
    """OTT's half: writes the factors of its plan, prints seconds."""
    import jax
    import numpy as np
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn_lr

    both = np.load(Path(folder) / "clouds.npz")

    def solve(x: Any, y: Any) -> Any:
        geometry = pointcloud.PointCloud(x, y)
        return sinkhorn_lr.LRSinkhorn(rank=rank)(linear_problem.LinearProblem(geometry))

    jitted = jax.jit(solve)
    jax.block_until_ready(jitted(both["x"], both["y"]))
    began = time.perf_counter()
    out = jax.block_until_ready(jitted(both["x"], both["y"]))
    seconds = time.perf_counter() - began
    np.savez(
        Path(folder) / "plan.npz", q=np.asarray(out.q), r=np.asarray(out.r), g=np.asarray(out.g)
    )
    print(json.dumps(seconds))


def main(asked: list[str]) -> None:
    """The tables that were asked for."""
    sizes = [int(word) for word in asked if word.isdigit()] or [20_000]
    if "ott" in asked:
        low_rank(asked[asked.index("ott") + 1], sizes[0])
        return
    if "oracle" in asked:
        oracle(sizes[0])
        return
    print(f"\nD = {D}, tol {TOL:g} ({time.strftime('%Y-%m-%d')})\n")
    print(
        "| points | solve | value + gradients + interval | sweeps over all pairs | marginals",
        end="",
    )
    print(" | interval | error of the value | of the gradients |\n|" + " --- |" * 8)
    for n in sizes:
        compare(n)


if __name__ == "__main__":
    if sys.argv[1:2] == ["peer"]:
        peer(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1:])
