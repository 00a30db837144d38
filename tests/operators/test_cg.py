"""Conjugate gradients: against dense solves, with preconditioners, and what is reported."""

import numpy as np
import pytest
import torch

from sparseot import Diagonal, KernelMatrix, conjugate_gradient, kernels, nystrom
from tests.references.clouds import cloud

K = KernelMatrix(kernels.Gaussian(0.2), cloud(200, 2)[0])
NOISE = Diagonal(torch.full((200,), 0.1, dtype=torch.float64))
RIGHT = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double()


def dense(noise=0.1):
    return K.to_dense() + noise * torch.eye(200).double()


@pytest.mark.parametrize("preconditioned", [False, True])
def test_solutions_are_those_of_the_dense_system(preconditioned):
    """One column and several; from zero and from a given start."""
    M = nystrom(K, 0.1, 50) if preconditioned else None
    exact = torch.linalg.solve(dense(), RIGHT)
    for b, x in ((RIGHT, exact), (RIGHT[:, 0], exact[:, 0])):
        for start in (None, x + 0.01):
            found = conjugate_gradient(K + NOISE, b, preconditioner=M, x0=start, tol=1e-10)
            assert found.converged and found.x.shape == b.shape
            torch.testing.assert_close(found.x, x, rtol=1e-7, atol=1e-7)
            residual = (b - dense() @ found.x).norm(dim=0) / b.norm(dim=0)
            torch.testing.assert_close(found.residuals, residual.reshape(-1), rtol=0, atol=1e-13)


def test_a_preconditioner_saves_products():
    noise = Diagonal(torch.full((200,), 1e-4, dtype=torch.float64))
    plain = conjugate_gradient(K + noise, RIGHT, tol=1e-8)
    fast = conjugate_gradient(K + noise, RIGHT, tol=1e-8, preconditioner=nystrom(K, 1e-4, 120))
    assert fast.converged and plain.converged
    assert 3 * fast.products < plain.products


@pytest.mark.parametrize("noise", [1e-1, 1e-3])
def test_smooth_kernels_in_single_precision(noise):
    """Their small eigenvalues are below rounding: the preconditioner is made in double."""
    x = torch.rand(1500, 3, generator=torch.Generator().manual_seed(0))
    smooth = KernelMatrix(kernels.Gaussian(1.0), x)
    A = smooth + noise * Diagonal(torch.ones(1500))
    found = conjugate_gradient(A, x, preconditioner=nystrom(smooth, noise, 200), tol=1e-4)
    exact = torch.linalg.solve(
        KernelMatrix(kernels.Gaussian(1.0), x.double()).to_dense()
        + noise * torch.eye(1500).double(),
        x.double(),
    )
    assert found.converged and found.products < 60
    fit, best = smooth @ found.x, KernelMatrix(kernels.Gaussian(1.0), x.double()) @ exact
    assert (fit - best).norm() < 1e-2 * best.norm()


def test_nystrom_with_all_points_is_the_inverse():
    M = nystrom(K, 0.1, 200)
    torch.testing.assert_close(M @ (dense() @ RIGHT), RIGHT, rtol=1e-6, atol=1e-6)
    inverse = torch.linalg.inv(dense())
    torch.testing.assert_close(M.diagonal(), inverse.diagonal(), rtol=1e-6, atol=1e-6)


def test_arrays_come_back_as_arrays():
    array = KernelMatrix(kernels.Gaussian(0.2), cloud(50, 2)[0].float().numpy())
    found = conjugate_gradient(array + Diagonal(np.ones(50, np.float32)), np.ones(50))
    assert isinstance(found.x, np.ndarray) and found.x.dtype == np.float32
    zero = conjugate_gradient(array + Diagonal(np.ones(50, np.float32)), np.zeros(50))
    assert zero.converged and not zero.x.any()


