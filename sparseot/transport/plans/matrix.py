"""Transport plans as matrices that are never stored."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ...engines.openmp import NUMBERS, on_threads_for
from ...operators.arrays import Array, as_tensor, like
from ...operators.autograd.spread import Spread
from ...operators.base import Operator
from ...precision import full_precision
from ..problem import Problem
from ..pruned.kept_pairs import KeptPairs

__all__ = ["PlanMatrix"]


class PlanMatrix(Operator):
    r"""The matrix :math:`P_{ij} = a_i b_j e^{(f_i + g_j - C_{ij}) / \varepsilon}`, by its products.

    ``P @ v`` multiplies vectors ``(M,)`` and blocks ``(M, R)``; ``P.T`` is the plan seen from the
    target, ``P.sum()`` are its row sums.
    """

    def __init__(
        self,
        problem: Problem,
        f: Tensor,
        g: Tensor,
        batched: bool,
        reference: Array,
        spreads: tuple[Spread, Spread] | None = None,
    ) -> None:
        self.problem, self.f, self.g, self.batched = problem, f, g, batched
        self.reference, self.spreads = reference, spreads
        batch = (len(f),) if batched else ()
        self.shape = (*batch, f.shape[1], g.shape[1])

    def product(self, v: Tensor) -> Tensor:
        problem = self.problem
        block = (v if self.batched else v[None]).to(self.f)
        row = problem.source.log_weights + self.f / problem.eps
        out = problem.plan_product(row, self.g, block)
        out = out.to(v.dtype)
        return out if self.batched else out[0]

    def transpose(self) -> Operator:
        spreads = self.spreads and self.spreads[::-1]
        return PlanMatrix(
            self.problem.swapped(), self.g, self.f, self.batched, self.reference, spreads
        )

    @full_precision
    def diagonal(self) -> Array:
        problem, size = self.problem, min(self.shape[-2:])
        x, y = (c.positions[:, :size] for c in (problem.source, problem.target))
        entries = [problem.cost_matrix(x[:, i : i + 1], y[:, i : i + 1]) for i in range(size)]
        cost = torch.cat(entries, 1)[..., 0]
        logs = problem.source.log_weights[:, :size] + problem.target.log_weights[:, :size]
        out = (logs + (self.f[:, :size] + self.g[:, :size] - cost) / problem.eps).exp()
        return self._shown(out)

    @full_precision
    def cost(self) -> Tensor:
        r"""The ground cost :math:`\langle P, C \rangle` in double precision, ``()`` or ``(B,)``."""
        problem, g = self.problem, self.g
        if isinstance(problem.pairs, KeptPairs):  # differences of large numbers follow
            problem, g = replace(problem.double(), pairs=problem.pairs.double()), g.double()
        row = problem.source.log_weights + self.f.to(g) / problem.eps
        one = torch.ones_like(g)[..., None]
        costs = problem.plan_product(row, g, one, with_cost=True)[..., 0].double()
        total = costs.sum(-1)
        return total if self.batched else total[0]

    @full_precision
    @on_threads_for(lambda self: NUMBERS * math.prod(self.shape))
    def to_dense(self) -> Array:
        """The whole matrix, entry by entry: cheaper than products with all unit vectors."""
        self.refuse_dense()
        problem = self.problem
        row = problem.source.log_weights + self.f / problem.eps
        col = problem.target.log_weights + self.g / problem.eps
        x, y = (c.positions for c in (problem.source, problem.target))
        size, out = (
            max(1, (1 << 22) // y.shape[1]),
            as_tensor(self.reference, self.reference).new_empty(self.f.shape + y.shape[1:2]),
        )
        for k in range(0, x.shape[1], size):
            rows = slice(k, k + size)
            costs = problem.cost_matrix(x[:, rows], y) / problem.eps
            out[:, rows] = (row[:, rows, None] + col[:, None] - costs).exp_()
        return self._shown(out)

    def _shown(self, out: Tensor) -> Array:
        out = out.to(as_tensor(self.reference, self.reference))
        return like(out if self.batched else out[0], self.reference)

    def __repr__(self) -> str:
        rows, cols = self.shape[-2:]
        return f"<plan {rows:,} x {cols:,}, blur {self.problem.blur:g}>"
