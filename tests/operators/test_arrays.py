"""Vectors of all kinds, from both sides: complex, read-only, of the other byte order, tensors or arrays."""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse.linalg as scipy_linalg
import torch
from scipy.sparse import csr_array
from torch.autograd import gradcheck

import sparseot as so
from sparseot import Diagonal, KernelMatrix, kernels
from sparseot.nn import KNNGraph
from sparseot.operators.arrays import tensor_of
from tests.references.clouds import cloud

KERNEL = kernels.Gaussian(0.3)
X, Y = cloud(12, 2)[0], cloud(9, 2, shift=0.3)[0]
K = KernelMatrix(KERNEL, X)
SOLVED = so.solve_sample(X, Y, blur=0.3)
OPERATORS = {
    "kernel matrix": K,
    "kernel matrix of two clouds": KernelMatrix(KERNEL, X, Y),
    "of a function": KernelMatrix(lambda x, y: 1 + x @ y.mT, X, Y),
    "batch": KernelMatrix(KERNEL, cloud(5, 2, batch=(3,))[0], cloud(4, 2, batch=(3,))[0]),
    "diagonal": Diagonal(X[:, 0]),
    "algebra": (2 * K + Diagonal(X[:, 0])) @ K,
    "Laplacian": so.graph_laplacian(K),
    "normed Laplacian": so.graph_laplacian(K, normed=True),
    "Laplacian of a sparse matrix": so.graph_laplacian(csr_array(K.to_dense().numpy())),
    "Nyström": so.nystrom(K, 0.1, 5),
    "plan": SOLVED.plan_operator,
    "Hessian": so.hessian(SOLVED, "a"),
    "unrolled Hessian": so.hessian(SOLVED, "a", method="unrolled", n_iter=4),
    "neighbours": KNNGraph(3, bandwidth=0.5)(X),
    "neighbours of a batch": KNNGraph(2, bandwidth=0.5)(cloud(5, 2, batch=(3,))[0]),
    "edges": KNNGraph(3, bandwidth=0.5, symmetrize="union")(X).T,
}


def _dense(operator):
    """All columns of the operator, real."""
    return torch.stack(
        [torch.as_tensor(operator @ e) for e in torch.eye(operator.shape[-1]).double()], -1
    ) if len(operator.shape) == 2 else operator.to_dense()  # fmt: skip


def _vectors(shape, dtype=torch.float64):
    """A vector and a block for each item."""
    *batch, rows = shape
    return torch.randn(*batch, rows, dtype=dtype), torch.randn(*batch, rows, 3, dtype=dtype)


@pytest.mark.parametrize("name", OPERATORS)
def test_tensors_on_another_device_are_refused(name):
    """As by torch: nothing is moved in silence."""
    operator = OPERATORS[name]
    for v in _vectors((*operator.shape[:-2], operator.shape[-1])):
        for there in (v.to("meta"), torch.complex(v, v).to("meta")):
            with pytest.raises(ValueError, match=r"v: got device meta, wanted cpu.*\.to\(\.\.\.\)"):
                operator @ there


@pytest.mark.parametrize("name, run", {
    "v": lambda v: (so.Vi(X) - so.Vj(Y)).square().sum(-1) @ v[: len(Y)],
    "b": lambda b: so.conjugate_gradient(K, b),
    "v ": lambda v: SOLVED.hvp(v, wrt="a"),
    "points": lambda points: SOLVED.map(points[:, None] + X.to("meta")),
    "+": lambda entries: K + Diagonal(entries),
    "@": lambda entries: K @ Diagonal(entries),
    "values": lambda v: so.solve_grid(X[:, 0], X[:, 0], blur=1.0).map(v),
    "support_weights": lambda w: so.barycenter([X, Y], blur=0.3, support=X, support_weights=w),
}.items())  # fmt: skip
def test_so_they_are_elsewhere(name, run):
    with pytest.raises(
        ValueError,
        match=f"{re.escape(name.strip())}: got device meta, wanted cpu, as what it meets",
    ):
        run(torch.ones(12, dtype=torch.float64, device="meta"))


@pytest.mark.parametrize("name", OPERATORS)
def test_complex_vectors_keep_both_parts(name):
    """A real matrix multiplies the real and the imaginary part, in torch and in NumPy."""
    operator = OPERATORS[name]
    dense = _dense(operator).to(torch.complex128)
    for v in _vectors((*operator.shape[:-2], operator.shape[-1]), torch.complex128):
        exact = (dense @ v[..., None])[..., 0] if v.dim() < dense.dim() else dense @ v
        found, array = operator @ v, operator @ v.numpy()
        assert found.dtype == torch.complex128 and array.dtype == np.complex128
        torch.testing.assert_close(found, exact)
        np.testing.assert_array_equal(array, found.numpy())
        torch.testing.assert_close(operator @ v.conj(), exact.conj())  # marked, not computed


