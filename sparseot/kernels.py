"""Kernels between points: ``kernels.Gaussian(sigma)`` and its like; they add and multiply."""

from .formulas import Energy, Gaussian, InverseMultiquadric, Laplacian, Pointwise

__all__ = ["Energy", "Gaussian", "InverseMultiquadric", "Laplacian", "Pointwise"]
