"""Torch's names of what is done pair by pair, beside those that LazyTensors have, too."""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor

from .axes import Untraceable
from .operations import Operations

__all__ = ["ALIASES", "TorchNames"]

ALIASES = {  # torch's functions, and the methods that they are
    "absolute": "abs",
    "add": "__add__",
    "bitwise_and": "__and__",
    "bitwise_not": "__invert__",
    "bitwise_or": "__or__",
    "bmm": "__matmul__",
    "div": "__truediv__",
    "divide": "__truediv__",
    "eq": "__eq__",
    "float_power": "__pow__",
    "ge": "__ge__",
    "gt": "__gt__",
    "invert": "__invert__",
    "le": "__le__",
    "linalg_norm": "norm",
    "linalg_vector_norm": "norm",
    "logical_and": "__and__",
    "logical_not": "__invert__",
    "logical_or": "__or__",
    "lt": "__lt__",
    "matmul": "__matmul__",
    "mul": "__mul__",
    "multiply": "__mul__",
    "ne": "__ne__",
    "negative": "__neg__",
    "neg": "__neg__",
    "pow": "__pow__",
    "radd": "__radd__",
    "rdiv": "__rtruediv__",
    "rmul": "__rmul__",
    "rpow": "__rpow__",
    "rsub": "__rsub__",
    "rtruediv": "__rtruediv__",
    "sub": "__sub__",
    "subtract": "__sub__",
    "true_divide": "__truediv__",
    "truediv": "__truediv__",
    "vector_norm": "norm",
}


class TorchNames(Operations):
    """Functions of torch that are made of others."""

    like: Tensor
    sum: Any
    amax: Any
    unsqueeze: Any
    __matmul__: Any

    def clamp(self, min: Any = None, max: Any = None) -> Self:
        """The nearest number between two."""
        low = self if min is None else self.maximum(min)
        return low if max is None else low.minimum(max)

    clip = clamp

    def clamp_min(self, min: Any) -> Self:
        """The larger of two numbers."""
        return self.maximum(min)

    def clamp_max(self, max: Any) -> Self:
        """The smaller of two numbers."""
        return self.minimum(max)

    def reciprocal(self) -> Self:
        """One over it."""
        return 1 / self

    def remainder(self, other: Any) -> Self:
        """What is left of division, of the sign of the divisor."""
        return self.mod(other)

    __mod__ = remainder

    def exp2(self) -> Self:
        """The power of two."""
        return (self * math.log(2)).exp()

    def log2(self) -> Self:
        """The logarithm to base two."""
        return self.log() / math.log(2)

    def sigmoid(self) -> Self:
        """The logistic function."""
        return 1 / (1 + (-self.clamp(-self._most, self._most)).exp())

    @property
    def _most(self) -> float:
        """A number whose exponential is one, with room above it."""
        return 80.0 if self.like.dtype == torch.float32 else 700.0

    def silu(self) -> Self:
        """``x sigmoid(x)``."""
        return self * self.sigmoid()

    def leaky_relu(self, negative_slope: float = 0.01) -> Self:
        """The positive part, and some of the negative one."""
        return self.relu() - negative_slope * (-self).relu()

    def softplus(self) -> Self:
        """``log(1 + exp(x))``."""
        return (1 + self.clamp(max=self._most).exp()).log() + (self - self._most).relu()

    def to(self, *given: Any, **named: Any) -> Self:
        """Itself, for the dtype that it has; numbers, of truth values."""
        wanted = [*given, *named.values()]
        for one in wanted:
            dtype = one if isinstance(one, torch.dtype) else getattr(one, "dtype", None)
            if dtype is not None and dtype != self.like.dtype:
                raise Untraceable(f"it converts points to {dtype}")
        return self * 1.0

    def type_as(self, other: Any) -> Self:
        """Itself, for the dtype that it has."""
        return self.to(other)

    def double(self) -> Self:
        """Itself, in double precision."""
        return self.to(torch.float64)

    def float(self) -> Self:
        """Itself, in single precision."""
        return self.to(torch.float32)

    def contiguous(self) -> Self:
        """Itself."""
        return self

    clone = contiguous

    def norm(self, p: Any = 2, dim: Any = None, keepdim: bool = False, ord: Any = None) -> Self:
        """Norms over coordinates."""
        p = p if ord is None else ord
        if p in (2, "fro"):
            return self.square().sum(dim, keepdim).sqrt()
        if p == 1:
            return self.abs().sum(dim, keepdim)
        if p == math.inf:
            return self.abs().amax(dim, keepdim)
        if p == -math.inf:
            return self.abs().amin(dim, keepdim)
        raise Untraceable(f"it takes a norm of order {p}")

    def normalize(self, p: Any = 2, dim: int = 1, eps: Any = 1e-12) -> Self:
        """Divided by its norm."""
        return self / self.norm(p, dim, True).clamp(min=eps)

    def cdist(self, other: Any, p: Any = 2, compute_mode: Any = None) -> Self:
        """Distances between all points."""
        return (self.unsqueeze(-2) - other.unsqueeze(-3)).norm(p, -1)

    def cosine_similarity(self, other: Any, dim: int = 1, eps: Any = 1e-8) -> Self:
        """Cosines of angles."""
        sizes = self.norm(2, dim).clamp(min=eps) * other.norm(2, dim).clamp(min=eps)
        return (self * other).sum(dim) / sizes

    def linear(self, weight: Any, bias: Any = None) -> Self:
        """A layer: a matrix, and what is added."""
        found = self @ weight.mT
        return found if bias is None else found + bias
