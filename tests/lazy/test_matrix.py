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


def test_conjugate_gradients_take_formulas_beside_other_operators(x):
    K, b = matrix(x), torch.randn(40, 2, dtype=torch.float64)
    noise = Diagonal(0.1 * torch.ones(40, dtype=torch.float64))
    found = conjugate_gradient(K.as_operator() + noise, b, tol=1e-12).x
    torch.testing.assert_close(found, K.solve(b, alpha=0.1, eps=1e-12))


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
