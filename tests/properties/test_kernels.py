"""Products of kernel matrices on every engine, against the dense matrix."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sparseot as so

from .draws import clouds, lengths, seeds

KERNELS = {
    "Gaussian": so.kernels.Gaussian,
    "Laplacian": so.kernels.Laplacian,
    "InverseMultiquadric": so.kernels.InverseMultiquadric,
    "Energy": lambda length: so.kernels.Energy(),
}


def matrices(engine, name, length, one, other):
    (x, _), (y, _) = one, other
    dim = min(x.shape[1], y.shape[1])
    x, y, kernel = x[:, :dim], y[:, :dim], KERNELS[name](length)
    return so.KernelMatrix(kernel, x, y, engine=engine), kernel.matrix(x[None], y[None])[0]


@pytest.mark.parametrize("engine", ["numba", "tiles"])
@given(st.sampled_from(list(KERNELS)), lengths, clouds(40), clouds(40), seeds)
def test_products_transposes_and_sums(engine, name, length, one, other, seed):
    K, dense = matrices(engine, name, length, one, other)
    v, w = (
        torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)).double()
        for n in dense.T.shape
    )
    close = {"rtol": 1e-10, "atol": 1e-11}
    torch.testing.assert_close(K @ v, dense @ v, **close)
    torch.testing.assert_close(K.T @ w, dense.T @ w, **close)
    torch.testing.assert_close(v.T @ K.T, v.T @ dense.T, **close)
    torch.testing.assert_close(K.sum(), dense.sum(1), **close)
    torch.testing.assert_close(
        K @ (2 * v[:, 0] - v[:, 1]), 2 * (K @ v[:, 0]) - K @ v[:, 1], **close
    )
    torch.testing.assert_close(K.to_dense(), dense, **close)
    both = K @ torch.complex(v[:, 0], v[:, 1])
    torch.testing.assert_close(both, torch.complex(dense @ v[:, 0], dense @ v[:, 1]), **close)


@given(st.sampled_from(["Gaussian", "Laplacian"]), lengths, clouds(40))
def test_kernel_matrices_are_positive(name, length, one):
    """A kernel norm is a norm: at least zero, and zero for equal measures."""
    x, a = one
    other = torch.roll(a, 1)
    kernel = KERNELS[name](length)
    assert so.kernel_norm(x, x, a, other, kernel=kernel) >= -1e-12
    assert abs(so.kernel_norm(x, x, a, a, kernel=kernel)) <= 1e-12
