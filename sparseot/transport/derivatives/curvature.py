r"""Second derivatives of an optimal value, and first ones of its potentials.

The value is :math:`V(\theta) = \max_z D(z, \theta)` with potentials z and points and weights
:math:`\theta`. As :math:`\partial_z D = 0`,

.. math::
    \partial^2 V\, d\theta = \partial_{\theta\theta} D\, d\theta + \partial_{\theta z} D\, dz
    \quad \text{with} \quad \partial_{zz} D\, dz = - \partial_{z \theta} D\, d\theta,

where dz comes from :mod:`.implicit`. All tangents are differentiated together; what is not moved is
None, and takes no work.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...clouds import meet
from ...engines.choose import load
from ...errors import bad_input
from ...formulas import GroundCost, Opaque, Symbolic
from ...operators.small import product
from ...points import padded
from ..problem import Problem
from ..pruned.kept_pairs import KeptPairs
from ..solution import Potentials
from ..solvers.small import STORED_PAIRS, StoredSoftmins
from .implicit import Cloud, Couple, Own, Side
from .sums.coupling import Coupling, Stored, Summed
from .sums.patches import Optimum
from .systems import Definite

__all__ = ["PLACES", "Curvature", "curvature", "hessian_product", "traced"]

STORED = 2048 * 2048  # entries of a matrix that is stored and factored
CHORDS, EXACT = 12, 1e-14  # steps of Newton's method, and the error of the marginals that ends them
WORTH = 16.0  # products for the price of one, when a whole block is asked for
PLACES = "xyab"
Tangents = tuple[Tensor | None, ...]  # dx, dy (N, D, R) and da, db (N, R)


class Curvature:
    """Second derivatives of one transport cost; ``(x, y, a, b)`` are its arguments.

    Args:
        here: what x sees of y.
        there: what y sees of x; ``here`` itself for a cloud and itself, where y and b stand for
            the second place of the same x and a.
        tol: residual of the linear systems, where they are solved by iteration.
        coincident: whether the cost has no derivative at some pair of points.
    """

    def __init__(self, here: Side, there: Side, tol: float, coincident: bool = False) -> None:
        self.here, self.there, self.eps = here, there, here.eps
        self.coincident = coincident
        self.own = there is here
        self.system = Own(here, tol) if self.own else Couple(here, there, tol)
        self.asked = [0] * len(PLACES)  # products so far, by the place that alone was moved
        self.blocks: dict[int, Tensor] = {}  # square blocks of the Hessian, by place

    def hvp(self, tangents: Tangents, wanted: tuple[bool, ...]) -> Tangents:
        """The Hessian times tangents of all arguments; of those products that are wanted.

        Who asks for row after row, as autograd's loops do, gets them from a block of the Hessian that
        is written once, when as many were asked for as it costs.
        """
        moved = tuple(t is not None for t in tangents)
        if sum(moved) != 1 or moved != tuple(map(bool, wanted)):
            return self._product(tangents, wanted)
        place = moved.index(True)
        v = tangents[place]
        assert v is not None
        size = v[..., 0].numel()
        self.asked[place] += v.shape[-1]
        if (
            self.asked[place] < size / WORTH
            or size**2 > STORED
            or not isinstance(self.here.e, Stored)
        ):
            return self._product(tangents, wanted)
        if place not in self.blocks:
            eye = torch.eye(size, dtype=v.dtype, device=v.device).reshape(*v.shape[:-1], size)
            found = self._product(_only(place, eye), wanted)[place]
            assert found is not None
            self.blocks[place] = found.reshape(size, size)
        return _only(place, product(self.blocks[place], v.reshape(size, -1)).reshape(v.shape))

    def refuse_coincident(self) -> None:
        """Raises ValueError where derivatives in points are asked for and there is none.

        Those in weights alone need none of the cost.
        """
        if self.coincident:
            raise bad_input(
                "p",
                "1 with points at distance zero",
                "points that do not meet, or p = 2",
                "|x - y| has no second derivative where x = y: move one of the points a little.",
            )

    def _product(self, tangents: Tangents, wanted: tuple[bool, ...]) -> Tangents:
        if wanted[0] or wanted[1]:
            self.refuse_coincident()
        dx, dy, da, db = tangents
        if self.own:
            return self._own_hvp(dx, da, wanted)
        df, dg = self.jvp(tangents)
        swapped, there = (dy, dx, db, da), self.there
        return (
            self._force(self.here, tangents, df, dg) if wanted[0] else None,
            self._force(there, swapped, dg, df) if wanted[1] else None,
            self._height(self.here, df, db) if wanted[2] else None,
            self._height(there, dg, da) if wanted[3] else None,
        )

    def _own_hvp(self, dx: Tensor | None, da: Tensor | None, wanted: tuple[bool, ...]) -> Tangents:
        """Both places of a cloud and itself: twice what one gives."""
        dh, _ = self.jvp((dx, None, da, None))
        gx = 2 * self._force(self.here, (dx, dx, da, da), dh, dh) if wanted[0] else None
        return gx, None, 2 * self._height(self.here, dh, da) if wanted[2] else None, None

    def _force(self, side: Side, tangents: Tangents, df: Tensor, dg: Tensor) -> Tensor:
        """The change of the gradient in the points of one side."""
        dx, dy, da, db = tangents
        own, other = side.a[:, None] * df, side.b[:, None] * dg
        own = own if da is None else own + self.eps * da
        other = other if db is None else other + self.eps * db
        return side.pull(own, other) / self.eps + side.bend(dx, dy)

    def _height(self, side: Side, df: Tensor, db: Tensor | None) -> Tensor:
        """The change of the gradient in the weights of one side."""
        change = (side.total / side.tau)[:, None] * df
        return change if db is None else change + self.eps * db.sum(0)

    def jvp(self, tangents: Tangents) -> tuple[Tensor, Tensor]:
        """The derivatives of f and g along tangents of x, y, a and b."""
        dx, dy, da, db = tangents
        if dx is not None or dy is not None:
            self.refuse_coincident()
        columns = next((t.shape[-1] for t in tangents if t is not None), 1)
        if isinstance(self.system, Own):
            dh = self.system.solve(_full(self.here.push(dx, dx, da), self.here.a, columns))
            return dh, dh
        phi = _full(self.here.push(dx, dy, db), self.here.a, columns)
        gamma = _full(self.there.push(dy, dx, da), self.there.a, columns)
        return self.system.solve(phi, gamma)

    def vjp(self, wf: Tensor, wg: Tensor) -> Tangents:
        """The derivatives of ``<wf, f> + <wg, g>`` ``(N, R)``, ``(M, R)`` in x, y, a and b."""
        self.refuse_coincident()
        if self.own:
            assert isinstance(self.system, Own)
            dual = self.system.adjoint(wf + wg)
            return self.here.pull(dual, dual), None, self.here.pull_weights(dual), None
        assert isinstance(self.system, Couple)
        own, other = self.system.adjoint(wf, wg)
        gx, gy = self.here.pull(own, other), self.there.pull(other, own)
        return gx, gy, self.here.pull_weights(other), self.there.pull_weights(own)

    def defects(self, f: Tensor, g: Tensor) -> tuple[Tensor, Tensor, float]:
        """What the marginals lack, for a unit of weight, in units of the potentials; and their error."""
        pairs = ((self.here, f), (self.there, g))
        lacks = [side.target(h) - side.total for side, h in pairs]
        error = sum(float(side.a @ d.abs()) for (side, _), d in zip(pairs, lacks, strict=True))
        first, second = (self.eps * lack[:, None] for lack in lacks)
        return first, second, error / float(self.here.a.sum())

    def step(self, phi: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
        """The step of Newton's method, ``(N,)`` and ``(M,)``."""
        if isinstance(self.system, Own):
            dh = self.system.solve(phi)[:, 0]
            return dh, dh
        df, dg = self.system.solve(phi, gamma)
        return df[:, 0], dg[:, 0]

    @property
    def balanced(self) -> bool:
        """Whether both marginals are imposed."""
        return self.here.tau == self.there.tau == 1

    @property
    def solver(self) -> Definite:
        """What solves the linear systems."""
        return self.system.system if isinstance(self.system, Own) else self.system.schur


