"""The second derivatives of a batch, made item by item where they are asked for."""

from __future__ import annotations

from torch import Tensor

from ...errors import warn_user
from ...points import Points
from ..problem import Problem
from ..solution import Potentials
from .curvature import Curvature, curvature
from .envelope import dual

__all__ = ["Curvatures"]


class Curvatures:
    """The second derivatives of a solved problem, item by item, made where they are asked for."""

    def __init__(self, problem: Problem, found: Potentials, converged: bool = True) -> None:
        self.problem, self.found, self.converged = problem, found, converged
        self.made: dict[int, Curvature] = {}

    def __getitem__(self, item: int) -> Curvature:
        if item not in self.made:
            if not self.converged:
                warn_user(
                    "Second derivatives of a plan that has not converged are off by about as much "
                    "as its marginals: allow more sweeps with Sinkhorn(max_sweeps=...).",
                )
            self.made[item] = curvature(self.problem, self.found, item)
        return self.made[item]

    def dual(self, leaves: list[Tensor]) -> Tensor:
        """The dual value ``(B,)`` as a function of other tensors x, y, a, b of the same numbers."""
        x, y, a, b = leaves
        source = Points(x, a)
        return dual(self.problem.of(source, Points(y, b)), self.found)
