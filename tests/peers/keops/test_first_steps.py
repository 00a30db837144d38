"""KeOps's first tutorial: nearest points, a kernel sum with two derivatives, batches, formulas."""

import numpy as np
import pytest
import torch

from .agreement import assert_equals, points, tensor


def test_nearest_points_of_arrays(lazy):
    x, y = points(50, 2), points(80, 2, 1)
    x_i, y_j = lazy.numpy.LazyTensor(x[:, None, :]), lazy.numpy.LazyTensor(y[None, :, :])
    squares = ((x_i - y_j) ** 2).sum(-1)
    assert squares.shape == (50, 80)
    nearest = squares.argmin(dim=1).ravel()
    assert isinstance(nearest, np.ndarray) and nearest.dtype.kind == "i"
    assert_equals(nearest, ((x[:, None] - y[None]) ** 2).sum(-1).argmin(1))


def exponential(lazy, x, y, b):
    x_i, y_j = lazy.torch.LazyTensor(x[:, None, :]), lazy.torch.LazyTensor(y[None, :, :])
    return (-((x_i - y_j) ** 2).sum(-1).sqrt()).exp() @ b


def test_an_exponential_kernel_and_two_derivatives(lazy):
    x, y, b = tensor(20, 10).requires_grad_(), tensor(30, 10, 1), tensor(30, 4, 2)

    def derivatives(a):
        (g,) = torch.autograd.grad((a**2).sum(), [x], create_graph=True)
        (h,) = torch.autograd.grad(g.exp().sum(), [x], create_graph=True)
        return a, g, h

    found = derivatives(exponential(lazy, x, y, b))
    wanted = derivatives((-(x[:, None] - y[None]).norm(dim=-1)).exp() @ b)
    assert isinstance(found[0], torch.Tensor)
    for part, whole in zip(found, wanted, strict=True):
        assert_equals(part, whole)


def test_distances_to_the_nearest(lazy):
    x, y = tensor(40, 3).requires_grad_(), tensor(60, 3, 1)
    x_i, y_j = lazy.torch.LazyTensor(x[:, None, :]), lazy.torch.LazyTensor(y[None, :, :])
    squares = ((x_i - y_j) ** 2).sum(-1)
    nearest = squares.argmin(dim=1).view(-1)
    assert_equals(squares.min(dim=1).view(-1), ((x - y[nearest]) ** 2).sum(-1))


A, B, M, N, D = 4, 3, 11, 13, 5


def batch():
    """Variables of i, of j and of neither, whose batch axes have to be broadcast."""
    torch.manual_seed(0)
    double = torch.float64
    return (
        torch.rand(A, B, M, 1, D, dtype=double),
        torch.rand(1, 1, M, 1, D, dtype=double) + 0.5,
        torch.rand(1, B, 1, N, D, dtype=double),
        torch.rand(A, 1, 1, 1, 1, dtype=double) - 0.3,
    )


def test_batches_are_broadcast(lazy):
    x, ell, y, s = batch()
    x_i, l_i, y_j, s_ = map(lazy.torch.LazyTensor, (x, ell, y, s))
    K = -1.6 * ((l_i * x_i - y_j) ** 2).sum(-1) / (1 + s_**2)
    assert K.shape == (A, B, M, N) and K._shape == (A, B, M, N, 1) and K.dim() == 5
    wanted = -1.6 * ((ell * x - y) ** 2).sum(-1, keepdim=True) / (1 + s**2)
    assert_equals(K.sum(dim=3), wanted.sum(3))
    assert_equals(K.sum(dim=2), wanted.sum(2))


def test_formulas_of_vectors_in_batches(lazy):
    x, ell, y, s = batch()
    x_i, l_i, y_j, s_ = map(lazy.torch.LazyTensor, (x, ell, y, s))
    F = (x_i**1.5 + y_j / l_i).cos() - (x_i | y_j) + (x_i[:, :, :, :, 2] * s_.relu() * y_j)
    products = (x * y).sum(-1, keepdim=True)
    wanted = (x**1.5 + y / ell).cos() - products + x[..., 2:3] * s.relu() * y
    assert F.shape == (A, B, M, N, D)
    tolerance = 1e-6 if lazy.name == "keops" else 1e-10  # its powers are powf, in single precision
    assert_equals(F.sum(dim=2), wanted.sum(2), tolerance)
    assert_equals(F.sum(dim=3), wanted.sum(3), tolerance)


@pytest.mark.parametrize("dim", [0, 1])
def test_arrays_give_arrays_in_single_precision(lazy, dim):
    x, y = points(30, 2, dtype=np.float32), points(40, 2, 1, dtype=np.float32)
    x_i, y_j = lazy.numpy.LazyTensor(x[:, None]), lazy.numpy.LazyTensor(y[None])
    found = (-((x_i - y_j) ** 2).sum(-1).sqrt()).exp().sum(axis=dim)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    distances = np.linalg.norm(x[:, None].astype(float) - y[None], axis=-1)
    assert_equals(found[:, 0], np.exp(-distances).sum(dim), 1e-6)