def curvature(problem: Problem, found: Potentials, item: int, tol: float = 1e-8) -> Curvature:
    """The second derivatives of one item of a problem at its potentials, in float64.

    Where the plan is stored, some steps of Newton's method take the potentials from the tolerance of
    the solve to rounding.
    """
    cost, eps, k = problem.cost, problem.eps, item
    x, y = (c.positions[k].double() for c in (problem.source, problem.target))
    a, b = (c.weights[k].double() for c in (problem.source, problem.target))
    singular = isinstance(cost, GroundCost) and cost.singular
    if isinstance(cost, GroundCost):
        x, y = map(cost.settled, (x, y))
    first = isinstance(cost, GroundCost) and cost.power == 1
    coincident = first and meet(x, None if problem.symmetric else y)
    if not isinstance(cost, GroundCost):
        cost = traced(cost, x[None], y[None])
    elif not singular:
        centre = (x.mean(0) + y.mean(0)) / 2
        x, y = x - centre, y - centre
    here, there = (
        Cloud(p, w, 1 / (1 + eps / rho))
        for p, w, rho in zip((x, y), (a, b), problem.penalty.rhos, strict=True)
    )
    pairs = problem.pairs.item(k) if isinstance(problem.pairs, KeptPairs) else None
    engine = problem.engine if isinstance(cost, GroundCost) else load("compiled")
    count = len(x) * len(y)

    def at(f: Tensor, g: Tensor) -> Curvature:
        f, g = problem.penalty.held(0, f, a, eps), problem.penalty.held(1, g, b, eps)
        optimum = Optimum((x, y), (a, b), (f, g), cost, eps)
        e: Coupling = Stored.of(optimum) if count <= STORED else Summed(optimum, engine, pairs)
        side = Side(e, here, there, eps)
        other = side if problem.symmetric else Side(e.T, there, here, eps)
        return Curvature(side, other, tol, coincident)

    f, g = found.f[k].double(), (found.f if problem.symmetric else found.g_prev)[k].double()
    if count <= STORED_PAIRS and x.device.type == "cpu":
        few, (n, m) = StoredSoftmins.of(problem.item(k, padding=False)), (len(f), len(g))
        f, g = few.polished(f[: len(few.a)], g[: len(few.b)], problem.symmetric)
        return at(padded([f], n)[0], padded([g], m)[0])
    return _refined(at, f, g) if count <= STORED else at(f, g)


