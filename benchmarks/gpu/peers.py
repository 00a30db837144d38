"""Losses on a CUDA device, against GeomLoss online (KeOps) on the same card.

cd benchmarks && python -m gpu.peers
"""

from __future__ import annotations

import sys

import torch
from helpers.timing import header
from losses import clouds, race


def main() -> None:
    """10,000 and 50,000 points in low and high dimension, value and gradient."""
    if not torch.cuda.is_available():
        sys.exit("gpu.peers needs a CUDA device; torch.cuda.is_available() is False.")
    header("On a CUDA device", "GeomLoss online")
    for n in (10_000, 50_000):
        for dimension in (3, 64):
            x, y = (points.cuda() for points in clouds(n, dimension))
            race(f"Sinkhorn p=2 blur .05, n={n:,}, D={dimension}", x, y, "online", 5, blur=0.05)
        x, y = (points.cuda() for points in clouds(n, 3))
        for loss in ("gaussian", "energy"):
            race(f"{loss} blur .1, n={n:,}, D=3", x, y, "online", 5, loss=loss, blur=0.1)


if __name__ == "__main__":
    main()
