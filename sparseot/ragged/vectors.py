"""Vectors that say which sample each point is of, as PyG has them: sorted, from 0."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import bad_input
from ..operators.arrays import tensor_of

__all__ = ["count_of", "offsets", "pair_of", "vectors_of"]


def pair_of(name: str, given: Any, alone: bool = False) -> tuple[Any, Any]:
    """An argument that x and y have each of their own, or share where x is ``alone``."""
    if alone and isinstance(given, (tuple, list)) and not _whole(given):
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


def vectors_of(batch: Any, alone: bool = False) -> tuple[Any, Any]:
    """The batch vectors of x and y: arrays and lists of whole numbers as tensors, others to be checked."""
    of_x, of_y = (integers(one) for one in pair_of("batch", batch, alone))
    return of_x, of_y


def integers(batch: Any) -> Any:
    """A batch vector, of an array or a list of whole numbers as a tensor; anything else as it is, to be checked."""
    if isinstance(batch, (list, tuple)) and _whole(batch):
        batch = np.array(batch, dtype=np.int64)
    return tensor_of(batch, "batch") if isinstance(batch, np.ndarray) else batch


def _whole(given: Sequence[Any]) -> bool:
    """Whether a list holds whole numbers."""
    return all(isinstance(v, Integral) and not isinstance(v, bool) for v in given)


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
