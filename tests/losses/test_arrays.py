"""NumPy in, NumPy out: losses of arrays are those of tensors, and lists are arrays."""

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot import kernels

RNG = np.random.default_rng(0)
X, Y = RNG.random((12, 2)), RNG.random((9, 2)) + 0.3
A, B = np.full(12, 1 / 12), np.full(9, 1 / 9)
GAUSSIAN = kernels.Gaussian(0.3)
LOSSES = {
    **{kind: so.SamplesLoss(kind, blur=0.2)
       for kind in ("sinkhorn", "hausdorff", "gaussian", "laplacian", "energy")},
    "tol": so.SamplesLoss("sinkhorn", blur=0.2, tol=1e-6),
    "multiscale": so.SamplesLoss("sinkhorn", blur=0.2, backend="multiscale"),
    "sinkhorn_divergence": lambda a, x, b, y, **k: so.sinkhorn_divergence(x, y, a, b, blur=0.2, **k),
    "hausdorff_divergence": lambda a, x, b, y, **k: so.hausdorff_divergence(x, y, a, b, **k),
    "kernel_norm": lambda a, x, b, y, **k: so.kernel_norm(x, y, a, b, kernel=GAUSSIAN, **k),
    "a cost of tensors": lambda a, x, b, y: so.sinkhorn_divergence(
        x, y, a, b, debias=False, blur=0.2, cost=lambda x, y: torch.cdist(x, y)
    ),
}  # fmt: skip
FUNCTIONS = ("sinkhorn_divergence", "hausdorff_divergence", "kernel_norm")


def _tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("name", LOSSES)
def test_one_number_is_pythons(name, dtype):
    a, b = np.full(12, 1 / 16), np.repeat((1 / 16, 1 / 8), (6, 3))  # equal in half precision, too
    arrays = [array.astype(dtype) for array in (a, X, b, Y)]
    found = LOSSES[name](*arrays)
    assert type(found) is float and found == LOSSES[name](*_tensors(*arrays)).item()


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_is_an_array(name):
    arrays = [np.stack((array, array[::-1])) for array in (A, X, B, Y)]
    found, exact = LOSSES[name](*arrays), LOSSES[name](*_tensors(*arrays))
    assert isinstance(found, np.ndarray) and found.dtype == np.float64
    np.testing.assert_array_equal(found, exact.numpy())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_potentials_are_arrays_of_the_dtype_of_the_points(name):
    for dtype in (np.float32, np.float64):
        arrays = [array.astype(dtype) for array in (A, X, B, Y)]
        found = LOSSES[name](*arrays, potentials=True)
        exact = LOSSES[name](*_tensors(*arrays), potentials=True)
        assert type(found) is tuple
        for ours, theirs in zip(found, exact, strict=True):
            assert ours.dtype == dtype
            np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("name", LOSSES)
def test_lists_are_arrays(name):
    loss, lists = LOSSES[name], [array.tolist() for array in (A, X, B, Y)]
    assert loss(*lists) == loss(A, X, B, Y)
    assert loss(A, X, B, lists[3]) == loss(A, X, B, Y)
    single = [array.astype(np.float32) for array in (A, X, B, Y)]
    assert loss(*lists[:1], *single[1:]) == loss(*single)  # a list has no dtype of its own
    assert loss(None, X, None, Y) == pytest.approx(loss(A, X, B, Y))


def test_integers_in_lists_are_numbers():
    assert so.kernel_norm([[0, 0]], [[3, 4]], kernel=kernels.Energy()) == 5.0
    assert so.kernel_norm(((0, 0),), [np.array([3.0, 4.0])], kernel=kernels.Energy()) == 5.0


def test_lists_beside_arrays_have_a_floating_dtype():
    """Never that of integers; single precision beside half."""
    with pytest.raises(TypeError, match="y: got dtype torch.int64"):
        so.solve_sample([[0.5], [0.25]], np.array([[2], [3]]), blur=0.5)
    half, points = Y.astype(np.float16), X.tolist()
    single = X.astype(np.float32)
    exact = so.kernel_norm(single, half, kernel=GAUSSIAN)
    assert so.kernel_norm(points, half, kernel=GAUSSIAN) == exact
    potentials = so.kernel_norm(points, half, None, B, kernel=GAUSSIAN, potentials=True)
    assert potentials[0].dtype == np.float64  # of the weights


def test_arrays_of_any_memory():
    """Read-only, with negative steps, and of the other byte order."""
    exact = so.kernel_norm(X, Y, kernel=GAUSSIAN)
    readonly = Y.copy()
    readonly.flags.writeable = False
    assert so.kernel_norm(X[::-1][::-1], readonly, kernel=GAUSSIAN) == exact
    assert so.kernel_norm(X.astype(">f8"), Y, kernel=GAUSSIAN) == exact


MIXED = {
    "array and tensor": (X, torch.from_numpy(Y), None, None,
                         "y: got a torch tensor, wanted an array, as x is. torch.as_tensor"),
    "tensor and array": (torch.from_numpy(X), Y, None, None,
                         "y: got an array, wanted a torch tensor, as x is. .*np.asarray"),
    "weights": (X, Y, torch.from_numpy(A), B, "a: got a torch tensor, wanted an array, as x is"),
    "a list beside tensors": (*_tensors(X, Y), None, [0.1] * 9,
                              "b: got list, wanted a torch tensor, as x is"),
    "integers": (X.astype(int), Y, None, None,
                 r"x: got dtype torch.int64, wanted float32 or float64.*\.astype\(float\)"),
    "two dtypes": (X, Y.astype(np.float32), None, None, "y: got dtype torch.float32, wanted"),
    "complex": (X + 1j, Y, None, None, "x: got dtype torch.complex128, wanted float32"),
    "words": (X, [["a", "b"]], None, None, "y: got a list that is no array, wanted numbers"),
    "rows of unequal length": ([[1.0, 2.0], [1.0]], Y, None, None, "x: got a list that is no array"),
    "tensors in a list": (list(torch.from_numpy(X)), Y, None, None, r"x: .*torch\.stack"),
    "objects": (X.astype(object), Y, None, None, "x: got dtype object, wanted numbers"),
    "a mask": (X, np.ma.masked_less(Y, 0.5), None, None,
               r"y: got a masked array, wanted an array without a mask.*\.filled"),
    "masks in a list": (X, list(np.ma.masked_less(Y, 0.5)), None, None, "y: got a list that is no array"),
    "nothing known": ("x", "y", None, None, "x: got str, wanted a tensor or an array"),
}  # fmt: skip


@pytest.mark.parametrize("case", MIXED)
@pytest.mark.parametrize("name", [*FUNCTIONS, "sinkhorn", "gaussian"])
def test_what_is_refused(name, case):
    x, y, a, b, message = MIXED[case]
    with pytest.raises(TypeError, match=message):
        LOSSES[name](a, x, b, y)
    with pytest.raises(TypeError, match=message):
        so.solve_sample(x, y, a, b, blur=0.2)
