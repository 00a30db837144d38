"""What the kernels cost on an H100 or H200, told without one: see sass.py.

cd benchmarks && python -m gpu.report [--json] [--candidates] [--capability 80|90]

A prediction is four fifths of the ceiling, a guess that only a card can check.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import triton

from sparseot import kernels
from sparseot.engines.base import KEPT_BLOCK
from sparseot.engines.choose import tile_loops
from sparseot.engines.kept import Blocks, TileRows
from sparseot.engines.triton import nearest, reductions, small
from sparseot.engines.triton.card import launches, tuning
from sparseot.engines.triton.engine import Triton
from sparseot.engines.triton.entries import LONGEST
from sparseot.engines.triton.shapes import Shape
from sparseot.formulas import ground_cost

from .sass import SHARED, Compiled, Launch, ceiling, clocks, compiled
from .trees import FORMULAS

SHARE = 0.8  # of a ceiling that is expected
POINTS = 4096
UNROLLED = 4  # steps of a scalar product, which compilers write out
Task = Callable[[], object]


def softmin(
    dimension: int,
    power: int = 2,
    dtype: torch.dtype = torch.float32,
    slopes: bool = False,
    **options: Any,
):
    """A softmin of one iteration of Sinkhorn, or the last one with its gradient."""
    x = torch.zeros(1, POINTS, dimension, dtype=dtype)
    task = ground_cost(power), torch.ones(1, dtype=dtype), x[..., 0], x[..., 0]
    name = "logsumexp_slopes" if slopes else "logsumexp"
    return lambda: getattr(Triton(**options).bind(x, x), name)(*task)


def product(
    kernel: Any, dimension: int, columns: int, dtype: torch.dtype = torch.float32, scaled: bool = False
):  # fmt: skip
    """A kernel sum, or one over a plan."""
    x = torch.zeros(1, POINTS, dimension, dtype=dtype)
    v, logs = x.new_zeros(1, POINTS, columns), x[..., 0] if scaled else None
    return lambda: Triton().bind(x, x).sum(kernel, v, logs, logs)


def moved(kernel: Any, dimension: int, dtype: torch.dtype = torch.float32):
    """A kernel sum with its gradient."""
    x = torch.zeros(1, POINTS, dimension, dtype=dtype)
    return lambda: Triton().bind(x, x).sum_slopes(kernel, x[..., :1])


def schedule(power: int = 2, dtype: torch.dtype = torch.float32, dimension: int = 3):
    """All steps of a small divergence, in one kernel."""
    x = torch.zeros(1, 512, dimension, dtype=dtype)
    places, steps = torch.zeros(1, dtype=torch.int64), torch.ones(8, 1, dtype=dtype)
    task = ground_cost(power), steps, -steps, places, x[..., 0], places, places
    return lambda: Triton().bind(x, x).annealed(*task)


def joined() -> object:
    """What follows a softmin whose columns several programs share."""
    x = torch.zeros(1, POINTS, 3)
    return Triton().bind(x, x)._joined(torch.zeros(4, 1, POINTS))


def two(dimension: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Clouds for a search."""
    x = torch.zeros(POINTS, dimension, dtype=dtype)
    return x, x


def kept(power: int, columns: int = 0, dtype: torch.dtype = torch.float32, peaks: bool = False):
    """A half-step over kept tiles, or a product with some columns."""
    zeros = torch.zeros(64, 3, dtype=torch.float64)
    offsets = torch.zeros(64, 3, KEPT_BLOCK, dtype=dtype)
    blocks, biases = Blocks(zeros, zeros, zeros[:, 0], offsets), (offsets[:, 0], offsets[:, 0])
    tiles = TileRows(torch.arange(65), torch.arange(64).int())
    loops = tile_loops("triton", power)
    if not columns:
        return lambda: loops.sums(tiles, blocks, blocks, biases, peaks=peaks)
    v = torch.zeros(64, columns, KEPT_BLOCK, dtype=dtype)
    return lambda: loops.products(tiles, blocks, blocks, biases, v)


