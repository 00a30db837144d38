"""Shapes, kinds and dtypes of LazyTensors, products with vectors, and what is refused."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, aslinearoperator, eigsh

import sparseot
from sparseot import Blocks, LazyTensor, Pm, Vi, Vj


def gaussian(x, y, axis=-1):
    return (-((LazyTensor(x[:, None, :]) - LazyTensor(y[None, :, :])) ** 2).sum(axis) / 2).exp()


def dense(x, y):
    return np.exp(-((x[:, None] - y[None]) ** 2).sum(-1) / 2)


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    return random.normal(size=(20, 3)), random.normal(size=(30, 3))


def test_shapes():
    x, y = torch.rand(2, 1, 5, 1, 3), torch.rand(4, 1, 7, 3)
    x_i, y_j = LazyTensor(x), LazyTensor(y)
    assert x_i.shape == (2, 1, 5, 1, 3) and y_j.shape == (4, 1, 7, 3)
    F = x_i - y_j
    assert F.shape == (2, 4, 5, 7, 3) and F.dim() == 5 and F.ndim == 3
    assert (F | F).shape == (2, 4, 5, 7) and F.T.shape == (2, 4, 7, 5, 3)
    assert F.sum(2).shape == (2, 4, 7, 3) and F.sum(dim=3).shape == (2, 4, 5, 3)
    assert (F | F).sum(3).shape == (2, 4, 5, 1) and (F | F).argKmin(2, dim=2).shape == (2, 4, 7, 2)
    assert F.sum(-2).shape == (2, 4, 5, 3) and F.sum(4).shape == (2, 4, 5, 7)
    assert F.min(2).shape == (2, 4, 7, 3) and F.Kmin(2, dim=2).shape == (2, 4, 7, 2, 3)
    wanted = (x - y).sum(3)
    torch.testing.assert_close(F.sum(3), wanted)


def test_ways_to_write_a_variable():
    x, y, s = torch.rand(5, 2), torch.rand(6, 2), torch.rand(2)
    forms = [
        LazyTensor(x[:, None]) * LazyTensor(s) - LazyTensor(y[None]),
        Vi(x) * Pm(s) - Vj(y),
        LazyTensor(x, axis=0) * s - LazyTensor(y, axis=1),
        LazyTensor(x, 0) * LazyTensor(s.view(1, 1, 2)) - y[None],
        Vi(x) * s.tolist() - Vj(y),
    ]
    for form in forms:
        torch.testing.assert_close(form.sum(1), (x[:, None] * s - y).sum(1))
    assert (LazyTensor(3) * Vi(x)).shape == (5, 1, 2) and Pm(2.5).shape == (1, 1)


def test_arrays_give_arrays_and_single_precision_stays(arrays):
    x, y = arrays
    K = gaussian(x.astype(np.float32), y.astype(np.float32))
    assert (
        K.dtype == "float32" and K.sum(1).dtype == np.float32 and isinstance(K.sum(1), np.ndarray)
    )
    assert K.argmin(1).dtype == np.int64
    np.testing.assert_allclose(K.sum(1)[:, 0], dense(x, y).sum(1), rtol=1e-5)
    half = torch.rand(4, 3, dtype=torch.float16)
    assert (Vi(half) - Vj(half)).sum(1).dtype == torch.float32


def test_products_have_the_kind_of_the_vector(arrays):
    x, y = arrays
    K, wanted = gaussian(x, y), dense(x, y)
    v = np.random.default_rng(1).normal(size=(30, 2))
    np.testing.assert_allclose(K @ v, wanted @ v)
    np.testing.assert_allclose(K @ v[:, 0], wanted @ v[:, 0])
    np.testing.assert_allclose(K.T @ wanted[:, :1], wanted.T @ wanted[:, :1])
    np.testing.assert_allclose(wanted[:, 0] @ K, wanted[:, 0] @ wanted)
    assert isinstance(wanted.T @ K, np.ndarray) and (wanted.T @ K).shape == (30, 30)
    of_tensors = torch.from_numpy(wanted.T) @ gaussian(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_allclose(of_tensors, wanted.T @ wanted)
    assert isinstance(K @ torch.from_numpy(v), torch.Tensor)
    of_torch = gaussian(torch.from_numpy(x), torch.from_numpy(y))
    assert isinstance(of_torch @ v, np.ndarray)
    np.testing.assert_allclose(of_torch @ v, wanted @ v)
    batch = gaussian(x, y) @ np.stack((v, 2 * v))
    np.testing.assert_allclose(batch, np.stack((wanted @ v, 2 * wanted @ v)))


def test_scipy_takes_them_as_they_are(arrays):
    x, _ = arrays
    K, wanted = gaussian(x, x), dense(x, x)
    for operator in (aslinearoperator(K), K.aslinearoperator(), K):
        found = eigsh(operator, k=3, v0=np.ones(20), return_eigenvectors=False)
        np.testing.assert_allclose(np.sort(found), np.linalg.eigvalsh(wanted)[-3:])
    assert isinstance(K.aslinearoperator(), LinearOperator)
    np.testing.assert_allclose(K.aslinearoperator().rmatmat(wanted), wanted.T @ wanted)


def test_changes_in_place_are_seen():
    """As k-means writes its centres: into the tensor that the formula was made of."""
    x, c = torch.rand(50, 2), torch.rand(4, 2)
    D = ((LazyTensor(x.view(50, 1, 2)) - LazyTensor(c.view(1, 4, 2))) ** 2).sum(-1)
    D.argmin(dim=1)
    c.copy_(torch.rand(4, 2))
    assert torch.equal(D.argmin(dim=1).view(-1), torch.cdist(x, c).argmin(1))


def test_formulas_that_do_not_depend_on_what_is_summed():
    x, y = torch.rand(5, 2), torch.rand(6, 2)
    F = Vi(x) - Vi(x) + 0 * Vj(y) + 2
    torch.testing.assert_close(F.sum(1), torch.full((5, 2), 12.0))
    torch.testing.assert_close((Vi(x) * (0 * Vj(y) + 1)).sum(1), 6 * x)
    torch.testing.assert_close((Vj(y) - 0 * Vi(x)).sum(1), y.sum(0).expand(5, 2))


def test_gradients_reach_points_in_half_precision_and_parameters():
    x = torch.rand(4, 3, dtype=torch.bfloat16, requires_grad=True)
    s = torch.tensor(2.0, requires_grad=True)
    (((Vi(x) - Vj(x)) ** 2).sum(-1) * s).sum(1).sum().backward()
    assert x.grad.dtype == torch.bfloat16 and s.grad.shape == ()


def six(starts_i, starts_j, keep):
    """KeOps's six arrays of blocks between starts, and a table of which meet."""
    halves = []
    for a, b, table in ((starts_i, starts_j, keep), (starts_j, starts_i, keep.T)):
        blocks, other = (np.stack((s[:-1], s[1:]), 1) for s in (a, b))
        halves += [blocks, np.cumsum(table.sum(1)), other[np.nonzero(table)[1]]]
    return tuple(array.astype(np.int32) for array in halves)


