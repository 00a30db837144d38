"""Side-by-side timings: both contestants in turn, in one process, and the ratio of medians."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import torch

__all__ = ["compare", "header", "loss_and_gradient", "machine"]

T = TypeVar("T")


def compare(
    label: str, ours: Callable[[], T], theirs: Callable[[], T], repeats: int = 5
) -> tuple[T, T]:
    """Prints one row of a Markdown table: medians and how many times faster ours is.

    The first call of each, which compiles, is not counted. Returns both results.
    """
    results = [ours(), theirs()]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for k, run in enumerate((ours, theirs)):
            start = time.perf_counter()
            results[k] = run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[k].append(time.perf_counter() - start)
    mine, other = (statistics.median(kept) for kept in times)
    print(f"| {label} | {_seconds(mine)} | {_seconds(other)} | {other / mine:.1f} |", flush=True)
    return results[0], results[1]


def header(question: str, peer: str) -> None:
    """Prints the question, the machine and the head of the table."""
    print(f"\n{question} ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print(f"| case | sparseot | {peer} | ratio |\n| --- | --- | --- | --- |", flush=True)


def loss_and_gradient(loss: Callable[..., torch.Tensor], x: torch.Tensor, y: torch.Tensor):
    """A function that computes the value and the gradient in x, as a training step does."""

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        moving = x.detach().requires_grad_()
        value = loss(moving, y)
        return value.detach(), torch.autograd.grad(value.sum(), moving)[0]

    return run


def _seconds(t: float) -> str:
    return f"{t:.2f} s" if t >= 1 else f"{1e3 * t:.3g} ms"


def machine() -> str:
    """The machine in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} cores, {platform.machine()}, torch {torch.__version__}"
