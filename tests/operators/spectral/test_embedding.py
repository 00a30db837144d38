"""Spectral coordinates: against dense eigenvectors, circles, components, and scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.linalg import eigh

from sparseot import KernelMatrix, kernels, spectral_embedding
from tests.references.clouds import cloud


def test_coordinates_solve_the_generalised_problem():
    """(D - K) f = lambda D f, the constant one first, signs fixed by the largest entry."""
    x = cloud(300, 2)[0]
    K = KernelMatrix(kernels.Gaussian(0.1), x).to_dense().numpy()
    D = np.diag(K.sum(1))
    values, vectors = eigh(D - K, D)
    found = spectral_embedding(x, 3, 0.1, drop_first=False)
    np.testing.assert_allclose(found.values, values[:3], atol=1e-8)
    for mine, exact in zip(found.coordinates.T.numpy(), vectors.T[:3], strict=True):
        assert abs(mine @ D @ exact) == pytest.approx(1, abs=1e-6)
        assert mine[np.abs(mine).argmax()] > 0
    assert found.coordinates[:, 0].std() < 1e-7
    dropped = spectral_embedding(x, 2, 0.1)
    torch.testing.assert_close(dropped.coordinates, found.coordinates[:, 1:], atol=1e-6, rtol=0)
    assert found.converged and not len(found.isolated) and found.residuals.max() < 1e-8


def test_a_circle_stays_a_circle():
    t = np.sort(np.random.default_rng(0).random(500)) * 2 * np.pi
    x = np.stack((np.cos(t), np.sin(t), 0 * t), 1)
    found = spectral_embedding(x, 2, 0.2).coordinates
    radius = np.linalg.norm(found / found.std(0), axis=1)
    assert radius.std() < 0.2 * radius.mean()


def test_isolated_points_are_a_warning():
    x = torch.cat((cloud(100, 2)[0], torch.tensor([[9.0, 9.0]]).double()))
    with pytest.warns(RuntimeWarning, match="1 of 101 points have no neighbours"):
        assert spectral_embedding(x, 2, 0.2).isolated.tolist() == [100]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, 9])
def test_the_number_of_coordinates_is_checked(wrong):
    with pytest.raises((ValueError, TypeError), match="n_components: got"):
        spectral_embedding(torch.rand(10, 2), wrong)
    assert spectral_embedding(torch.rand(10, 2), np.int64(2)).coordinates.shape == (10, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_has_no_coordinates(bad):
    x = cloud(100, 2)[0]
    for sigma in (bad, -1.0):
        with pytest.raises(ValueError, match="sigma: got"):
            spectral_embedding(x, 2, sigma)
    x[7, 1] = bad
    for points in (x, x.numpy(), x.float()):
        with pytest.raises(ValueError, match="x: got 1 NaN or infinite coordinates"):
            spectral_embedding(points, 2, 0.3)
