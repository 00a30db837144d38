r"""Graph Laplacians of anything that multiplies, sums its rows and knows its diagonal."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engines.openmp import on_one_thread, own_settings
from ...engines.spectrum import is_gaussian
from ...errors import bad_input
from ...formulas import Radial
from ...held import Watch, held
from ..arrays import Array, as_tensor, floating, like
from ..base import Operator
from ..given import as_operator
from ..kernel_matrix import KernelMatrix
from .coarse import Coarse, coarsen

__all__ = ["Laplacian", "graph_laplacian"]

NOISE = 1e-4  # degrees below it are the error of an approximate engine, if one summed them


@own_settings
def graph_laplacian(K: Any, *, normed: bool = False, self_loops: bool = True) -> Laplacian:
    r"""The Laplacian of a symmetric matrix of weights, never stored.

    .. math:: L = D - K \quad\text{or, normed,}\quad L = I - D^{-1/2} K D^{-1/2}, \qquad D = K 1

    Args:
        K: a square kernel matrix, or any symmetric matrix with ``@``, ``.sum`` and ``.diagonal``,
            such as a SciPy sparse matrix.
        normed: normalise by the degrees, which puts the spectrum in [0, 2].
        self_loops: keep the diagonal of K in the degrees. L is the same without it, its normed
            form is not; SciPy's ``csgraph.laplacian`` and scikit-learn leave it out.

    Returns:
        An operator; ``.degrees`` are the row sums. A point without neighbours has a zero row. It keeps
        a copy of an array; after a change in place of a tensor or an operator it raises RuntimeError.

    Raises:
        ValueError: if K is not square, or if a degree is negative, NaN or infinite.

    References:
        von Luxburg, 2007, "A tutorial on spectral clustering", section 3.

    Example:
        >>> from sparseot import kernels
        >>> from sparseot.operators.kernel_matrix import KernelMatrix
        >>> x = torch.rand(50, 2)
        >>> L = graph_laplacian(KernelMatrix(kernels.Gaussian(0.1), x))
        >>> bool((L @ torch.ones(50)).abs().max() < 1e-5)
        True
    """
    from scipy.sparse import issparse  # here, for a light import of the library

    K = as_operator(K)
    if len(K.shape) < 2 or K.shape[-1] != K.shape[-2]:
        raise bad_input("K", f"shape {tuple(K.shape)}", "a square matrix")
    if isinstance(K, KernelMatrix) and K.y is not K.x:
        fix = "Leave y out: a graph joins the points of one cloud."
        raise bad_input("K", "a matrix between two clouds", "one of a cloud with itself", fix)
    if issparse(K) and abs(K - K.T).max() > 1e-6 * abs(K).max():
        fix = "Take (K + K.T) / 2."
        raise bad_input("K", "a matrix that is not symmetric", "a symmetric one", fix)
    return Laplacian(K, normed, self_loops)


class Laplacian(Operator):
    """What :func:`graph_laplacian` returns."""

    symmetric = True

    def __init__(self, K: Any, normed: bool, self_loops: bool) -> None:
        from scipy.sparse import issparse  # here, for a light import of the library

        if isinstance(K, np.ndarray) or issparse(K):
            K = held(K)
        known = K.live if isinstance(K, Operator) else [K] if isinstance(K, Tensor) else []
        self._watch = Watch(*known)  # degrees are summed once
        diagonal = floating(K.diagonal(), "K")
        self.reference = diagonal
        degrees = as_tensor(_row_sums(K), diagonal)
        loops = as_tensor(diagonal, diagonal)
        self._loops = torch.zeros_like(degrees) if self_loops else loops
        degrees = degrees - self._loops
        if isinstance(K, KernelMatrix) and any(part.engine.approximate for part in K.parts):
            degrees = degrees.where(degrees.abs() > NOISE, 0)
        if not bool(degrees.isfinite().all()):
            fix = "Look at the weights."
            raise bad_input("K", "NaN or infinite degrees", "finite numbers", fix)
        if bool((degrees < 0).any()):
            lowest = float(degrees.min())
            fix = "Laplacians are defined for non-negative weights."
            raise bad_input("K", f"a negative degree, {lowest:g}", "degrees >= 0", fix)
        self.degrees = like(degrees.clone(), diagonal)
        self._scale = torch.where(degrees > 0, degrees, 1).rsqrt() if normed else None
        self._matrix, self.shape, self._degree = K, tuple(K.shape), degrees
        self.spreads = getattr(K, "spreads", None)
        self._diagonal = loops
        self._kept_loops = loops - self._loops  # the part of the diagonal that stays

    @property
    def live(self) -> tuple[Tensor, ...]:
        """Those of the matrix."""
        return self._watch.tensors

    def product(self, v: Tensor) -> Tensor:
        """``L @ v``."""
        self._watch.check("L", "weights that were")
        if self._scale is None:
            return self._degree[..., None] * v - self._weights(v)
        scale = self._scale[..., None]
        kept = (self._degree > 0)[..., None] * v
        return kept - scale * self._weights(scale * v)

    def _weights(self, v: Tensor) -> Tensor:
        """The product with K, without its diagonal where there are no self-loops."""
        if isinstance(self._matrix, Operator):
            out = self._matrix.product(v)
        else:
            out = as_tensor(self._matrix @ like(v, self.reference), v)
        return out - self._loops[..., None] * v

    def coarse(self, pairs: int) -> Coarse | None:
        """Voxels, where this is the normed Laplacian of a Gaussian on many points."""
        K = self._matrix
        if self._scale is None or not isinstance(K, KernelMatrix) or K.batched or not K.symmetric:
            return None
        (part, *others) = K.parts
        if others or not is_gaussian(part.kernel) or bool((self._loops > 0).any()):
            return None
        assert isinstance(part.kernel, Radial)
        return coarsen(part.kernel, part.x[0], self._degree, pairs)

    @on_one_thread
    def isolated(self, threshold: float = 1e-3) -> Array:
        """Numbers of the points whose own weight is all of their degree, up to ``threshold``.

        Such points have no neighbours; each carries an eigenvector of the normed Laplacian of
        its own, with an eigenvalue below ``threshold``.
        """
        alone = self._degree - (self._diagonal - self._loops) <= threshold * self._degree
        return like(alone.nonzero()[:, -1], self.reference)

    def transpose(self) -> Operator:
        """A Laplacian is symmetric."""
        return self

    @on_one_thread
    def diagonal(self) -> Array:
        """Its diagonal."""
        if self._scale is None:
            return like(self._degree - self._kept_loops, self.reference)
        own = self._scale.square() * self._kept_loops
        return like((self._degree > 0).to(own) - own, self.reference)

    def __repr__(self) -> str:
        kind = "normed Laplacian" if self._scale is not None else "Laplacian"
        return f"{kind} of {self._matrix!r}"


def _row_sums(K: Any) -> Array:
    sums = K.sum(-1)
    return np.asarray(sums).ravel() if isinstance(sums, np.matrix) else sums
