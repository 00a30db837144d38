"""WHAT is summed: ground costs and kernels, each written once."""

from .base import Kernel, Mixture, Single
from .functions import Opaque, Pointwise, Symbolic, finite
from .given import as_cost, as_kernel, as_kernels, gibbs, ground_cost
from .radial import Energy, Gaussian, InverseMultiquadric, Laplacian, Radial, Term

__all__ = [
    "Energy",
    "Gaussian",
    "InverseMultiquadric",
    "Kernel",
    "Laplacian",
    "Mixture",
    "Opaque",
    "Pointwise",
    "Radial",
    "Single",
    "Symbolic",
    "Term",
    "as_cost",
    "as_kernel",
    "as_kernels",
    "finite",
    "gibbs",
    "ground_cost",
]
