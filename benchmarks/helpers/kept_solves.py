"""A solve that is timed with its gradient, over kept pairs or all."""

from __future__ import annotations

import time

import torch

import sparseot as so
from sparseot import costs


def solved(
    x: torch.Tensor, y: torch.Tensor, cost: costs.Cost, p: int, blur: float, multilevel: bool | None
) -> tuple[float, torch.Tensor, so.Transport]:
    """The processor's time of a value and its gradient, and these; prints what was found."""
    began, solver = time.process_time(), so.Sinkhorn(tol=1e-3, multilevel=multilevel)
    found = so.solve_sample(x, y, blur=blur, p=p, cost=cost, solver=solver)
    (gradient,) = torch.autograd.grad(found.value, x)
    spent = time.process_time() - began
    pairs = found.solved[0].problem.pairs
    kept = 1.0 if pairs is None else pairs.checks[0].kept_fraction
    print(
        f"{cost} p {p} blur {blur:g} {'all' if pairs is None else 'kept'}: {spent:.2f} s, "
        f"kept {kept:.4f}, {found.n_iter} sweeps, residual {found.residual:.0e}, value {found.value.item():.6f}",
        flush=True,
    )
    return spent, gradient, found
