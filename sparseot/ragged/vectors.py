"""Vectors that say which sample each point is of, as PyG has them: sorted, from 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import bad_input
from ..operators.arrays import tensor_of

__all__ = ["count_of", "integers", "offsets", "pair_of"]


def pair_of(name: str, given: Any, alone: bool = False) -> tuple[Any, Any]:
    """An argument that x and y have each of their own, or share where x is ``alone``."""
    if alone and isinstance(given, (tuple, list)):
        raise bad_input(name, "a pair", "one tensor", "Pairs are for two clouds, x and y.")
    if alone:
        return given, given
    if given is None:
        return None, None
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return given[0], given[1]
    wanted = "a pair, one for x and one for y"
    raise bad_input(
        name, type(given).__name__, wanted, f"Use {name}=(of_x, of_y); None is allowed."
    )


def integers(batch: Any) -> Any:
    """An array as a tensor; anything else as it is, to be checked."""
    return tensor_of(batch, "batch") if isinstance(batch, np.ndarray) else batch


def count_of(labels: tuple[Any, Any]) -> int:
    """How many samples two batch vectors know."""
    for batch in labels:
        if batch is not None and not isinstance(batch, Tensor):
            raise bad_input(
                "batch", type(batch).__name__, "a tensor or an array of integers", kind=TypeError
            )
        if batch is not None and (batch.is_floating_point() or batch.dtype == torch.bool):
            raise bad_input("batch", f"dtype {batch.dtype}", "integers", kind=TypeError)
    return max([1] + [int(b.max()) + 1 for b in labels if b is not None and len(b)])


def offsets(name: str, batch: Tensor, points: int, samples: int) -> list[int]:
    """Where the samples of a sorted batch vector end, ``samples + 1`` numbers from 0."""
    if batch.shape != (points,):
        wanted = f"({points},), the sample of each point of {name}"
        raise bad_input("batch", f"shape {tuple(batch.shape)}", wanted)
    falls = (batch[1:] < batch[:-1]).nonzero()[:1, 0].tolist()
    if falls or (points and int(batch[0]) < 0):
        fix = "Sort the points by sample: order = batch.argsort(stable=True)."
        got = "numbers that are not sorted" if falls else "a number below 0"
        got += "".join(
            f", {int(batch[k + 1])} after {int(batch[k])} at place {k + 1}" for k in falls
        )
        raise bad_input("batch", got + f", for {name}", "0 <= batch, ascending", fix)
    counts = torch.bincount(batch, minlength=samples)
    return [0, *counts.cumsum(0).tolist()]
