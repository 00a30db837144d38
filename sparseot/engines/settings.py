"""What of torch's state is ours while a public function runs, and the caller's again afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ..precision import full_precision
from .openmp import on_one_thread

__all__ = ["own_settings"]

P = ParamSpec("P")
R = TypeVar("R")


def own_settings(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, in full precision and on the calling thread, whatever its caller has set.

    For what is public, and for backward passes, which torch runs in the mode of whoever calls
    ``backward()``. Large work inside asks for torch's threads by ``threads_for(work)``.
    """
    return full_precision(on_one_thread(function))
