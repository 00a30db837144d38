"""What a cost object is: points are moved first, and a formula of the moved points is the cost.

Where that formula is the distance, or half of its square, everything that is known of these serves: kept
pairs, coarse clouds, certificates, Hessians. Derivatives reach the points, and what the cost has to learn,
through the map, by autograd.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..clouds import points_pair
from ..errors import bad_input
from ..formulas.functions import Opaque
from ..formulas.ground import GroundCost
from ..operators.arrays import Array, of_one_kind, refuse_learnt, shown
from ..points import numbers, refuse_map

__all__ = ["EVEN", "Cost", "as_parameter"]

EVEN = 1e-5  # difference of a matrix and its transpose that may be rounding, relative


class Cost(nn.Module, ABC):
    """A ground cost ``c(prepare(x), prepare(y))``; called with two clouds, it gives their costs.

    A module, so that what it has to learn (a ``torch.nn.Parameter`` that it was given) is found by optimisers.
    Points are moved in their own precision; the interval is that of the moved points.

    Example:
        >>> from sparseot import costs
        >>> x, y = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
        >>> costs.Cosine()(x, y)
        tensor([[0., 1.]])
    """

    moves = True  # whether points are moved

    @property
    def held(self) -> list[Tensor]:
        """The tensors that it was made of, learnt or not."""
        own = [value for value in vars(self).values() if isinstance(value, Tensor)]
        return [*own, *self.parameters(), *self.buffers()]

    @property
    def beyond(self) -> float:
        """The largest cost that comes on top of what moved points show by their distances."""
        return 0.0

    def prepare(self, points: Tensor, name: str = "x") -> Tensor:
        """Points ``(..., N, D)`` as the formula wants them, ``(..., N, D')``, each by itself and with derivatives.

        ``name`` is what errors call them.
        """
        return points

    def restore(self, points: Tensor) -> Tensor:
        """Points that :meth:`prepare` moves to these, which are somewhere that it may have moved points to."""
        if self.moves:
            got = f"{type(self).__name__}, whose points have no way back"
            fix = 'free="weights", with a support that is given, finds weights of points that stay.'
            raise bad_input("cost", got, "one whose points may be anywhere", fix)
        return points

    def settle(self, points: Tensor) -> Tensor:
        """Points near these where :meth:`prepare` may have moved some to, with derivatives."""
        return points

    def lost(self, points: Tensor) -> Tensor | None:
        """Which points ``(..., N)`` cannot be moved, and may be there without weight only; None if all can."""
        return None

    def refuse_uneven(self) -> None:
        """Raises ValueError where it is known not to be symmetric, as divergences want it."""

    @abstractmethod
    def formula(self, p: int) -> GroundCost | Opaque:
        """The cost of moved points, in a call with the exponent p."""

    def exponent(self, p: float) -> float:
        """That of the temperature ``blur ** exponent``, in a call with the exponent p."""
        return p

    def forward(self, x: Array, y: Array, p: int = 2) -> Array:
        """All costs of two clouds, stored.

        Args:
            x: ``(N, D)`` or ``(B, N, D)`` points, tensor or NumPy array.
            y: ``(M, D)`` or ``(B, M, D)`` points, of the same kind.
            p: exponent, 1 or 2.

        Returns:
            ``(N, M)`` or ``(B, N, M)``, of the kind of the points.

        Raises:
            ValueError, TypeError: if an argument is not as described.
        """
        (x, y), first = of_one_kind(x=x, y=y)
        source, target, batched = points_pair(x, y)
        formula = self.formula(p)
        clouds = zip((source, target), "xy", strict=True)
        found = formula.matrix(*(self.prepare(cloud.positions, name) for cloud, name in clouds))
        refuse_learnt(first, found)
        return shown(found if batched else found[0], first)


def as_parameter(name: str, value: Any, dims: tuple[int, ...]) -> Tensor:
    """Numbers of a cost as a tensor of so many axes, finite; a tensor keeps its graph."""
    try:
        found = value
        if not isinstance(value, Tensor):
            found = torch.from_numpy(np.array(value, dtype=np.float64))  # a copy
    except (TypeError, ValueError, RuntimeError) as error:
        raise bad_input(name, type(value).__name__, "numbers", kind=TypeError) from error
    refuse_map(found, f"{name}, which a cost holds")
    if not found.is_floating_point():
        found = found.double()
    if found.dim() not in dims:
        axes = " or ".join(map(str, dims))
        raise bad_input(name, f"shape {tuple(found.shape)}", f"numbers along {axes} axes")
    if not bool(numbers(found).isfinite().all()):
        raise bad_input(name, "NaN or infinite numbers", "finite ones")
    return found
