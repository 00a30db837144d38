"""Warnings point at the line of the user, however deep they are given."""

import inspect
import warnings

import pytest
import torch

import sparseot as so

FEW = so.Sinkhorn(max_sweeps=1)
X = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)).double()


def solve():
    return so.solve_sample(X, X + 0.5, blur=0.01, solver=FEW)


CALLS = {
    "a solve": solve,
    "a loss": lambda: so.sinkhorn_divergence(X, X + 0.5, blur=0.01, solver=FEW),
    "an argument": lambda: so.SamplesLoss("gaussian", reach=1.0),
    "eigenpairs": lambda: so.eigsh(
        so.KernelMatrix(so.kernels.Gaussian(0.1), torch.rand(400, 2).double()), k=5, max_products=8
    ),
    "a linear system": lambda: so.conjugate_gradient(
        so.KernelMatrix(so.kernels.Gaussian(0.3), X), X[:, 0], max_products=2
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_warnings_point_at_the_user(case):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        CALLS[case]()
    assert said and all(warning.filename == inspect.getfile(solve) for warning in said)
