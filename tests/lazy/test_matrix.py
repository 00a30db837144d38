"""Matrices of formulas in this library's own eigenpairs, Laplacians and linear systems."""

import numpy as np
import pytest
import torch

from sparseot import Diagonal, LazyTensor, Pm, Vi, Vj, conjugate_gradient, eigsh, graph_laplacian


def matrix(x, scale=0.5):
    return (-((Vi(x) - Vj(x)) ** 2).sum(-1) / scale).exp()


@pytest.fixture
def x():
    return torch.randn(40, 2, dtype=torch.float64)


def stored(x, scale=0.5):
    return (-(x[:, None] - x[None]).square().sum(-1) / scale).exp()


def test_eigenpairs(x):
    found = eigsh(matrix(x), k=3, which="LA")
    wanted = torch.linalg.eigvalsh(stored(x))[-3:]
    torch.testing.assert_close(found.values, wanted, rtol=1e-8, atol=1e-8)
    of_arrays = eigsh(matrix(x.numpy()), k=3, which="LA").values
    assert isinstance(of_arrays, np.ndarray)


def test_laplacians_and_their_diagonals(x):
    L, K = graph_laplacian(matrix(x)), stored(x)
    torch.testing.assert_close(L.to_dense(), K.sum(1).diag() - K)
    batch = torch.stack((x, 2 * x))
    torch.testing.assert_close(matrix(batch).as_operator().diagonal(), torch.ones(2, 40).double())
    shifted = (Vi(x) | Vj(x[:30])) * Pm(2.0)
    torch.testing.assert_close(shifted.as_operator().diagonal(), 2 * x[:30].square().sum(1))


def test_linear_systems_and_their_derivatives(x):
    b = torch.randn(40, 2, dtype=torch.float64, requires_grad=True)
    x, scale = x.requires_grad_(), torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    found = matrix(x, scale).solve(b, alpha=0.1, tol=1e-12)
    wanted = torch.linalg.solve(stored(x, scale) + 0.1 * torch.eye(40).double(), b)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    weights = torch.randn_like(found)
    pairs = (torch.autograd.grad((out * weights).sum(), (x, b, scale)) for out in (found, wanted))
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)
    plain = matrix(x.detach())
    noise = Diagonal(0.1 * torch.ones(40, dtype=torch.float64))
    again = conjugate_gradient(plain.as_operator() + noise, b.detach(), tol=1e-12).x
    torch.testing.assert_close(again, plain.solve(b.detach(), alpha=0.1, tol=1e-12))
    assert isinstance(matrix(x.detach().numpy()).solve(np.ones(40), alpha=1.0), np.ndarray)


def test_what_is_no_matrix_is_refused(x):
    with pytest.raises(ValueError, match="Sum over coordinates"):
        eigsh(Vi(x) - Vj(x))
    K = matrix(x)
    K.ranges = tuple(
        np.array(part) for part in ([[0, 40]], [1], [[0, 9]], [[0, 9]], [1], [[0, 40]])
    )
    with pytest.raises(ValueError, match="a matrix of some pairs"):
        K.as_operator().diagonal()
    assert isinstance(K, LazyTensor)
