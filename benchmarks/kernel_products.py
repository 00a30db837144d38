"""Gaussian products, KernelMatrix against KeOps on a CPU: 10,000 points, float32.

python benchmarks/kernel_products.py
"""

from __future__ import annotations

import torch
from helpers.timing import compare, header
from pykeops.torch import LazyTensor

from sparseot import KernelMatrix, kernels

N = 10_000


def keops_product(x: torch.Tensor, sigma: float, v: torch.Tensor) -> torch.Tensor:
    """The same product, as KeOps's tutorials write it."""
    squares = ((LazyTensor(x[:, None]) - LazyTensor(x[None])) ** 2).sum(-1)
    return (-squares / (2 * sigma**2)).exp() @ v


def main() -> None:
    """One row a dimension and number of right-hand sides; results are compared."""
    header(f"Gaussian products with {N:,} points", "KeOps")
    generator = torch.Generator().manual_seed(0)
    for dimension in (3, 64):
        x = torch.rand(N, dimension, generator=generator)
        sigma = 0.2 * dimension**0.5
        K = KernelMatrix(kernels.Gaussian(sigma), x)
        for columns in (1, 8):
            v = torch.rand(N, columns, generator=generator)
            label = f"D={dimension}, {columns} right-hand side{'s' if columns > 1 else ''}"
            ours, theirs = compare(
                label, lambda K=K, v=v: K @ v, lambda x=x, s=sigma, v=v: keops_product(x, s, v), 5
            )
            assert (ours - theirs).norm() < 1e-5 * theirs.norm(), label


if __name__ == "__main__":
    main()
