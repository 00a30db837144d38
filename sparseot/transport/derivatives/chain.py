r"""Second derivatives in the points as they came, where a cost moved them.

A cost moves each point by itself, :math:`z_i = T(x_i)`. With the gradient g and the Hessian H of a value in
the moved points, the Hessian in those that came is, by the chain rule,

.. math::
    T'^\top H \, T' + \mathrm{diag}_i \Big( \sum_k g_{ik} \, T_k''(x_i) \Big) ,

blocks for each point around that of the solver, and blocks beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...formulas.given import Moved, with_a_place
from ...points import Points
from .curvature import PLACES, Curvature, hessian_product

__all__ = ["Chain"]


@dataclass(frozen=True)
class Chain:
    """What the chain rule takes of the map of n points, in float64.

    Attributes:
        slopes: ``(n, D', D)``, the first derivatives of each moved point.
        bends: ``(n, D, D)``, the second ones, in the direction of the gradient of the value.
    """

    slopes: Tensor
    bends: Tensor

    @staticmethod
    def of(came: Moved, cloud: Points, parts: list[Curvature], wrt: str) -> Chain:
        """Of one item: the cloud as it came, and what the Hessian in its moved points is made of.

        Raises:
            RuntimeError: if what the cost holds was changed in place since.
        """
        came.watch.check("hvp", "the cost of a result was")
        with torch.inference_mode(False), torch.enable_grad():
            x = cloud.positions.double().clone().requires_grad_()
            z = came.cost.prepare(with_a_place(came.cost, x, cloud.weights), wrt)
            slopes = [_derivative(z[..., k], x) for k in range(z.shape[-1])]
            gradient = _gradient(parts, wrt).clone()
            pulled = _derivative((z[0] * gradient).sum(-1), x, again=True)
            bends = [_derivative(pulled[..., k], x) for k in range(x.shape[-1])]
        return Chain(torch.stack(slopes, 2)[0].detach(), torch.stack(bends, 2)[0].detach())

    def product(self, parts: list[Curvature], wrt: str, v: Tensor) -> Tensor:
        """The Hessian times ``v`` ``(n, D, R)``."""
        moved = hessian_product(parts, wrt, self.slopes @ v)
        return self.slopes.mT @ moved + self.bends @ v

    def around(self, moved: Tensor) -> Tensor:
        """The Hessian ``(n D, n D)``, from that in moved points, ``(n D', n D')``."""
        n, inner, outer = self.slopes.shape
        rows = self.slopes.mT @ moved.view(n, inner, n * inner)
        columns = rows.view(n * outer, n, inner).transpose(0, 1) @ self.slopes
        found = columns.transpose(0, 1).reshape(n, outer, n, outer)
        index = torch.arange(n, device=found.device)
        found[index, :, index] += self.bends
        return found.reshape(n * outer, n * outer)


def _gradient(parts: list[Curvature], wrt: str) -> Tensor:
    """That of the value in the moved points, ``(n, D')``: of a divergence, less that of a cloud and itself."""
    first = parts[0].here if PLACES.index(wrt) == 0 else parts[0].there
    found = first.a[:, None] * first.force
    for own in parts[1:]:
        found = found - own.here.a[:, None] * own.here.force
    return found


def _derivative(values: Tensor, points: Tensor, again: bool = False) -> Tensor:
    """Of the sum of numbers of points, each of which depends on one alone; zero where none does."""
    if not values.requires_grad:
        return torch.zeros_like(points)
    (found,) = torch.autograd.grad(
        values.sum(),
        points,
        retain_graph=True,
        create_graph=again,
        allow_unused=True,
        materialize_grads=True,
    )
    return found
