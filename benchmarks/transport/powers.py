"""Powers of the distance between its first and its square over kept pairs, beside half of its square, and beside all pairs.

cd benchmarks && PYTHONPATH=. python transport/powers.py [N] [D] [q,q,...] [blur,blur,...] [all]

Value and gradient of entropic transport between N points of a unit cube and N others of a smaller one within, single precision,
tol 1e-3. A first solve, which compiles, is not counted. ``all`` solves the powers over all pairs too. Times are those of
the processor: other programs do not count.
"""

from __future__ import annotations

import sys
import time

import torch
from helpers.timing import machine

import sparseot as so
from sparseot import costs


def solved(
    x: torch.Tensor, y: torch.Tensor, q: float, blur: float, multilevel: bool | None
) -> float:
    """The processor's time of a value and its gradient; prints what was found."""
    began, solver = time.process_time(), so.Sinkhorn(tol=1e-3, multilevel=multilevel)
    found = so.solve_sample(x, y, blur=blur, cost=costs.Power(q), solver=solver)
    torch.autograd.grad(found.value, x)
    spent = time.process_time() - began
    pairs = found.solved[0].problem.pairs
    kept = 1.0 if pairs is None else pairs.checks[0].kept_fraction
    print(
        f"q {q:g} blur {blur:g} {'all' if multilevel is False else 'kept'}: {spent:.2f} s, "
        f"kept {kept:.3f}, {found.n_iter} sweeps, residual {found.residual:.0e}",
        flush=True,
    )
    return spent


def main(
    n: str = "10000", dim: str = "2", qs: str = "1.5", blurs: str = "0.05,0.01", every: str = ""
) -> None:
    """Prints times and ratios."""
    print(machine(), f"N = {n}, D = {dim}")
    random = torch.Generator().manual_seed(0)
    x, y = (torch.rand(int(n), int(dim), generator=random) for _ in range(2))
    x, y = x.requires_grad_(), 0.8 * y + 0.1
    few = x[:1500].detach().requires_grad_()
    for q in map(float, ["2", *qs.split(",")]):
        solved(few, y[:1500], q, 0.1, True)
    for blur in map(float, blurs.split(",")):
        square = solved(x, y, 2.0, blur, None)
        for q in map(float, qs.split(",")):
            spent = solved(x, y, q, blur, None)
            print(f"  {spent / square:.1f} times as long as half of the square")
            if every:
                print(f"  all pairs take {solved(x, y, q, blur, False) / spent:.1f} times as long")


if __name__ == "__main__":
    main(*sys.argv[1:])
