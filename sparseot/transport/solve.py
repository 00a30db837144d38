r"""``solve_sample``: entropic transport between two clouds, solved to a tolerance."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

from torch import Tensor

from ..engines.base import Formula
from ..engines.openmp import own_settings
from ..engines.ranks.group import Ranks
from ..engines.ranks.rows import SharedRows
from ..operators.arrays import Array
from ..operators.autograd.compiled import eagerly
from ..operators.autograd.over_ranks import on_ranks
from ..operators.autograd.spread import Spread, group_of
from ..ragged.batches import as_batches
from .derivatives.solved import say_what_failed
from .marginals import Reach
from .posed import Found, Init, brought, solve_apart, solve_clouds, with_tolerance
from .result import Transport
from .solvers.progress import deferred
from .solvers.sinkhorn import Sinkhorn
from .transports import Transports, of_groups

__all__ = ["solve_sample"]


@eagerly
@own_settings
def solve_sample(
    x: Array,
    y: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    batch: Any = None,
    blur: float,
    p: int = 2,
    reach: Reach = None,
    debias: bool = False,
    tol: float = 1e-3,
    cost: Formula | Callable[[Tensor, Tensor], Tensor] | str | None = None,
    solver: Sinkhorn | None = None,
    init: Transport | Transports | str | os.PathLike[str] | None = None,
    group: Any = None,
) -> Transport:  # what most calls return; Transports read likewise
    r"""Entropic optimal transport between two weighted clouds, to a tolerance.

    .. math::
        OT_\varepsilon(\alpha, \beta) = \min_P \, \langle P, C \rangle
        + \varepsilon KL(P \,|\, a \otimes b)
        \quad \text{with} \quad P 1 = a, \; P^\top 1 = b

    with :math:`C = |x - y|^p / p` and :math:`\varepsilon = \text{blur}^p`; with ``reach``, a
    marginal is free at the price ``reach**p * KL``. The result carries its own evidence: the error
    of the marginals over all pairs, whether the tolerance was met, and an interval that contains
    the true value.

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
        blur: smoothing length, in the units of the points.
        p: exponent of the ground cost, 1 or 2.
        reach: length above which mass is rather created and destroyed than moved; a pair for
            different lengths on the side of x and of y, None where a marginal is imposed.
        debias: subtract half of the transport cost of each cloud to itself from the value.
        tol: L1 error of the marginals of the plan, relative to the mass.
        cost: another ground cost, as in :func:`sparseot.sinkhorn_divergence`.
        solver: options, as ``Sinkhorn(max_sweeps=..., progress=True)``.
        init: an earlier result for clouds of the same sizes, to start from; or, for one pair, the folder in
            which ``Sinkhorn(checkpoint=folder)`` kept its potentials.
        group: processes of ``torch.distributed``, each of which gives its rows of x and y, and calls alike
            whatever it asks of the result (see "On many machines" in the guide).

    Returns:
        A :class:`Transport`: value, potentials, plan, map, and how far they can be trusted; of
        arrays, Python numbers and arrays; of sets of different sizes :class:`Transports`, one for each. The value has exact first and second derivatives in x, y, a
        and b, the potentials first ones.

    Raises:
        ValueError, TypeError: if an argument is not as described. Not reaching the tolerance is
        a warning, and ``converged`` is False.

    References:
        Peyré and Cuturi, 2019, "Computational optimal transport", chapter 4; Feydy et al., 2019.

    Example:
        >>> import torch
        >>> x, y = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
        >>> result = solve_sample(x, y, blur=0.1)
        >>> print(f"{result.value:.2f}", result.converged)
        12.50 True
    """
    common: dict[str, Any] = {"p": p, "reach": reach, "debias": debias, "cost": cost}
    how = with_tolerance(Sinkhorn() if solver is None else solver, tol)

    def solve(x: Array, y: Array, a: Any, b: Any, init: Init = None) -> Transport:
        with deferred():
            found = solve_clouds(x, y, a, b, blur=blur, solver=how, init=init, **common)
            say_what_failed(found[0])
            return Transport(*found, how)

    def shared(whole: dict[str, Any], spreads: dict[str, Spread], ranks: Ranks) -> Transport:
        return told(spreads, lambda: brought(solve_clouds(**whole, **options(ranks)), spreads))

    def apart(spreads: dict[str, Spread], kind: Array, ranks: Ranks) -> Transport | None:
        return told(spreads, lambda: solve_apart(spreads, kind, **options(ranks)))

    def told(spreads: dict[str, Spread], run: Callable[[], Found | None]) -> Any:
        with deferred(signals=False):  # all ranks would have to hear of it
            if (found := run()) is None:
                return None
            say_what_failed(found[0])
            return Transport(*found, how, (spreads["x"], spreads["y"]))

    def options(ranks: Ranks) -> dict[str, Any]:
        solver = how.on(SharedRows(how.engine, ranks))
        return common | {"blur": blur, "solver": solver, "init": init}

    clouds = {"x": x, "y": y, "a": a, "b": b}
    if (group := group_of(group, *clouds.values())) is not None:
        said = common | {"blur": blur, "solver": how, "batch": batch, "init": init}
        return on_ranks("solve_sample", group, clouds, said, shared, apart)
    sets = as_batches(x, y, a, b, batch, alone=how.multilevel is True)
    if sets is not None:
        return cast(Transport, of_groups(sets, solve, init))
    return solve(x, y, a, b, cast("Init", init))
