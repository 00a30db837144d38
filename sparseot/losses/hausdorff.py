r"""The smoothed Hausdorff divergence between two weighted clouds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..clouds import points_pair
from ..engines.base import Engine, Formula
from ..engines.choose import choose_engine
from ..engines.openmp import own_settings
from ..errors import warn_user
from ..formulas import posed
from ..operators.arrays import Array, of_one_kind, refuse_learnt, shown
from ..operators.autograd.compiled import one_operator
from ..operators.autograd.mapped import mapped
from ..operators.autograd.over_ranks import over_ranks
from ..operators.autograd.softmin import first_order, softmin
from ..points import Points, check_positive, enough_digits, refuse_transforms
from ..ragged.batches import over_sets
from ..transport.marginals import Marginals, marginals
from ..transport.problem import check_cost
from ..transport.solvers.self_transport import self_potential
from .shapes import empty_losses

__all__ = ["hausdorff_divergence"]


@one_operator(empty_losses)
@over_ranks()
@mapped
@own_settings
@over_sets
def hausdorff_divergence(
    x: Array,
    y: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    batch: Any = None,
    p: int = 2,
    blur: float = 0.05,
    reach: float | None = None,
    cost: Formula | Callable[[Tensor, Tensor], Tensor] | str | None = None,
    potentials: bool = False,
    engine: str | Engine = "auto",
    group: Any = None,
) -> Array | tuple[Array, Array]:
    r"""How far the points of each cloud are from the other cloud, smoothed.

    Let f be the potential of the transport of alpha onto itself and g that of beta, both extended
    to the whole space by one softmin: each is, up to the blur, a distance to its cloud. Then

    .. math::
        H = \tfrac12 \langle \alpha, g - f \rangle + \tfrac12 \langle \beta, f - g \rangle .

    As blur tends to 0, H tends to the mean cost to the nearest neighbour in the other cloud,
    averaged over both directions (the loss of iterative closest points); as blur grows, to half
    the squared kernel norm of kernel -C.

    Args:
        x: ``(N, D)`` or ``(B, N, D)`` points, tensor or NumPy array; of half precision there are
            values in float32, with gradients in half precision.
        y: ``(M, D)`` or ``(B, M, D)`` points, of the same kind.
        a: ``(N,)`` or ``(B, N)`` weights; None means 1/N. Points ``(N, D)`` with weights ``(B, N)``
            are a batch on one support.
        b: ``(M,)`` or ``(B, M)`` weights.
        batch: a pair of sorted vectors, ``(n,)`` and ``(m,)``, the set of each point of x and of y, as in
            PyG: for sets of different sizes, which may also be lists of clouds, or nested tensors, in the
            place of x and y (see "Sets of different sizes" in the guide).
        p: exponent of the ground cost ``|x - y|^p / p``, 1 or 2.
        blur: smoothing length, in the units of the points.
        reach: length above which distances saturate; None never.
        cost: another ground cost, as in :func:`sinkhorn_divergence`, symmetric within each cloud; a
            function cannot be learned.
        potentials: return ``((g - f) / 2 on x, (f - g) / 2 on y)`` instead.
        engine: "auto", or the name of an engine.
        group: processes of ``torch.distributed``, each of which gives its rows of x and y (see "On many
            machines" in the guide).

    Returns:
        A number, ``(B,)`` numbers for a batch, or two potentials; of arrays, a Python number or arrays.
        First derivatives are exact.

    Raises:
        ValueError, TypeError: if an argument is not as described. A result that is NaN or infinite is
        a warning.

    References:
        Feydy and Trouvé, 2018, "Global divergences between measures: from Hausdorff distance to
        optimal transport", section 3; unbalanced: Séjourné et al., 2019, section 4.

    Example:
        >>> x, y = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
        >>> print(f"{hausdorff_divergence(x, y):.2f}")
        12.50
    """
    (x, y, a, b), reference = of_one_kind(x=x, y=y, a=a, b=b)
    source, target, batched = points_pair(x, y, a, b)
    dtype = source.positions.dtype
    refuse_transforms(x, y, a, b)
    check_positive(blur=blur, reach=reach)
    blur = float(blur)  # powers of NumPy's numbers have their few digits
    found = posed(cost, p, source, target, own=True)
    source, target, formula = found.source, found.target, found.cost
    refuse_learnt(reference, source.positions, target.positions)
    penalty, eps = marginals(reach, found.p), blur**found.p
    penalty.check(source, target)
    if penalty.imposed and (source.rounding or target.rounding):
        target = target.of_mass(source)
    source, target = enough_digits(source, target, found.p, blur, beyond=found.beyond)
    chosen, _ = choose_engine(engine, formula, source.positions, target.positions)
    check_cost(formula, source, target, own=True, engine=chosen, fixed=True)

    def distance_to(points: Points, other: Points, cost: Formula) -> tuple[Tensor, Tensor]:
        """The cloud's own potential on itself and on the other cloud's points, from which costs are."""
        f = self_potential(points, formula, penalty, eps, engine=chosen)
        far = _extended(points, f, other, cost, penalty, eps, chosen)
        return penalty.saturated(f, eps), penalty.saturated(far, eps)

    f_x, f_y = distance_to(source, target, formula.T)
    g_y, g_x = distance_to(target, source, formula)
    on_x, on_y = (g_x - f_x) / 2, (f_y - g_y) / 2
    _say_if_infinite(on_x, on_y)
    if potentials:
        on_x, on_y = on_x.to(dtype), on_y.to(dtype)
        return shown((on_x, on_y) if batched else (on_x[0], on_y[0]), reference)
    a, b = first_order(source.weights), first_order(target.weights)
    value = ((a * on_x).sum(-1) + (b * on_y).sum(-1)).to(dtype)
    return shown(value if batched else value[0], reference)


def _extended(
    points: Points,
    f: Tensor,
    other: Points,
    cost: Formula,
    penalty: Marginals,
    eps: float,
    engine: Engine,
) -> Tensor:
    """The potential f of a cloud, at the points of another: one damped softmin."""
    x, y = other.positions, points.positions
    with torch.no_grad():
        temperature = y.new_full((len(y),), eps)
        col = points.log_weights + f / eps
        value = -eps * engine.bind(x, y).logsumexp(cost, temperature, col)
    return penalty.damping(eps) * softmin(cost, x, y, points.weights, f, value, eps, engine=engine)


def _say_if_infinite(*potentials: Tensor) -> None:
    if not all(bool(f.isfinite().all()) for f in potentials):
        warn_user(
            "The Hausdorff divergence is not finite: costs are too large for this blur. Take a larger "
            "one, or rescale the points.",
        )
