"""What a cost object is: points are moved first, and a formula of the moved points is the cost.

Where that formula is the distance, or half of its square, everything that is known of these serves: kept
pairs, coarse clouds, certificates, Hessians. Derivatives reach the points, and what the cost has to learn,
through the map, by autograd.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import bad_input
from ..formulas.functions import Opaque
from ..formulas.ground import GroundCost
from ..points import numbers

__all__ = ["Cost", "as_parameter"]


class Cost(nn.Module, ABC):
    """A ground cost ``c(prepare(x), prepare(y))``; called with two clouds, it gives their costs.

    A module, so that what it has to learn (a ``torch.nn.Parameter`` that it was given) is found by optimisers.

    Example:
        >>> from sparseot import costs
        >>> x, y = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
        >>> costs.Cosine()(x, y)
        tensor([[0., 1.]])
    """

    moves = True  # whether points are moved

    def prepare(self, points: Tensor, name: str = "x") -> Tensor:
        """Points ``(..., N, D)`` as the formula wants them, ``(..., N, D')``, with derivatives.

        ``name`` is what errors call them.
        """
        return points

    @abstractmethod
    def formula(self, p: int) -> GroundCost | Opaque:
        """The cost of moved points, in a call with the exponent p."""

    def exponent(self, p: float) -> float:
        """That of the temperature ``blur ** exponent``, in a call with the exponent p."""
        return p

    def forward(self, x: Tensor, y: Tensor, p: int = 2) -> Tensor:
        """All costs ``(..., N, M)`` of two clouds ``(..., N, D)`` and ``(..., M, D)``, stored."""
        single = x.dim() == 2
        pair = [
            self.prepare(t[None] if single else t, n) for t, n in zip((x, y), "xy", strict=True)
        ]
        formula = self.formula(p)
        found = formula.matrix(*pair)
        return found[0] if single else found


def as_parameter(name: str, value: Any, dims: tuple[int, ...]) -> Tensor:
    """Numbers of a cost as a tensor of so many axes, finite; a tensor keeps its graph."""
    try:
        found = value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise bad_input(name, type(value).__name__, "numbers", kind=TypeError) from error
    if not found.is_floating_point():
        found = found.double()
    if found.dim() not in dims:
        axes = " or ".join(map(str, dims))
        raise bad_input(name, f"shape {tuple(found.shape)}", f"numbers along {axes} axes")
    if not bool(numbers(found).isfinite().all()):
        raise bad_input(name, "NaN or infinite numbers", "finite ones")
    return found
