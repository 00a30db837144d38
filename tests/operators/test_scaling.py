"""Symmetric scalings of dense matrices."""

import math

import pytest
import torch

from sparseot.operators.scaling import symmetric_scaling


def test_scalings_are_doubly_stochastic():
    A = torch.rand(30, 30, dtype=torch.float64)
    A = A + A.mT
    A[3] = A[:, 3] = 0  # a node without edges
    found = symmetric_scaling(lambda v: A @ v, A.new_ones(30), 1e-12)
    P = found.d[:, None] * A * found.d
    expected = A.new_ones(30)
    expected[3] = 0
    torch.testing.assert_close(P.sum(1), expected, rtol=0, atol=1e-12)
    assert found.converged and found.residual <= 1e-12 and found.products < 100


def test_smooth_graphs_take_few_steps():
    """A path of 1000 nodes: alternating updates would need about the square of that."""
    n = 1000
    i = torch.arange(n, dtype=torch.float64)
    A = torch.exp(-((i[:, None] - i) ** 2) / 8)
    found = symmetric_scaling(lambda v: A @ v, A.new_ones(n), 1e-10)
    assert found.converged and found.products < 60


def test_a_star_has_no_scaling():
    A = torch.zeros(5, 5, dtype=torch.float64)
    A[0, 1:] = A[1:, 0] = 1
    found = symmetric_scaling(lambda v: A @ v, A.new_ones(5), 1e-8, max_iter=50)
    assert not found.converged and found.products == 50 and found.residual > 0.1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [(1, 1), (0, 3)])
def test_what_is_no_number_has_no_scaling(bad, place):
    """A row sum that is NaN is not that of an empty row."""
    A = torch.rand(5, 5, dtype=torch.float64)
    A = A + A.mT
    A[place] = A[place[::-1]] = bad
    found = symmetric_scaling(lambda v: A @ v, A.new_ones(5), 1e-8)
    assert not found.converged and not math.isfinite(found.residual) and found.products < 5
