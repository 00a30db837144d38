"""Arrays on their way to JavaScript, and small enough to stand in a page.

A message is a dict of arrays, numbers and strings, nested as it likes. On the wire an array becomes
``{"buffer", "dtype", "shape"}`` with the bytes beside the JSON; in a page ``{"base64", ...}``.
``"lo"`` and ``"hi"``, where they stand, say that integers are numbers between the two; ``"each"`` that
every so many rows, a block, have bounds of their own.
``js/codec.mjs`` reads all of these.
"""

import base64
import math
from typing import Any

import numpy as np
import torch
import traitlets

from sparseot.errors import bad_input

__all__ = ["Message", "as_numpy", "blocked", "quantised", "to_text", "to_wire"]

# What JavaScript has typed arrays for; 64-bit numbers go as 32-bit ones.
CASTS = {"float64": "float32", "float16": "float32", "int64": "int32", "bool": "uint8"}
TYPED = ("float32", "int32", "uint8", "uint16")


def as_numpy(values: Any) -> np.ndarray:
    """A torch tensor (on any device, with a graph or not) or whatever NumPy takes, as an array."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def to_wire(value: Any) -> Any:
    """A message with each array as bytes, its type and its shape.

    Numbers that JSON does not know (infinities, NaN) become None.

    Example:
        >>> to_wire({"x": np.zeros((2, 3)), "n": np.int64(2), "reach": float("inf")})["x"]["shape"]
        [2, 3]
    """
    if isinstance(value, dict):
        return {name: to_wire(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_wire(part) for part in value]
    if isinstance(value, (torch.Tensor, np.ndarray)) and np.ndim(value):
        return _packed(as_numpy(value))
    if isinstance(value, (torch.Tensor, np.generic)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def quantised(value: Any, bits: int = 16) -> Any:
    """A message with its arrays of floating point numbers cut to whole steps of their range.

    The error is at most half a step, the range divided by ``2**(bits + 1) - 2``. Raises ValueError
    for NaN and infinity, which have no step.

    Args:
        value: a message.
        bits: 8 or 16 for each number.

    Example:
        >>> quantised({"x": np.array([0.0, 0.5, 1.0])}, bits=8)["x"]["levels"].tolist()
        [0, 128, 255]
    """
    if isinstance(value, dict):
        return {name: quantised(part, bits) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [quantised(part, bits) for part in value]
    if not isinstance(value, (torch.Tensor, np.ndarray)) or not np.ndim(value):
        return value
    array = as_numpy(value)
    if array.dtype.kind != "f" or not array.size:
        return array
    lo, hi = float(array.min()), float(array.max())
    if not math.isfinite(hi - lo):
        raise bad_input("answer", "an array with NaN or infinity", "finite numbers")
    top = 2**bits - 1
    levels = np.rint((array - lo) * (top / (hi - lo or 1.0))).astype(f"uint{bits}")
    return {"levels": levels, "lo": lo, "hi": hi}


def blocked(points: np.ndarray, each: int = 256) -> tuple[dict[str, Any], np.ndarray]:
    """Points as bytes in blocks of neighbours, each with its own bounds: three bytes for a place in space.

    Args:
        points: ``(N, D)`` finite numbers.
        each: points of a block.

    Returns:
        The message, whose points stand in another order, and that order: row k was ``order[k]``. The
        error is at most half a step, a 510th of the sides of the block.

    Example:
        >>> message, order = blocked(np.random.rand(1000, 3))
        >>> message["levels"].dtype, message["lo"].shape
        (dtype('uint8'), (4, 3))
    """
    order = _gathered(points, each)
    points = points[order]
    starts = np.arange(0, len(points), each)
    lo, hi = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    lo, hi = lo.astype("float32"), hi.astype("float32")
    sides = np.where(hi > lo, hi - lo, 1.0)
    block = np.arange(len(points)) // each
    levels = np.clip(np.rint(255 * (points - lo[block]) / sides[block]), 0, 255).astype("uint8")
    return {"levels": levels, "lo": lo, "hi": hi, "each": each}, order


def _gathered(points: np.ndarray, each: int) -> np.ndarray:
    """An order in which blocks of so many points are the leaves of a kd-tree."""
    order, waiting = np.arange(len(points)), [(0, len(points))]
    while waiting:
        start, stop = waiting.pop()
        if stop - start <= each:
            continue
        part = order[start:stop]
        there = points[part]
        middle = each * (-(-len(part) // each) // 2)
        axis = np.ptp(there, 0).argmax()
        order[start:stop] = part[np.argpartition(there[:, axis], middle)]
        waiting += [(start, start + middle), (start + middle, stop)]
    return order


def to_text(value: Any) -> Any:
    """What :func:`to_wire` made, with the bytes as base64, which JSON can hold."""
    if isinstance(value, dict):
        return {
            ("base64" if name == "buffer" else name): to_text(part) for name, part in value.items()
        }
    if isinstance(value, list):
        return [to_text(part) for part in value]
    return base64.b64encode(value).decode() if isinstance(value, memoryview) else value


def _packed(array: np.ndarray) -> dict[str, Any]:
    name = CASTS.get(array.dtype.name, array.dtype.name)
    if name not in TYPED:
        raise TypeError(f"an array of {array.dtype} has no typed array in JavaScript")
    array = np.ascontiguousarray(array, dtype=name)
    return {"buffer": memoryview(array.data).cast("B"), "dtype": name, "shape": list(array.shape)}


class Message(traitlets.Dict):
    """A trait that holds a message, sent to JavaScript and never sent back."""

    def __init__(self) -> None:
        super().__init__()
        self.tag(sync=True, to_json=lambda value, viewer: to_wire(value))