def test_what_is_refused_and_what_is_reported(capsys):
    with pytest.warns(RuntimeWarning, match="stopped after .* products.*nystrom"):
        found = conjugate_gradient(K + NOISE, RIGHT, tol=1e-12, max_products=12)
    assert not found.converged and found.residuals.max() > 1e-12
    with pytest.raises(ValueError, match="not positive definite.*Add a positive diagonal"):
        conjugate_gradient(-K, RIGHT)
    with pytest.raises(ValueError, match=r"b: got shape \(3,\), wanted \(200,\) or \(200, R\)"):
        conjugate_gradient(K, torch.ones(3))
    with pytest.raises(ValueError, match="x0: got"):
        conjugate_gradient(K, RIGHT, x0=RIGHT[:, 0])
    with pytest.raises(ValueError, match="square"):
        conjugate_gradient(KernelMatrix(kernels.Gaussian(1.0), RIGHT, RIGHT[:9]), RIGHT)
    with pytest.raises(ValueError, match="one cloud with itself"):
        nystrom(KernelMatrix(kernels.Gaussian(1.0), RIGHT, RIGHT[:9]), 1.0)
    for wrong in (RIGHT * np.nan, RIGHT[:, :0]):
        with pytest.raises(ValueError, match="b: got"):
            conjugate_gradient(K, wrong)
    with pytest.raises(ValueError, match="tol: got -1"):
        conjugate_gradient(K, RIGHT, tol=-1.0)
    half = torch.cat((RIGHT[:, :1], 0 * RIGHT[:, :1]), 1)
    found = conjugate_gradient(K + NOISE, half, x0=RIGHT[:, :2])
    assert found.converged and found.products < 500 and not found.x[:, 1].any()
    conjugate_gradient(K + NOISE, RIGHT, progress=True)
    assert "residual" in capsys.readouterr().err


BAD = [np.nan, np.inf, -np.inf]


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_number_is_refused_or_has_not_converged(bad):
    """In the right-hand side, the start, the matrix, the preconditioner: never a solution."""
    b = torch.ones(200, dtype=torch.float64)
    spoilt = b.clone()
    spoilt[3] = bad
    for name, options in (("b", {}), ("x0", {"x0": spoilt})):
        right = spoilt if name == "b" else b
        for kind in (torch.Tensor.clone, torch.Tensor.numpy):
            with pytest.raises(ValueError, match=f"{name}: got .*NaN, infinity or nothing"):
                conjugate_gradient(
                    K + NOISE, kind(right), **{key: kind(value) for key, value in options.items()}
                )
    block = torch.stack((b, 2 * b), 1)
    for operator, options in (
        (K + Diagonal(spoilt), {}),
        (K + NOISE, {"preconditioner": Diagonal(spoilt)}),
        (K + NOISE, {"preconditioner": lambda r: bad * r}),
    ):
        for right in (b, block):
            if bad == -np.inf and not options:  # not positive definite
                with pytest.raises(ValueError, match="not positive definite"):
                    conjugate_gradient(operator, right)
                continue
            with pytest.warns(RuntimeWarning, match="relative residual of nan"):
                found = conjugate_gradient(operator, right, **options)
            assert not found.converged and not found.residuals.isfinite().all()


@pytest.mark.parametrize("size", [1e-30, 1e-25, 1e25, 1e30])
def test_right_hand_sides_of_any_size(size):
    """Squares of single precision end at 1e-45 and 3e38: columns are taken in a unit of their own."""
    b = torch.rand(9) + 0.5
    d = torch.linspace(1, 2, 9)
    right = torch.stack((size * b, b, 0 * b), 1)
    found = conjugate_gradient(Diagonal(d), right, x0=right)
    assert found.converged
    torch.testing.assert_close(
        found.x / torch.tensor([size, 1, 1]), right / torch.tensor([size, 1, 1]) / d[:, None]
    )


@pytest.mark.parametrize("kernel", [kernels.Energy(), 1e308 * kernels.Gaussian(0.3)], ids=repr)
def test_preconditioners_of_matrices_that_have_none(kernel):
    """Not positive definite; or sums that are infinite."""
    x = torch.rand(30, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="K: got a matrix that is not positive definite"):
        nystrom(KernelMatrix(kernel, x), 1.0, 20)
    with pytest.raises(ValueError, match="kernel: got a function that is nan between"):
        nystrom(KernelMatrix(lambda x, y: torch.cdist(x, y) * np.nan, x), 1.0, 20)
    for wrong in ({"noise": np.nan}, {"noise": np.inf}, {"noise": 1.0, "rank": 0}):
        with pytest.raises(ValueError, match="got"):
            nystrom(KernelMatrix(kernels.Gaussian(1.0), x), **wrong)
