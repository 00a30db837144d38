"""Images: POT's convolutional barycenters, and GeomLoss's divergence of images."""

import numpy as np
import pytest
import torch

import sparseot as so
from tests.transport.grids.images import gaussian, noise


@pytest.mark.parametrize("debias", [True, False])
def test_averages_are_those_of_pot(debias):
    """POT places pixels between 0 and 1, ends included, and its kernel is exp(-|x - y|^2 / reg)."""
    ot = pytest.importorskip("ot")
    n, blur = 32, 0.08
    images = torch.stack([noise(n, n, seed=s) for s in range(3)])
    w = np.array([0.5, 0.3, 0.2])
    name = f"convolutional_barycenter2d{'_debiased' if debias else ''}"
    theirs = getattr(ot.bregman, name)(
        images.numpy(), 2 * blur**2, weights=w, method="sinkhorn_log", stopThr=1e-9, warn=False
    )
    ours = so.grid_barycenter(
        images.numpy(), w, blur=blur, spacing=1 / (n - 1), debias=debias, tol=1e-8
    )
    assert abs(ours.image - theirs).sum() < 1e-5


@pytest.mark.slow
@pytest.mark.usefixtures("needs_compiler")
def test_divergences_are_those_of_geomloss():
    """It takes a schedule, no tolerance: a fine one comes near."""
    pytest.importorskip("pykeops")
    images = pytest.importorskip("geomloss._legacy.sinkhorn_images")
    n, blur = 32, 0.1
    a, b = (
        gaussian((n, n), (1 / n, 1 / n), m, (0.06, 0.09)).float() for m in ((0.4, 0.4), (0.6, 0.5))
    )
    theirs = images.sinkhorn_divergence(a[None, None], b[None, None], blur=blur, scaling=0.95)
    ours = so.solve_grid(a, b, spacing=1 / n, blur=blur, debias=True, tol=1e-6).value
    torch.testing.assert_close(ours, theirs[0], rtol=1e-3, atol=0)