def test_ranges_of_keops(arrays):
    x, y = arrays
    keep = np.array([[True, False], [True, True]])
    ranges = six([0, 8, 20], [0, 10, 30], keep)
    mask = np.repeat(np.repeat(keep, [8, 12], 0), [10, 20], 1)
    K, wanted = gaussian(x, y), dense(x, y) * mask
    K.ranges = tuple(torch.from_numpy(r) for r in ranges)
    np.testing.assert_allclose(K.sum(1)[:, 0], wanted.sum(1))
    np.testing.assert_allclose(K.T @ np.ones(20), wanted.sum(0))
    np.testing.assert_allclose((2 * K + 0).sum(0)[:, 0], 2 * wanted.sum(0))
    np.testing.assert_allclose(K.sum(1, ranges=None)[:, 0], dense(x, y).sum(1))
    assert "360 pairs" not in repr(K) and f"{mask.sum()} pairs" in repr(K)
    plain = gaussian(x, y)
    np.testing.assert_allclose(plain.sum(1, ranges=ranges), K.sum(1))
    x_ = torch.from_numpy(x).requires_grad_()
    K = gaussian(x_, torch.from_numpy(y))
    K.ranges = ranges
    (slope,) = torch.autograd.grad(K.sum(1).sum(), x_)
    full = torch.exp(-(x_[:, None] - torch.from_numpy(y)).square().sum(-1) / 2) * torch.from_numpy(
        mask
    )
    torch.testing.assert_close(slope, torch.autograd.grad(full.sum(), x_)[0])


