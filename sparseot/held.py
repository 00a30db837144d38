"""What outlives a call: copies of the caller's numbers, and tensors of a graph, which are watched."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .errors import bad_input

__all__ = ["Watch", "held"]


def held(array: Any) -> Any:
    """What an operator keeps of an array: a copy, or the tensor itself where autograd must see it."""
    if isinstance(array, Tensor):
        return array if array.requires_grad else array.clone()
    return array.copy()


class Watch:
    """Tensors that something was made of, by torch's count of their changes in place.

    Where blocks, degrees or lengths were taken from them, a change would leave these behind.
    Tensors of inference mode are not counted.
    """

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tuple(t for t in tensors if not t.is_inference())
        self.versions = [t._version for t in self.tensors]

    def check(self, name: str, what: str) -> None:
        """Raises RuntimeError if one of them has changed since."""
        if torch.compiler.is_compiling():  # it is asked again when the code runs
            return
        if [t._version for t in self.tensors] != self.versions:
            got = f"{what} changed in place after it was made"
            fix = "Make it anew, or of copies: x.clone()."
            raise bad_input(name, got, "what it was made of, as it was", fix, RuntimeError)

    def __reduce__(self) -> Any:
        """Copies of the tensors are counted from then on."""
        return Watch, self.tensors
