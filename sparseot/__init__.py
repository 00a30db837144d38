"""Kernel matrices, neighbour graphs and transport plans between point clouds, never stored."""

from . import datasets, kernels
from .losses.hausdorff import hausdorff_divergence
from .losses.kernel_norms import kernel_norm
from .losses.samples import SamplesLoss
from .losses.sinkhorn import sinkhorn_divergence

__all__ = [
    "SamplesLoss",
    "datasets",
    "hausdorff_divergence",
    "kernel_norm",
    "kernels",
    "sinkhorn_divergence",
]