def test_blocks_of_points(arrays):
    """Rows and columns stand in the order of the blocks inside; results are in that of the caller."""
    x, y = arrays
    pairs = Blocks(0.7, size=4).between(x, y)
    mask = pairs.mask(np.arange(20), np.arange(30))
    assert 0 < mask.sum() < mask.size
    K = gaussian(x, y)
    K.ranges = pairs
    np.testing.assert_allclose(K.sum(1)[:, 0], (dense(x, y) * mask).sum(1))
    np.testing.assert_allclose(K.T @ np.ones(20), (dense(x, y) * mask).sum(0))
    far = (1 - K).argmin(1)[:, 0]
    best = np.where(mask, dense(x, y), -np.inf).argmax(1)
    assert np.array_equal(far, np.where(mask.any(1), best, -1))


A, B3 = torch.rand(5, 1, 3), torch.rand(1, 7, 3)
REFUSED = {
    "two axes": (lambda: LazyTensor(torch.rand(5, 3)), "Say which index counts points"),
    "no axis of one": (lambda: LazyTensor(torch.rand(5, 4, 3)), "entries of a matrix are not stored"),
    "integers": (lambda: LazyTensor(torch.ones(5, 1, 3).long()), "Convert with .float"),
    "complex": (lambda: LazyTensor(torch.ones(5, 1, 3) * 1j), r"Take .real and .imag"),
    "text": (lambda: LazyTensor("x"), "got str, wanted numbers"),
    "a placeholder": (lambda: Vi((0, 3, 0)), r"placeholders are Vi\(0, 3\)"),
    "axis": (lambda: LazyTensor(torch.rand(5, 3), axis=3), "0 for rows, 1 for columns"),
    "empty": (lambda: LazyTensor(torch.rand(4, 1, 0)), "at least one coordinate"),
    "i and j mixed up": (lambda: LazyTensor(A) - LazyTensor(torch.rand(7, 1, 3)), "were the two mixed up"),
    "coordinates": (lambda: LazyTensor(A) - LazyTensor(torch.rand(1, 7, 2)), "vectors of lengths 3 and 2"),
    "dtypes": (lambda: LazyTensor(A) - LazyTensor(B3.double()), "torch.float32 and torch.float64"),
    "kinds": (lambda: LazyTensor(A) - LazyTensor(B3.numpy()), "tensors and arrays"),
    "batches": (lambda: LazyTensor(A[None].expand(2, -1, -1, -1)) - LazyTensor(B3.expand(3, 1, 7, 3)), "axes that broadcast"),
    "missing axis": (lambda: LazyTensor(A).sum(1), "an axis that the formula has"),
    "batch axis": (lambda: (LazyTensor(A[None]) - LazyTensor(B3)).sum(0), "no batch axis"),
    "no such axis": (lambda: (LazyTensor(A) - LazyTensor(B3)).sum(5), "0 to reduce over i, 1 over j"),
    "logsumexp of vectors": (lambda: (LazyTensor(A) - LazyTensor(B3)).logsumexp(1), "3 coordinates"),
    "logsumexp of coordinates": (lambda: (LazyTensor(A) | LazyTensor(B3)).logsumexp(2), "over points"),
    "too many": (lambda: (LazyTensor(A) | LazyTensor(B3)).argKmin(8, dim=1), "at most 7"),
    "numbers alone": (lambda: Pm(2.0).sum(1), "a formula of numbers alone"),
    "a condition": (lambda: bool(LazyTensor(A) > 0), "Use ifelse"),
    "vector of a matrix of vectors": (lambda: (LazyTensor(A) - LazyTensor(B3)) @ torch.ones(7), "Sum over coordinates"),
    "length of a vector": (lambda: (LazyTensor(A) | LazyTensor(B3)) @ torch.ones(5), r"\(7,\) or"),
    "no vector": (lambda: (LazyTensor(A) | LazyTensor(B3)) @ 3, "Multiply by an array"),
    "step of a slice": (lambda: LazyTensor(A)[::2], "slice of step one"),
    "a row": (lambda: LazyTensor(A)[0:2, :, :], "coordinates only"),
    "coordinate": (lambda: LazyTensor(A)[3], "some of 0 to 3"),
    "view": (lambda: LazyTensor(A).view(3), "reshaped before they become LazyTensors"),
    "sigmoid": (lambda: LazyTensor(A).sigmoid(), r"1 / \(1 \+ \(-x"),
    "anything": (lambda: LazyTensor(A).fft(), "no attribute 'fft'"),
    "matrix": (lambda: LazyTensor(A).matvecmult(B3[..., :2]), "a multiple of 2"),
    "weights": (lambda: LazyTensor(A).weightedsqnorm(B3[..., :2]), "1, 3 or 9 numbers"),
    "one_hot": (lambda: LazyTensor(A).one_hot(3), "one number, and a positive integer"),
    "sparse": (lambda: LazyTensor(A.to_sparse()), r"torch.sparse_coo, wanted a dense tensor. x.to_dense\(\)"),
    "a masked array": (lambda: LazyTensor(np.ma.masked_array(A.numpy(), A.numpy() > 0.5)), "an array without a mask"),
    "least of none": (lambda: (LazyTensor(A) | LazyTensor(B3[:, :0])).argmin(1), "min_argmin: got no points to reduce over"),
    "a truth value": (lambda: LazyTensor(A) * True, "got True, wanted real numbers"),
    "an axis of two": (lambda: LazyTensor(A).sum((0, 1)), r"got \(0, 1\), wanted 0 to reduce"),
    "half of a coordinate": (lambda: LazyTensor(A)[1.0], "an integer, or a slice"),
    "hints": (lambda: (LazyTensor(A) | LazyTensor(B3)).sum(1, fast=True), "fast: reductions take axis"),
    "engine": (lambda: _with_engine("gpu").sum(1), 'one of "auto", "compiled", "tiles"'),
    "ranges": (lambda: _with_ranges((1, 2)), "KeOps's six arrays"),
    "ranges of others": (lambda: _with_ranges(six([0, 9], [0, 7], np.ones((1, 1), bool))), "slices of 5 points"),
    "blocks of others": (lambda: _with_ranges(Blocks(1.0).between(np.ones((2, 3)), np.ones((7, 3)))), r"block pairs of \(2, 7\)"),
}  # fmt: skip


