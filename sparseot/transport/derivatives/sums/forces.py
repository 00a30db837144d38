r"""Sums over a plan of the derivatives of its cost, which second derivatives are made of.

For a radial cost c(s), :math:`s = |x - y|^2`, and :math:`\delta = x_i - y_j`,

.. math::
    \partial_1 C = 2 c'(s)\, \delta, \qquad \partial_{11} C - \tfrac1\varepsilon \partial_1 C\,
    \partial_1 C^\top = 2 c'(s)\, I + (4 c''(s) - \tfrac4\varepsilon c'(s)^2)\, \delta \delta^\top.

For multiples of the squared distance both are polynomials, and sums are put together from moments. For
:math:`c\, |\delta|^q`, q from 1 on, they are :math:`c'\, u` and :math:`c' (I - u u^\top) / |\delta| + (c'' - c'^2 /
\varepsilon)\, u u^\top` with the unit vector u of :math:`\delta` and derivatives in :math:`|\delta|`, and are summed
as they are; where points meet they are taken as zero.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from ....formulas import GroundCost
from ....operators.small import product
from .coupling import Coupling, Stored
from .patches import LEAST, Patch

__all__ = ["Directions", "Forces", "Moments"]


FEW = 3  # coordinates, for two of which there is a matrix each


class Forces(ABC):
    r"""Sums over the columns of e; values carry R columns of their own, last.

    Of a radial cost :math:`\partial_2 C = -\partial_1 C`, so that the second and the third are those of
    :math:`\partial_1 C` and of :math:`\partial_{11} C`.
    """

    @abstractmethod
    def pull(self, v: Tensor) -> Tensor:
        r""":math:`\sum_j e_{ij}\, \partial_1 C\, v_j` of ``(M, R)``, ``(N, D, R)``."""

    @abstractmethod
    def push(self, w: Tensor) -> Tensor:
        r""":math:`-\sum_j e_{ij}\, \partial_2 C \cdot w_j` of ``(M, D, R)``, ``(N, R)``."""

    @abstractmethod
    def bend(self, w: Tensor) -> Tensor:
        r""":math:`-\sum_j e_{ij}\, (\partial_{12} C - \partial_1 C\, \partial_2 C^\top / \varepsilon)\, w_j`
        of ``(M, D, R)``, ``(N, D, R)``.
        """

    @abstractmethod
    def stiffness(self, b: Tensor) -> Tensor:
        r"""The matrices :math:`\sum_j e_{ij}\, (\partial_{11} C - \partial_1 C\, \partial_1 C^\top / \varepsilon)\, b_j`
        of ``(M,)``, ``(N, D, D)``.
        """


class Moments(Forces):
    """Those of a multiple of the squared distance; the clouds are centred."""

    def __init__(self, e: Coupling) -> None:
        self.e, (self.x, self.y) = e, e.at.points
        assert isinstance(e.at.cost, GroundCost)
        self.slope = 2 * e.at.cost.factor
        self.square = -(self.slope**2) / e.at.eps

    def pull(self, v: Tensor) -> Tensor:
        weight, moment = self.e.rows(v, self.y[..., None] * v[:, None])
        return self.slope * (self.x[..., None] * weight[:, None] - moment)

    def push(self, w: Tensor) -> Tensor:
        moved, work = self.e.rows(w, _along(self.y, w))
        return self.slope * (_along(self.x, moved) - work)

    def bend(self, w: Tensor) -> Tensor:
        x, y = self.x[..., None], self.y[..., None]
        work = _along(self.y, w)
        m, wk, outer, mw = self.e.rows(w, work, y[:, :, None] * w[:, None], y * work[:, None])
        turned = (outer * self.x[:, None, :, None]).sum(2)
        square = x * (_along(self.x, m) - wk)[:, None] - turned + mw
        return self.slope * m + self.square * square

    def stiffness(self, b: Tensor) -> Tensor:
        x, y, dim = self.x, self.y, self.x.shape[1]
        i, j = torch.triu_indices(dim, dim, device=x.device)
        total, first, packed = self.e.rows(b, b[:, None] * y, b[:, None] * y[:, i] * y[:, j])
        second = packed.new_empty(len(x), dim, dim)
        second[:, i, j] = second[:, j, i] = packed
        cross = x[:, :, None] * first[:, None]
        outer = total[:, None, None] * x[:, :, None] * x[:, None]
        eye = self.slope * torch.eye(dim).to(x)
        return self.square * (outer - cross - cross.mT + second) + total[:, None, None] * eye


class Directions(Forces):
    """Those of a function of the distance: a multiple of a power below the second, or an angle."""

    def __init__(self, e: Coupling) -> None:
        self.e, self.dim = e, e.at.points[0].shape[1]
        assert isinstance(e.at.cost, GroundCost)
        self.cost, self.power, self.eps = e.at.cost, e.at.cost.power, e.at.eps
        self.factor = e.at.cost.factor

    @cached_property
    def stored(self) -> Tensor | None:
        r"""The entries times :math:`\partial_1 C`, ``(N, D, M)``, where a plan in few coordinates is stored."""
        if not isinstance(self.e, Stored) or self.dim > FEW:
            return None

        def work(patch: Patch, _: Tensor) -> Tensor:
            return (patch.unit * self._pulls(patch)).movedim(0, 2)

        y = self.e.at.points[1]
        return self.e.patches(work, (self.dim, len(y)), y)

    def pull(self, v: Tensor) -> Tensor:
        if self.stored is not None:
            return product(self.stored.flatten(0, 1), v).unflatten(0, (-1, self.dim))

        def work(patch: Patch, v: Tensor) -> Tensor:
            weight = self._pulls(patch)
            return torch.stack([(weight * unit) @ v for unit in patch.unit], 2)

        return self.e.patches(work, (self.dim, v.shape[1]), v)

    def push(self, w: Tensor) -> Tensor:
        if self.stored is not None:
            return product(self.stored.flatten(1), w.transpose(0, 1).flatten(0, 1))

        def work(patch: Patch, w: Tensor) -> Tensor:
            weight = self._pulls(patch)
            parts = [(weight * unit) @ w[:, :, d] for d, unit in enumerate(patch.unit)]
            return torch.stack(parts).sum(0)

        return self.e.patches(work, w.shape[2:], w)

    def bend(self, w: Tensor) -> Tensor:
        work = self._bend_by_matrices if self.dim <= FEW else self._bend_by_vectors
        return self.e.patches(work, w.shape[1:], w)

    def stiffness(self, b: Tensor) -> Tensor:
        return self.e.patches(self._stiffen, (self.dim, self.dim), b)

    def _pulls(self, patch: Patch) -> Tensor:
        """The lengths of the derivatives, times the entries, ``(k, n, m)``."""
        if self.power == 1:
            return self.factor * patch.entries
        return patch.entries * self.cost.slopes(patch.far)[0]

    def _stiff(self, patch: Patch) -> tuple[Tensor, Tensor]:
        """What resists across the way and, with the other sign, along it, ``(k, n, m)``."""
        if self.power == 1:
            along = (self.factor**2 / self.eps) * patch.entries
            return self.factor * patch.entries / patch.far, along
        first, second = self.cost.slopes(patch.far)
        return patch.entries * first / patch.far, patch.entries * (
            first.square() / self.eps - second
        )

    def _bend_by_matrices(self, patch: Patch, w: Tensor) -> Tensor:
        """In few coordinates: for each two of them, one matrix."""
        across, along = self._stiff(patch)
        squares = patch.unit.square()
        parts = [torch.zeros(()).to(w)] * self.dim
        for d in range(self.dim):
            others = sum(squares[k] for k in range(self.dim) if k != d)  # 1 - u_d^2 has less digits
            parts[d] = parts[d] + (across * others - along * squares[d]) @ w[:, :, d]
            for k in range(d):
                turned = (across + along) * patch.unit[d] * patch.unit[k]
                parts[d] = parts[d] - turned @ w[:, :, k]
                parts[k] = parts[k] - turned @ w[:, :, d]
        return torch.stack(parts, 2)

    def _bend_by_vectors(self, patch: Patch, w: Tensor) -> Tensor:
        """In many: for each column, what is along the way and the rest."""
        across, along = self._stiff(patch)
        if not self.cost.smooth:
            across *= patch.far > LEAST
        columns = []
        for v in w.unbind(-1):
            v = v[:, None].movedim(-1, 0)  # (D, k, 1, m)
            parallel = patch.unit * (patch.unit * v).sum(0)
            columns.append(((v - parallel) * across - parallel * along).sum(-1).movedim(0, -1))
        return torch.stack(columns, -1)

    def _stiffen(self, patch: Patch, b: Tensor) -> Tensor:
        across, along = (t * b[:, None] for t in self._stiff(patch))
        unit = patch.unit.movedim(0, 2)  # (k, n, D, m)
        turned = (unit * across[:, :, None]) @ unit.mT
        squares = turned.diagonal(dim1=2, dim2=3)
        others = squares @ (1 - torch.eye(self.dim).to(b))  # 1 - u_d^2 would lose digits
        turned = (others + squares).diag_embed() - turned
        return turned - (unit * along[:, :, None]) @ unit.mT


def _along(x: Tensor, w: Tensor) -> Tensor:
    return (x[..., None] * w).sum(1)