KERNELS: dict[str, Task] = {
    "softmin, D = 3": softmin(3),
    "softmin of distances, D = 3": softmin(3, 1),
    "softmin, D = 3, float64": softmin(3, dtype=torch.float64),
    "softmin of distances, D = 2, float64": softmin(2, 1, torch.float64),
    "softmin, D = 6": softmin(6),
    "softmin, D = 16": softmin(16),
    "softmin of distances, D = 16": softmin(16, 1),
    "softmin, D = 64": softmin(64),
    "softmin, D = 64, one product": softmin(64, precision="float16"),
    "softmin of distances, D = 64": softmin(64, 1),
    "softmin, D = 128": softmin(128),
    "softmins of four parts joined": joined,
    "schedule of a small problem, D = 3": schedule(),
    "schedule of a small problem of distances, D = 3": schedule(1),
    "schedule of a small problem, D = 3, float64": schedule(dtype=torch.float64),
    "schedule of a small problem of distances, D = 3, float64": schedule(1, torch.float64),
    "schedule of a small problem, D = 2": schedule(dimension=2),
    "schedule of a small problem, D = 6": schedule(dimension=6),
    "schedule of a small problem, D = 6, float64": schedule(2, torch.float64, 6),
    "schedule of a small problem, D = 16": schedule(dimension=16),
    "schedule of a small problem of distances, D = 16": schedule(1, dimension=16),
    "schedule of a small problem, D = 64": schedule(dimension=64),
    "softmin and its gradient, D = 3": softmin(3, slopes=True),
    "softmin of distances and its gradient, D = 3": softmin(3, 1, slopes=True),
    "softmin and its gradient, D = 3, float64": softmin(3, dtype=torch.float64, slopes=True),
    "softmin of distances and its gradient, D = 3, float64": softmin(
        3, 1, torch.float64, slopes=True
    ),
    "softmin and its gradient, D = 6": softmin(6, slopes=True),
    "softmin and its gradient, D = 6, float64": softmin(6, dtype=torch.float64, slopes=True),
    "softmin and its gradient, D = 16": softmin(16, slopes=True),
    "softmin and its gradient, D = 64, in 2 passes": softmin(64, slopes=True),
    "Gaussian sum and its gradient, D = 3": moved(kernels.Gaussian(1.0), 3),
    "Gaussian sum and its gradient, D = 6": moved(kernels.Gaussian(1.0), 6),
    "Gaussian sum and its gradient, D = 6, float64": moved(kernels.Gaussian(1.0), 6, torch.float64),
    "energy sum and its gradient, D = 3": moved(kernels.Energy(), 3),
    "inverse multiquadric and its gradient, D = 3": moved(kernels.InverseMultiquadric(1.0), 3),
    "Laplacian sum and its gradient, D = 3, float64": moved(
        kernels.Laplacian(1.0), 3, torch.float64
    ),
    "Gaussian sum, D = 3": product(kernels.Gaussian(1.0), 3, 1),
    "Laplacian sum, D = 3": product(kernels.Laplacian(1.0), 3, 1),
    "energy sum, D = 3": product(kernels.Energy(), 3, 1),
    "plan times 4 columns, D = 3": product(kernels.Gaussian(1.0), 3, 4, scaled=True),
    "plan times 4 columns, D = 3, float64": product(
        kernels.Gaussian(1.0), 3, 4, torch.float64, True
    ),
    "Gaussian sum, 32 columns, D = 3": product(kernels.Gaussian(1.0), 3, 32),
    "Gaussian sum, D = 64": product(kernels.Gaussian(1.0), 64, 1),
    "plan times 65 columns, D = 64, in 3 passes": product(
        kernels.Gaussian(1.0), 64, 65, scaled=True
    ),
    "inverse multiquadric, D = 64": product(kernels.InverseMultiquadric(1.0), 64, 1),
    "nearest 7 points, D = 3": lambda: nearest.nearest(*two(3), 16),
    "nearest 50 points, D = 3": lambda: nearest.nearest(*two(3), 64),
    "nearest 64 points, D = 16": lambda: nearest.nearest(*two(16), 73),
    "nearest 64 points, D = 3, float64": lambda: nearest.nearest(*two(3, torch.float64), 73),
    "kept pairs, D = 3": kept(2),
    "kept pairs, D = 3, largest of each tile": kept(2, peaks=True),
    "kept pairs, D = 3, float64": kept(2, dtype=torch.float64),
    "kept pairs of distances, D = 3": kept(1),
    "kept pairs times 4 columns, D = 3": kept(2, 4),
    "kept pairs times 4 columns, D = 3, float64": kept(2, 4, torch.float64),
    "kept pairs of distances times 4 columns, D = 3": kept(1, 4),
}
PARTS = {"kernels": KERNELS, "formulas": FORMULAS}


def recorded(task: Task) -> Launch:
    """What a task would run on a card, at last."""
    found: list[Launch] = []

    def note(
        kernel: Any, grid: Any, warps: int, *args: Any, most: int | None = None, **switches: Any
    ) -> None:
        found.append(Launch(kernel, warps, args, switches, most))

    was, launches.launch = launches.launch, note
    try:
        task()
    finally:
        launches.launch = was
    return found[-1]


