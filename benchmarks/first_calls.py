"""What is waited for before anything is computed: the import, and first calls.

python benchmarks/first_calls.py [--repeats 5] [import] [loss] [solve] [hundred] [kernel] [neighbours]

Each number is a median over processes of their own. "A later process" finds the loops that Numba
compiled before; "the first of an installation" has an empty cache, in a temporary NUMBA_CACHE_DIR.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from helpers.timing import machine

CLOUDS = """
import torch, sparseot
x, y = torch.rand(2, {n}, 3)
x.requires_grad_()
"""
# name: (in words, what was done before, what is timed)
CALLS = {
    "import": ("import sparseot, after torch", "import torch", "import sparseot"),
    "loss": (
        "SamplesLoss, value and gradient, 2,000 points",
        CLOUDS.format(n=2000),
        'sparseot.SamplesLoss("sinkhorn")(x, y).backward()',
    ),
    "solve": (
        "sinkhorn_divergence to a tolerance, value and gradient, 20,000 points",
        CLOUDS.format(n=20_000),
        "sparseot.sinkhorn_divergence(x, y, blur=0.05).backward()",
    ),
    "hundred": (
        "solve_sample, 100 points",
        CLOUDS.format(n=100),
        "sparseot.solve_sample(x, y, blur=0.05)",
    ),
    "kernel": (
        "KernelMatrix times a vector, 2,000 points",
        CLOUDS.format(n=2000),
        "sparseot.KernelMatrix(sparseot.kernels.Gaussian(0.1), x) @ y[:, 0]",
    ),
    "neighbours": (
        "knn, 2,000 points",
        CLOUDS.format(n=2000),
        "sparseot.knn(x.detach(), k=10)",
    ),
}
TIMED = """
import time
{before}
start = time.perf_counter()
{call}
print(time.perf_counter() - start)
"""


def seconds(before: str, call: str, cache: str) -> float:
    """One call in a fresh process, with that cache of compiled loops."""
    env = dict(os.environ) | {"NUMBA_CACHE_DIR": cache}
    command = [sys.executable, "-c", TIMED.format(before=before, call=call)]
    found = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return float(found.stdout)


def measure(before: str, call: str, repeats: int) -> tuple[float, float]:
    """The medians of first calls of an installation, and of later processes."""
    first, later = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            first.append(seconds(before, call, cache))
            later.append(seconds(before, call, cache))
    return statistics.median(first), statistics.median(later)


def main() -> None:
    """Prints a row of a Markdown table for each call."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("calls", nargs="*", metavar="call", help=", ".join(CALLS))
    parser.add_argument("--repeats", type=int, default=5, help="processes for each number")
    asked = parser.parse_args()
    if unknown := set(asked.calls) - set(CALLS):
        parser.error(f"no such call: {', '.join(sorted(unknown))}")
    print(f"First calls ({machine()}, {time.strftime('%Y-%m-%d')}, {asked.repeats} processes)\n")
    print("| call | a later process | the first of an installation |\n| --- | --- | --- |")
    for name in asked.calls or CALLS:
        words, before, call = CALLS[name]
        first, later = measure(before, call, asked.repeats)
        print(f"| {words} | {later:.2f} s | {first:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