def _with_engine(engine):
    F = LazyTensor(A) | LazyTensor(B3)
    F.engine = engine
    return F


def _with_ranges(ranges):
    F = LazyTensor(A) | LazyTensor(B3)
    F.ranges = ranges


def test_products_with_no_vector_at_all():
    """Block solvers ask for them when all that they had has converged."""
    x, y = (LazyTensor(np.ones((n, 3), "float32"), axis=k) for k, n in enumerate((5, 7)))
    found = (x | y) @ np.ones((7, 0), "float32")
    assert found.shape == (5, 0) and found.dtype == np.float32
    assert ((x | y).T @ torch.ones(5, 0)).shape == (7, 0)
    batches = LazyTensor(torch.ones(2, 5, 1, 3)) | LazyTensor(torch.ones(1, 7, 3))
    assert (batches @ torch.ones(7, 0)).shape == (2, 5, 0)
    v = torch.ones(3, 7, 0, requires_grad=True)
    product = (x | y) @ v
    assert product.shape == (3, 5, 0)
    (slope,) = torch.autograd.grad(product.sum(), v)
    assert slope.shape == v.shape
    with pytest.raises((TypeError, ValueError), match="real numbers"):
        (x | y) @ torch.ones(7, 0, dtype=torch.complex64)


def test_short_integers_do_not_overflow():
    x = LazyTensor(torch.rand(3, 1, 250))
    assert x[np.int8(-1)].shape == x[-1].shape
    with pytest.raises(IndexError, match="coordinates 200 to 300"):
        x.extract(np.uint8(200), np.uint8(100))


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_with_a_sentence(name):
    call, sentence = REFUSED[name]
    with pytest.raises((ValueError, TypeError, AttributeError, IndexError), match=sentence):
        call()


def test_hints_of_keops_change_nothing():
    F = LazyTensor(A) | LazyTensor(B3)
    torch.testing.assert_close(F.sum(1, backend="CPU", use_double_acc=True), F.sum(1))


def test_names_are_loaded_when_they_are_asked_for():
    assert {"LazyTensor", "Vi", "Vj", "Pm"} <= set(dir(sparseot))
    assert sparseot.LazyTensor is LazyTensor


def test_coordinates_are_iterated_and_joined():
    x_i = LazyTensor(A)
    parts = list(x_i)
    assert len(parts) == 3
    joined = LazyTensor.concatenate((parts[0], parts[1], x_i))
    torch.testing.assert_close(
        (joined + 0 * LazyTensor(B3)[0]).sum(1) / 7, torch.cat((A[:, 0, :2], A[:, 0]), -1)
    )
