r"""Implicit differentiation of optimal potentials; it knows no solver.

Potentials f, g at the optimum satisfy, for every point, also those without weight,

.. math::
    \sum_j b_j e_{ij} = e^{-f_i / \rho_1}, \qquad \sum_i a_i e_{ij} = e^{-g_j / \rho_2}

(right sides 1 where a marginal is imposed). Differentiating, with :math:`\tau = \rho / (\rho +
\varepsilon)`, row sums r and column sums c of the plan P,

.. math::
    \begin{pmatrix} r / \tau_1 & P \\ P^\top & c / \tau_2 \end{pmatrix}
    \begin{pmatrix} df \\ dg \end{pmatrix} = \begin{pmatrix} a\, \phi \\ b\, \gamma \end{pmatrix},
    \qquad \phi_i = \sum_j b_j e_{ij}\, \partial_1 C_{ij} \cdot (dx_i - dy_j)
    - \varepsilon \sum_j e_{ij}\, db_j,

and likewise :math:`\gamma`. Eliminating f leaves the Schur complement :math:`S = c / \tau_2 - P^\top
(\tau_1 / r) P`. With both marginals imposed its null space is exactly the constants, as r and c are
the sums of this very plan: :math:`S + c c^\top / \sum c` is positive definite and its solution is
that of S, so nothing is regularised. Solved by Cholesky's factorisation where matrices are small,
else by conjugate gradients on :math:`c^{-1/2} S c^{-1/2}`, whose spectrum lies in [0, 1].

References:
    Cuturi, Teboul, Niles-Weed and Vert, 2022, "Supervised training of conditional Monge maps",
    section 3; Eisenberger et al., 2022, "A unified framework for implicit Sinkhorn differentiation".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...formulas import GroundCost
from ...operators.small import product
from .sums.coupling import Coupling, Stored
from .sums.forces import Directions, Forces, Moments
from .systems import Definite

__all__ = ["Cloud", "Couple", "Own", "Side"]


@dataclass(frozen=True)
class Cloud:
    """One side of a problem: points ``(N, D)``, weights ``(N,)`` and the factor tau."""

    points: Tensor
    weights: Tensor
    tau: float


def _forces(e: Coupling) -> Forces:
    """The derivatives of the cost of a plan, summed over it."""
    if isinstance(e.at.cost, GroundCost):
        return (Moments if e.at.cost.power == 2 else Directions)(e)
    from .sums.traced import TracedForces  # here, for a light import of the library

    return TracedForces(e)


class Side:
    """What the points of one cloud see of the other; tangents carry R columns, last."""

    def __init__(self, e: Coupling, here: Cloud, there: Cloud, eps: float) -> None:
        self.e, self.eps = e, eps
        self.a, self.tau = here.weights, here.tau
        self.b, self.forces = there.weights, _forces(e)

    @cached_property
    def total(self) -> Tensor:
        """Row sums for a unit of weight, ``(N,)``: one at the optimum, if imposed."""
        return self.e.rows(self.b)[0]

    @cached_property
    def inverse(self) -> Tensor:
        """One over ``total``; zero where the mass of a point is destroyed to the last digit."""
        return torch.where(self.total > 0, 1 / self.total, 0.0)

    @cached_property
    def empty(self) -> bool:
        """Whether some points have no weight."""
        return bool((self.a == 0).any())

    def target(self, h: Tensor) -> Tensor:
        """What ``total`` is at the optimum: one, or ``exp(-h / rho)``."""
        return torch.exp((1 - 1 / self.tau) / self.eps * h)

    @cached_property
    def force(self) -> Tensor:
        r"""The force :math:`\sum_j b_j e_{ij} \partial_1 C`, ``(N, D)``."""
        return self.forces.pull(self.b[:, None])[..., 0]

    @cached_property
    def stiffness(self) -> Tensor:
        r"""What :math:`\sum_j b_j e_{ij} (\partial_{11} C - \partial_1 C \partial_1 C^\top / \varepsilon)` is, ``(N, D, D)``."""
        return self.forces.stiffness(self.b)

    def push(self, dx: Tensor | None, dy: Tensor | None, db: Tensor | None) -> Tensor | float:
        r"""The right-hand side :math:`\phi` ``(N, R)`` of the tangents ``(N, D, R)``, ``(M, R)``."""
        out: Tensor | float = 0.0
        if dx is not None:
            out = (self.force[..., None] * dx).sum(1)
        if dy is not None:
            out = out - self.forces.push(self.b[:, None, None] * dy)
        if db is not None:
            out = out - self.eps * self.e.rows(db)[0]
        return out

    def pull(self, own: Tensor, other: Tensor) -> Tensor:
        r"""The adjoint of both pushes in the points of this cloud, ``(N, D, R)``.

        ``own`` ``(N, R)`` is dual to :math:`\phi`, ``other`` ``(M, R)`` to :math:`\gamma`.
        """
        pulled = self.a[:, None, None] * self.forces.pull(other)
        return self.force[..., None] * own[:, None] + pulled

    def pull_weights(self, other: Tensor) -> Tensor:
        r"""The adjoint of the other push in the weights of this cloud, ``(N, R)``."""
        return -self.eps * self.e.rows(other)[0]

    def bend(self, dx: Tensor | None, dy: Tensor | None) -> Tensor | float:
        """The change of the force, with potentials and weights held, ``(N, D, R)``."""
        out: Tensor | float = 0.0
        if dx is not None:
            out = self.stiffness @ dx
        if dy is not None:
            out = out - self.forces.bend(self.b[:, None, None] * dy)
        return self.a[:, None, None] * out


class Couple:
    """The system of two clouds; its vectors are ``(N, R)`` and ``(M, R)``."""

    def __init__(self, here: Side, there: Side, tol: float, flipped: bool | None = None) -> None:
        if flipped is None:
            flipped = here.e.shape[0] < here.e.shape[1]  # the larger side is eliminated
        self.flipped = flipped
        self.out, self.kept = (there, here) if self.flipped else (here, there)
        self.tol = tol

    @cached_property
    def schur(self) -> Definite:
        """The Schur complement on the smaller side."""
        out, kept, e = self.out, self.kept, self.out.e
        scale, share = out.tau * out.a * out.inverse, _root(kept)
        null = None
        if out.tau == kept.tau == 1:
            null = share * kept.total  # the square roots of c: constants, in normal units
            null = null / null.norm()

        def times(v: Tensor) -> Tensor:
            back = e.T.rows(scale[:, None] * e.rows(share[:, None] * v)[0])[0]
            image = v / kept.tau - share[:, None] * back
            return image if null is None else image + null[:, None] * (null @ v)

        def matrix(e: Stored) -> Tensor:
            half = scale.sqrt()[:, None] * e.matrix * share
            image = product(-half.mT, half)
            image.diagonal().add_(1 / kept.tau)
            return image if null is None else image.addr_(null, null)

        return Definite(e, kept.a * kept.total, times, matrix, self.tol)

    def solve(self, phi: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
        """The derivatives df and dg of the potentials."""
        out, kept = self.out, self.kept
        phi, gamma = (gamma, phi) if self.flipped else (phi, gamma)
        a, b, scale = out.a[:, None], kept.a[:, None], (out.tau * out.inverse)[:, None]
        first = scale * phi
        second = self.schur.solve(b * (gamma - kept.e.rows(a * first)[0]))
        first = first - scale * out.e.rows(b * second)[0]
        if kept.empty:
            back = kept.e.rows(a * first)[0]
            second = (kept.tau * kept.inverse)[:, None] * (gamma - back)
        return (second, first) if self.flipped else (first, second)

    def adjoint(self, wf: Tensor, wg: Tensor) -> tuple[Tensor, Tensor]:
        """What is dual to the right-hand sides, for what is dual to the potentials."""
        out, kept = self.out, self.kept
        wf, wg = (wg, wf) if self.flipped else (wf, wg)
        a, b, scale = out.a[:, None], kept.a[:, None], (out.tau * out.inverse)[:, None]
        second = (kept.tau * kept.inverse)[:, None] * wg
        first = scale * (wf - a * out.e.rows(second)[0])
        beta = b * self.schur.solve(-b * kept.e.rows(first)[0])
        first, second = first - scale * a * out.e.rows(beta)[0], second + beta
        return (second, first) if self.flipped else (first, second)


class Own:
    r"""The system of a cloud and itself, :math:`q / \tau + Q`: spectrum in [1, 2], no null space."""

    def __init__(self, side: Side, tol: float) -> None:
        self.side, self.tol = side, tol

    @cached_property
    def system(self) -> Definite:
        """The system with its diagonal brought to one."""
        side, share = self.side, _root(self.side)

        def product(v: Tensor) -> Tensor:
            return v / side.tau + share[:, None] * side.e.rows(share[:, None] * v)[0]

        def matrix(e: Stored) -> Tensor:
            image = share[:, None] * e.matrix * share
            image.diagonal().add_(1 / side.tau)
            return image

        return Definite(side.e, side.a * side.total, product, matrix, self.tol)

    def solve(self, phi: Tensor) -> Tensor:
        """The derivative of the potential."""
        side = self.side
        found = self.system.solve(side.a[:, None] * phi)
        if side.empty:
            back = side.e.rows(side.a[:, None] * found)[0]
            found = (side.tau * side.inverse)[:, None] * (phi - back)
        return found

    def adjoint(self, w: Tensor) -> Tensor:
        """What is dual to the right-hand side, for what is dual to the potential."""
        side, a = self.side, self.side.a[:, None]
        first = (side.tau * side.inverse)[:, None] * w
        return first + a * self.system.solve(-a * side.e.rows(first)[0])


def _root(side: Side) -> Tensor:
    """``a / sqrt(c)``: what a product with e takes to be one with the plan, in normal units."""
    return (side.a * side.inverse).sqrt()
