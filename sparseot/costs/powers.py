"""Powers of the distance between its first and its square."""

from __future__ import annotations

from ..errors import bad_input
from ..formulas.given import ground_cost
from ..formulas.ground import GroundCost
from ..points import check_positive
from .base import Cost

__all__ = ["Power"]


class Power(Cost):
    r"""The cost :math:`|x - y|^q / q` with :math:`1 \le q \le 2`.

    q takes the place of the p of the call: the temperature is ``blur ** q`` and the price of mass ``reach ** q``, so that both
    stay lengths. Its kernel is positive definite for all these q (Schoenberg, 1938), so that divergences are positive. Where points
    meet, derivatives are zero; second ones, which have no limit there for q < 2, are taken as zero. Few pairs are visited where
    they suffice. Between 1 and 2 each takes about three times as long as for q = 2, and where all are visited they are summed
    as a function of the points that is traced.

    Args:
        q: the exponent.

    Raises:
        ValueError, TypeError: for another exponent.

    Example:
        >>> import torch, sparseot as so
        >>> x, y = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
        >>> round(so.sinkhorn_divergence(x, y, cost=so.costs.Power(1.5)).item(), 3)
        7.454
    """

    moves = False

    def __init__(self, q: float) -> None:
        super().__init__()
        check_positive(q=q)
        if q is None or not 1 <= q <= 2:
            fix = "Other costs can be given as functions of (x, y)."
            raise bad_input("q", f"{q}", "an exponent from 1 to 2", fix)
        self.q = float(q)

    def exponent(self, p: float) -> float:
        """Its own."""
        return int(self.q) if self.q in (1, 2) else self.q

    def formula(self, p: int) -> GroundCost:
        """That power of the distance."""
        ground_cost(p)  # checks it
        return GroundCost(1 / self.q, self.exponent(p))

    def extra_repr(self) -> str:
        """The exponent."""
        return f"{self.q:g}"
