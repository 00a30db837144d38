"""Kernel matrices of sums, products and functions, of kernels whose length is learnt, and of KeOps."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sparseot import Blocks, KernelMatrix, kernels
from sparseot.formulas import Mixture, Opaque, Radial
from sparseot.operators.autograd import opaque_sums
from tests.references.clouds import cloud
from tests.references.dense import squared_distances

KERNEL = kernels.Gaussian(0.3)
X, Y = cloud(30, 2)[0], cloud(20, 2, shift=0.3)[0]


def test_sums_products_and_multiples_of_kernels():
    """Sums keep their parts; products are radial where their form allows it."""
    s = squared_distances(X[None], Y[None])[0]
    gaussian, laplacian, energy = kernels.Gaussian(0.3), kernels.Laplacian(0.5), kernels.Energy()
    multiquadric = kernels.InverseMultiquadric(0.2)
    for kernel, kind, exact in (
        (gaussian + laplacian, Mixture, gaussian(s) + laplacian(s)),
        (2.5 * gaussian, Radial, 2.5 * gaussian(s)),
        (gaussian * gaussian, Radial, gaussian(s) ** 2),
        (gaussian * energy, Radial, gaussian(s) * energy(s)),
        (gaussian * multiquadric, Radial, gaussian(s) * multiquadric(s)),
        (multiquadric * gaussian, Radial, gaussian(s) * multiquadric(s)),
        (laplacian * gaussian, Opaque, gaussian(s) * laplacian(s)),
        (
            3 * (gaussian + energy) * laplacian,
            Mixture,
            3 * (gaussian(s) + energy(s)) * laplacian(s),
        ),
    ):
        assert isinstance(kernel, kind)
        K, v = KernelMatrix(kernel, X, Y), torch.randn(20, 2).double()
        torch.testing.assert_close(K @ v, exact @ v)
        torch.testing.assert_close(K.to_dense(), exact)
        torch.testing.assert_close(K.T @ X[:, 0], exact.T @ X[:, 0])


@pytest.mark.parametrize("name", ["Gaussian", "Laplacian", "InverseMultiquadric"])
def test_derivatives_in_the_length_of_a_kernel(name):
    """gradcheck and gradgradcheck in sigma and the points, for products and for entries."""
    x, y = cloud(4, 2, grad=True)[0], cloud(3, 2, grad=True, shift=0.4)[0]
    v, sigma = torch.randn(3, 1).double(), torch.tensor(0.4).double().requires_grad_()
    kernel = getattr(kernels, name)

    def product(x, y, sigma):
        return KernelMatrix(kernel(sigma) + 2.0 * kernels.Gaussian(0.5), x, y) @ v

    assert gradcheck(product, (x, y, sigma)) and gradgradcheck(product, (x, y, sigma))
    fixed = KernelMatrix(kernel(0.4), x, y)
    moving = KernelMatrix(kernel(sigma), x, y)
    torch.testing.assert_close(moving @ v, fixed @ v)
    assert gradcheck(lambda sigma: KernelMatrix(kernel(sigma), x, y).to_dense(), (sigma,))
    torch.testing.assert_close(moving.diagonal(), fixed.diagonal())


@pytest.mark.slow
def test_functions_of_two_points_and_their_transposes(needs_compiler):
    """Written once for x_i and y_j: torch and KeOps agree, block pairs and gradients included."""
    kernel = kernels.Pointwise(lambda x_i, y_j: (-((x_i - 2 * y_j) ** 2).sum(-1)).exp())
    exact = (-(X[:, None] - 2 * Y).square().sum(-1)).exp()
    x = X.clone().requires_grad_()
    v = torch.randn(20, 2).double()
    (wanted,) = torch.autograd.grad(
        ((-(x[:, None] - 2 * Y).square().sum(-1)).exp() @ v).sin().sum(), x
    )
    for engine in ("tiles", "keops"):
        K = KernelMatrix(kernel, x, Y, engine=engine)
        torch.testing.assert_close(K @ v, exact @ v)
        torch.testing.assert_close(K.T @ X, exact.T @ X)
        torch.testing.assert_close(torch.autograd.grad((K @ v).sin().sum(), x)[0], wanted)
        blocks = KernelMatrix(kernel, X, Y, pairs=Blocks(0.3, 4), engine=engine)
        assert 0 < blocks.kept_fraction < 1
        torch.testing.assert_close(blocks @ v, blocks.to_dense() @ v)


FUNCTIONS = {
    "function": lambda x, y: (x @ y.mT).exp(),
    "Pointwise": kernels.Pointwise(lambda x_i, y_j: (-((x_i - 2 * y_j) ** 2).sum(-1)).exp()),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_block_pairs_of_functions(name, monkeypatch):
    """Kept pairs alone, in tiles of which some are not full, with derivatives; rows may meet nothing."""
    x, y = cloud(23, 2, grad=True)[0], cloud(18, 2, shift=0.2)[0]
    v = torch.randn(18, 2).double().requires_grad_()
    pairs = Blocks(0.05, 4).between(x.detach().numpy(), y.numpy())
    K = KernelMatrix(FUNCTIONS[name], x, y, pairs=pairs)
    assert K.engine.name == "tiles" and 0 < K.kept_fraction < 0.5
    whole = K.to_dense()
    assert not whole.all()
    for entries in (1 << 24, 3 * 32):  # one chunk of tiles, and many
        monkeypatch.setattr(opaque_sums, "BLOCK", entries)
        torch.testing.assert_close(K @ v, whole @ v)
        torch.testing.assert_close(K.T @ x, whole.T @ x)
    ours, theirs = (
        torch.autograd.grad((product**2).sum(), (x, v), retain_graph=True)
        for product in (K @ v, whole @ v)
    )
    torch.testing.assert_close(ours, theirs)


def test_block_pairs_of_functions_that_are_not_finite():
    """The two points are named by their places in the clouds."""
    kernel = kernels.Pointwise(lambda x_i, y_j: 1 / ((x_i - y_j) ** 2).sum(-1))
    Z = Y.clone()
    Z[7] = X[11]
    with pytest.raises(ValueError, match=r"inf between x\[11\] and y\[7\]"):
        KernelMatrix(kernel, X, Z, pairs=Blocks(0.3, 4)) @ torch.ones(len(Z)).double()


@pytest.mark.slow
def test_lazy_tensors_for_keops(needs_compiler):
    """All pairs, or the kept ones with ranges, in the order of the blocks."""
    v = torch.randn(20, 1).double()
    K = KernelMatrix(KERNEL, X, Y)
    torch.testing.assert_close(K.lazy_tensor() @ v, K @ v)
    K = KernelMatrix(KERNEL, X, Y, pairs=Blocks(0.2, 4))
    rows, cols = (torch.from_numpy(cut.order) for cut in (K.pairs.rows, K.pairs.columns))
    torch.testing.assert_close(K.lazy_tensor() @ v[cols], (K @ v)[rows])
    with pytest.raises(ValueError, match="KeOps cannot read"):
        KernelMatrix(lambda x, y: x @ y.mT, X).lazy_tensor()


def test_gradients_are_zero_where_points_meet():
    """Of entries, of the diagonal and of products that autograd takes itself."""
    x = X.clone().requires_grad_()
    mixed = KernelMatrix(kernels.Laplacian(0.4) * kernels.Gaussian(0.3), x)
    for value in (
        mixed @ torch.ones(30).double(),
        KernelMatrix(kernels.Laplacian(0.4), x).to_dense(),
        KernelMatrix(kernels.Energy(), x).diagonal(),
        KernelMatrix(kernels.Energy(), x)[0:3, 0:3],
    ):
        (gradient,) = torch.autograd.grad(value.sum(), x)
        assert torch.isfinite(gradient).all()


def test_functions_that_are_not_symmetric_have_their_own_transpose():
    K = KernelMatrix(lambda x, y: 2 * x[..., :1] + y[..., :1].mT, X)
    torch.testing.assert_close(K.T.to_dense(), K.to_dense().T)
    torch.testing.assert_close(K.sum(-2), K.to_dense().sum(0))
    assert K.T.T is K
