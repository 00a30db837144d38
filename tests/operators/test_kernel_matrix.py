"""Kernel matrices: products in both worlds, entries, SciPy, and what is refused."""

import numpy as np
import pytest
import scipy.sparse.linalg as scipy_linalg
import torch
from scipy.sparse import diags_array, eye_array
from torch.autograd import gradcheck, gradgradcheck

from sparseot import Blocks, Diagonal, KernelMatrix, kernels
from tests.references.clouds import cloud, wide
from tests.references.dense import squared_distances

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


def test_block_pairs_are_the_matrix_of_what_is_kept():
    """The other entries count as zero, in products, sums, transposes and entries alike."""
    pairs = Blocks(0.3, 4)
    K = KernelMatrix(kernels.Gaussian(0.1), X, Y, pairs=pairs)
    kept = torch.from_numpy(K.pairs.mask(np.arange(30), np.arange(20)))
    dense = kept * kernels.Gaussian(0.1)(squared_distances(X[None], Y[None]))[0]
    assert 0.1 < kept.double().mean() < 0.9
    assert K.kept_fraction == pytest.approx(kept.double().mean().item())
    torch.testing.assert_close(K.to_dense(), dense)
    torch.testing.assert_close(K.sum(), dense.sum(1))
    torch.testing.assert_close(K.T.sum(), dense.sum(0))
    torch.testing.assert_close(K[3:9, [2, 5]], dense[3:9][:, [2, 5]])
    assert f"{100 * K.kept_fraction:.2g} % of the pairs" in repr(K)
    with pytest.raises(TypeError, match=r"pairs: got 0.3, wanted Blocks\(radius\)"):
        KernelMatrix(KERNEL, X, pairs=0.3)
    with pytest.raises(ValueError, match=r"pairs: got block pairs of \(30, 20\) points"):
        KernelMatrix(KERNEL, X, pairs=K.pairs)
    with pytest.raises(ValueError, match="pairs: got a batch of clouds"):
        KernelMatrix(KERNEL, cloud(4, 2, batch=(2,))[0], pairs=pairs)


def test_the_error_of_what_was_dropped_is_measured():
    """Three sigma lose e^-4.5 in an entry; the measured error says so, six sigma lose nothing."""
    x = cloud(2000, 2)[0]
    near, far = (KernelMatrix(kernels.Gaussian(0.02), x, pairs=Blocks(r, 16)) for r in (0.06, 0.16))
    assert 1e-6 < near.error() < np.exp(-4.5)
    assert far.error() < 1e-13


