"""The estimator obeys scikit-learn's rules and finds what its own estimator finds."""

import numpy as np
import pytest
from sklearn import manifold
from sklearn.datasets import make_blobs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sparseot.sklearn import SpectralEmbedding


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([SpectralEmbedding(n_components=1, sigma=3.0)])
def test_estimator_checks(estimator, check):
    check(estimator)


def test_clusters_are_told_apart_as_scikit_learn_does():
    x, labels = make_blobs(300, centers=[[0, 0], [4, 0], [0, 4]], random_state=0, cluster_std=0.7)
    mine = SpectralEmbedding(n_components=2, sigma=0.7).fit_transform(x)
    theirs = manifold.SpectralEmbedding(2, affinity="rbf", gamma=1 / (2 * 0.7**2)).fit_transform(x)
    for found in (mine, theirs):
        spread = max(np.ptp(found[labels == k], axis=0).max() for k in range(3))
        centres = np.array([np.median(found[labels == k], 0) for k in range(3)])
        gaps = np.linalg.norm(centres[:, None] - centres, axis=-1)[np.triu_indices(3, 1)]
        assert gaps.min() > 0.3 * spread


def test_it_stands_in_a_pipeline():
    x = np.random.default_rng(0).random((80, 3)).astype(np.float32)
    steps = make_pipeline(StandardScaler(), SpectralEmbedding(n_components=3, sigma=1.0))
    assert steps.fit_transform(x).shape == (80, 3)
    assert (steps[-1].eigenvalues_ > 0).all() and steps[-1].residuals_.max() < 1e-4
