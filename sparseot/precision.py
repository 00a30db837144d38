"""Mixed precision ends at the doors: what is public computes in the precision of its points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

__all__ = ["full_precision", "full_products"]

P = ParamSpec("P")
R = TypeVar("R")

DEVICES = ("cpu", "cuda", "mps", "xpu")  # that ``torch.autocast`` may be on for


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, in which ``torch.autocast`` is off.

    Distances, exponents and residuals need all of their digits: eight bits of them are no distance.
    Layers around may well be in mixed precision; numbers in half precision that they hand over are
    brought to single precision where they are multiplied. Backward passes take this decorator too:
    torch runs them in the mode of whoever calls ``backward()``.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not any(torch.is_autocast_enabled(device) for device in DEVICES):
            return function(*args, **kwargs)
        with _off("cpu"), _off("cuda"), _off("mps"), _off("xpu"):
            return function(*args, **kwargs)

    return run


@contextmanager
def full_products(device: torch.device) -> Iterator[None]:
    """Within, matrix products on a CUDA device are not rounded to TF32, whatever its user allows."""
    if device.type == "cpu":
        yield
        return
    matmul = torch.backends.cuda.matmul
    tf32 = matmul.allow_tf32
    try:
        matmul.allow_tf32 = False
        yield
    finally:
        matmul.allow_tf32 = tf32


def _off(device: str) -> AbstractContextManager[Any]:
    """A mode that is on is turned off; one that is off is left alone, torch warns of others."""
    on = torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if on else nullcontext()
