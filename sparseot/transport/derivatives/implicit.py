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

from ...operators.small import product
from .coupling import Coupling, Stored
from .systems import Definite

__all__ = ["Cloud", "Couple", "Own", "Side"]


@dataclass(frozen=True)
class Cloud:
    """One side of a problem: points ``(N, D)``, weights ``(N,)`` and the factor tau."""

    points: Tensor
    weights: Tensor
    tau: float


class Side:
    """What the points of one cloud see of the other; tangents carry R columns, last."""

    def __init__(self, e: Coupling, here: Cloud, there: Cloud, eps: float) -> None:
        self.e, self.eps = e, eps
        self.x, self.a, self.tau = here.points, here.weights, here.tau
        self.y, self.b = there.points, there.weights

    @cached_property
    def total(self) -> Tensor:
        """Row sums for a unit of weight, ``(N,)``: one at the optimum, if imposed."""
        return self.e.rows((0, self.b))[0]

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
    def force(self) -> tuple[Tensor, Tensor]:
        r"""The weight :math:`\sum_j b_j e_{ij} 2c'` and the force :math:`\sum_j b_j e_{ij} \partial_1 C`."""
        b, y = self.b[:, None], self.y
        weight, moment = self.e.rows((1, self.b), (1, b * y))
        return weight, weight[:, None] * self.x - moment

    @cached_property
    def stiffness(self) -> Tensor:
        r"""What :math:`\sum_j b_j e_{ij} (\partial_{11} C - \partial_1 C \partial_1 C^\top / \varepsilon)` is, ``(N, D, D)``."""
        x, y, dim = self.x, self.y, self.x.shape[1]
        i, j = torch.triu_indices(dim, dim, device=x.device)
        b = self.b[:, None]
        sums = self.e.rows((2, self.b), (2, b * y), (2, b * y[:, i] * y[:, j]))
        second = sums[2].new_empty(len(x), dim, dim)
        second[:, i, j] = second[:, j, i] = sums[2]
        cross = x[:, :, None] * sums[1][:, None]
        square = sums[0][:, None, None] * x[:, :, None] * x[:, None]
        eye = torch.eye(dim).to(x)
        return square - cross - cross.mT + second + self.force[0][:, None, None] * eye

    def push(self, dx: Tensor | None, dy: Tensor | None, db: Tensor | None) -> Tensor | float:
        r"""The right-hand side :math:`\phi` ``(N, R)`` of the tangents ``(N, D, R)``, ``(M, R)``."""
        out: Tensor | float = 0.0
        if dx is not None:
            out = (self.force[1][..., None] * dx).sum(1)
        if dy is not None:
            b = self.b[:, None]
            moved, work = self.e.rows((1, b[..., None] * dy), (1, b * self._along(dy)))
            out = out + work - (self.x[..., None] * moved).sum(1)
        if db is not None:
            out = out - self.eps * self.e.rows((0, db))[0]
        return out

    def pull(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        r"""The adjoint of both pushes in this cloud: for dx ``(N, D, R)`` and for da ``(N, R)``.

        ``own`` ``(N, R)`` is dual to :math:`\phi`, ``other`` ``(M, R)`` to :math:`\gamma`.
        """
        weight, moment, plain = self.e.rows(
            (1, other), (1, self.y[..., None] * other[:, None]), (0, other)
        )
        a, x = self.a[:, None, None], self.x[..., None]
        points = self.force[1][..., None] * own[:, None] + a * (x * weight[:, None] - moment)
        return points, -self.eps * plain

    def bend(self, dx: Tensor | None, dy: Tensor | None) -> Tensor | float:
        """The change of the force, with potentials and weights held, ``(N, D, R)``."""
        a, x = self.a[:, None, None], self.x[..., None]
        out: Tensor | float = 0.0
        if dx is not None:
            out = a * (self.stiffness @ dx)
        if dy is not None:
            y, b = self.y[..., None], self.b[:, None, None]
            bdy, work = b * dy, self.b[:, None] * self._along(dy)
            moved, m, w, outer, mw = self.e.rows(
                (1, bdy),
                (2, bdy),
                (2, work),
                (2, y[:, :, None] * bdy[:, None]),
                (2, y * work[:, None]),
            )
            turned = (outer * self.x[:, None, :, None]).sum(2)
            along = x * (self._here(m) - w)[:, None] - turned + mw
            out = out - a * (moved + along)
        return out

    def _along(self, dy: Tensor) -> Tensor:
        return (self.y[..., None] * dy).sum(1)

    def _here(self, m: Tensor) -> Tensor:
        return (self.x[..., None] * m).sum(1)


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
            back = e.T.rows((0, scale[:, None] * e.rows((0, share[:, None] * v))[0]))[0]
            image = v / kept.tau - share[:, None] * back
            return image if null is None else image + null[:, None] * (null @ v)

        def matrix(e: Stored) -> Tensor:
            half = scale.sqrt()[:, None] * e.matrix(0) * share
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
        second = self.schur.solve(b * (gamma - kept.e.rows((0, a * first))[0]))
        first = first - scale * out.e.rows((0, b * second))[0]
        if kept.empty:
            back = kept.e.rows((0, a * first))[0]
            second = (kept.tau * kept.inverse)[:, None] * (gamma - back)
        return (second, first) if self.flipped else (first, second)

    def adjoint(self, wf: Tensor, wg: Tensor) -> tuple[Tensor, Tensor]:
        """What is dual to the right-hand sides, for what is dual to the potentials."""
        out, kept = self.out, self.kept
        wf, wg = (wg, wf) if self.flipped else (wf, wg)
        a, b, scale = out.a[:, None], kept.a[:, None], (out.tau * out.inverse)[:, None]
        second = (kept.tau * kept.inverse)[:, None] * wg
        first = scale * (wf - a * out.e.rows((0, second))[0])
        beta = b * self.schur.solve(-b * kept.e.rows((0, first))[0])
        first, second = first - scale * a * out.e.rows((0, beta))[0], second + beta
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
            return v / side.tau + share[:, None] * side.e.rows((0, share[:, None] * v))[0]

        def matrix(e: Stored) -> Tensor:
            image = share[:, None] * e.matrix(0) * share
            image.diagonal().add_(1 / side.tau)
            return image

        return Definite(side.e, side.a * side.total, product, matrix, self.tol)

    def solve(self, phi: Tensor) -> Tensor:
        """The derivative of the potential."""
        side = self.side
        found = self.system.solve(side.a[:, None] * phi)
        if side.empty:
            back = side.e.rows((0, side.a[:, None] * found))[0]
            found = (side.tau * side.inverse)[:, None] * (phi - back)
        return found

    def adjoint(self, w: Tensor) -> Tensor:
        """What is dual to the right-hand side, for what is dual to the potential."""
        side, a = self.side, self.side.a[:, None]
        first = (side.tau * side.inverse)[:, None] * w
        return first + a * self.system.solve(-a * side.e.rows((0, first))[0])


def _root(side: Side) -> Tensor:
    """``a / sqrt(c)``: what a product with e takes to be one with the plan, in normal units."""
    return (side.a * side.inverse).sqrt()
