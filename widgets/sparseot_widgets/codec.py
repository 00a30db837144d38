"""Arrays on their way to JavaScript, and small enough to stand in a page.

A message is a dict of arrays, numbers and strings, nested as it likes. On the wire an array becomes
``{"buffer", "dtype", "shape"}`` with the bytes beside the JSON; in a page ``{"base64", ...}``.
``"lo"`` and ``"hi"``, where they stand, say that integers are numbers between the two.
``js/codec.mjs`` reads all of these.
"""

import base64
import math
from typing import Any

import numpy as np
import torch
import traitlets

from sparseot.errors import bad_input

__all__ = ["Message", "as_numpy", "exact", "quantised", "to_text", "to_wire"]

# What JavaScript has typed arrays for; 64-bit numbers go as 32-bit ones.
CASTS = {"float64": "float32", "float16": "float32", "int64": "int32", "bool": "uint8"}
TYPED = ("float32", "int32", "uint8", "uint16")


def as_numpy(values: Any) -> np.ndarray:
    """A torch tensor (on any device, with a graph or not) or whatever NumPy takes, as an array."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def exact(values: Any) -> np.ndarray:
    """Numbers as the bytes of their single precision, which no page cuts to steps.

    Example:
        >>> exact([1.0]).tolist()
        [0, 0, 128, 63]
    """
    return np.ascontiguousarray(as_numpy(values), "<f4").reshape(-1).view("uint8")


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
