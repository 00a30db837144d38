"""The Hausdorff divergence: its limits, its derivatives, and what it ignores."""

import math

import pytest
import torch
from torch.autograd import gradcheck

import sparseot as so
from tests.references.clouds import cloud


@pytest.mark.parametrize("p", [1, 2])
def test_small_blurs_give_nearest_neighbours(p):
    """Half the mean cost to the nearest point of the other cloud, from both sides."""
    (x, a), (y, b) = cloud(12, 2), cloud(10, 2, shift=0.3)
    cost = torch.cdist(x, y) ** p / p
    exact = (a @ cost.amin(1) + b @ cost.amin(0)) / 2
    found = so.hausdorff_divergence(x, y, a, b, p=p, blur=1e-3)
    torch.testing.assert_close(found, exact, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("p", [1, 2])
def test_large_blurs_give_kernel_norms(p):
    (x, a), (y, b) = cloud(12, 2), cloud(10, 2, shift=0.3)
    exact = so.kernel_norm(x, y, a, b, kernel=so.kernels.Energy())
    if p == 2:
        exact = (a @ x - b @ y).square().sum() / 2
    torch.testing.assert_close(
        so.hausdorff_divergence(x, y, a, b, p=p, blur=1e3), exact, rtol=1e-2, atol=0
    )


def test_long_reaches_give_the_balanced_value():
    (x, a), (y, b) = cloud(12, 2), cloud(10, 2, shift=0.3)
    exact = so.hausdorff_divergence(x, y, a, b, blur=0.1)
    found = so.hausdorff_divergence(x, y, a, b, blur=0.1, reach=1e3)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.5])
def test_first_derivatives_are_exact(p, reach):
    (x, a), (y, b) = cloud(5, 2, grad=True), cloud(4, 2, grad=True, shift=0.3)

    def value(x, y, a, b):
        if reach is None:  # stay on the simplex
            a, b = a / a.sum(), b / b.sum()
        return so.hausdorff_divergence(x, y, a, b, p=p, blur=0.3, reach=reach)

    assert gradcheck(value, (x, y, a, b))


def test_derivatives_where_a_weight_is_zero_or_points_coincide():
    x, a = cloud(6, 2, grad=True, zero=1)
    y, b = x.detach().clone(), cloud(6, 2)[1]
    for p in (1, 2):
        gradients = torch.autograd.grad(so.hausdorff_divergence(x, y, a, b, p=p), (x, a))
        assert all(g.isfinite().all() for g in gradients)


def test_equal_clouds_and_the_potentials():
    x, a = cloud(8, 2)
    assert so.hausdorff_divergence(x, x, a, a).abs() < 1e-14
    y, b = cloud(5, 2)
    f, g = so.hausdorff_divergence(x, y, a, b, potentials=True)
    torch.testing.assert_close(a @ f + b @ g, so.hausdorff_divergence(x, y, a, b))
    f, g = so.SamplesLoss("hausdorff", potentials=True)(x[None], y[None])
    assert f.shape == (1, 8) and g.shape == (1, 5)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("blur", [0.1, 0.5])
def test_unbalanced_diracs(p, blur):
    """H = (rho + eps) (1 - exp(-C / (rho + eps))), where rho and eps are alike."""
    x, y = torch.zeros(1, 1).double(), torch.full((1, 1), 0.8).double()
    eps, rho, cost = blur**p, 0.5**p, 0.8**p / p
    exact = (rho + eps) * (1 - math.exp(-cost / (rho + eps)))
    found = so.hausdorff_divergence(x, y, p=p, blur=blur, reach=0.5)
    torch.testing.assert_close(found.item(), exact)


@pytest.mark.parametrize("engine", ["tiles", "numba"])
def test_batches_are_loops_on_every_engine(engine):
    (x, a), (y, b) = cloud(7, 2, batch=(3,)), cloud(5, 2, batch=(3,))
    x = (x * torch.tensor([1.0, 5.0, 0.1]).double()[:, None, None]).requires_grad_()
    values = so.hausdorff_divergence(x, y, a, b, engine=engine)
    gradient = torch.autograd.grad(values.sum(), x)[0]
    for k in range(3):
        item = x[k].detach().requires_grad_()
        value = so.hausdorff_divergence(item, y[k], a[k], b[k])
        torch.testing.assert_close(values[k], value)
        torch.testing.assert_close(
            gradient[k], torch.autograd.grad(value, item)[0], rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("dimension", [2, 30])
def test_single_precision(dimension):
    (x, a), (y, b) = cloud(60, dimension), cloud(50, dimension, shift=0.3)
    results = []
    for dtype in (torch.float64, torch.float32):
        moving = x.to(dtype).requires_grad_()
        clouds = (moving, y.to(dtype), a.to(dtype), b.to(dtype))
        value = so.hausdorff_divergence(*clouds, blur=0.1)
        results.append((value.double(), torch.autograd.grad(value, moving)[0].double()))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-5, atol=0)
    assert (results[1][1] - results[0][1]).norm() < 1e-4 * results[0][1].norm()


def test_a_result_that_is_no_number_is_a_warning():
    """Costs beyond what exponents hold at this blur."""
    x, y = cloud(20, 2)[0], cloud(15, 2, shift=0.5)[0]
    with pytest.warns(RuntimeWarning, match="The Hausdorff divergence is not finite"):
        found = so.hausdorff_divergence(
            x, y, cost=lambda x, y: 1e300 * torch.cdist(x, y), blur=1e-10
        )
    assert not found.isfinite()


@pytest.mark.parametrize("constant", [0.0, 1e5])
def test_single_precision_and_costs_beside_distances(constant):
    """A constant that all pairs have is no part of the value, but of the digits that exponents take."""
    labelled = [
        torch.cat((cloud(n, 2)[0], torch.arange(n).remainder(2)[:, None].double()), 1).float()
        for n in (20, 15)
    ]
    matrix = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double()
    how = {"blur": 0.1, "cost": so.costs.Labels(matrix + constant)}
    exact = so.hausdorff_divergence(*(x.double() for x in labelled), **how)
    found = so.hausdorff_divergence(*labelled, **how)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0)
