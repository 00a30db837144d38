"""A cost between classes, beside that between places."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import bad_input
from ..formulas.functions import Opaque
from ..formulas.given import ground_cost
from ..held import Watch
from ..points import numbers
from .base import EVEN, Cost, as_parameter

__all__ = ["Labels"]


class Labels(Cost):
    r"""Classes beside places: :math:`|x - y|^p / p + W_{kl}` for points x of class k and y of class l.

    The last coordinate of a point is its class, a number from 0 to K - 1: ``torch.cat((x, k[:, None]), -1)``. All pairs
    are visited; classes a distance apart, :math:`W_{kl} = |u_k - u_l|^2 / 2` with p = 2, are :class:`Features` of points
    ``(x, u_k)``, which visit few. Divergences want W symmetric; they are positive where :math:`e^{-W / \varepsilon}` is a positive definite
    matrix, as for squared distances of any points that stand for the classes.

    Args:
        matrix: ``(K, K)`` costs W, not negative, in the units of the cost; a tensor is differentiated in.

    Raises:
        ValueError, TypeError: for another matrix, and for classes that it does not know.

    References:
        Alvarez-Melis and Fusi, 2020, "Geometric dataset distances via optimal transport".

    Example:
        >>> import torch, sparseot as so
        >>> x, y = torch.tensor([[0.0, 0.0, 0]]), torch.tensor([[3.0, 4.0, 1]])
        >>> W = [[0.0, 2.0], [2.0, 0.0]]
        >>> round(so.sinkhorn_divergence(x, y, cost=so.costs.Labels(W)).item(), 2)
        14.5
    """

    def __init__(self, matrix: Any) -> None:
        super().__init__()
        self.matrix = as_parameter("matrix", matrix, (2,))
        if self.matrix.shape[0] != self.matrix.shape[1]:
            raise bad_input("matrix", f"shape {tuple(self.matrix.shape)}", "(K, K), for K classes")
        least = float(numbers(self.matrix).min())
        if least < 0:
            fix = "A constant that is added to all entries changes no plan."
            raise bad_input("matrix", f"the cost {least:g}", "costs that are not negative", fix)

    @property
    def beyond(self) -> float:
        """The largest of the costs between classes."""
        return float(numbers(self.matrix).max())

    def refuse_uneven(self) -> None:
        """Looks at the matrix itself, whatever places cost beside it."""
        W = numbers(self.matrix)
        gap = (W - W.T).abs()
        if bool(gap.max() <= EVEN * W.max()):
            return
        k, m = divmod(int(gap.argmax()), len(W))
        got = f"one that is {W[k, m].item():g} from class {k} to class {m} and {W[m, k].item():g} back"
        fix = "Solve with debias=False, or take the mean of both ways: (W + W.T) / 2."
        wanted = "a symmetric one: a divergence compares each cloud with itself"
        raise bad_input("cost", got, wanted, fix)

    def prepare(self, points: Tensor, name: str = "x") -> Tensor:
        """Places, and for each class whether it is that of the point."""
        count = len(self.matrix)
        if points.shape[-1] < 2:
            fix = "torch.cat((x, k[:, None]), -1)"
            raise bad_input(name, "points of one coordinate", "a place before the class", fix)
        given = numbers(points)[..., -1]
        labels = given.long()
        wrong = (labels != given) | (labels < 0) | (labels >= count)
        if bool(wrong.any()):
            got = f"the class {given[wrong][0].item():g}, its last coordinate"
            raise bad_input(name, got, f"whole numbers from 0 to {count - 1}")
        chosen = torch.nn.functional.one_hot(labels, count).to(points)
        return torch.cat((points[..., :-1], chosen), -1)

    def formula(self, p: int) -> Opaque:
        """The cost of places and classes."""
        ground_cost(p)  # checks it
        matrix, count = self.matrix, len(self.matrix)
        watch = Watch(matrix)

        def function(x: Any, y: Any) -> Any:
            watch.check("cost", "the matrix of Labels was")
            squares = ((x[:, :, None, :-count] - y[:, None, :, :-count]) ** 2).sum(-1)
            places = squares / 2 if p == 2 else _root(squares)
            return places + (x[..., -count:] @ matrix.to(x)) @ y[..., -count:].mT

        return Opaque(function)

    def extra_repr(self) -> str:
        """How many classes there are."""
        return f"{len(self.matrix)} classes"


def _root(squares: Any) -> Any:
    """The square root, with derivative zero at zero."""
    return torch.where(squares > 0, torch.where(squares > 0, squares, 1.0).sqrt(), 0.0)
