"""One problem of entropic transport: two clouds, a cost, a temperature, and how marginals are held."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..engines.base import Engine, Formula
from ..errors import bad_input
from ..formulas import Opaque, Radial, gibbs
from ..operators.autograd import kernel_sum
from ..points import Points
from .marginals import Marginals

__all__ = ["Problem", "check_cost", "equal_clouds"]


@dataclass(frozen=True)
class Problem:
    """What does not change while it is solved; ``target is source`` for a cloud and itself."""

    source: Points
    target: Points
    cost: Formula
    penalty: Marginals
    p: int
    blur: float
    engine: Engine

    @property
    def eps(self) -> float:
        """The temperature."""
        return self.blur**self.p

    @property
    def symmetric(self) -> bool:
        """Whether this is the problem of a cloud and itself."""
        return self.target is self.source

    def plain(self) -> Problem:
        """The same numbers, without graph."""
        source = self.source.plain()
        target = source if self.symmetric else self.target.plain()
        return replace(self, source=source, target=target)

    def swapped(self) -> Problem:
        """The same problem, seen from the target."""
        sides = self.penalty
        if sides.rhos[0] != sides.rhos[1]:
            sides = type(sides)(sides.rhos[::-1])  # type: ignore[call-arg]
        return Problem(self.target, self.source, self.cost, sides, self.p, self.blur, self.engine)

    def item(self, k: int) -> Problem:
        """The problem of one item of a batch, over all pairs."""
        clouds = [
            Points(c.positions[k : k + 1], c.weights[k : k + 1]) for c in (self.source, self.target)
        ]
        return replace(self, source=clouds[0], target=clouds[1])

    def plan_product(
        self, x: Tensor, row: Tensor, g: Tensor, v: Tensor, *, with_cost: bool = False
    ) -> Tensor:
        r"""The sums :math:`\sum_j e^{r_i} b_j e^{(g_j - C(x_i, y_j))/\varepsilon} v_j`.

        Args:
            x: ``(B, N, D)`` points: those of the source, or new ones.
            row: ``(B, N)`` logarithmic scalings r.
            g: ``(B, M)`` potential of the target.
            v: ``(B, M, R)`` right-hand sides.
            with_cost: multiply each term by C as well.
        """
        y, col = self.target.positions.detach(), self.target.log_weights + g / self.eps
        if isinstance(self.cost, Radial):
            kernel = gibbs(self.cost, self.eps)
            if with_cost:
                kernel = Radial(self.cost.terms, kernel.rate, kernel.decay)
            return kernel_sum(kernel, x, y, v, row, col, engine=self.engine)
        if not isinstance(self.cost, Opaque):
            fix = "Give the cost as a Python function of (x, y)."
            raise bad_input("cost", "a KeOps formula", "a cost whose plan can be applied", fix)
        blocks = []
        size = max(1, (1 << 22) // (y.shape[0] * y.shape[1]))
        for rows, scaling in zip(x.split(size, 1), row.split(size, 1), strict=True):
            cost = self.cost(rows, y)
            entries = (scaling[..., None] + col[:, None] - cost / self.eps).exp()
            blocks.append((entries * cost if with_cost else entries) @ v)
        return torch.cat(blocks, 1)

    def log_rows(self, x: Tensor, g: Tensor, softmin: Tensor | None = None) -> Tensor:
        """Scalings ``(B, N)`` that make the rows of the plan sum to one at points x."""
        eps, y = self.eps, self.target.positions.detach()
        if isinstance(self.cost, Opaque) or softmin is None:
            temperature = g.new_full((len(g),), eps)
            col = self.target.log_weights + g / eps
            guess = None if softmin is None else -softmin / eps
            return -self.engine.bind(x, y).logsumexp(self.cost, temperature, col, guess)
        total = self.plan_product(x, softmin / eps, g, torch.ones_like(g)[..., None])[..., 0]
        return softmin / eps - total.log()

    def cost_matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs ``(B, N, M)`` of small blocks of points."""
        if isinstance(self.cost, Opaque):
            return self.cost(x, y)
        assert isinstance(self.cost, Radial)
        costs: Tensor = self.cost((x[:, :, None] - y[:, None]).square().sum(-1))
        return costs


def check_cost(cost: Formula, source: Points, target: Points, own: bool) -> None:
    """Refuses a function that is NaN or infinite between both clouds, or (``own``) within one."""
    if not isinstance(cost, Opaque):
        return
    x, y = source.positions.detach(), target.positions.detach()
    cost.check(x, y)
    if own:
        cost.check(x, x, ("x", "x"))
        cost.check(y, y, ("y", "y"))


def equal_clouds(source: Points, target: Points, k: int, penalty: Marginals) -> bool:
    """Whether item k is a cloud and a copy of it, held alike: then f = g."""
    pairs = ((source.positions, target.positions), (source.weights, target.weights))
    alike = penalty.rhos[0] == penalty.rhos[1]
    return alike and all(s.shape == t.shape and torch.equal(s[k], t[k]) for s, t in pairs)
