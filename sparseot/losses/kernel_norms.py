r"""Kernel norms, also called maximum mean discrepancies, between two weighted clouds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..clouds import points_pair
from ..engines.base import Engine, Formula
from ..engines.choose import choose_engine
from ..engines.openmp import own_settings
from ..errors import bad_input
from ..formulas import Opaque, as_kernel
from ..operators.arrays import Array, answered, of_one_kind
from ..operators.autograd.compiled import one_operator
from ..operators.autograd.kernel_sums import kernel_sum
from ..operators.autograd.mapped import mapped
from ..operators.autograd.over_ranks import over_ranks
from ..operators.parts import at_unit_length
from ..points import shared, transformed
from ..ragged.batches import over_sets
from .shapes import empty_losses

__all__ = ["kernel_norm"]


@one_operator(empty_losses)
@over_ranks()
@mapped
@own_settings
@over_sets
def kernel_norm(
    x: Array,
    y: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    batch: Any = None,
    kernel: Formula | Callable[[Tensor, Tensor], Tensor],
    potentials: bool = False,
    engine: str | Engine = "auto",
    group: Any = None,
) -> Array | tuple[Array, Array]:
    r"""Half the squared kernel norm of the difference of two weighted clouds.

    .. math::
        \tfrac12 \|\alpha - \beta\|_k^2 = \tfrac12 \sum_{ij} a_i a_j k(x_i, x_j)
        + \tfrac12 \sum_{ij} b_i b_j k(y_i, y_j) - \sum_{ij} a_i b_j k(x_i, y_j)

    Differentiable to any order in x, y, a and b, and in the length of a kernel that is a tensor.

    Args:
        x: ``(N, D)`` or ``(B, N, D)`` points, tensor or NumPy array; of half precision there are
            values in float32, with gradients in half precision.
        y: ``(M, D)`` or ``(B, M, D)`` points, of the same kind.
        a: ``(N,)`` or ``(B, N)`` weights; None means 1/N. Masses need not be equal. Points ``(N, D)``
            with weights ``(B, N)`` are a batch on one support, whose kernel is summed once.
        b: ``(M,)`` or ``(B, M)`` weights.
        batch: a pair of sorted vectors, ``(n,)`` and ``(m,)``, the set of each point of x and of y, as in
            PyG: for sets of different sizes, which may also be lists of clouds, or nested tensors, in the
            place of x and y (see "Sets of different sizes" in the guide).
        kernel: a symmetric formula, such as ``kernels.Gaussian(0.1)``, or a symmetric function of
            ``(B, N, D)`` and ``(B, M, D)`` tensors that returns ``(B, N, M)``.
        potentials: return the kernel's product with ``alpha - beta`` on x, and with
            ``beta - alpha`` on y, instead.
        engine: "auto", or the name of an engine.
        group: processes of ``torch.distributed``, each of which gives its rows of x and y (see "On many
            machines" in the guide).

    Returns:
        A number, ``(B,)`` numbers for a batch, or two potentials of the shapes of a and b: of arrays,
        a Python number, or arrays.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Gretton, Borgwardt, Rasch, Schölkopf and Smola, 2012, equation 3 (diagonal included);
        energy distance: Székely and Rizzo, 2013.

    Example:
        >>> from sparseot import kernels
        >>> x, y = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
        >>> print(f"{kernel_norm(x, y, kernel=kernels.Energy()):.2f}")
        5.00
    """
    (x, y, a, b), reference = of_one_kind(x=x, y=y, a=a, b=b)
    source, target, batched = points_pair(x, y, a, b)
    kernel = as_kernel(kernel)
    if isinstance(kernel, Opaque) and transformed(x, y, a, b):
        got, wanted = "a kernel that is a function", "a formula, such as kernels.Gaussian(0.1)"
        raise bad_input("torch.func", got, wanted, "Or use torch.autograd.")
    a, b = source.weights, target.weights
    kernel, x, y, factor = at_unit_length(kernel, source.positions, target.positions)
    chosen, _ = choose_engine(engine, kernel, x, y)
    if potentials:
        both, signed = torch.cat((x, y), 1), torch.cat((a, -b), 1)[..., None]
        field = factor * kernel_sum(kernel, both, both, signed, engine=chosen)[..., 0]
        f, g = field[:, : x.shape[1]], -field[:, x.shape[1] :]
        return answered((f, g) if batched else (f[0], g[0]), reference)
    if shared(x) and shared(y):
        norm = _on_one_support(kernel, x[:1], y[:1], a, b, chosen)
    else:
        cross = (a * kernel_sum(kernel, x, y, b[..., None], engine=chosen)[..., 0]).sum(-1)
        from ..operators.autograd.quadratic_forms import (
            quadratic_form,  # here, for a light import of the library
        )

        own = [quadratic_form(kernel, z, c, engine=chosen) for z, c in ((x, a), (y, b))]
        norm = (own[0] + own[1]) / 2 - cross
    value = factor * norm
    return answered(value if batched else value[0], reference)


def _on_one_support(
    kernel: Formula, x: Tensor, y: Tensor, a: Tensor, b: Tensor, engine: Engine
) -> Tensor:
    """The norms ``(B,)`` of weights ``(B, N)``, ``(B, M)`` on ``(1, N, D)``, ``(1, M, D)``: columns of a block."""

    def product(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return kernel_sum(kernel, x, y, v.mT[None], engine=engine)[0].mT

    on_x, on_y = product(x, x, a) / 2 - product(x, y, b), product(y, y, b) / 2
    return (a * on_x).sum(-1) + (b * on_y).sum(-1)
