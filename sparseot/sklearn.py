"""Estimators for scikit-learn's pipelines; needs the extra ``sparseot[sklearn]``."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import validate_data

from .operators.spectral.embedding import spectral_embedding

__all__ = ["SpectralEmbedding"]


class SpectralEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Spectral coordinates on a Gaussian graph that is never stored.

    Like ``sklearn.manifold.SpectralEmbedding(affinity="rbf", gamma=1 / (2 sigma^2))``, whose
    matrix is stored: here a million points in three dimensions fit on a laptop.

    Args:
        n_components: how many coordinates.
        sigma: width of the Gaussian, in the units of the points.
        tol: residuals to reach; None means 1e-5 in single precision, 1e-9 in double.
        engine: how the kernel matrix is summed.

    Attributes:
        embedding_: ``(N, n_components)`` coordinates of the points of ``fit``.
        eigenvalues_: ``(n_components,)`` of the normed Laplacian.
        residuals_: ``(n_components,)`` how far an eigenvalue may lie.

    Example:
        >>> x = np.random.default_rng(0).random((100, 3))
        >>> SpectralEmbedding(n_components=2, sigma=0.2).fit_transform(x).shape
        (100, 2)
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        sigma: float = 1.0,
        tol: float | None = None,
        engine: str = "auto",
    ) -> None:
        self.n_components = n_components
        self.sigma = sigma
        self.tol = tol
        self.engine = engine

    def fit(self, X: Any, y: Any = None) -> SpectralEmbedding:
        """Computes the coordinates of the points ``(N, D)``."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray[Any, Any]:
        """The coordinates of the points ``(N, D)``, ``(N, n_components)``."""
        X = validate_data(self, X, dtype=(np.float64, np.float32), ensure_min_samples=3)
        found = spectral_embedding(
            X, self.n_components, self.sigma, tol=self.tol, engine=self.engine
        )
        self._n_features_out = self.n_components
        self.embedding_ = found.coordinates
        self.eigenvalues_, self.residuals_ = found.values, found.residuals
        return self.embedding_
