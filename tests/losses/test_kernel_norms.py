"""Kernel norms against closed forms, whole matrices and finite differences."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import sparseot as so
from sparseot import kernels
from tests.references.clouds import cloud
from tests.references.dense import squared_distances
from tests.references.exact import energy_distance_on_the_line

KERNELS = [kernels.Gaussian(0.3), kernels.Laplacian(0.3), kernels.Energy()]


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_the_definition(kernel, device):
    (x, a), (y, b) = cloud(20, 3, device=device), cloud(15, 3, device=device, shift=0.2)
    z, w = torch.cat((x, y))[None], torch.cat((a, -b))
    exact = w @ kernel(squared_distances(z, z))[0] @ w / 2
    torch.testing.assert_close(so.kernel_norm(x, y, a, b, kernel=kernel), exact)
    f, g = so.kernel_norm(x, y, a, b, kernel=kernel, potentials=True)
    assert f.shape == a.shape and g.shape == b.shape
    torch.testing.assert_close((a @ f + b @ g) / 2, exact)


def test_diracs():
    """1 - k(x, y) for positive kernels, |x - y| for the energy distance."""
    x, y = torch.zeros(1, 2).double(), torch.tensor([[0.3, 0.4]]).double()
    for kernel in KERNELS[:2]:
        value = so.kernel_norm(x, y, kernel=kernel)
        torch.testing.assert_close(value, 1 - kernel(torch.tensor(0.25).double()))
    torch.testing.assert_close(so.kernel_norm(x, y, kernel=kernels.Energy()).item(), 0.5)


def test_the_energy_distance_on_the_line():
    (x, a), (y, b) = cloud(30, 1), cloud(20, 1, shift=0.3)
    exact = energy_distance_on_the_line(x[:, 0], y[:, 0], a, b)
    torch.testing.assert_close(so.kernel_norm(x, y, a, b, kernel=kernels.Energy()), exact)


def test_gaussian_laws_in_closed_form():
    """Quantiles of N(0, s^2) and N(1, t^2): three Gaussian integrals."""
    quantile = torch.special.ndtri((torch.arange(4000).double() + 0.5) / 4000)[:, None]
    s, t, sigma = 0.3, 0.5, 0.4

    def overlap(variance, shift):
        return sigma / variance**0.5 * torch.tensor(-(shift**2) / (2 * variance)).exp()

    exact = overlap(sigma**2 + 2 * s**2, 0) / 2 + overlap(sigma**2 + 2 * t**2, 0) / 2
    exact = exact - overlap(sigma**2 + s**2 + t**2, 1.0)
    found = so.kernel_norm(s * quantile, 1 + t * quantile, kernel=kernels.Gaussian(sigma))
    torch.testing.assert_close(found, exact.double(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_derivatives_of_both_orders(kernel):
    (x, a), (y, b) = cloud(4, 2, grad=True), cloud(3, 2, grad=True, shift=0.4)

    def norm(x, y, a, b):
        return so.kernel_norm(x, y, a, b, kernel=kernel)

    assert gradcheck(norm, (x, y, a, b)) and gradgradcheck(norm, (x, y, a, b))


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_coincident_points_and_zero_weights(kernel):
    x, a = cloud(6, 2, grad=True, zero=2)
    value = so.kernel_norm(x, x.detach(), a, a.detach(), kernel=kernel)
    gradients = torch.autograd.grad(value, (x, a))
    assert value.abs() < 1e-14 and all(g.abs().max() < 1e-14 for g in gradients)


def test_batches_are_loops():
    (x, a), (y, b) = cloud(7, 2, batch=(3,)), cloud(5, 2, batch=(3,))
    values = so.kernel_norm(x, y, a, b, kernel=kernels.Energy())
    items = [
        so.kernel_norm(*item, kernel=kernels.Energy()) for item in zip(x, y, a, b, strict=True)
    ]
    torch.testing.assert_close(values, torch.stack(items))


@pytest.mark.parametrize("dimension", [2, 30])
@pytest.mark.parametrize(
    "kernel", [kernels.Gaussian(1.0), kernels.Laplacian(1.0), kernels.Energy()], ids=repr
)
def test_single_precision(dimension, kernel):
    (x, a), (y, b) = cloud(60, dimension), cloud(50, dimension, shift=0.3)
    results = []
    for dtype in (torch.float64, torch.float32):
        moving = x.to(dtype).requires_grad_()
        value = so.kernel_norm(moving, y.to(dtype), a.to(dtype), b.to(dtype), kernel=kernel)
        results.append((value.double(), torch.autograd.grad(value, moving)[0].double()))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-5, atol=1e-7)
    assert (results[1][1] - results[0][1]).norm() < 1e-4 * results[0][1].norm()


def test_functions_and_what_is_no_kernel():
    (x, a), (y, b) = cloud(7, 2), cloud(5, 2)
    kernel = kernels.Gaussian(0.3)
    found = so.kernel_norm(x, y, a, b, kernel=lambda x, y: kernel(squared_distances(x, y)))
    torch.testing.assert_close(found, so.kernel_norm(x, y, a, b, kernel=kernel))
    for wrong in ("gaussian", kernels.Gaussian, 3):
        with pytest.raises(TypeError, match="kernel: got .*wanted such as|kernel: got"):
            so.kernel_norm(x, y, kernel=wrong)
