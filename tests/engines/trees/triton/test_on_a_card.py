"""What only a card can show: formulas there have the numbers of a CPU, and the same ones each time."""

import pytest
import torch

from sparseot import LazyTensor, Pm

pytestmark = pytest.mark.gpu


def formula(x, y, p):
    gap = LazyTensor(x[:, None]) - LazyTensor(y[None])
    squares = (gap**2).sum(-1)
    return squares, (-squares / Pm(p)).exp() * (1 + (gap[0] * 2).sin()), gap


def results(device):
    """Sums for rows and columns with gradients, logarithms, places: on the CPU."""
    draws = torch.Generator().manual_seed(0)
    x, y = (torch.rand(n, 3, dtype=torch.float64, generator=draws) for n in (300, 200))
    p = torch.tensor([0.3], dtype=torch.float64)
    x, y, p = (t.to(device).requires_grad_() for t in (x, y, p))
    squares, K, gap = formula(x, y, p)
    value = (K * gap).sum(1).square().sum() + K.sum(0).square().sum() + K.logsumexp(1).sum()
    soft = K.sumsoftmaxweight(gap, dim=1)
    gradients = torch.autograd.grad(value + soft.square().sum(), (x, y, p))
    found = value, *gradients, soft, squares.argKmin(10, dim=1), squares.argmin(dim=0)
    assert all(t.device.type == device for t in found)
    return [t.detach().cpu() for t in found]


def test_results_are_those_of_a_cpu():
    for here, there in zip(results("cpu"), results("cuda"), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-10, atol=1e-10)


def test_equal_input_gives_equal_bits():
    for one, other in zip(results("cuda"), results("cuda"), strict=True):
        assert torch.equal(one, other)


def test_single_precision():
    """A million columns lose no digits."""
    x, y = torch.rand(100, 3, device="cuda"), torch.rand(1_000_000, 3, device="cuda")
    p = torch.tensor([0.3], device="cuda")
    found = formula(x, y, p)[1].sum(1)
    exact = formula(x.double(), y.double(), p.double())[1].sum(1)
    assert (found / exact - 1).abs().max() < 2e-6
