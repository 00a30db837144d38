r"""The matrix of a kernel between two clouds, never stored."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..clouds import points_pair
from ..engines.base import Engine
from ..engines.choose import load
from ..engines.openmp import NUMBERS, on_one_thread, own_settings, threads_for
from ..engines.ranks.rows import SharedRows
from ..errors import bad_input
from ..formulas import Kernel, Radial, as_kernels
from ..held import Watch, held
from ..pairs import BlockPairs, Blocks
from .arrays import Array, as_tensor, like, numbers_of
from .autograd.spread import gathered, group_of
from .base import Operator
from .parts import block_pairs, make_part, swapped, tolerance
from .products import product_of_new

__all__ = ["KernelMatrix"]


class KernelMatrix(Operator):
    r"""The matrix :math:`K_{ij} = k(x_i, y_j)`, known by its products.

    ``K @ v`` multiplies vectors ``(M,)``, blocks ``(M, R)`` and batches ``(B, M, R)``; blocks cost
    little more than vectors. What comes in goes out: tensors give tensors with gradients in the
    points and in v, NumPy arrays give arrays. SciPy's ``aslinearoperator``, ``eigsh``, ``cg`` and
    the like take K as it is. It keeps its own copy of the points; those that are part of a graph it
    keeps as they are, for autograd, and after a change in place it raises RuntimeError.

    Args:
        kernel: ``kernels.Gaussian(sigma)`` and its like, sums and products of them, a
            ``kernels.Pointwise``, or a function of ``(B, N, D)`` and ``(B, M, D)`` tensors that
            returns ``(B, N, M)`` values. A length given as a tensor receives a gradient.
        x: ``(N, D)`` or ``(B, N, D)`` points, tensor or array; the matrix of points in half
            precision is one in float32, and their gradients are in half precision.
        y: ``(M, D)`` or ``(B, M, D)`` points; None means x itself.
        pairs: ``Blocks(radius)`` to visit only blocks of points that come that close; the other
            entries count as zero. They are chosen here: make a new matrix when points have moved.
            None visits all pairs.
        engine: "auto", or the name of an engine: "tiles", "numba", "nufft", "keops",
            "triton", "compiled".
        tol: the error that an approximate engine may make in an entry of ``K @ v``, relative to
            ``max |k| * sum_j |v_j|``; :meth:`error` measures it. 0 asks for exact sums.
        group: processes of ``torch.distributed``, each of which gives its rows of x and y; ``K @ v``
            takes and gives theirs, while ``shape``, sums, the diagonal and entries are of the whole
            (see "On many machines" in the guide).

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

    made_of: tuple[Any, dict[str, Any]] | None = None  # its arguments, if compiled code makes it

    @on_one_thread
    def __init__(
        self,
        kernel: Kernel | Callable[[Tensor, Tensor], Tensor],
        x: Array,
        y: Array | None = None,
        *,
        pairs: Blocks | BlockPairs | None = None,
        engine: str | Engine = "auto",
        tol: float = 1e-6,
        group: Any = None,
    ) -> None:
        if torch.compiler.is_compiling():
            rest = {"pairs": pairs, "engine": engine, "tol": tol, "group": group}
            self.made_of = (kernel, x, y), rest
            self.shape = (*x.shape[:-1], (x if y is None else y).shape[-2])
            self.symmetric = y is None and all(isinstance(k, Radial) for k in as_kernels(kernel))
            return
        if (group := group_of(group, x, y)) is not None:
            x, across = gathered("KernelMatrix", group, "x", x)
            self.spreads = across, across
            if y is not None:
                with across.ranks.together():
                    y, down = across.beside("y", y)
                self.spreads = across, down
            engine = SharedRows(engine, across.ranks)
        self.kernel, self.asked, self.tol = kernel, engine, tolerance(tol)
        given, x, kernels = x, _points("x", x), as_kernels(kernel)
        source, target, self.batched = points_pair(x, x if y is None else _points("y", y))
        self.reference = like(source.positions.detach().new_empty(0), given)
        self.x = held(source.positions)
        self.y = self.x if y is None else held(target.positions)
        lengths = (k.length for k in kernels if isinstance(k, Radial) and k.length is not None)
        self._watch = Watch(self.x, self.y, *lengths)
        self.shape = (*x.shape[:-2], self.x.shape[1], self.y.shape[1])
        self.symmetric = y is None and all(isinstance(k, Radial) for k in kernels)
        self._transposed: KernelMatrix | None = None
        self.pairs = block_pairs(pairs, self.x, self.y, self.batched)
        clouds, how = (self.x, self.y, self.pairs), (engine, self.tol)
        self.parts = tuple(make_part(kernel, *clouds, *how) for kernel in kernels)

    def __getattr__(self, name: str) -> Any:
        """What a matrix lacks that compiled code has made, once somebody asks for it outside."""
        if self.made_of is None or torch.compiler.is_compiling():
            raise AttributeError(f"'KernelMatrix' object has no attribute '{name}'")
        args, how = self.made_of
        self.made_of = None
        vars(self).update(vars(KernelMatrix(*args, **how)))
        return getattr(self, name)

    def _times(self, v: Array) -> Array:
        args, how = self.made_of or ((), {})
        return product_of_new(v, KernelMatrix, *args, **how) if args else super()._times(v)

    @property
    def engine(self) -> Engine:
        """The engine that sums the first part of the kernel."""
        return self.parts[0].engine

    @property
    def kept_fraction(self) -> float:
        """The part of all pairs that is visited."""
        return 1.0 if self.pairs is None else self.pairs.kept_fraction

    @property
    def live(self) -> tuple[Tensor, ...]:
        """The points, and the lengths of kernels that are learnt."""
        return self._watch.tensors

    def _refuse_moved(self) -> None:
        """Blocks, the units of the points and the choice of the engine were made once."""
        self._watch.check("K", "points or a length that were")

    def product(self, v: Tensor) -> Tensor:
        """The product with ``(M, R)`` or ``(B, M, R)``, differentiable to any order."""
        self._refuse_moved()
        block = v if self.batched else v[None]
        out = torch.stack([part.product(block, self.pairs) for part in self.parts]).sum(0)
        return out if self.batched else out[0]

    @own_settings
    def error(self, v: Array | None = None, rows: int = 64, seed: int = 0) -> float:
        """The error of ``K @ v`` on sampled rows, relative to ``max |k| * sum_j |v_j|``.

        The rows are summed exactly in float64 over all pairs, so that what was dropped by
        ``pairs`` counts too; ``max |k|`` is the value at distance zero, or the largest entry of
        these rows if that is larger.

        Args:
            v: ``(M,)`` or ``(M, R)``; None takes ones, random signs and one unit vector.
            rows: how many rows to sample.
            seed: of the sample.
        """
        if self.batched:
            raise bad_input("error()", f"a batch, {self.shape}", "one matrix")
        generator = torch.Generator().manual_seed(seed)
        if v is None:
            v = torch.randn(self.shape[1], 3, generator=generator).sign().to(self.x)
            place = int(torch.randint(self.shape[1], (), generator=generator))
            v[:, 0], v[:, 2], v[place, 2] = 1, 0, 1
        block = as_tensor(v, self.x, "v").reshape(self.shape[1], -1)
        chosen = torch.randint(self.shape[0], (rows,), generator=generator).to(self.x.device)
        heaviest = self.y[0, block.abs().amax(1).argmax()]  # its neighbour feels the error most
        chosen[0] = (self.x[0] - heaviest).square().sum(-1).argmin()
        with torch.no_grad():
            found = self.product(block)[chosen].double()
            exact = KernelMatrix(
                self.kernel, self.x[0, chosen].double(), self.y[0].double(), engine="tiles", tol=0
            )
            largest = max(float(exact[k : k + 1, :].abs().max()) for k in range(rows))
            at_zero = sum(part.at_zero() for part in exact.parts)
            scale = max(largest, abs(at_zero)) * block.abs().sum(0).double()
            error = (found - exact.product(block.double())).abs().amax(0)
            return float((error / scale.where(scale > 0, 1)).max())

    def lazy_tensor(self) -> Any:
        """The matrix as a KeOps LazyTensor, for what KeOps can and this class cannot.

        With block pairs, its ranges are set and its rows and columns stand in the order of the
        blocks, ``K.pairs.rows.order`` and ``K.pairs.columns.order``.
        """
        self._refuse_moved()
        keops: Any = load("keops")
        lazy = 0.0
        for part in self.parts:
            why_not = keops.refuses(part.kernel, part.x, self.pairs)
            if why_not:
                raise bad_input("kernel", repr(self.kernel), "one that KeOps can read", why_not)
            x, y = (part.x, part.y) if self.batched else (part.x[0], part.y[0])
            lazy = keops.lazy(part.kernel, x, y, self.pairs) * part.factor + lazy
        return lazy

    def transpose(self) -> Operator:
        """The matrix of the same kernel from y to x; kernels are symmetric functions."""
        if self.symmetric:
            return self
        if self.made_of is not None:
            (kernel, x, y), how = self.made_of
            return KernelMatrix(swapped(kernel), x if y is None else y, x, **how)
        self._refuse_moved()
        if torch.compiler.is_compiling():
            return self._transpose()
        if self._transposed is None:
            self._transposed = self._transpose()
            self._transposed._transposed = self
        return self._transposed

    def _transpose(self) -> KernelMatrix:
        shown = (self.y, self.x) if self.batched else (self.y[0], self.x[0])
        clouds = (like(points, self.reference) for points in shown)
        how: dict[str, Any] = {"engine": self.asked, "tol": self.tol}
        pairs = self.pairs and self.pairs.T
        found = KernelMatrix(swapped(self.kernel), *clouds, pairs=pairs, **how)
        found.spreads = self.spreads and self.spreads[::-1]
        return found

    @own_settings
    def diagonal(self) -> Array:
        """The entries ``k(x_i, y_i)``, ``(..., min(N, M))``."""
        self._refuse_moved()
        size = min(self.shape[-2:])
        values = torch.stack([part.diagonal(size) for part in self.parts]).sum(0)
        return like(values if self.batched else values[0], self.reference)

    @own_settings
    def to_dense(self) -> Array:
        """The whole matrix; refused above 2^28 numbers."""
        self.refuse_dense()
        values = self._rows(np.arange(self.x.shape[1]), slice(None))
        return like(values if self.batched else values[0], self.reference)

    @own_settings
    def __getitem__(self, where: tuple[Any, Any]) -> Array:
        """The submatrix ``K[rows, cols]``: integers, slices or index arrays."""
        if self.batched or not (isinstance(where, tuple) and len(where) == 2):
            wanted = "K[rows, cols] of one matrix, not of a batch"
            raise bad_input("K[...]", repr(where), wanted, kind=IndexError)
        rows, cols = (
            numbers_of("K[rows, cols]", index, size).to(self.x.device)
            for index, size in zip(where, self.shape, strict=True)
        )
        values = self._rows(rows, cols)[0]
        for axis, index in ((1, where[1]), (0, where[0])):
            values = values.squeeze(axis) if isinstance(index, Integral) else values
        return like(values, self.reference)

    def _rows(self, rows: Any, cols: Any) -> Tensor:
        """Entries as :meth:`_block` gives them, made a few rows at a time."""
        self._refuse_moved()
        width = math.prod(self.y[:, cols].shape)
        some = torch.as_tensor(rows).split(max(1, 2**24 // max(1, width)))
        with threads_for(NUMBERS * len(rows) * width):
            return torch.cat([self._block(part, cols) for part in some], 1)

    def _block(self, rows: Any, cols: Any) -> Tensor:
        """Entries of chosen rows and columns, zero where blocks are not kept, ``(B, n, m)``."""
        values = torch.stack([part.block(rows, cols) for part in self.parts]).sum(0)
        if self.pairs is None:
            return values
        places = [
            np.arange(size)[chosen.cpu() if isinstance(chosen, Tensor) else chosen]
            for size, chosen in zip(self.shape, (rows, cols), strict=True)
        ]
        return values * torch.from_numpy(self.pairs.mask(*places)).to(values.device)

    def __repr__(self) -> str:
        size = " x ".join(f"{n:,}" for n in self.shape)
        pairs = f", {100 * self.kept_fraction:.2g} % of the pairs" if self.pairs else ""
        kernel = " + ".join(map(repr, as_kernels(self.kernel)))
        how = "; ".join(dict.fromkeys(part.how() for part in self.parts))
        return f"KernelMatrix({kernel}, {size}, {self.dtype}{pairs}, {how})"


def _points(name: str, x: Array) -> Tensor:
    return as_tensor(x, x, name) if isinstance(x, np.ndarray) else x
