r"""``wasserstein_distance``: an interval for W_p itself, without regularisation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..clouds import points_pair
from ..engines.openmp import own_settings
from ..errors import bad_input, warn_user
from ..formulas import GroundCost, is_object, posed
from ..operators.arrays import Array, like, of_one_kind, shown
from ..operators.autograd.compiled import eagerly
from ..points import Points, bounding_diameter, check_integer, check_positive
from ..ragged.forms import refuse_sets
from .posed import solve_clouds, with_tolerance
from .result import Transport
from .solvers.progress import Bar, deferred
from .solvers.sinkhorn import Sinkhorn

__all__ = ["WassersteinDistance", "wasserstein_distance"]

FIRST = {1: 0.001, 2: 0.01}  # blur, by p, of the diameter
LEAST = 1e-6  # likewise
TOL = 1e-3  # of the first solve
NEAR = 0.4  # the least factor of a temperature for which the last potentials are a better start than coarse clouds
LEAST_FACTOR = {
    1: NEAR,
    2: 0.05,
}  # by p: from solve to solve; cells tell little of a plan with p = 1
LARGEST_FACTOR = 0.5
ORDERS = 1.0, 2.0  # of the width in the temperature, as is believed
LESS = 0.5  # factor of the tolerance, at least, where the temperature stays
AIM, REST = 0.7, 0.2  # of the width that is asked for: what temperature and tolerance may take


@dataclass(frozen=True)
class WassersteinDistance:
    """What :func:`wasserstein_distance` found.

    Attributes:
        lower, upper: bounds of W_p, ``()`` or ``(B,)``, float64; Python numbers for arrays.
        value: the middle of the interval.
        rtol: the relative width that was asked for.
        converged: whether all intervals are as narrow as that.
        transport: the last solve, with its plan, whose cost is near the true one. In it, points
            without weight stand where the heaviest one does.
        blurs: those that were solved.

    Example:
        >>> import torch
        >>> from sparseot import wasserstein_distance
        >>> found = wasserstein_distance(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        >>> bool(found.lower <= 5 <= found.upper), found.converged
        (True, True)
    """

    lower: Array
    upper: Array
    value: Array
    rtol: float
    converged: bool
    transport: Transport
    blurs: tuple[float, ...]

    def __repr__(self) -> str:
        lower, upper = (torch.as_tensor(end).reshape(-1) for end in (self.lower, self.upper))
        width = float(_width(lower, upper).max())
        parts = ", ".join(f"[{a:.6g}, {b:.6g}]" for a, b in zip(lower[:4], upper[:4], strict=True))
        state = "converged" if self.converged else "NOT CONVERGED"
        return (
            f"W_{self.transport.solved[0].problem.p} in {parts}\n"
            f"  {state}: {100 * width:.2g} % wide (rtol {self.rtol:g}) after {len(self.blurs)} "
            f"solves, the last at blur {self.blurs[-1]:.3g}"
        )


@eagerly
@own_settings
def wasserstein_distance(
    x: Array,
    y: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    p: int = 2,
    cost: Any = None,
    rtol: float = 0.01,
    max_solves: int = 8,
    solver: Sinkhorn | None = None,
) -> WassersteinDistance:
    r"""The Wasserstein distance, between two bounds.

    .. math:: W_p(\alpha, \beta)^p = \min_P \, \langle P, |x - y|^p \rangle
        \quad \text{with} \quad P 1 = a, \; P^\top 1 = b

    Entropic problems are solved at lower and lower temperatures. The potentials of each, made feasible
    by a minimum over all pairs, bound the distance from below, and its plan, brought to the exact marginals, from
    above; nothing is assumed of their convergence. Where pairs are kept, the minima visit few of them, those that can
    be lowest; elsewhere they cost two passes over all pairs for each solve.

    Args:
        x: ``(N, D)`` or ``(B, N, D)`` points, tensor or NumPy array.
        y: ``(M, D)`` or ``(B, M, D)`` points, of the same kind.
        a: ``(N,)`` or ``(B, N)`` weights; None means 1/N.
        b: ``(M,)`` or ``(B, M)`` weights, of the same mass.
        p: exponent, 1 or 2.
        cost: an object of :mod:`sparseot.costs` whose distance takes the place of :math:`|x - y|`: ``Scaled``,
            ``Mahalanobis``, ``Features``; or ``Cosine``, which is that of unit vectors, the chord, and takes p = 2.
        rtol: width of the interval that is asked for, relative to its upper end.
        max_solves: how many temperatures are tried.
        solver: options; its tolerance is that of the first solve. Where Ctrl-C or ``progress`` ends the sweeps, as in
            ``solve_sample``, the interval so far is returned.

    Returns:
        A :class:`WassersteinDistance`. It has no derivatives; those of ``solve_sample`` are exact.

    Raises:
        ValueError, TypeError: if an argument is not as described. An interval that stays wider is a warning,
        and ``converged`` is False.

    References:
        Peyré and Cuturi, 2019, "Computational optimal transport", sections 3.2 and 4.1; Altschuler, Weed
        and Rigollet, 2017, algorithm 2.

    Example:
        >>> import torch
        >>> x = torch.rand(50, 2).double()
        >>> found = wasserstein_distance(x, x + torch.tensor([3.0, 4.0]))
        >>> bool(found.lower <= 5 <= found.upper), found.converged
        (True, True)
    """
    refuse_sets("wasserstein_distance", x=x, y=y)
    check_positive(rtol=rtol)
    if rtol >= 1:
        raise bad_input("rtol", f"{rtol:g}", "a share of the distance, below 1", "0.01 is usual.")
    max_solves = check_integer("max_solves", max_solves)
    clouds = [t.detach() if isinstance(t, Tensor) else t for t in (x, y, a, b)]
    solver = with_tolerance(Sinkhorn() if solver is None else solver, TOL)
    search = _Search(clouds, p, cost, rtol, solver)
    with deferred():
        search.solve()
        while search.goes_on and len(search.blurs) < max_solves and search.colder():
            search.solve()
        return search.found()


class _Search:
    """Temperatures that fall until the interval of ``W_p^p / p`` is narrow."""

    def __init__(self, clouds: list[Any], p: int, cost: Any, rtol: float, solver: Sinkhorn) -> None:
        (x, y, a, b), self.kind = of_one_kind(**dict(zip("xyab", clouds, strict=True)))
        source, target, batched = points_pair(x, y, a, b)
        self.rtol, self.solver, self.cost = rtol, solver, _distance(cost, p)
        self.shares = a is None and b is None  # weights that are one over a number, up to rounding
        if bool((source.weights == 0).any() or (target.weights == 0).any()):
            source, target = _carrying(source), _carrying(target)
            positions = (
                cloud.positions if batched else cloud.positions[0] for cloud in (source, target)
            )
            clouds = [*(like(moved, self.kind) for moved in positions), *clouds[2:]]
        self.clouds = clouds
        at = posed(self.cost, p, source, target)
        self.p = p
        self.diameter = float(bounding_diameter(at.source, at.target).max()) or 1.0
        self.lower = torch.zeros(len(source.weights), dtype=torch.float64)
        self.upper = torch.full_like(self.lower, torch.inf)
        self.closing = torch.zeros_like(self.lower)  # parts of the width: of the last solve
        self.spreads: list[Tensor] = []  # and of each temperature, all the rest
        self.transport: Transport | None = None
        self.blurs = [FIRST.get(self.p, 1.0) * self.diameter]

    def solve(self) -> None:
        """One solve, and what it adds to the bounds."""
        options: dict[str, Any] = {"p": self.p, "reach": None, "debias": False, "cost": self.cost}
        blur, last = self.blurs[-1], self.blurs[-2:][0]
        if len(self.blurs) > 1 and (blur / last) ** self.p >= NEAR * (1 - 1e-9):
            options["init"] = self.transport
        found = solve_clouds(*self.clouds, blur=blur, solver=self.solver, **options)
        self.transport = Transport(*found, self.solver)
        bounds = self.transport.unregularised_bounds
        lower, upper, self.closing = (
            torch.tensor([getattr(bound, name) for bound in bounds], dtype=torch.float64)
            for name in ("lower", "upper", "closing")
        )
        if self.shares:
            mass = self.transport.solved[0].problem.source.weights.double().sum(-1).cpu()
            lower, upper, self.closing = lower / mass, upper / mass, self.closing / mass
        self.spreads.append((upper - lower - self.closing).clamp(min=0))
        self.lower, self.upper = self.lower.maximum(lower), self.upper.minimum(upper)

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Bounds of W_p, ``(B,)``."""
        low, high = ((self.p * end) ** (1 / self.p) for end in (self.lower, self.upper))
        return low, high

    @property
    def wide(self) -> Tensor:
        """Whose interval is wider than was asked for, ``(B,)``."""
        return _width(*self.ends) > self.rtol

    @property
    def goes_on(self) -> bool:
        """Whether there is something to be found, and nobody ended the sweeps."""
        return bool(self.wide.any()) and not Bar(False).ended

    def colder(self) -> bool:
        """Chooses the next temperature and tolerance by the shares of the width; False if there is none."""
        wanted = (self.p * self.rtol * self.upper)[self.wide]
        closing, spread = self.closing[self.wide], self.spreads[-1][self.wide]
        share = float((wanted / spread.clamp(min=1e-300)).min())
        factor, near, stays = 1.0, True, share >= 1 / (1 - REST)
        if not stays:
            least = LEAST_FACTOR[self.p]
            factor = min((AIM * share) ** (1 / self.order), LARGEST_FACTOR)
            near, factor = factor >= least or least < NEAR, max(factor, least)
        self.blurs.append(self.blurs[-1] * factor ** (1 / self.p))
        if near:  # it may be the last one, as one that starts anew should be
            share = factor * float((REST * wanted / closing.clamp(min=1e-300)).min())
            share = min(max(share, 1e-3), LESS if stays else 1.0)
            self.solver = replace(self.solver, tol=max(float(self.solver.tol or 0) * share, 1e-12))
        if self.blurs[-1] < LEAST * self.diameter:
            self.blurs.pop()
            return False
        return True

    @property
    def order(self) -> float:
        """By what power of the temperature the width falls, but for what closes marginals."""
        if len(self.blurs) < 2 or self.blurs[-1] == self.blurs[-2]:
            return ORDERS[0]
        fall = math.log(self.blurs[-2] / self.blurs[-1]) * self.p
        before, now = (spread.clamp(min=1e-300) for spread in self.spreads[-2:])
        found = float((before / now)[self.wide].log().amin()) / fall
        return min(max(found, ORDERS[0]), ORDERS[1])

    def found(self) -> WassersteinDistance:
        """The answer, and a warning if it is wider than was asked for."""
        lower, upper = self.ends
        blurs = tuple(self.blurs)
        if bool(self.wide.any()):
            worst, more = int(_width(lower, upper).argmax()), "it was interrupted"
            if not Bar(False).ended:
                more = "allow more by max_solves, or by Sinkhorn(max_sweeps=...)"
            warn_user(
                f"The distance lies in [{float(lower[worst]):.6g}, {float(upper[worst]):.6g}], which is "
                f"wider than rtol={self.rtol:g} after {len(blurs)} solves. The result says "
                f"converged=False; {more}."
            )
        ends = [lower, upper, (lower + upper) / 2]
        assert self.transport is not None, "solved"
        if not self.transport.batched:
            ends = [end[0] for end in ends]
        device = self.kind.device if isinstance(self.kind, Tensor) else "cpu"
        lower, upper, value = (shown(end.to(device), self.kind) for end in ends)
        narrow = not bool(self.wide.any())
        return WassersteinDistance(lower, upper, value, self.rtol, narrow, self.transport, blurs)


def _distance(cost: Any, p: int) -> Any:
    """A cost, if it is a power of a distance of points, moved or not."""
    formula = cost.formula(p) if is_object(cost) else None
    whole = isinstance(formula, GroundCost) and not formula.between
    if isinstance(formula, GroundCost) and whole and formula.power != p:
        raise bad_input("p", str(p), f"{formula.power} with costs.{cost!r}, the chord")
    if cost is None or whole:
        return cost
    fix = "solve_sample takes all others: at a small blur, value_linear is near the cost without entropy."
    wanted = "None, or Scaled, Mahalanobis, Features or Cosine of sparseot.costs"
    raise bad_input("cost", repr(cost), wanted, fix)


def _carrying(cloud: Points) -> Points:
    """The cloud, whose points that carry nothing stand with the heaviest one: they set no length."""
    heaviest = cloud.weights.argmax(-1)[:, None, None].expand(-1, 1, cloud.positions.shape[-1])
    there = cloud.positions.gather(1, heaviest)
    return Points(cloud.positions.where(cloud.weights[..., None] > 0, there), cloud.weights)


def _width(lower: Tensor, upper: Tensor) -> Tensor:
    """The relative width; none where the distance is zero."""
    return ((upper - lower) / upper).where(upper > 0, 0.0)
