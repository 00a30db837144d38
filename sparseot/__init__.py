"""Kernel matrices, neighbour graphs and transport plans between point clouds, never stored."""

from . import datasets, kernels
from .losses.hausdorff import hausdorff_divergence
from .losses.kernel_norms import kernel_norm
from .losses.samples import SamplesLoss
from .losses.sinkhorn import sinkhorn_divergence
from .operators.base import Diagonal
from .operators.eigen import EigenPairs, eigsh
from .operators.kernel_matrix import KernelMatrix
from .operators.laplacian import graph_laplacian
from .transport.result import Transport
from .transport.sinkhorn import Sinkhorn
from .transport.solve import solve_sample

__all__ = [
    "Diagonal",
    "EigenPairs",
    "KernelMatrix",
    "SamplesLoss",
    "Sinkhorn",
    "Transport",
    "datasets",
    "eigsh",
    "graph_laplacian",
    "hausdorff_divergence",
    "kernel_norm",
    "kernels",
    "sinkhorn_divergence",
    "solve_sample",
]
