r"""The entropic transport cost and the Sinkhorn divergence between two weighted clouds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..engines.base import Engine, Formula
from ..engines.choose import choose_engine
from ..formulas import Opaque, as_cost
from ..operators.softmin import first_order, softmin
from ..points import (
    Points,
    bounding_diameter,
    check_positive,
    enough_digits,
    points_pair,
    refuse_transforms,
)
from ..precision import full_precision
from ..transport.annealing import AveragedAnnealing, Potentials
from ..transport.marginals import Marginals, Reach, marginals
from ..transport.problem import check_cost
from ..transport.sinkhorn import Sinkhorn
from ..transport.solve import solve_sample

__all__ = ["sinkhorn_divergence"]


@full_precision
def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    p: int = 2,
    blur: float = 0.05,
    reach: Reach = None,
    debias: bool = True,
    tol: float = 1e-3,
    cost: Formula | Callable[[Tensor, Tensor], Tensor] | str | None = None,
    solver: Sinkhorn | AveragedAnnealing | None = None,
    diameter: float | None = None,
    potentials: bool = False,
    engine: str | Engine = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    r"""The Sinkhorn divergence of two weighted clouds, or their entropic transport cost.

    .. math::
        S(\alpha, \beta) = OT_\varepsilon(\alpha, \beta) - \tfrac12 OT_\varepsilon(\alpha, \alpha)
        - \tfrac12 OT_\varepsilon(\beta, \beta), \qquad
        OT_\varepsilon = \min_P \langle P, C \rangle + \varepsilon KL(P \,|\, a \otimes b)

    with :math:`C = |x - y|^p / p` and :math:`\varepsilon = \text{blur}^p`; with ``reach``, the
    marginals are free at the price ``reach**p * KL`` each. Debiased, equal clouds are at distance
    zero and the divergence runs from half the squared Wasserstein distance (p = 2, blur to 0) to
    a kernel norm (blur to infinity).

    Args:
        x: ``(N, D)`` or ``(B, N, D)`` points.
        y: ``(M, D)`` or ``(B, M, D)`` points.
        a: ``(N,)`` or ``(B, N)`` weights; None means 1/N.
        b: ``(M,)`` or ``(B, M)`` weights.
        p: exponent of the ground cost, 1 or 2.
        blur: smoothing length, in the units of the points.
        reach: length above which mass is rather created and destroyed than moved; None moves all.
            A pair, for the side of x and of y, wants debias=False.
        debias: False for the entropic transport cost itself.
        tol: L1 error of the marginals of the plan, relative to the mass, at which solving ends.
        cost: another ground cost, at the temperature ``blur**p``: a function of ``(B, N, D)`` and
            ``(B, M, D)`` tensors that returns ``(B, N, M)`` finite numbers, negative ones too; or a
            KeOps formula of X and Y.
        solver: options, as ``Sinkhorn(max_sweeps=...)``; or ``AveragedAnnealing(scaling=0.5)``,
            GeomLoss's schedule, which asks for no tolerance.
        diameter: length at which that schedule starts, by default the diagonal of the clouds' box.
        potentials: return the dual potentials, of the shapes of ``a`` and ``b``, instead. Solved to
            a tolerance they have exact first derivatives; from GeomLoss's schedule their graph is
            that of the last softmin, with what it was taken of frozen.
        engine: "auto", or the name of an engine.

    Returns:
        A number, ``(B,)`` numbers for a batch, or the two potentials; :func:`solve_sample` returns
        them all, with the plan. First derivatives are those of the envelope theorem at the last
        iterates, second ones those of the implicit function theorem; from GeomLoss's schedule, and
        for costs that are functions, second derivatives raise RuntimeError. Not reaching the
        tolerance is a warning.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Feydy, Séjourné, Vialard, Amari, Trouvé and Peyré, 2019, equations 3, 5 and 11; unbalanced,
        Séjourné et al., 2019, proposition 12.

    Example:
        >>> x, y = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
        >>> print(f"{sinkhorn_divergence(x, y):.2f}")
        12.50
    """
    if solver is None or isinstance(solver, Sinkhorn):
        solver = solver or Sinkhorn()
        solver = solver if engine == "auto" else replace(solver, engine=engine)
        common: dict[str, Any] = {
            "blur": blur,
            "p": p,
            "reach": reach,
            "debias": debias,
            "tol": tol,
            "cost": cost,
        }
        found = solve_sample(x, y, a, b, solver=solver, **common)
        return found.dual_potentials if potentials else found.value
    source, target, batched = points_pair(x, y, a, b)
    refuse_transforms(source, target)
    check_positive(blur=blur, diameter=diameter)
    formula, penalty = as_cost(cost, p), marginals(reach, p)
    penalty.check(source, target)
    source, target = enough_digits(source, target, p, blur)
    chosen, _ = choose_engine(engine, formula, source.positions)
    check_cost(formula, source, target, debias)
    problem = _Problem(formula, penalty, p, blur, solver, chosen)
    lengths = bounding_diameter(source, target)
    if diameter is not None:
        lengths = torch.full_like(lengths, diameter)

    clouds = [(source, target), (target, source)]
    clouds += [(source, source), (target, target)] if debias else []
    f, g, *own = problem.potentials(clouds, lengths)
    if potentials:
        f, g = (f - own[0], g - own[1]) if own else (f, g)
        f, g = f.to(x.dtype), g.to(x.dtype)
        return (f, g) if batched else (f[0], g[0])
    value = problem.value(source, target, f, g)
    for cloud, h in zip((source, target), own, strict=False):
        value = value - problem.value(cloud, cloud, h, h) / 2
    value = value.to(x.dtype)
    return value if batched else value[0]


class _Problem:
    """What the three solves of a divergence share."""

    def __init__(
        self,
        cost: Formula,
        penalty: Marginals,
        p: int,
        blur: float,
        solver: AveragedAnnealing,
        engine: Engine,
    ) -> None:
        self.cost, self.penalty, self.p, self.blur = cost, penalty, p, blur
        self.solver, self.engine = solver, engine
        self.eps = blur**p

    def potentials(self, clouds: list[tuple[Points, Points]], diameter: Tensor) -> list[Tensor]:
        """The first potential of each pair of clouds, with its graph.

        The pairs are (x, y), (y, x) and, debiased, (x, x) and (y, y); clouds of equal size make
        one batch of all of them, so that each step is one softmin. (Costs that are functions
        are left alone: small matrices of theirs are kept from one softmin to the next.)
        """
        items = len(diameter)
        equal = len({here.positions.shape[1] for here, _ in clouds}) == 1
        if equal and not isinstance(self.cost, Opaque):
            here, there = (_stack([pair[k] for pair in clouds]) for k in (0, 1))
            blocks = [1, 0, 2, 3][: len(clouds)]
            partner = [block * items + k for block in blocks for k in range(items)]
            found = self._solve(here, there, diameter.repeat(len(clouds)), partner)
            ends = list(zip(found.f.split(items), found.g_prev.split(items), strict=True))
        else:
            found = self._solve(*clouds[0], diameter)
            ends = [(found.f, found.g_prev), (found.g, found.f_prev)]
            for here, there in clouds[2:]:
                found = self._solve(here, there, diameter, list(range(items)))
                ends.append((found.f, found.g_prev))
        return [self._attach(*pair, *end) for pair, end in zip(clouds, ends, strict=True)]

    def _solve(
        self, here: Points, there: Points, diameter: Tensor, partner: list[int] | None = None
    ) -> Potentials:
        return self.solver.solve(
            here,
            there,
            self.cost,
            self.penalty,
            p=self.p,
            blur=self.blur,
            diameter=diameter,
            engine=self.engine,
            partner=partner,
        )

    def value(self, source: Points, target: Points, f: Tensor, g: Tensor) -> Tensor:
        """The dual value; weights, like points, are differentiated once."""
        source, target = (Points(c.positions, first_order(c.weights)) for c in (source, target))
        return self.penalty.value(source, target, f, g, self.eps)

    def _attach(self, here: Points, there: Points, f: Tensor, g: Tensor) -> Tensor:
        """The damped softmin f of g, with its derivative in the points of ``here``."""
        learned = isinstance(self.cost, Opaque) and torch.is_grad_enabled()
        if not (here.positions.requires_grad or learned):
            return f
        damping = self.penalty.damping(self.eps)
        x, y, b = here.positions, there.positions.detach(), there.weights.detach()
        return damping * softmin(self.cost, x, y, b, g, f / damping, self.eps, engine=self.engine)


def _stack(clouds: list[Points]) -> Points:
    """Clouds of equal sizes as one batch, without their graphs."""
    return Points(
        torch.cat([cloud.positions.detach() for cloud in clouds]),
        torch.cat([cloud.weights.detach() for cloud in clouds]),
    )
