"""WHAT is summed: ground costs and kernels, each written once."""

from .base import Kernel, Mixture, Single
from .functions import EVEN, Opaque, Pointwise, Symbolic, even, finite
from .given import (
    Moved,
    as_cost,
    as_kernel,
    as_kernels,
    ground_cost,
    is_object,
    posed,
    solved_cost,
    with_a_place,
)
from .ground import GroundCost
from .radial import Energy, Gaussian, InverseMultiquadric, Laplacian, Radial, Term

__all__ = [
    "EVEN",
    "Energy",
    "Gaussian",
    "GroundCost",
    "InverseMultiquadric",
    "Kernel",
    "Laplacian",
    "Mixture",
    "Moved",
    "Opaque",
    "Pointwise",
    "Radial",
    "Single",
    "Symbolic",
    "Term",
    "as_cost",
    "as_kernel",
    "as_kernels",
    "even",
    "finite",
    "ground_cost",
    "is_object",
    "posed",
    "solved_cost",
    "with_a_place",
]
