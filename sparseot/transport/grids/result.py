"""``GridTransport``: what a solve between images found; everything has their shape."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...engines.openmp import own_settings
from ...errors import bad_input
from ...operators.arrays import (
    Array,
    as_tensor,
    floating,
    like,
    listed,
    refuse_elsewhere,
    tensor_of,
)
from ...points import log_weights
from ..result import Transport
from ..solution import Level
from .images import Axes

__all__ = ["GridTransport"]


class GridTransport:
    """The result of :func:`solve_grid`.

    Values have the shape of the batch of images, ``()`` if there is none, potentials and marginals that of
    the images; all have their dtype, but for ``lower`` and ``upper``, which are float64. Where the images
    were NumPy arrays, arrays and Python numbers are in the place of tensors.

    Attributes:
        axes: the axes of the batch and of the grid, and its spacing.
        flat: the same result as a :class:`Transport` between the pixels as points, in the order of their
            memory, the batch one axis.

    Example:
        >>> import torch
        >>> from sparseot import solve_grid
        >>> found = solve_grid(torch.eye(5)[0], torch.eye(5)[3], blur=0.5)
        >>> print(f"{found.value:.2f}", found.converged)  # half of three squared
        4.50 True
    """

    def __init__(self, flat: Transport, axes: Axes) -> None:
        self.flat, self.axes = flat, axes

    @property
    def value(self) -> Array:
        r"""The transport cost :math:`OT_\varepsilon`, or the divergence if debiased.

        First and second derivatives in a and b are exact.
        """
        return self._numbers(self.flat.value)

    @property
    def value_linear(self) -> Array:
        r"""The cost :math:`\langle P, C \rangle` of the plan, without its entropy and no debiasing."""
        return self._numbers(self.flat.value_linear)

    @property
    def lower(self) -> Array:
        """A lower bound of the true value, to which ``value`` is an approximation, float64."""
        return self._numbers(self.flat.lower)

    @property
    def upper(self) -> Array:
        """An upper bound of the true value, float64."""
        return self._numbers(self.flat.upper)

    @property
    def potential_a(self) -> Array:
        """The potential f of a, with its derivatives; balanced, in the gauge ``<a, f> = <b, g>``."""
        return self._images(self.flat.potential_a)

    @property
    def potential_b(self) -> Array:
        """The potential g of b."""
        return self._images(self.flat.potential_b)

    @property
    def potentials(self) -> tuple[Array, Array]:
        """``potential_a`` and ``potential_b``."""
        return self.potential_a, self.potential_b

    @property
    def potential_aa(self) -> Array:
        """The potential of the transport of a to itself (debiased only)."""
        return self._images(self.flat.potential_aa)

    @property
    def potential_bb(self) -> Array:
        """The potential of the transport of b to itself (debiased only)."""
        return self._images(self.flat.potential_bb)

    @property
    def marginal_a(self) -> Array:
        """The row sums ``P 1``, an image."""
        return self._images(self.flat.marginal_a)

    @property
    def marginal_b(self) -> Array:
        """The column sums of the plan, an image."""
        return self._images(self.flat.marginal_b)

    @property
    def marginals(self) -> tuple[Array, Array]:
        """Both of them."""
        return self.marginal_a, self.marginal_b

    @own_settings
    @torch.no_grad()
    def map(self, values: Array | None = None, *, inverse: bool = False) -> Array:
        r"""Where the mass of each pixel of a goes: the mean of its partners, in the units of ``spacing``.

        The first pixel is the origin. Pixels without weight have a mean too, that of the entropic map.

        Args:
            values: of b instead of coordinates, of the shape of the images or with one axis more, last,
                as colours: their mean over the partners of each pixel.
            inverse: map from b to a instead.

        Returns:
            ``(*batch, *grid, D)``, or of the shape of ``values``. It has no derivatives.
        """
        problem, found = self.flat.solved[0].problem, self.flat.solved[0].solution
        other, h = (problem.source, found.f) if inverse else (problem.target, found.g)
        if values is None:
            columns = other.positions.clone()
            shape: tuple[int, ...] = (*self._shape, len(self.axes.shape))
        else:
            values = floating(listed(values, "values"), "values")
            columns, shape = self._as_columns(values, "values").to(h), tuple(values.shape)
        sums = self.axes.engine.bind(other.positions, other.positions)
        logs = log_weights(other.weights) + h / problem.eps
        _, means = sums.averaged(0.5 / problem.eps, logs, columns)
        assert means is not None
        reference = self.flat.reference if values is None else values
        return like(means.reshape(shape).to(as_tensor(reference, reference).dtype), reference)

    def displacement(self, *, inverse: bool = False) -> Array:
        """How far the mass of each pixel goes, ``(*batch, *grid, D)``: the map less the pixel's place."""
        where = self.map(inverse=inverse)
        x = self.axes.engine.coordinates(torch.zeros((), dtype=torch.float64))
        return where - like(as_tensor(x, where).view(*self.axes.shape, -1), where)

    @own_settings
    def hvp(self, v: Array, wrt: str = "a") -> Array:
        """The Hessian of the value in the weights a or b, times an image, or several of them.

        No matrix is stored on large grids: the linear system is solved by conjugate gradients, to a relative
        residual of 1e-8, on sums along the axes.

        Args:
            v: of the shape of the images, or with one axis more, last, for several directions.
            wrt: "a" or "b".

        Returns:
            Of the shape and kind of v.
        """
        if wrt not in ("a", "b"):
            raise bad_input("wrt", repr(wrt), 'one of "a", "b"', "Pixels do not move.")
        v = floating(listed(v, "v"), "v")
        columns = self._as_columns(v, "v")
        columns = columns if self.axes.batch else columns[0]
        found = self.flat.hvp(columns, wrt)
        return like(found.reshape(v.shape).to(as_tensor(v, v).dtype), v)

    @property
    def converged(self) -> bool:
        """Whether the tolerance was met, in all items and, debiased, all three problems."""
        return self.flat.converged

    @property
    def n_iter(self) -> int:
        """Sweeps over all temperatures and grids (two half-steps each), the largest of the batch."""
        return self.flat.n_iter

    @property
    def residual(self) -> float:
        """L1 error of the marginals of the plan, relative to the mass."""
        return self.flat.residual

    @property
    def tol(self) -> float:
        """The tolerance that was asked for."""
        return self.flat.tol

    @property
    def levels(self) -> tuple[Level, ...]:
        """The temperatures and grids that were solved on the way, those of the first item."""
        return self.flat.levels

    @property
    def status(self) -> str:
        """One sentence: whether the tolerance was met, by which error, and after how many sweeps."""
        return self.flat.status

    def __repr__(self) -> str:
        kind = "Sinkhorn divergence" if self.flat.debias else "entropic transport"
        pixels = " x ".join(map(str, self.axes.shape))
        batch = " x ".join(map(str, self.axes.batch))
        shown = torch.as_tensor(self.value).detach().reshape(-1)[:4].tolist()
        return "\n".join(
            [
                f"GridTransport: {kind}, {f'{batch} times ' if batch else ''}{pixels} pixels",
                f"  value{'s' * (len(shown) > 1)} {', '.join(f'{v:.7g}' for v in shown)}",
                f"  {self.status}",
            ]
        )

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.axes.batch + self.axes.shape

    def _numbers(self, found: Any) -> Any:
        """Numbers of items ``(B,)`` in the shape of the batch."""
        return found.reshape(self.axes.batch) if self.axes.batch else found

    def _images(self, found: Array) -> Array:
        return found.reshape(self._shape)

    def _as_columns(self, v: Array, name: str) -> torch.Tensor:
        """Images ``(*batch, *grid)``, or with one axis more, as ``(B, N, R)``."""
        refuse_elsewhere(v, self.flat.reference, name)
        columns, shape = tensor_of(v, name), self._shape
        if columns.shape[: len(shape)] != shape or columns.dim() > len(shape) + 1:
            wanted = f"{shape}, as the images have, or one axis more, the last one"
            raise bad_input(name, f"shape {tuple(columns.shape)}", wanted)
        items, size = math.prod(self.axes.batch), self.axes.engine.size
        return columns.detach().double().reshape(items, size, -1)
