r"""Kernel norms, also called maximum mean discrepancies, between two weighted clouds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..engines.base import Engine, Formula
from ..engines.choose import choose_engine
from ..engines.openmp import own_settings
from ..formulas import as_kernel
from ..operators.autograd.kernel_sums import kernel_sum, quadratic_form
from ..operators.parts import at_unit_length
from ..points import points_pair

__all__ = ["kernel_norm"]


@own_settings
def kernel_norm(
    x: Tensor,
    y: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    kernel: Formula | Callable[[Tensor, Tensor], Tensor],
    potentials: bool = False,
    engine: str | Engine = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Half the squared kernel norm of the difference of two weighted clouds.

    .. math::
        \tfrac12 \|\alpha - \beta\|_k^2 = \tfrac12 \sum_{ij} a_i a_j k(x_i, x_j)
        + \tfrac12 \sum_{ij} b_i b_j k(y_i, y_j) - \sum_{ij} a_i b_j k(x_i, y_j)

    Differentiable to any order in x, y, a and b, and in the length of a kernel that is a tensor.

    Args:
        x: ``(N, D)`` or ``(B, N, D)`` points.
        y: ``(M, D)`` or ``(B, M, D)`` points.
        a: ``(N,)`` or ``(B, N)`` weights; None means 1/N. Masses need not be equal.
        b: ``(M,)`` or ``(B, M)`` weights.
        kernel: a symmetric formula, such as ``kernels.Gaussian(0.1)``, or a symmetric function of
            ``(B, N, D)`` and ``(B, M, D)`` tensors that returns ``(B, N, M)``.
        potentials: return the kernel's product with ``alpha - beta`` on x, and with
            ``beta - alpha`` on y, instead.
        engine: "auto", or the name of an engine.

    Returns:
        A number, ``(B,)`` numbers for a batch, or two potentials of the shapes of a and b.

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
    source, target, batched = points_pair(x, y, a, b)
    kernel = as_kernel(kernel)
    a, b = source.weights, target.weights
    kernel, x, y, factor = at_unit_length(kernel, source.positions, target.positions)
    chosen, _ = choose_engine(engine, kernel, x)
    if potentials:
        both, signed = torch.cat((x, y), 1), torch.cat((a, -b), 1)[..., None]
        field = factor * kernel_sum(kernel, both, both, signed, engine=chosen)[..., 0]
        f, g = field[:, : x.shape[1]], -field[:, x.shape[1] :]
        return (f, g) if batched else (f[0], g[0])
    cross = (a * kernel_sum(kernel, x, y, b[..., None], engine=chosen)[..., 0]).sum(-1)
    own = quadratic_form(kernel, x, a, engine=chosen) + quadratic_form(kernel, y, b, engine=chosen)
    value = factor * (own / 2 - cross)
    return value if batched else value[0]