@pytest.mark.parametrize("name", OPERATORS)
def test_products_from_the_left(name):
    """``v @ K`` is ``K.T @ v``, of vectors and rows of vectors, real and complex, in both worlds."""
    operator = OPERATORS[name]
    dense = _dense(operator)
    shape = (*operator.shape[:-2], operator.shape[-2])
    for dtype in (torch.float64, torch.complex128):
        v, block = _vectors(shape, dtype)
        same = dense.to(dtype)
        torch.testing.assert_close(v @ operator, (v[..., None, :] @ same)[..., 0, :])
        torch.testing.assert_close(block.mT @ operator, block.mT @ same)
        np.testing.assert_allclose(v.numpy() @ operator, (v @ operator).numpy())
        np.testing.assert_allclose(block.mT.numpy() @ operator, (block.mT @ operator).numpy())
        torch.testing.assert_close(operator.rmatvec(v), v @ operator)
        assert isinstance(operator.rmatvec(v.numpy()), np.ndarray)
    with pytest.raises(ValueError, match="v: got shape"):
        torch.zeros(shape[-1] + 1) @ operator
    with pytest.raises(TypeError):
        [1.0] * shape[-1] @ operator


def test_adjacencies_are_multiplied_by_torchs_own_function_too():
    A, v = OPERATORS["neighbours"], torch.randn(12, dtype=torch.float64)
    torch.testing.assert_close(torch.matmul(v, A), v @ A.to_dense())
    torch.testing.assert_close(torch.matmul(A, v), A.to_dense() @ v)


def test_complex_products_have_gradients():
    x = X[:4].clone().requires_grad_()
    v = torch.randn(4, 2, dtype=torch.complex128, requires_grad=True)
    assert gradcheck(lambda x, v: KernelMatrix(KERNEL, x) @ v, (x, v))
    assert gradcheck(lambda x, v: v.mT @ KNNGraph(2, bandwidth=0.5)(x), (x, v))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_complex_vectors_in_lower_precision(dtype):
    """The parts have the dtype of the matrix; of half precision there are no complex numbers."""
    A = KNNGraph(3, bandwidth=0.5)(X.to(dtype))
    v = torch.randn(12, dtype=torch.complex64)
    found = A @ v
    assert found.dtype == torch.complex64
    torch.testing.assert_close(found.real, (A @ v.real).float())
    torch.testing.assert_close(found.imag, (A @ v.imag).float())


def test_scipy_multiplies_complex_vectors():
    v = np.random.default_rng(0).standard_normal((12, 2)) @ np.array([[1, 2], [1j, -3j]])
    dense = K.to_dense().numpy()
    for operator in (K.aslinearoperator(), scipy_linalg.aslinearoperator(K)):
        np.testing.assert_allclose(operator @ v, dense @ v)
        np.testing.assert_allclose(operator @ v[:, 0], dense @ v[:, 0])
        np.testing.assert_allclose(operator.H @ v, dense.T @ v)
    np.testing.assert_allclose(K.aslinearoperator() @ np.arange(12), dense @ np.arange(12))


def test_complex_numbers_are_refused_where_real_ones_are_wanted():
    """Never an imaginary part that is lost in silence."""
    z, points = X[:, 0] + 1j, X + 1j * X
    doors = {
        "b": [lambda kind: so.conjugate_gradient(K + Diagonal(X[:, 0]), kind(z))],
        "x0": [lambda kind: so.conjugate_gradient(K, X[:, 0], x0=kind(z))],
        "entries": [lambda kind: Diagonal(kind(z))],
        "v": [lambda kind: K.error(kind(z))],
        "x": [
            lambda kind: KernelMatrix(KERNEL, kind(points)),
            lambda kind: so.knn(kind(points), k=2),
            lambda kind: so.radius(kind(points), None, 0.3),
            lambda kind: so.spectral_embedding(kind(points), 2, 0.3),
        ],
        "K": [lambda kind: so.graph_laplacian(kind(torch.complex(K.to_dense(), K.to_dense())))],
    }
    for name, calls in doors.items():
        for door in calls:
            for kind in (torch.Tensor.clone, torch.Tensor.numpy):
                with pytest.raises(TypeError, match=rf"{name}: got dtype (torch\.)?complex128"):
                    door(kind)
    for door in (lambda: SOLVED.hvp(points), lambda: SOLVED.map(points)):
        with pytest.raises(TypeError, match=r"got dtype torch\.complex128"):
            door()
    with pytest.raises(TypeError, match="complex128, wanted real numbers"):
        so.graph_laplacian(csr_array(1j * K.to_dense().numpy()))


def _frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


