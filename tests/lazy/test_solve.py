"""Linear systems whose matrix is a LazyTensor, and their derivatives of both orders."""

import numpy as np
import pytest
import torch

from sparseot import Blocks, LazyTensor, Vi, Vj


def gaussian(x, width=0.7):
    return (
        -((LazyTensor(x[..., :, None, :]) - LazyTensor(x[..., None, :, :])) ** 2).sum(-1) / width**2
    ).exp()


def dense(x, width=0.7, alpha=0.1):
    squares = ((x[..., :, None, :] - x[..., None, :, :]) ** 2).sum(-1)
    return (-squares / width**2).exp() + alpha * torch.eye(x.shape[-2], dtype=x.dtype)


@pytest.mark.parametrize("shape", [(15,), (15, 1), (15, 4)])
def test_solutions_are_those_of_the_whole_matrix(shape):
    x, b = torch.rand(15, 3, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    found = gaussian(x).solve(b, alpha=0.1, eps=1e-12)
    assert found.shape == b.shape
    wanted = torch.linalg.solve(dense(x), b.view(15, -1)).view(shape)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_batches_are_solved_side_by_side_and_broadcast():
    x, b = torch.rand(2, 3, 8, 2, dtype=torch.float64), torch.randn(3, 8, 2, dtype=torch.float64)
    found = gaussian(x).solve(b, alpha=0.1, eps=1e-12)
    wanted = torch.linalg.solve(dense(x), b.expand(2, 3, 8, 2))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_arrays_and_variables_as_right_hand_sides():
    x, b = torch.rand(9, 2), torch.randn(9, 2)
    found = gaussian(x.numpy()).solve(b.numpy(), alpha=0.1)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    for right in (Vi(b), Vj(b), b):
        solved = gaussian(x).solve(right, alpha=0.1)
        np.testing.assert_allclose(solved.numpy(), found, atol=1e-5)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_derivatives_of_both_orders(batch):
    x = torch.rand(*batch, 5, 2, dtype=torch.float64, requires_grad=True)
    b = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    width = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)

    def solution(x, b, width):
        return gaussian(x, width).solve(b, alpha=0.3, eps=1e-14)

    assert torch.autograd.gradcheck(solution, (x, b, width), atol=1e-7)
    assert torch.autograd.gradgradcheck(solution, (x, b, width), atol=1e-6)


def test_kept_pairs_in_any_order():
    x, b = torch.rand(60, 2, dtype=torch.float64), torch.randn(60, 1, dtype=torch.float64)
    K = gaussian(x, 0.1)
    K.ranges = pairs = Blocks(0.3, size=8).between(x.numpy(), x.numpy())
    mask = torch.from_numpy(pairs.mask(np.arange(60), np.arange(60)))
    assert 0 < mask.double().mean() < 1
    whole = dense(x, 0.1) * mask
    wanted = torch.linalg.solve(whole, b)
    torch.testing.assert_close(K.solve(b, alpha=0.1, eps=1e-12), wanted, rtol=1e-8, atol=1e-8)


def test_what_cannot_be_solved_is_said():
    x = torch.rand(6, 2)
    with pytest.raises(ValueError, match="wanted a square matrix of numbers"):
        (Vi(x) - Vj(torch.rand(5, 2))).sqnorm2().solve(torch.ones(6))
    with pytest.raises(ValueError, match="wanted a square matrix of numbers"):
        (Vi(x) - Vj(x)).solve(torch.ones(6))
    with pytest.raises(ValueError, match=r"wanted \(6,\) or"):
        gaussian(x).solve(torch.ones(5))
    with pytest.raises(ValueError, match=r"K.solve: got .* not positive definite.* larger alpha"):
        (-gaussian(x)).solve(torch.ones(6))
    with pytest.warns(RuntimeWarning, match=r"K.solve stopped .* eps=1e-15 was asked for"):
        gaussian(x).solve(torch.randn(6), eps=1e-15)
    with pytest.raises(TypeError, match="alhpa"):
        gaussian(x).solve(torch.ones(6), alhpa=1.0)
