"""Angles on the sphere over kept pairs, beside the cosine, and beside all pairs.

cd benchmarks && PYTHONPATH=. python transport/sphere.py [N] [p,p,...] [blur,blur,...] [all]

Value and gradient of entropic transport between N directions in space and N others of which more are on one side, single
precision, tol 1e-3; blurs are in radians. A first solve, which compiles, is not counted. ``all`` solves over all pairs too, and
compares both. Times are those of the processor: other programs do not count.
"""

from __future__ import annotations

import sys

import torch
from helpers.kept_solves import solved
from helpers.timing import machine

from sparseot import costs


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
