"""The loops over kept pairs, compiled and in torch: the same numbers."""

import numpy as np
import pytest
import torch

from sparseot.transport.marginals import Balanced
from sparseot.transport.pruned.clouds import BlockCloud
from sparseot.transport.pruned.softmins import PrunedSoftmins


def weights(n, spread=1.0):
    w = (spread * torch.randn(n).double()).exp()
    return w / w.sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dim", [1, 3, 5])
def test_loops_without_a_compiler_give_the_same(dim, dtype):
    """The same tiles, bounds, sums, largest entries and products, to rounding."""
    eps, x, y = 0.1**2, torch.rand(300, dim).double().numpy(), torch.rand(200, dim).double().numpy()
    found = []
    for engine in ("numba", "tiles"):
        X, Y = (
            BlockCloud(x, weights(300).numpy() * 0 + 1 / 300),
            BlockCloud(y, np.full(200, 1 / 200)),
        )
        softmins = PrunedSoftmins(X, Y, Balanced(), eps, 1e-3, dtype, engine)
        f, g = (X.points**2).sum(1) / 3, (Y.points**2).sum(1) / 4
        softmins.build(f, g)
        v = np.sin(np.arange(400.0)).reshape(200, 2)
        sums = softmins._sums(1, g, f)
        found.append((*softmins.tiles.blocks, softmins.tiles.places, softmins.tiles.omitted, sums,
                      softmins.peaks[1], softmins.products(0, f, g, v)))  # fmt: skip
    for compiled, plain in zip(*found, strict=True):
        rtol = 2e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(compiled, plain, rtol=rtol, atol=rtol * np.abs(plain).max())
