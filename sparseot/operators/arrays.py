"""Tensors and NumPy arrays of real numbers: how one becomes the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import bad_input

__all__ = ["Array", "as_tensor", "floating", "is_complex", "like", "numpy_dtype", "tensor_of"]

Array = Any  # a torch tensor or a NumPy array


def tensor_of(array: Array, name: str = "array") -> Tensor:
    """A tensor as it is, or the numbers of an array, of any kind and byte order, read-only or not.

    Raises:
        TypeError: if it is neither, or holds no numbers that torch knows.
    """
    if isinstance(array, Tensor):
        return array
    if not isinstance(array, np.ndarray | np.generic):
        fix = "torch.as_tensor(...) and np.asarray(...) convert lists."
        raise bad_input(name, type(array).__name__, "a tensor or a NumPy array", fix, TypeError)
    if array.dtype.kind not in "fiubc" or array.dtype.itemsize > 8 * (1 + is_complex(array)):
        raise bad_input(name, f"dtype {array.dtype}", "numbers that torch knows", kind=TypeError)
    # torch takes neither negative steps nor read-only memory nor the other byte order
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return torch.as_tensor(plain if plain.flags.writeable else plain.copy())


def as_tensor(array: Array, reference: Array, name: str = "array") -> Tensor:
    """An array of real numbers as a tensor of the dtype and device of the reference."""
    tensor = tensor_of(array, name)
    if tensor.is_complex():
        fix = "Take its .real and its .imag, one after the other."
        raise bad_input(name, f"dtype {array.dtype}", "real numbers", fix, TypeError)
    if isinstance(reference, Tensor):
        return tensor.to(reference)
    return tensor.to("cpu", getattr(torch, str(numpy_dtype(reference))))


def like(tensor: Tensor, array: Array) -> Array:
    """A tensor as an array of the kind of another: a tensor on its device, or a NumPy array."""
    return tensor.to(array.device) if isinstance(array, Tensor) else tensor.detach().cpu().numpy()


def floating(array: Array, name: str) -> Array:
    """The array, in a floating type where it holds integers: 0/1 graphs have fractions too."""
    if not isinstance(array, Tensor):
        tensor_of(array, name)
    if is_complex(array):
        raise bad_input(name, f"dtype {array.dtype}", "real numbers", kind=TypeError)
    if isinstance(array, Tensor):
        return array if array.is_floating_point() else array.to(torch.get_default_dtype())
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def is_complex(array: Array) -> bool:
    """Whether it holds complex numbers."""
    return array.is_complex() if isinstance(array, Tensor) else array.dtype.kind == "c"


def numpy_dtype(array: Array) -> np.dtype[Any]:
    """NumPy's name of the dtype, in the byte order of this machine."""
    return np.dtype(str(array.dtype).removeprefix("torch.")).newbyteorder("=")
