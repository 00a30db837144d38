"""Weights of groups of points that are far from each other, on which only few pairs have an influence."""

import pytest
import torch

import sparseot as so
from tests.references.dense import cost_matrix

BLUR = 0.2


def groups(n, m, gap, seed):
    """Points of the unit square, and others far from it."""
    draw = torch.rand(n + m, 2, generator=torch.Generator().manual_seed(seed)).double()
    draw[n:] += gap
    return draw


def expected_weights(x, y, updates=3000):
    """Of one cloud, without debiasing: those that make the columns of a Gaussian kernel likeliest.

    The minimum over plans of the cost and their entropy relative to both marginals is that of mixtures, for which
    Richardson's and Lucy's updates (1972) fall at each step.
    """
    kernel = torch.exp(-cost_matrix(x, y, 2) / BLUR**2)
    a = torch.full((len(x),), 1 / len(x)).double()
    a = a / a.sum()
    for _ in range(updates):
        a = a * (kernel / (a @ kernel)).mean(1)
    return a, -(BLUR**2) * (a @ kernel).log().mean()


@pytest.mark.parametrize("gap", [1.5, 4.0])
def test_one_cloud_without_debiasing(gap):
    """They kept the equal weights that they started from: each update overshot the mass of a group."""
    y, x = groups(30, 10, gap, 0), groups(20, 20, gap, 1)
    found = so.barycenter([y], support=x, free="weights", blur=BLUR, debias=False)
    weights, value = expected_weights(x, y)
    assert found.converged and len(found.report) > 1
    assert found.value == pytest.approx(value.item(), rel=1e-2)
    assert float(found.weights[:20].sum()) == pytest.approx(0.75, abs=1e-4)
    assert float(weights[:20].sum()) == pytest.approx(0.75, abs=1e-4)


@pytest.mark.parametrize("gap", [1.5, 4.0])
def test_of_two_clouds_a_group_has_a_mass_between_theirs(gap):
    """The cost of what crosses the gap is linear in the mass, so that the larger share decides."""
    y, z, x = groups(30, 10, gap, 0), groups(20, 15, gap, 2), groups(20, 20, gap, 1)
    found = so.barycenter([y, z], [0.7, 0.3], support=x, free="weights", blur=BLUR, debias=False)
    assert found.converged
    assert float(found.weights[:20].sum()) == pytest.approx(0.75, abs=1e-2)
    equal = torch.tensor([0.75 / 20, 0.25 / 20]).double().repeat_interleave(20)
    worse = [
        so.sinkhorn_divergence(x, t, equal / equal.sum(), None, blur=BLUR, debias=False)
        for t in (y, z)
    ]
    assert found.value < 0.7 * float(worse[0]) + 0.3 * float(worse[1])