STRANGE = {
    "read-only": _frozen,
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "reversed": lambda array: array[::-1].copy()[::-1],
    "columns first": np.asfortranarray,
    "both": lambda array: _frozen(array.astype(array.dtype.newbyteorder(">"))),
}
POINTS, ROW = cloud(80, 2)[0].numpy(), np.linspace(0.1, 1.0, 80)
ARRAY_DOORS = {
    "KernelMatrix": lambda x, v: KernelMatrix(KERNEL, x) @ v,
    "two clouds": lambda x, v: KernelMatrix(KERNEL, POINTS, x) @ v,
    "left": lambda x, v: v @ KernelMatrix(KERNEL, x),
    "complex": lambda x, v: KernelMatrix(KERNEL, x) @ (v + 1j),
    "sum": lambda x, v: KernelMatrix(KERNEL, x).sum(),
    "to_dense": lambda x, v: KernelMatrix(KERNEL, x).T.to_dense(),
    "error": lambda x, v: np.array(KernelMatrix(KERNEL, x).error(v)),
    "blocks": lambda x, v: KernelMatrix(KERNEL, x, pairs=so.Blocks(0.3, 8)) @ v,
    "algebra": lambda x, v: (KernelMatrix(KERNEL, x) + 2 * Diagonal(v)) @ v,
    "graph_laplacian": lambda x, v: so.graph_laplacian(KernelMatrix(KERNEL, x), normed=True) @ v,
    "a dense matrix": lambda x, v: so.graph_laplacian(v[:, None] * v) @ v,
    "conjugate_gradient": lambda x, v: (
        so.conjugate_gradient(KernelMatrix(KERNEL, x) + Diagonal(v), v, x0=v, tol=1e-9).x
    ),
    "nystrom": lambda x, v: so.nystrom(KernelMatrix(KERNEL, x), 0.1, 9) @ v,
    "eigsh": lambda x, v: so.eigsh(KernelMatrix(KERNEL, x), 3).values,
    "spectral_embedding": lambda x, v: abs(so.spectral_embedding(x, 2, 0.3).coordinates),
    "knn": lambda x, v: so.knn(x, k=3).distances,
    "knn of two": lambda x, v: so.knn(POINTS, x, k=3).distances,
    "radius": lambda x, v: so.radius(x, None, 0.3).distances,
    "radius of two": lambda x, v: so.radius(POINTS, x, 0.3).distances,
    "recall": lambda x, v: np.array(so.knn_recall(x, so.knn(x, k=3).indices)),
    "aslinearoperator": lambda x, v: KernelMatrix(KERNEL, x).aslinearoperator() @ v,
    "scipy": lambda x, v: scipy_linalg.aslinearoperator(KernelMatrix(KERNEL, x)) @ v,
    "Hessian": lambda x, v: so.hessian(SOLVED) @ v[:24],
}


@pytest.mark.parametrize("door", ARRAY_DOORS)
@pytest.mark.parametrize("kind", STRANGE)
def test_arrays_of_all_orders(kind, door):
    """The same numbers, without a warning, in the byte order of this machine."""
    strange = STRANGE[kind]
    found = ARRAY_DOORS[door](strange(POINTS), strange(ROW))
    assert found.dtype.isnative
    np.testing.assert_allclose(found, ARRAY_DOORS[door](POINTS, ROW), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", STRANGE)
def test_indices_and_estimators_take_them_too(kind):
    learn = pytest.importorskip("sparseot.sklearn")
    strange = STRANGE[kind]
    indices = strange(so.knn(POINTS, k=3).indices)
    assert so.knn_recall(POINTS, indices) == so.knn_recall(POINTS, indices.tolist()) == 1.0
    found, same = (
        learn.SpectralEmbedding(2, sigma=0.3).fit_transform(x) for x in (strange(POINTS), POINTS)
    )
    np.testing.assert_allclose(abs(found), abs(same), rtol=1e-6, atol=1e-8)


def test_what_is_no_array_of_numbers_is_named():
    with pytest.raises(TypeError, match=r"x: got dtype torch.int64.*Call \.float\(\)"):
        so.knn(np.arange(6).reshape(3, 2), k=1)
    with pytest.raises(TypeError, match="x: got dtype object, wanted numbers"):
        so.knn(np.array([[1.0, 2.0]], object), k=1)
    with pytest.raises(TypeError, match="v: got dtype object"):
        K @ np.array([None] * 12)
    with pytest.raises(TypeError, match="v: got dtype float128|v: got dtype longdouble"):
        K @ np.ones(12, np.longdouble)
    with pytest.raises(TypeError, match="entries: got list, wanted a tensor or a NumPy array"):
        Diagonal([1.0, 2.0])
    with pytest.raises(TypeError, match="b: got list"):
        so.conjugate_gradient(K, [1.0] * 12)


def test_no_memory_is_shared_with_what_cannot_be_written():
    frozen = _frozen(ROW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        t = tensor_of(frozen)
    t += 1
    np.testing.assert_array_equal(frozen, ROW)
