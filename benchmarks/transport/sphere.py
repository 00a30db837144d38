"""Angles on the sphere over kept pairs, beside the cosine, and beside all pairs.

cd benchmarks && PYTHONPATH=. python transport/sphere.py [N] [p,p,...] [blur,blur,...] [all]

Value and gradient of entropic transport between N directions in space and N others of which more are on one side, single
precision, tol 1e-3; blurs are in radians. A first solve, which compiles, is not counted. ``all`` solves over all pairs too, and
compares both. Times are those of the processor: other programs do not count.
"""

from __future__ import annotations

import sys
import time

import torch
from helpers.timing import machine

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


def main(n: str = "10000", ps: str = "1,2", blurs: str = "0.05,0.02", every: str = "") -> None:
    """Prints times and ratios."""
    print(machine(), f"N = {n}")
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(int(n), 3, generator=random) for _ in range(2))
    x, y = x.requires_grad_(), y + torch.tensor([0.5, 0, 0])
    few, arcs, cosine = x[:1500].detach().requires_grad_(), costs.Geodesic(), costs.Cosine()
    for p in map(int, ps.split(",")):
        for cost in (arcs, cosine):
            solved(few, y[:1500], cost, p, 0.1, True)
        solved(few, y[:1500], arcs, p, 0.1, False)
    for p in map(int, ps.split(",")):
        for blur in map(float, blurs.split(",")):
            spent, gradient, _ = solved(x, y, arcs, p, blur, None)
            if p == 2:
                print(f"  {spent / solved(x, y, cosine, p, blur, None)[0]:.1f} times the cosine")
            if every:
                all_pairs, exact, _ = solved(x, y, arcs, p, blur, False)
                gap = float((gradient - exact).norm() / exact.norm())
                print(
                    f"  all pairs take {all_pairs / spent:.1f} times as long; gradients differ by {gap:.1e}"
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
