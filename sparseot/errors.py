"""One way to refuse bad input: what came, what was wanted, how to fix it; one to warn; and what is
said where a device has no room.
"""

import re
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

__all__ = ["OutOfMemory", "bad_input", "naming_what_was_large", "warn_user"]

P = ParamSpec("P")
R = TypeVar("R")


def bad_input(
    argument: str, got: str, wanted: str, fix: str = "", kind: type[Exception] = ValueError
) -> Exception:
    """The exception to raise for a bad argument.

    Args:
        argument: name of the argument, as the caller wrote it.
        got: what came, with its shape, dtype or value.
        wanted: what would have been accepted.
        fix: one sentence that says how to get there.
        kind: ``ValueError``, or ``TypeError`` where the type itself is wrong.

    Returns:
        The exception; the caller raises it, so that the traceback ends at the check.
    """
    return kind(f"{argument}: got {got}, wanted {wanted}." + (f" {fix}" if fix else ""))


def warn_user(message: str, kind: type[Warning] = RuntimeWarning) -> None:
    """Warns at the line of whoever called this library, however deep inside of it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("sparseot.", "torch.")
    ):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)


class OutOfMemory(torch.OutOfMemoryError):
    """Torch's error, which says what was asked of this library, and what would take less."""


def naming_what_was_large(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose failures to get memory of a device name its tensors and a smaller choice.

    What the caller gave stays as it is, and the same call succeeds where there is room. Of functions
    that call each other the outermost is named.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            return function(*args, **kwargs)
        try:
            return function(*args, **kwargs)
        except torch.OutOfMemoryError as error:
            cause = error.__cause__ if isinstance(error, OutOfMemory) else error
            asked = re.search(r"allocate ([\d.]+ \w+)", str(cause))
        name, size = function.__qualname__, asked[1] if asked else "what is wanted"
        where, beside, less = _smaller([*args, *kwargs.values()])
        raise OutOfMemory(
            f"{name}: {where} has no room for {size}, beside {beside}. What was given has not changed. "
            f'Take {less}; or sums that store less, engine="triton" or Tiles(entries=2**20); or, for '
            "transport, only the pairs that matter, Sinkhorn(multilevel=True), whose memory=... tells "
            "beforehand."
        ) from cause

    return run


def _smaller(given: list[Any]) -> tuple[str, str, str]:
    """Where the tensors of a call are, their shapes, and what would be fewer of them."""
    tensors = [t for t in given if isinstance(t, Tensor)]
    shapes = [f"{tuple(t.shape)} in {str(t.dtype).removeprefix('torch.')}" for t in tensors]
    less = "fewer items of a batch" if any(t.dim() == 3 for t in tensors) else "fewer points"
    less += " or float32" if any(t.dtype == torch.float64 for t in tensors) else ""
    where = str(tensors[0].device) if tensors else "the device"
    return where, " and ".join(shapes) or "what there is", less
