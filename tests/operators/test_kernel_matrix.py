"""Kernel matrices: products in both worlds, entries, SciPy, and what is refused."""

import numpy as np
import pytest
import scipy.sparse.linalg as scipy_linalg
import torch
from scipy.sparse import diags_array, eye_array
from torch.autograd import gradcheck, gradgradcheck

from sparseot import Diagonal, KernelMatrix, kernels

from ..clouds import cloud
from ..dense import squared_distances

KERNEL = kernels.Gaussian(0.3)
X, Y = cloud(30, 2)[0], cloud(20, 2, shift=0.3)[0]
DENSE = KERNEL(squared_distances(X[None], Y[None]))[0]


@pytest.mark.parametrize("kind", ["torch", "numpy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_are_of_the_kind_of_the_vector(kind, dtype):
    """Vectors, blocks and transposes; the dtype is the points' own."""
    x, y = (t.to(getattr(torch, dtype)) for t in (X, Y))
    K = (
        KernelMatrix(KERNEL, x, y)
        if kind == "torch"
        else KernelMatrix(KERNEL, x.numpy(), y.numpy())
    )
    assert K.shape == (30, 20) and K.dtype == np.dtype(dtype)
    for v in (torch.randn(20), torch.randn(20, 3)):
        exact = DENSE @ v.double()
        found, array = K @ v, K @ v.numpy()
        assert isinstance(found, torch.Tensor) and isinstance(array, np.ndarray)
        assert str(found.dtype) == f"torch.{dtype}" and array.dtype == dtype
        torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(array, found.numpy())
    u = torch.randn(30).double()
    torch.testing.assert_close((K.T @ u).double(), DENSE.T @ u, rtol=1e-5, atol=1e-6)
    assert type(K.sum()) is type(K.diagonal()) is (torch.Tensor if kind == "torch" else np.ndarray)


def test_entries_sums_and_the_whole_matrix():
    K = KernelMatrix(KERNEL, X, Y)
    torch.testing.assert_close(K.to_dense(), DENSE)
    torch.testing.assert_close(K.sum(), DENSE.sum(1))
    torch.testing.assert_close(K.sum(-2), DENSE.sum(0))
    torch.testing.assert_close(K.diagonal(), DENSE.diagonal())
    torch.testing.assert_close(K[3, 4], DENSE[3, 4])
    torch.testing.assert_close(K[2:5, [0, 7]], DENSE[2:5][:, [0, 7]])
    torch.testing.assert_close(K[-1, :], DENSE[-1])
    torch.testing.assert_close(K[np.int64(3), 4], DENSE[3, 4])
    torch.testing.assert_close(K[[1, 2], ::-1], DENSE[[1, 2]].flip(1))
    with pytest.raises(IndexError):
        K[30, 0]


def test_batches_and_functions():
    x, y = cloud(7, 2, batch=(3,))[0], cloud(5, 2, batch=(3,))[0]
    dense = KERNEL(squared_distances(x, y))
    v = torch.randn(3, 5).double()
    for kernel in (KERNEL, lambda x, y: KERNEL(squared_distances(x, y))):
        K = KernelMatrix(kernel, x, y)
        torch.testing.assert_close(K @ v, (dense @ v[..., None])[..., 0])
        torch.testing.assert_close(K.diagonal(), dense.diagonal(dim1=1, dim2=2))
        torch.testing.assert_close(K.to_dense(), dense)


def test_algebra():
    """Sums, multiples and products of operators are operators."""
    K, d = KernelMatrix(KERNEL, X), torch.rand(30).double()
    dense, D = K.to_dense(), Diagonal(d)
    for operator, exact in (
        (D @ K @ D, d[:, None] * dense * d),
        (2.5 * K + D, 2.5 * dense + d.diag()),
        (D - K, d.diag() - dense),
        (-K, -dense),
        (np.float32(2) * K, 2 * dense),
        ((D @ K).T, dense * d),
    ):
        torch.testing.assert_close(operator.to_dense(), exact)
        torch.testing.assert_close(operator.diagonal(), exact.diagonal())


def test_derivatives_of_both_orders():
    x, y = cloud(4, 2, grad=True)[0], cloud(3, 2, grad=True, shift=0.4)[0]
    v = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)

    def product(x, y, v):
        return KernelMatrix(KERNEL, x, y) @ v

    assert gradcheck(product, (x, y, v)) and gradgradcheck(product, (x, y, v))


@pytest.mark.parametrize(
    "points", [X.numpy(), X, X.float().numpy(), X.float()], ids=lambda x: str(x.dtype)
)
def test_scipy_takes_it_as_it_is(points):
    """The lines of KeOps's tutorial, on tensors and arrays of both dtypes."""
    K = KernelMatrix(KERNEL, points)
    dense = np.asarray(K.to_dense(), dtype=float)
    exact = np.linalg.eigvalsh(dense)
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    start = np.ones(30, K.dtype)
    np.testing.assert_allclose(scipy_linalg.eigsh(K, k=5, v0=start)[0], exact[-5:], **tolerance)
    operator = scipy_linalg.aslinearoperator(K)
    degrees = operator @ np.ones(30, dtype=K.dtype)
    L = scipy_linalg.aslinearoperator(diags_array(degrees)) - operator
    np.testing.assert_allclose(L @ np.ones(30, dtype=K.dtype), 0, atol=1e-5)
    scale = scipy_linalg.aslinearoperator(diags_array(degrees**-0.5))
    normed = scipy_linalg.aslinearoperator(eye_array(30)) - scale @ operator @ scale
    np.testing.assert_allclose(normed @ degrees**0.5, 0, atol=1e-5)
    ridge = K + Diagonal(points[:, 0] * 0 + 0.1)
    solution, info = scipy_linalg.cg(ridge, start, rtol=1e-6)
    assert info == 0
    np.testing.assert_allclose(dense @ solution + 0.1 * solution, start, rtol=1e-4, atol=1e-4)


def test_repr_says_what_and_why():
    text = repr(KernelMatrix(KERNEL, X, Y))
    assert text == (
        "KernelMatrix(Gaussian(sigma=0.3), 30 x 20, float64, engine numba: dimension 2 on a CPU)"
    )
    assert "engine tiles: as asked" in repr(KernelMatrix(KERNEL, X, engine="tiles"))


def test_bad_input():
    K = KernelMatrix(KERNEL, X, Y)
    with pytest.raises(ValueError, match=r"v: got shape \(30,\), wanted \(20\) or \(20, R\)"):
        K @ torch.zeros(30)
    with pytest.raises(ValueError, match=r"to_dense\(\): got .*GiB, wanted a small matrix"):
        KernelMatrix(KERNEL, torch.rand(200_000, 2)).to_dense()
    with pytest.raises(TypeError, match="kernel: got 'gaussian'"):
        KernelMatrix("gaussian", X)
    with pytest.raises(ValueError, match="NaN"):
        KernelMatrix(KERNEL, X.numpy() * np.nan)
    with pytest.raises(TypeError, match="x: got list"):
        KernelMatrix(KERNEL, [[0.0, 1.0]])
    with pytest.raises(TypeError):
        K @ [1.0] * 20
