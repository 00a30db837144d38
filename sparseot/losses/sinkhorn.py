r"""The entropic transport cost and the Sinkhorn divergence between two weighted clouds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from ..engines.base import Engine, Formula
from ..engines.openmp import own_settings
from ..errors import bad_input
from ..operators.arrays import Array
from ..operators.autograd.compiled import one_operator
from ..operators.autograd.mapped import mapped
from ..operators.autograd.over_ranks import over_ranks
from ..operators.autograd.spread import Spread
from ..points import check_positive, refuse_transforms
from ..ragged.batches import over_sets
from ..transport.derivatives.solved import Answer, say_what_failed
from ..transport.marginals import Reach
from ..transport.posed import solve_apart, solve_clouds, with_tolerance
from ..transport.solution import Solver
from ..transport.solvers.annealing import AveragedAnnealing
from ..transport.solvers.progress import deferred
from ..transport.solvers.sinkhorn import Sinkhorn
from .shapes import empty_losses

__all__ = ["divergence_apart", "sinkhorn_divergence"]


@own_settings
def divergence_apart(
    spreads: dict[str, Spread],
    kind: Array,
    *,
    tol: float,
    solver: Solver | None,
    potentials: bool,
    engine: str | Engine,
    diameter: float | None,
    batch: Any = None,
    **problem: Any,
) -> Array | tuple[Array, Array] | None:
    """What :func:`sinkhorn_divergence` finds where no rank needs the points of all; None where it does."""
    solver = Sinkhorn() if solver is None else solver
    if not isinstance(solver, Sinkhorn) or diameter is not None:
        return None
    with deferred(signals=False):
        solver = cast(Sinkhorn, with_tolerance(solver, tol).on(engine))
        solved = solve_apart(spreads, kind, **problem, solver=solver)
        if solved is None:
            return None
        say_what_failed(solved[0])
    found = Answer(*solved, (spreads["x"], spreads["y"]))
    return found.dual_potentials if potentials else found.value


@one_operator(empty_losses)
@over_ranks(divergence_apart)
@mapped
@own_settings
@over_sets
def sinkhorn_divergence(
    x: Array,
    y: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    batch: Any = None,
    p: int = 2,
    blur: float = 0.05,
    reach: Reach = None,
    debias: bool = True,
    tol: float = 1e-3,
    cost: Formula | Callable[[Tensor, Tensor], Tensor] | str | None = None,
    solver: Solver | None = None,
    diameter: float | None = None,
    potentials: bool = False,
    engine: str | Engine = "auto",
    group: Any = None,
) -> Array | tuple[Array, Array]:
    r"""The Sinkhorn divergence of two weighted clouds, or their entropic transport cost.

    .. math::
        S(\alpha, \beta) = OT_\varepsilon(\alpha, \beta) - \tfrac12 OT_\varepsilon(\alpha, \alpha)
        - \tfrac12 OT_\varepsilon(\beta, \beta) + \tfrac\varepsilon2 (m_a - m_b)^2, \qquad
        OT_\varepsilon = \min_P \langle P, C \rangle + \varepsilon KL(P \,|\, a \otimes b)

    with :math:`C = |x - y|^p / p` and :math:`\varepsilon = \text{blur}^p`; with ``reach``, the
    marginals are free at the price ``reach**p * KL`` each, and masses :math:`m_a, m_b` may differ.
    Debiased, equal measures are at distance zero and all others at a positive one; with masses of
    one the divergence runs from half the squared Wasserstein distance (p = 2, blur to 0) to a kernel
    norm (blur to infinity).

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
        p: exponent of the ground cost, 1 or 2.
        blur: smoothing length, in the units of the points.
        reach: length above which mass is rather created and destroyed than moved; None moves all.
            A pair, for the side of x and of y, wants debias=False.
        debias: False for the entropic transport cost itself.
        tol: L1 error of the marginals of the plan, relative to the mass, at which solving ends.
        cost: another ground cost, at the temperature ``blur**p``: an object of :mod:`sparseot.costs`; a function of ``(B, N, D)`` and
            ``(B, M, D)`` tensors that returns ``(B, N, M)`` finite numbers, negative ones too (see "A cost
            of your own" in the guide); or a KeOps formula of X and Y. C(x, y) need not be C(y, x), but
            within a cloud that is compared with itself: then ``debias=False`` is wanted.
        solver: options, as ``Sinkhorn(max_sweeps=...)``; or ``AveragedAnnealing(scaling=0.5)``,
            GeomLoss's schedule, which asks for no tolerance.
        diameter: length at which that schedule starts, by default the diagonal of the clouds' box.
        potentials: return the dual potentials, of the shapes of ``a`` and ``b``, instead. Solved to
            a tolerance they have exact first derivatives; from GeomLoss's schedule their graph is
            that of the last softmin, with what it was taken of frozen.
        engine: "auto", or the name of an engine.
        group: processes of ``torch.distributed``, each of which gives its rows of x and y (see "On many
            machines" in the guide).

    Returns:
        A number, ``(B,)`` numbers for a batch, or the two potentials, in the form of the points; of
        arrays, a Python number or arrays. :func:`solve_sample` returns them all, with the plan. First derivatives are those of
        the envelope theorem at the last iterates, second ones those of the implicit function theorem;
        from GeomLoss's schedule, and for functions that cannot be traced or learn something as costs,
        second derivatives raise RuntimeError. Not reaching the tolerance is a warning.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Feydy, Séjourné, Vialard, Amari, Trouvé and Peyré, 2019, equations 3, 5 and 11; unbalanced,
        Séjourné et al., 2019, proposition 12.

    Example:
        >>> import torch
        >>> x, y = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
        >>> print(f"{sinkhorn_divergence(x, y):.2f}")
        12.50
    """
    check_positive(diameter=diameter)
    solver = Sinkhorn() if solver is None else solver
    if not isinstance(solver, Solver):
        fix = "Sinkhorn(tol=...) and AveragedAnnealing(scaling=...) are solvers."
        raise bad_input("solver", type(solver).__name__, "a solver", fix, TypeError)
    if isinstance(solver, Sinkhorn):
        solver = with_tolerance(solver, tol)
    else:
        refuse_transforms(x, y, a, b)
    if isinstance(solver, AveragedAnnealing) and diameter is not None:
        solver = replace(solver, diameter=diameter)
    if engine != "auto":
        solver = solver.on(engine)
    common: dict[str, Any] = {"p": p, "reach": reach, "debias": debias, "cost": cost}
    with deferred(signals=False):
        found = Answer(*solve_clouds(x, y, a, b, blur=blur, solver=solver, **common))
        say_what_failed(found.solved)
    return found.dual_potentials if potentials else found.value
