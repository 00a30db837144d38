"""What a loss adds to the first call of a compiled model, and a step of it beside the eager one.

cd benchmarks && PYTHONPATH=. python training/compiled.py [--repeats 5]

Each number of a first call is a median over processes of their own, in processor time, that of the
compiler among it; every process starts with an empty cache of torch's. The losses were called before,
so that nothing but the compilation is timed. Steps are timed in one process, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch
from helpers.timing import machine

import sparseot

LOSSES = {
    "mean squares": None,
    "SamplesLoss, GeomLoss's schedule": ("sinkhorn", {"blur": 0.1}),
    "SamplesLoss, tol=1e-3": ("sinkhorn", {"blur": 0.1, "tol": 1e-3}),
    "SamplesLoss, Gaussian": ("gaussian", {"blur": 0.1}),
}


def training(name: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.nn.Module]:
    """The loss of a small model, and the model."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(3, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3)]
    model, target = torch.nn.Sequential(*layers), torch.rand(4, 200, 3)
    if LOSSES[name] is None:
        return lambda x: (model(x) - target).square().mean(), model
    kind, options = LOSSES[name]
    loss = sparseot.SamplesLoss(kind, **options)
    return lambda x: loss(model(x), target).sum(), model


def processor_time() -> float:
    """Seconds of this process and of the compilers that it called."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, who))


def first_call(name: str) -> dict[str, float]:
    """The first call with its backward pass, after the eager one, and how many graphs it made."""
    step, _ = training(name)
    x = torch.rand(4, 200, 3)
    step(x).backward()
    torch.compile(lambda x: x + 1)(x[0, 0])  # torch loads its compiler
    compiled = torch.compile(step, fullgraph=True)
    before = processor_time(), time.perf_counter()
    compiled(x).backward()
    return {"processor": processor_time() - before[0], "wall": time.perf_counter() - before[1]}


def in_a_process(name: str) -> dict[str, float]:
    """The same, in a process of its own with an empty cache; compilers are its children."""
    with tempfile.TemporaryDirectory() as cache:
        env = {"TORCHINDUCTOR_CACHE_DIR": cache, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        command = [sys.executable, __file__, "--one", name]
        found = subprocess.run(
            command, env=dict(os.environ) | env, stdout=subprocess.PIPE, text=True, check=True
        )
    return json.loads(found.stdout.splitlines()[-1])


def steps(name: str, repeats: int = 100) -> tuple[float, float]:
    """Medians of eager and of compiled steps, value and gradients, in processor time."""
    step, model = training(name)
    x, times = torch.rand(4, 200, 3), ([], [])
    both = step, torch.compile(step, fullgraph=True)
    for k in range(repeats + 5):
        for function, kept in zip(both, times, strict=True):
            model.zero_grad()
            start = time.process_time()
            function(x).backward()
            if k >= 5:
                kept.append(time.process_time() - start)
    eager, compiled = (statistics.median(kept) for kept in times)
    return eager, compiled


def main() -> None:
    """Prints a row of a Markdown table for each loss."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="processes for each number")
    parser.add_argument("--one", choices=LOSSES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(first_call(asked.one)))
        return
    print(
        f"Compiled models ({machine()}, {time.strftime('%Y-%m-%d')}, {asked.repeats} processes)\n"
    )
    print("| loss | first call | more than without it | eager step | compiled step |")
    print("| --- | --- | --- | --- | --- |")
    found: dict[str, list[float]] = {name: [] for name in LOSSES}
    for _ in range(asked.repeats):
        for name, kept in found.items():
            kept.append(in_a_process(name)["processor"])
    plain = statistics.median(found["mean squares"])
    for name, kept in found.items():
        first, (eager, compiled) = statistics.median(kept), steps(name)
        row = f"{first:.2f} s | {first - plain:+.2f} s | {1e3 * eager:.2f} ms | {1e3 * compiled:.2f} ms"
        print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()
