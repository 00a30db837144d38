"""Neighbours by every exact method, against sorted distances; adjacencies against dense ones."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sparseot as so

from .draws import clouds, seeds


@pytest.mark.parametrize("method", ["brute", "tiles", "kdtree"])
@given(clouds(60), clouds(60), st.integers(1, 8))
def test_neighbours_are_the_nearest(method, one, other, k):
    """Ties in any order: the distances are those of a sorted row, and each index has its distance."""
    (x, _), (y, _) = one, other
    dim = min(x.shape[1], y.shape[1])
    x, y, k = x[:, :dim], y[:, :dim], min(k, len(y))
    found = so.knn(x, y, k=k, method=method)
    apart = (x[:, None] - y).square().sum(-1)
    wanted = apart.sort(1).values[:, :k].sqrt()
    np.testing.assert_allclose(found.distances, wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        apart.gather(1, found.indices).sqrt(), wanted, rtol=1e-12, atol=1e-12
    )
    assert all(len(set(row)) == k for row in found.indices.tolist())


@pytest.mark.parametrize("method", ["cells", "tiles"])
@given(clouds(60), clouds(60), st.floats(0, 1))
def test_radius_finds_all_within_it(method, one, other, share):
    """But for pairs at the distance itself, which rounding decides."""
    (x, _), (y, _) = one, other
    dim = min(x.shape[1], y.shape[1])
    x, y = x[:, :dim], y[:, :dim]
    apart = (x[:, None] - y).square().sum(-1).sqrt()
    r = share * float(apart.max())
    found = so.radius(x, y, r, method=method)
    near = torch.zeros_like(apart, dtype=torch.bool)
    near[found.rows, found.indices] = True
    assert near[apart < r * (1 - 1e-12)].all() and not near[apart > r * (1 + 1e-12)].any()
    assert near.sum() == len(found.indices)


@given(clouds(40), st.integers(1, 5), seeds)
def test_adjacencies_multiply_as_their_dense_matrix(one, k, seed):
    x, _ = one
    k = min(k, len(x))
    A = so.nn.KNNGraph(k, loop=True)(x.float())
    h = torch.randn(len(x), 4, generator=torch.Generator().manual_seed(seed))
    dense = A.to_dense()
    torch.testing.assert_close(A @ h, dense @ h, rtol=1e-5, atol=1e-6)
    assert ((dense != 0).sum(1) <= k).all()
