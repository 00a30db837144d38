"""Transport plans: as matrices that are never stored, and their largest entries."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from ..operators.base import Operator
from .problem import Problem

__all__ = ["PlanMatrix", "picture", "plan_rows"]

CELLS, PIXELS = 24, 8  # of the picture of a plan


class PlanMatrix(Operator):
    r"""The matrix :math:`P_{ij} = a_i b_j e^{(f_i + g_j - C_{ij}) / \varepsilon}`, by its products.

    ``P @ v`` multiplies vectors ``(M,)`` and blocks ``(M, R)``; ``P.T`` is the plan seen from the
    target, ``P.sum()`` are its row sums.
    """

    def __init__(
        self, problem: Problem, f: Tensor, g: Tensor, batched: bool, dtype: torch.dtype
    ) -> None:
        self.problem, self.f, self.g, self.batched = problem, f, g, batched
        self.reference = f.new_empty(0, dtype=dtype)
        batch = (len(f),) if batched else ()
        self.shape = (*batch, f.shape[1], g.shape[1])

    def product(self, v: Tensor) -> Tensor:
        problem = self.problem
        block = (v if self.batched else v[None]).to(self.f)
        row = problem.source.log_weights + self.f / problem.eps
        out = problem.plan_product(problem.source.positions.detach(), row, self.g, block)
        out = out.to(v.dtype)
        return out if self.batched else out[0]

    def transpose(self) -> Operator:
        return PlanMatrix(
            self.problem.swapped(), self.g, self.f, self.batched, self.reference.dtype
        )

    def diagonal(self) -> Tensor:
        problem, size = self.problem, min(self.shape[-2:])
        x, y = (c.positions.detach()[:, :size] for c in (problem.source, problem.target))
        entries = [problem.cost_matrix(x[:, i : i + 1], y[:, i : i + 1]) for i in range(size)]
        cost = torch.cat(entries, 1)[..., 0]
        logs = problem.source.log_weights[:, :size] + problem.target.log_weights[:, :size]
        out = (logs + (self.f[:, :size] + self.g[:, :size] - cost) / problem.eps).exp()
        out = out.to(self.reference)
        return out if self.batched else out[0]

    def to_dense(self) -> Tensor:
        """The whole matrix, entry by entry: cheaper than products with all unit vectors."""
        self.refuse_dense()
        problem = self.problem
        row = problem.source.log_weights + self.f / problem.eps
        col = problem.target.log_weights + self.g / problem.eps
        x, y = (c.positions.detach() for c in (problem.source, problem.target))
        size, out = (
            max(1, (1 << 22) // y.shape[1]),
            self.reference.new_empty(self.f.shape + y.shape[1:2]),
        )
        for k in range(0, x.shape[1], size):
            rows = slice(k, k + size)
            costs = problem.cost_matrix(x[:, rows], y) / problem.eps
            out[:, rows] = (row[:, rows, None] + col[:, None] - costs).exp_()
        return out if self.batched else out[0]

    def __repr__(self) -> str:
        rows, cols = self.shape[-2:]
        return f"<plan {rows:,} x {cols:,}, blur {self.problem.blur:g}>"


def plan_rows(problem: Problem, f: Tensor, g: Tensor, k: int) -> Any:
    """The k largest entries of each row of an unbatched plan, as a SciPy CSR array."""
    k = min(k, g.shape[1])
    row = problem.source.log_weights + f / problem.eps
    col = problem.target.log_weights + g / problem.eps
    x, y = (c.positions.detach() for c in (problem.source, problem.target))
    size, found = max(1, (1 << 22) // y.shape[1]), []
    for rows, scaling in zip(x.split(size, 1), row.split(size, 1), strict=True):
        cost = problem.cost_matrix(rows, y)
        found.append((scaling[..., None] + col[:, None] - cost / problem.eps).topk(k, -1))
    values = torch.cat([part.values for part in found], 1)[0].exp()
    places = torch.cat([part.indices for part in found], 1)[0]
    starts = torch.arange(len(values) + 1) * k
    arrays = values.reshape(-1).cpu().numpy(), places.reshape(-1).cpu().numpy(), starts.numpy()
    sparse = import_module("scipy.sparse")  # here, for a light import of the library
    return sparse.csr_array(arrays, shape=(f.shape[1], g.shape[1]))


def picture(problem: Problem, f: Tensor, g: Tensor) -> str:
    """The plan, summed over 24 x 24 groups of points along the main axis, as an SVG."""
    x, y = (c.positions[0].detach().double() for c in (problem.source, problem.target))
    both = torch.cat((x, y))
    axis = torch.linalg.eigh(torch.cov(both.T).reshape(both.shape[1], -1)).eigenvectors[:, -1]
    groups = []
    for points in (x, y):
        places = (points @ axis).argsort().argsort() * CELLS // len(points)
        groups.append(torch.nn.functional.one_hot(places, CELLS).to(f))
    rows = PlanMatrix(problem, f, g, False, f.dtype).product(groups[1])
    sums = groups[0].T @ rows
    shades = (sums / sums.max()).sqrt().tolist()
    size = CELLS * PIXELS
    boxes = [
        f'<rect x="{j * PIXELS}" y="{i * PIXELS}" width="{PIXELS}" height="{PIXELS}" '
        f'fill-opacity="{shade:.2f}"/>'
        for i, row in enumerate(shades)
        for j, shade in enumerate(row)
        if shade > 0.02
    ]
    frame = f'<rect width="{size}" height="{size}" fill="none" stroke="#888"/>'
    return f'<svg width="{size}" height="{size}" fill="#3b7dd8">{frame}{"".join(boxes)}</svg>'
