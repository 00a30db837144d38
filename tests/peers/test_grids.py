"""Images: POT's convolutional barycenters, and GeomLoss's divergence of images."""

import numpy as np
import pytest
import torch

import sparseot as so
from tests.transport.grids.images import gaussian


@pytest.mark.parametrize("debias", [True, False])
def test_averages_are_those_of_pot(debias):
    """POT places pixels between 0 and 1, ends included, and its kernel is exp(-|x - y|^2 / reg)."""
    ot = pytest.importorskip("ot")
    n, blur = 24, 0.08
    means, widths = ((7, 7), (12, 9), (9, 14)), ((2.0, 2.0), (2.0, 3.0), (3.0, 2.0))
    images = torch.stack(
        [gaussian((n, n), (1.0, 1.0), *pair) for pair in zip(means, widths, strict=True)]
    ).numpy()
    w = np.array([0.5, 0.3, 0.2])
    name = f"convolutional_barycenter2d{'_debiased' if debias else ''}"
    theirs = getattr(ot.bregman, name)(
        images, 2 * blur**2, weights=w, stopThr=1e-7, numItermax=500, warn=False
    )
    how = {"blur": blur, "spacing": 1 / (n - 1), "debias": debias}
    ours = so.grid_barycenter(images, w, **how, tol=1e-3 if debias else 1e-7)
    assert abs(ours.image - theirs).sum() < (1e-2 if debias else 1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("needs_compiler")
def test_divergences_are_those_of_geomloss():
    """It takes a schedule, no tolerance: a fine one comes near."""
    pytest.importorskip("pykeops")
    images = pytest.importorskip("geomloss._legacy.sinkhorn_images")
    n, blur = 32, 1 / 32  # its larger ones fail
    a, b = (
        gaussian((n, n), (1 / n, 1 / n), m, (0.06, 0.09)).float() for m in ((0.4, 0.4), (0.6, 0.5))
    )
    theirs = images.sinkhorn_divergence(a[None, None], b[None, None], blur=blur, scaling=0.95)
    ours = so.solve_grid(a, b, spacing=1 / n, blur=blur, debias=True, tol=1e-6).value
    torch.testing.assert_close(ours, theirs[0], rtol=1e-3, atol=0)
