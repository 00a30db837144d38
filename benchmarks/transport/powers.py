"""Powers of the distance between its first and its square over kept pairs, beside half of its square, and beside all pairs.

cd benchmarks && PYTHONPATH=. python transport/powers.py [N] [D] [q,q,...] [blur,blur,...] [all]

Value and gradient of entropic transport between N points of a unit cube and N others of a smaller one within, single precision,
tol 1e-3. A first solve, which compiles, is not counted. ``all`` solves the powers over all pairs too. Times are those of
the processor: other programs do not count.
"""

from __future__ import annotations

import sys

import torch
from helpers.kept_solves import solved
from helpers.timing import machine

from sparseot import costs


def spent(
    x: torch.Tensor, y: torch.Tensor, q: float, blur: float, multilevel: bool | None
) -> float:
    """The processor's time of a value and its gradient."""
    return solved(x, y, costs.Power(q), 2, blur, multilevel)[0]


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
        spent(few, y[:1500], q, 0.1, True)
    for blur in map(float, blurs.split(",")):
        square = spent(x, y, 2.0, blur, None)
        for q in map(float, qs.split(",")):
            time = spent(x, y, q, blur, None)
            print(f"  {time / square:.1f} times as long as half of the square")
            if every:
                print(f"  all pairs take {spent(x, y, q, blur, False) / time:.1f} times as long")


if __name__ == "__main__":
    main(*sys.argv[1:])