def traced(cost: Opaque | Symbolic, x: Tensor, y: Tensor) -> Opaque:
    """A function whose formula gives second derivatives.

    Raises:
        ValueError: if it has none, with the reason.
    """
    known = "Second derivatives are known for |x - y|^p / p, its multiples, and functions that can be traced"
    if isinstance(cost, Symbolic):
        raise bad_input("cost", repr(cost), "a Python function", f"{known}.")
    from ...formulas.trees.axes import Untraceable  # here, for a light import of the library

    try:
        learnt = cost.learnable(x, y)
    except Untraceable as why:
        wanted = "a function that can be traced"
        raise bad_input("cost", "a Python function", wanted, f"{known}: {why}.") from None
    if learnt:
        fix = "Freeze them with requires_grad_(False)."
        raise bad_input("cost", "a function with parameters to learn", "a fixed one", fix)
    return cost


def _refined(at: Callable[[Tensor, Tensor], Curvature], f: Tensor, g: Tensor) -> Curvature:
    """Newton's method with the system of its start, as long as errors fall, and the end's system."""
    first = last = at(f, g)
    phi, gamma, error = last.defects(f, g)
    for _ in range(CHORDS):
        if error < EXACT:
            break
        df, dg = first.step(phi, gamma)
        trial = at(f + df, g + dg)
        phi, gamma, remains = trial.defects(f + df, g + dg)
        if not remains < error / 2:
            break
        f, g, last, error = f + df, g + dg, trial, remains
    return last


def hessian_product(parts: list[Curvature], wrt: str, v: Tensor) -> Tensor:
    """The Hessian in x, y, a or b of a cost, less half of that of a cloud and itself, times v.

    v is ``(N, D, R)`` or ``(N, R)``, in float64. In the weights of imposed marginals it is the Hessian on the
    simplex, which neither sees nor returns constants.
    """
    place = PLACES.index(wrt)
    projected = parts[0].balanced and wrt in "ab"
    v = v - v.mean(0) if projected else v
    product = _one(parts[0], place, v)
    if len(parts) > 1:
        product = product - _one(parts[1], place - place % 2, v) / 2
        if wrt in "ab" and not projected:  # of eps (m_a - m_b)^2 / 2
            product = product + parts[0].eps * v.sum(0)
    return product - product.mean(0) if projected else product


def _one(part: Curvature, place: int, v: Tensor) -> Tensor:
    wanted = tuple(k == place for k in range(4))
    (found,) = (t for t in part.hvp(_only(place, v), wanted) if t is not None)
    return found


def _only(place: int, v: Tensor) -> Tangents:
    """A tangent of one argument."""
    return tuple(v if k == place else None for k in range(4))


def _full(t: Tensor | float, a: Tensor, columns: int) -> Tensor:
    return t if isinstance(t, Tensor) else a.new_zeros(len(a), columns)
