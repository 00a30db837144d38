"""Kernels between points: ``kernels.Gaussian(sigma)`` and its like."""

from .formulas import Energy, Gaussian, InverseMultiquadric, Laplacian

__all__ = ["Energy", "Gaussian", "InverseMultiquadric", "Laplacian"]
