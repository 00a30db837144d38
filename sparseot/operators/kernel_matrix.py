r"""The matrix of a kernel between two clouds, never stored."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engines.base import Engine, Formula
from ..engines.choose import choose_engine, reason
from ..errors import bad_input
from ..formulas import Radial, as_kernel
from ..points import points_pair
from .autograd import kernel_sum
from .base import Array, Operator, as_tensor, like

__all__ = ["KernelMatrix"]


class KernelMatrix(Operator):
    r"""The matrix :math:`K_{ij} = k(x_i, y_j)`, known by its products.

    ``K @ v`` multiplies vectors ``(M,)``, blocks ``(M, R)`` and batches ``(B, M, R)``; blocks cost
    little more than vectors. What comes in goes out: tensors give tensors with gradients in the
    points and in v, NumPy arrays give arrays. SciPy's ``aslinearoperator``, ``eigsh``, ``cg`` and
    the like take K as it is.

    Args:
        kernel: ``kernels.Gaussian(sigma)`` and its like, or a function of ``(B, N, D)`` and
            ``(B, M, D)`` tensors that returns ``(B, N, M)`` values.
        x: ``(N, D)`` or ``(B, N, D)`` points, float32 or float64, tensor or array.
        y: ``(M, D)`` or ``(B, M, D)`` points; None means x itself.
        engine: "auto", or the name of an engine.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Charlier, Feydy, Glaunès, Collin and Durif, 2021, "Kernel operations on the GPU, with
        autodiff, without memory overflows".

    Example:
        >>> from sparseot import kernels
        >>> x = torch.linspace(0, 1, 5)[:, None]
        >>> K = KernelMatrix(kernels.Gaussian(0.5), x)
        >>> K.shape, [round(v, 3) for v in (K @ torch.ones(5)).tolist()]
        ((5, 5), [2.949, 3.696, 3.978, 3.696, 2.949])
    """

    def __init__(
        self,
        kernel: Formula | Callable[[Tensor, Tensor], Tensor],
        x: Array,
        y: Array | None = None,
        *,
        engine: str | Engine = "auto",
    ) -> None:
        self.kernel = as_kernel(kernel)
        self.reference, self.symmetric = x, y is None
        x = _points("x", x)
        source, target, self.batched = points_pair(x, x if y is None else _points("y", y))
        self.x = source.positions
        self.y = self.x if y is None else target.positions
        self.shape = (*x.shape[:-2], self.x.shape[1], self.y.shape[1])
        self.asked = engine
        self.engine = choose_engine(engine, self.kernel, self.x)

    def product(self, v: Tensor) -> Tensor:
        """The product with ``(M, R)`` or ``(B, M, R)``, differentiable to any order."""
        block = v if self.batched else v[None]
        out = kernel_sum(self.kernel, self.x, self.y, block, engine=self.engine)
        return out if self.batched else out[0]

    def transpose(self) -> Operator:
        """The matrix of the same kernel from y to x; kernels are symmetric functions."""
        if self.symmetric:
            return self
        shown = (self.y, self.x) if self.batched else (self.y[0], self.x[0])
        clouds = (like(points, self.reference) for points in shown)
        return KernelMatrix(self.kernel, *clouds, engine=self.engine)

    def diagonal(self) -> Array:
        """The entries ``k(x_i, y_i)``, ``(..., min(N, M))``."""
        size = min(self.shape[-2:])
        values = self._pairs(self.x[:, :size], self.y[:, :size])
        return like(values if self.batched else values[0], self.reference)

    def to_dense(self) -> Array:
        """The whole matrix; refused above 2^28 numbers."""
        self.refuse_dense()
        rows = max(1, 2**24 // (self.y.shape[1] * self.y.shape[2]))
        blocks = [
            self._block(self.x[:, i : i + rows], self.y) for i in range(0, self.x.shape[1], rows)
        ]
        values = torch.cat(blocks, 1)
        return like(values if self.batched else values[0], self.reference)

    def __getitem__(self, where: tuple[Any, Any]) -> Array:
        """The submatrix ``K[rows, cols]``: integers, slices or index arrays."""
        if self.batched or not (isinstance(where, tuple) and len(where) == 2):
            wanted = "K[rows, cols] of one matrix, not of a batch"
            raise bad_input("K[...]", repr(where), wanted, kind=IndexError)
        rows, cols = (
            self._index(index, size) for index, size in zip(where, self.shape, strict=True)
        )
        values = self._block(self.x[:, rows], self.y[:, cols])[0]
        for axis, index in ((1, where[1]), (0, where[0])):
            values = values.squeeze(axis) if isinstance(index, Integral) else values
        return like(values, self.reference)

    def _index(self, index: Any, size: int) -> Tensor:
        """The chosen points, as NumPy would choose them."""
        try:
            chosen = np.atleast_1d(np.arange(size)[index]).copy()  # torch takes no negative steps
        except IndexError as error:
            raise IndexError(f"K[rows, cols]: {error}") from None
        return torch.from_numpy(chosen).to(self.x.device)

    def _block(self, x: Tensor, y: Tensor) -> Tensor:
        """Values of the kernel between all points of two clouds, ``(B, n, m)``."""
        if isinstance(self.kernel, Radial):
            values: Tensor = self.kernel((x[:, :, None] - y[:, None]).square().sum(-1))
            return values
        return self.kernel(x, y)

    def _pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """Values of the kernel between corresponding points, ``(B, n)``."""
        if isinstance(self.kernel, Radial):
            values: Tensor = self.kernel((x - y).square().sum(-1))
            return values
        flat = self.kernel(x.reshape(-1, 1, x.shape[-1]), y.reshape(-1, 1, x.shape[-1]))
        return flat.view(x.shape[:2])

    def __repr__(self) -> str:
        name = self.kernel if isinstance(self.kernel, Radial) else "a Python function"
        why = reason(self.asked, self.kernel, self.x)
        size = " x ".join(f"{n:,}" for n in self.shape)
        return f"KernelMatrix({name}, {size}, {self.dtype}, engine {self.engine.name}: {why})"


def _points(name: str, x: Array) -> Tensor:
    if isinstance(x, np.ndarray):
        return as_tensor(x, x)
    return x