def test_a_real_scipy_operator_multiplies_blocks_as_blocks():
    K = KernelMatrix(KERNEL, X.float(), Y.float())
    operator = K.aslinearoperator()
    assert isinstance(operator, scipy_linalg.LinearOperator) and operator.dtype == np.float32
    calls, product = [], K.product
    K.product = lambda v: calls.append(v.shape) or product(v)
    v = np.random.default_rng(0).standard_normal((20, 5))
    assert (operator @ v).dtype == np.float32
    assert calls == [(20, 5)]
    np.testing.assert_allclose(operator @ v, DENSE.numpy() @ v, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(operator.T @ X.numpy(), DENSE.numpy().T @ X.numpy(), rtol=1e-4)
    np.testing.assert_allclose(operator.H @ X.numpy()[:, 0], DENSE.T @ X[:, 0], rtol=1e-4)
    singular = scipy_linalg.svds(operator, 3, v0=np.ones(20, np.float32))[1]
    np.testing.assert_allclose(np.sort(singular), np.linalg.svd(DENSE)[1][:3][::-1], rtol=1e-4)


@pytest.mark.parametrize("engine", ["tiles", "numba"])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("stretch", [1.0, 1000.0])
def test_exact_sums_are_exact_wherever_points_lie(engine, offset, stretch):
    """Single precision, far from the origin or with one long axis, in values and gradients."""
    x = wide(600, offset, stretch).requires_grad_()
    exact = x.detach().double().requires_grad_()
    v = torch.rand(600, 1, generator=torch.Generator().manual_seed(1))
    for points, how in ((x, engine), (exact, "numba")):
        (
            (KernelMatrix(kernels.Gaussian(0.5), points, engine=how) @ v.to(points)) ** 2
        ).sum().backward()
    found = KernelMatrix(kernels.Gaussian(0.5), x.detach(), engine=engine) @ v
    wanted = KernelMatrix(kernels.Gaussian(0.5), exact.detach(), engine="numba") @ v.double()
    bar = 2e-5 if stretch == 1 else 1e-4  # a coordinate near 1000 is itself known to 3e-5
    assert ((found - wanted) / wanted).abs().max() < bar
    assert (x.grad - exact.grad).norm() < 1e-4 * exact.grad.norm()


def test_arrays_of_all_kinds():
    """Reversed, read-only, of the other byte order; empty blocks; integer weights of diagonals."""
    K, v = KernelMatrix(KERNEL, X.numpy()), np.arange(30.0)
    frozen = v.copy()
    frozen.flags.writeable = False
    for same in (v[::-1][::-1], frozen, v.astype(">f8"), v.astype(np.int32)):
        np.testing.assert_allclose(K @ same, K @ v)
    np.testing.assert_allclose(KernelMatrix(KERNEL, X.numpy()[::-1]) @ v[::-1], (K @ v)[::-1])
    np.testing.assert_allclose(K @ (1j * v), 1j * (K @ v))
    for engine in ("tiles", "numba", "nufft"):
        for pairs in (None, Blocks(0.3, 4)):
            if not (engine == "nufft" and pairs):
                matrix = KernelMatrix(KERNEL, X, pairs=pairs, engine=engine)
                assert (matrix @ torch.zeros(30, 0)).shape == (30, 0)
    half = Diagonal(torch.arange(3)) @ torch.full((3,), 0.5)
    torch.testing.assert_close(half, torch.tensor([0.0, 0.5, 1.0]))
    np.testing.assert_allclose((K / 2) @ v, (K @ v) / 2)
    batch = KernelMatrix(KERNEL, cloud(6, 2, batch=(2,))[0], cloud(4, 2, batch=(2,))[0])
    torch.testing.assert_close(batch.sum(2), batch.to_dense().sum(2))
    torch.testing.assert_close(batch.sum(1), batch.to_dense().sum(1))
    with pytest.raises(ValueError, match="dim: got 0"):
        batch.sum(0)
    with pytest.raises(TypeError, match="operators of one dtype"):
        K + KernelMatrix(KERNEL, X.float())


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
    for points in (X, X.numpy()):
        with pytest.raises(TypeError, match=r"kernel: got \w+ of shape \(30, 2\), wanted such as"):
            KernelMatrix(points, KERNEL)
    with pytest.raises(ValueError, match="NaN"):
        KernelMatrix(KERNEL, X.numpy() * np.nan)
    with pytest.raises(TypeError, match="x: got list"):
        KernelMatrix(KERNEL, [[0.0, 1.0]])
    with pytest.raises(TypeError):
        K @ [1.0] * 20
    for tol in (-1, 1.0, "small", float("nan")):
        with pytest.raises(ValueError, match="tol: got"):
            KernelMatrix(KERNEL, X, tol=tol)
    with pytest.raises(ValueError, match="sigma: got a tensor of shape"):
        kernels.Gaussian(torch.ones(2))
    with pytest.raises(ValueError, match="length between"):
        kernels.Gaussian(1e-200)
    with pytest.raises(TypeError, match="size: got 16.5"):
        Blocks(0.1, size=16.5)
    with pytest.raises(
        ValueError, match="tol: got 0, wanted a positive number for the engine nufft"
    ):
        KernelMatrix(KERNEL, X, engine="nufft", tol=0)
    with pytest.raises(IndexError, match="one axis"):
        K[np.array([[0, 1], [2, 3]]), 0]
    with pytest.raises(ValueError, match="kernel with a length to differentiate"):
        kernels.Gaussian(torch.tensor(1.0, requires_grad=True)) * kernels.Energy()


@pytest.mark.parametrize("how", ["numba", "tiles", "nufft", "blocks", "function"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_products_with_what_is_no_number_are_none(how, bad):
    """Compiled loops assume finite numbers; the result must not look like one."""
    kernel = (lambda x, y: torch.cdist(x, y) + 1) if how == "function" else KERNEL
    options = {"pairs": Blocks(9.0, 8)} if how == "blocks" else {"engine": how}
    K = KernelMatrix(kernel, X, **({} if how == "function" else options))
    v = torch.ones(30, 3, dtype=torch.float64)
    v[4, 1] = bad
    found = K @ v
    assert not found[:, 1].isfinite().any()
    if how != "nufft":  # two columns ride in one transform
        assert found[:, [0, 2]].isfinite().all()
    clean = v.nan_to_num(1.0, 1.0)
    assert torch.isnan(torch.tensor(K.error(v))) and K.error(clean) < 1e-5
