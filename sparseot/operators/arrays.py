"""Tensors and NumPy arrays of real numbers: how one becomes the other, at the doors and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import bad_input

__all__ = [
    "Array",
    "answered",
    "as_tensor",
    "floating",
    "is_complex",
    "like",
    "listed",
    "numbers_of",
    "numpy_dtype",
    "of_one_kind",
    "refuse_elsewhere",
    "refuse_learnt",
    "shown",
    "tensor_of",
]

Array = Any  # a torch tensor or a NumPy array
REFUSED = (Tensor, np.ma.MaskedArray)  # in lists: gradients, and masks, would be lost


def of_one_kind(**given: Any) -> tuple[tuple[Any, ...], Array]:
    """Points and weights as tensors, and the first of them, whose kind answers take (:func:`shown`).

    Lists are arrays of the dtype of the arrays beside them: of single or double precision, single
    beside half, double beside none. None, and what is neither a tensor nor an array, is left to be
    checked.

    Raises:
        TypeError: for arrays beside tensors, or lists of other things than numbers.
    """
    known = {n: v for n, v in given.items() if isinstance(v, (Tensor, np.ndarray, list, tuple))}
    first = next(iter(known), next(iter(given)))
    of_torch = isinstance(given[first], Tensor)
    for name, value in known.items():
        if isinstance(value, Tensor) is not of_torch:
            kinds = ("a torch tensor", "an array") if of_torch else ("an array", "a torch tensor")
            fix = "torch.as_tensor(...) makes tensors of arrays, np.asarray(...) arrays of tensors."
            got = kinds[1] if isinstance(value, (Tensor, np.ndarray)) else type(value).__name__
            raise bad_input(name, got, f"{kinds[0]}, as {first} is", fix, TypeError)
    if of_torch or not known:
        return tuple(given.values()), given[first]
    dtype = _of_lists([value for value in known.values() if isinstance(value, np.ndarray)])
    arrays = {name: listed(value, name, dtype) for name, value in known.items()}
    tensors = {name: tensor_of(array, name) for name, array in arrays.items()}
    return tuple((given | tensors).values()), arrays[first]


def _of_lists(arrays: list[np.ndarray[Any, Any]]) -> Any:
    """The dtype of lists beside these arrays."""
    kinds = [array.dtype.type for array in arrays]
    wide = [kind for kind in kinds if kind in (np.float32, np.float64)]
    return (wide or [np.float32 if np.float16 in kinds else np.float64])[0]


def listed(given: Any, name: str, dtype: Any = np.float64) -> Any:
    """An array of a list, or of lists, of numbers; anything else as it is."""
    if not isinstance(given, (list, tuple)):
        return given
    fix = "Rows have one length, and hold numbers; torch.stack(...) joins tensors."
    try:
        array = None if any(isinstance(v, REFUSED) for v in given) else np.asarray(given)
    except ValueError:
        array = None
    if array is None or array.dtype.kind not in "iuf":
        raise bad_input(
            name, f"a {type(given).__name__} that is no array", "numbers", fix, TypeError
        )
    return array.astype(dtype)


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
    if isinstance(array, np.ma.MaskedArray):
        fix = "Drop what is masked, or fill it with .filled(...); weights may be zero there."
        raise bad_input(name, "a masked array", "an array without a mask", fix, TypeError)
    if array.dtype.kind not in "fiubc" or array.dtype.itemsize > 8 * (1 + is_complex(array)):
        raise bad_input(name, f"dtype {array.dtype}", "numbers that torch knows", kind=TypeError)
    # torch takes neither negative steps nor read-only memory nor the other byte order
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return torch.as_tensor(plain if plain.flags.writeable else plain.copy())


def as_tensor(array: Array, reference: Array, name: str = "array") -> Tensor:
    """An array of real numbers as a tensor of the dtype of the reference, on its device.

    Raises:
        ValueError: for a tensor on another device: nothing is moved but arrays.
        TypeError: for complex numbers, and what :func:`tensor_of` refuses.
    """
    tensor = tensor_of(array, name)
    refuse_elsewhere(array, reference, name)
    if tensor.is_complex():
        fix = "Take its .real and its .imag, one after the other."
        raise bad_input(name, f"dtype {array.dtype}", "real numbers", fix, TypeError)
    if isinstance(reference, Tensor):
        return tensor.to(reference)
    return tensor.to("cpu", getattr(torch, str(numpy_dtype(reference))))


def refuse_elsewhere(array: Any, reference: Array, name: str) -> None:
    """Raises ValueError for a tensor on another device than the reference; arrays are on the CPU."""
    device = reference.device if isinstance(reference, Tensor) else torch.device("cpu")
    if isinstance(array, Tensor) and array.device != device:
        got, wanted = f"device {array.device}", f"{device}, as what it meets"
        raise bad_input(name, got, wanted, "Move it with .to(...).")


def like(tensor: Tensor, array: Array) -> Array:
    """A tensor as an array of the kind of another: a tensor on its device, or a NumPy array."""
    return tensor.to(array.device) if isinstance(array, Tensor) else tensor.detach().cpu().numpy()


def shown(found: Any, reference: Array) -> Any:
    """An answer, or a tuple of them, of the kind of an array: NumPy's ``()`` is a Python number."""
    if isinstance(reference, Tensor):
        return found
    if isinstance(found, tuple):
        return tuple(shown(part, reference) for part in found)
    return like(found, reference) if found.dim() else found.item()


def answered(found: Any, reference: Array) -> Any:
    """What a loss answers, see :func:`shown`; no gradient is lost on the way."""
    refuse_learnt(reference, *(found if isinstance(found, tuple) else (found,)))
    return shown(found, reference)


def refuse_learnt(reference: Array, *parts: Tensor) -> None:
    """Raises TypeError for arrays, which have no gradient, beside a kernel or a cost that is learnt.

    ``parts`` are computed from it, of points that require no gradient.
    """
    if not isinstance(reference, Tensor) and any(part.requires_grad for part in parts):
        got = "arrays, beside a kernel or a cost that requires a gradient"
        fix = "torch.from_numpy(...) makes tensors; under torch.no_grad() arrays will do."
        raise bad_input("x, y", got, "tensors, whose losses have one", fix, TypeError)


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


def numbers_of(what: str, index: Any, size: int) -> Tensor:
    """The numbers of the chosen ones among ``size``, as NumPy would choose them.

    Raises:
        IndexError: for what is no index of one axis, with ``what`` was indexed.
    """
    try:
        index = index.numpy(force=True) if isinstance(index, Tensor) else index  # of any device
        numbers = np.atleast_1d(np.arange(size)[index]).copy()  # torch takes no negative steps
        if numbers.ndim > 1:
            raise IndexError("index arrays have one axis")
    except (IndexError, TypeError, NotImplementedError) as error:
        raise IndexError(f"{what}: {error}") from None
    return torch.from_numpy(numbers)
