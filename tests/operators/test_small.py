"""Products and factors of stored matrices, on one thread and by a library: the same."""

import pytest
import torch

from sparseot.operators import small

CLOSE = {"rtol": 1e-12, "atol": 1e-13}


@pytest.fixture(params=["compiled", "by a library", "shared"])
def few(request, monkeypatch, shared):
    """Small matrices, and large ones: on one thread and on three, in panels of four columns."""
    before = torch.get_num_threads()
    monkeypatch.setattr(small, "SMALL", 2**21 if request.param == "compiled" else 0)
    if request.param == "shared":
        torch.set_num_threads(3)
        monkeypatch.setattr(small, "PANEL", 4)
    else:
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 3, 2), (17, 15, 7), (40, 33, 21)])
def test_they_are_those_of_a_library(sizes, few):
    """Also of transposes; at sizes that are no multiple of four."""
    n, m, columns = sizes
    left, right = torch.randn(n, m).double(), torch.randn(m, columns).double()
    torch.testing.assert_close(small.product(left, right), left @ right, **CLOSE)
    torch.testing.assert_close(small.product(right.mT, left.mT), right.mT @ left.mT, **CLOSE)
    matrix = left.mT @ left + torch.eye(m).double()
    factor, least = small.cholesky(matrix.clone())
    wanted = torch.linalg.cholesky(matrix)
    torch.testing.assert_close(factor.tril(), wanted, **CLOSE)
    assert least == pytest.approx(float(wanted.diagonal().min()) ** 2)
    half = torch.linalg.solve_triangular(wanted, right, upper=False)
    torch.testing.assert_close(small.substitute(factor, right), half, **CLOSE)
    torch.testing.assert_close(small.solve(factor, right), torch.linalg.solve(matrix, right))
    x, y = torch.rand(n, m).double(), torch.rand(columns, m).double()
    torch.testing.assert_close(small.squares(x, y), torch.cdist(x, y) ** 2, **CLOSE)
    torch.testing.assert_close(small.exp_(left.clone()), left.exp(), **CLOSE)


def test_a_matrix_that_is_not_positive_says_so(few):
    matrix = torch.eye(9).double()
    matrix[8, 8] = -1
    assert small.cholesky(matrix)[1] <= 0
    assert small.cholesky(torch.tensor([[1.0, 2.0], [2.0, 1.0]]).double())[1] <= 0
