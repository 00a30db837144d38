"""SparseDistance's README runs, and its weights are those of its formula at the true neighbours."""

import numpy as np
import torch

from sparseot.nn import (
    KNNGraph,
    SparseHashedNNDistance,
    pairwise_dist,
    sparse_dense_matmult_batch,
)


def test_the_example_of_its_readme():
    X = np.random.default_rng(0).standard_normal((10, 1000, 32)).astype(np.float32)
    dense_transform = torch.nn.Linear(32, 128)
    dm_layer = SparseHashedNNDistance(max_num_bins=200, bin_size=500, num_neighbors=5)

    X_transformed = dense_transform(torch.from_numpy(X))
    dm = dm_layer(X_transformed)
    ret = sparse_dense_matmult_batch(dm, X)
    ret = ret.sum()
    grad = torch.autograd.grad(ret, list(dense_transform.parameters()))

    assert dm.shape == (10, 1000, 1000) and dm.exact
    assert all(g.isfinite().all() for g in grad)
    assert grad[0].abs().sum() > 0
    # the gradient in the bias is zero but for rounding: distances do not see a shift
    assert grad[1].abs().max() < 1e-3 * grad[0].abs().max()


def test_weights_are_its_formula_with_the_point_itself_counted():
    x = torch.randn(2, 60, 8)
    A = SparseHashedNNDistance(num_neighbors=4, dist_mult=0.3)(x)
    nearest = pairwise_dist(x, x).sort(dim=-1)
    torch.testing.assert_close(A.weights, torch.exp(-0.3 * nearest.values[..., :4]))
    assert torch.equal(A.indices[..., 0], torch.arange(60).expand(2, 60))
    cosine = SparseHashedNNDistance(num_neighbors=4, cosine_dist=True)(x)
    torch.testing.assert_close(cosine.weights[..., 0], torch.ones(2, 60))


def test_any_number_of_points_far_apart_and_padded():
    """What it cannot do: sizes beside multiples of the bin, distances of 1000, padding."""
    x = torch.randn(1, 777, 4) * 1e3
    mask = torch.arange(777) < 700
    A = SparseHashedNNDistance(num_neighbors=3)(x, mask=mask[None])
    expected = KNNGraph(3, loop=True)(x[0, :700])
    assert torch.equal(A.indices[0, :700], expected.indices)
    assert pairwise_dist(x, x)[0].diagonal().abs().max() == 0


def test_arrays_of_every_byte_order():
    x, h = torch.randn(2, 30, 4), np.random.default_rng(0).standard_normal((2, 30, 3))
    A, frozen = SparseHashedNNDistance(num_neighbors=3)(x), h.copy()
    frozen.flags.writeable = False
    exact = A @ torch.from_numpy(h)
    for given in (frozen, h.astype(">f8"), h.tolist(), torch.from_numpy(h)):
        torch.testing.assert_close(sparse_dense_matmult_batch(A, given), exact)