class Nth:
    """Instead of a clock: takes one of the candidates, and counts them."""

    def __init__(self, place: int) -> None:
        self.place, self.count = place, 1

    def best(self, kind: Any, shapes: Sequence[Shape], run: Any, device: torch.device) -> Shape:
        self.count = len(shapes)
        return shapes[min(self.place, self.count - 1)]


def candidates(task: Task) -> list[Launch]:
    """What a task would run on a card for each tile that may be the fastest there."""
    known = tuning.ENOUGH, tuning.ENOUGH_TILES, tuning.CHOICES
    found, chooser = [], Nth(0)
    try:
        tuning.ENOUGH = tuning.ENOUGH_TILES = 1
        while len(found) < chooser.count:
            tuning.CHOICES = chooser = Nth(len(found))
            found.append(recorded(task))
    finally:
        tuning.ENOUGH, tuning.ENOUGH_TILES, tuning.CHOICES = known
    return found


def measured(launch: Launch, capability: int) -> dict[str, Any]:
    """The figures of one kernel; clocks only where a pair takes the same work whatever the points are."""
    made, switches = compiled(launch, capability), launch.switches
    rows, columns = (switches.get(name, KEPT_BLOCK) for name in ("BM", "BN"))
    if launch.kernel is reductions.kernels.joined:
        rows, columns = switches["B"], 1
    found: dict[str, Any] = {
        "tile": f"{rows} x {columns}",
        "warps": launch.warps,
        "registers": made.registers,
        "spills": made.spills + made.stack,
        "atomics": made.atomics,
        "shared": made.shared,
        "room": SHARED[capability],
    }
    if not _is_straight(launch):
        return found
    pairs = rows * columns / launch.warps
    body = _loop(made, launch)
    rate, found["bound"] = ceiling(body, pairs)
    named = dict(zip(launch.kernel.arg_names, launch.arguments, strict=False))
    found["ceiling"] = rate / named.get("groups", 1)  # each visits all pairs
    found["clocks"] = {name: 32 * n / pairs for name, n in clocks(body).most_common(4)}
    return found


def _is_straight(launch: Launch) -> bool:
    """Whether the work of a pair depends on no loop over coordinates, nor on how often a point comes nearer."""
    switches = launch.switches
    if "D" not in switches:
        text = Path(launch.kernel.fn.__code__.co_filename).read_text()
        products = re.findall(r"inner\(.*, (\d+), (\d+), BM", text)
        looped = any(int(d) > UNROLLED * int(k) for d, k in products)
        return not looped and "nearer(best" not in text and "    for d" not in text
    whole = LONGEST.value if switches.get("HALVES") else switches.get("BK", switches["D"])
    return switches["D"] <= whole and launch.kernel is not nearest.nearest_kernels.nearest


def _loop(made: Compiled, launch: Launch) -> list[str]:
    """The loop over tiles: the first that takes exponentials, or roots; of a formula the longest."""
    if "D" not in launch.switches:
        return max(made.innermost, key=len)
    if launch.kernel is small.schedule:
        return max(made.innermost, key=lambda body: sum("EX2" in s or "DFMA" in s for s in body))
    return made.loop("DFMA" if "fp64" in str(launch.switches["REAL"]) else "MUFU")


def _launches(tasks: dict[str, Task], others: bool) -> Iterator[tuple[str, Launch]]:
    """Those of the usual tiles, or of the others that may be faster."""
    for name, run in tasks.items():
        if not others:
            yield name, recorded(run)
            continue
        for k, launch in enumerate(candidates(run)[1:], 2):
            yield f"{name}, tile {k}", launch


def main() -> None:
    """A row for each kernel."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--candidates", action="store_true", help="the other tiles, that a clock may choose"
    )
    parser.add_argument("--capability", type=int, default=90)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    tasks = {name: run for part in options.parts for name, run in PARTS[part].items()}
    if options.json:
        rows = _launches(tasks, options.candidates)
        found = {name: measured(launch, options.capability) for name, launch in rows}
        print(json.dumps(found))
        return
    print(f"Triton {triton.__version__}, compute capability {options.capability / 10}\n")
    print("| sum | tile, warps | registers | clocks for 32 pairs | bound by | predicted pairs/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, launch in _launches(tasks, options.candidates):
        row = measured(launch, options.capability)
        cells = [name, f"{row['tile']}, {row['warps']}", str(row["registers"]), "", "", ""]
        if "ceiling" in row:
            need = ", ".join(f"{pipe} {n:.1f}" for pipe, n in row["clocks"].items())
            cells[3:] = need, row["bound"], f"{SHARE * row['ceiling']:.1e}"
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
