"""Mixed precision ends at the doors: what is public computes in the precision of its points."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

__all__ = ["HALF", "at_least_single", "full_precision", "without_autocast"]

P = ParamSpec("P")
R = TypeVar("R")

HALF = (torch.float16, torch.bfloat16)
DEVICES = ("cpu", "cuda", "mps", "xpu")  # that ``torch.autocast`` may be on for


def at_least_single(*tensors: Any) -> Any:
    """Tensors in half precision in single, or in double where another is; all others as they are.

    Conversions are part of the graph: gradients come back in half precision.
    """
    found = {t.dtype for t in tensors if isinstance(t, Tensor)}
    if found.isdisjoint(HALF):
        return tensors
    wide = torch.float64 if torch.float64 in found else torch.float32
    return tuple(t.to(wide) if isinstance(t, Tensor) and t.dtype in HALF else t for t in tensors)


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, in which ``torch.autocast`` is off and matrix products have all their digits.

    Distances, exponents and residuals need all of them: eight bits are no distance, and neither are
    the ten of TF32, that ``torch.set_float32_matmul_precision`` may have allowed on CUDA, or those of
    bfloat16, on a CPU. Layers around may well be in mixed precision; numbers in half precision that
    they hand over are brought to single precision where they are multiplied. Backward passes take
    this decorator too: torch runs them in the mode of whoever calls ``backward()``.
    """
    plain = without_autocast(function)

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            return plain(*args, **kwargs)
        with _products:
            return plain(*args, **kwargs)

    return run


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, in which ``torch.autocast`` is off: for layers, whose products may be fast ones."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not any(torch.is_autocast_enabled(device) for device in DEVICES):
            return function(*args, **kwargs)
        with _off("cpu"), _off("cuda"), _off("mps"), _off("xpu"):
            return function(*args, **kwargs)

    return run


def _off(device: str) -> AbstractContextManager[Any]:
    """A mode that is on is turned off; one that is off is left alone, torch warns of others."""
    on = torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if on else nullcontext()


class _Products:
    """Inside, products of single precision have all their digits, in all threads.

    Torch has one setting for the whole process. Where it is what it should be, nothing is touched;
    else whoever comes first changes it, and the last one to leave puts it back: products of other
    threads are exact meanwhile, none of ours is rounded. What was set meanwhile stays.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.RLock(), 0
        self.before: _Setting | None = None

    def __enter__(self) -> None:
        with self.lock:
            if self.before is None and not _exact() and not (now := _Setting()).exact:
                now.change("highest", "ieee", "ieee")
                self.before = now
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside and self.before is not None:
                before, self.before = self.before, None
                if _Setting().exact:
                    before.change(*before.values)


def _exact() -> bool:
    """Whether the old name says so, which it does where the new ones agree; it is read in no time."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:
        return False


class _Setting:
    """What torch's precision of products is, by its old name and by its new ones for two devices.

    Before torch 2.9 there is the old name only. It cannot be read where the new ones were set to what it
    has no word for; set, it sets the new ones as well.
    """

    def __init__(self) -> None:
        self.devices = [m for m in (torch.backends.cuda.matmul, _cpu) if hasattr(m, NEW)]
        try:
            name: str | None = torch.get_float32_matmul_precision()
        except RuntimeError:
            name = None
        self.values = (name, *(getattr(m, NEW) for m in self.devices))

    @property
    def exact(self) -> bool:
        """Whether nothing is rounded."""
        name, *new = self.values
        return name in ("highest", None) and all(value in ("none", "ieee") for value in new)

    def change(self, name: str | None, *new: str) -> None:
        """Sets all that there is to set; what is so already, or is by ``torch.backends``, is left to it."""
        if name is not None and self.values[0] is not None:
            torch.set_float32_matmul_precision(name)
        for module, value in zip(self.devices, new, strict=False):
            for attempt in ("none", value):
                if getattr(module, NEW) != value:
                    setattr(module, NEW, attempt)


NEW = "fp32_precision"
_cpu = getattr(torch.backends.mkldnn, "matmul", None)
_products = _Products()
