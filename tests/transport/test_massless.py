"""Points without mass do not count, however far they are; and no NaN is called converged."""

import math
import warnings

import pytest
import torch

import sparseot as so
from tests.references.clouds import cloud

DISTANCES = [3.0, 10.0, 20.0, 40.0, 1000.0]


@pytest.mark.parametrize("multilevel", [False, True], ids=["all pairs", "kept pairs"])
@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("distance", DISTANCES)
def test_a_point_where_all_mass_would_be_lost(distance, dtype, debias, multilevel):
    """All mass is destroyed and made anew: 2 rho + eps, less what a cloud and itself have."""
    z = torch.tensor([[0.0], [distance]], dtype=dtype, requires_grad=True)
    w = torch.tensor([1.0, 0.0], dtype=dtype, requires_grad=True)
    solver = so.Sinkhorn(multilevel=multilevel, max_sweeps=100)
    options = {"blur": 0.1, "reach": 0.5, "debias": debias, "solver": solver, "tol": 1e-6}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # far away, of no convergence
        found = so.solve_sample(z, z[1:].detach(), w, **options)
        eps, rho = 0.1**2, 0.5**2
        gap = (eps + 2 * rho) * -math.expm1(-(distance**2) / 2 / (eps + 2 * rho))
        value = found.value.double().item()
        assert found.lower <= gap + 1e-12 and gap - 1e-12 <= found.upper < 0.512
        assert found.converged or distance == 1000.0
        assert value == pytest.approx(gap, abs=1e-6 if found.converged else 2e-3)
        assert found.gradient_error().isfinite()
        gradients = torch.autograd.grad(found.value, (z, w), create_graph=True)
        assert all(g.isfinite().all() for g in gradients) and gradients[0][1] == 0
        H = so.hessian(found).to_dense()
        assert H.isfinite().all() and not H[1].any() and not H[:, :, 1].any()
        if dtype == torch.float64:  # in single precision its slope is beyond all numbers
            assert so.hessian(found, "a").to_dense().isfinite().all()
        assert found.plan.isfinite().all() and found.map().isfinite().all()


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [0.3, (0.3, None), (None, 0.3)])
def test_massless_points_change_nothing(p, reach):
    """Values, intervals, gradients and Hessian products of clouds with and without them."""
    (x, a), (y, b) = cloud(12, 2), cloud(9, 2, shift=0.2)
    far = torch.tensor([[30.0, 0.0], [0.0, -200.0]]).double()
    none = torch.zeros(2).double()

    def solved(x, y, a, b):
        x = x.clone().requires_grad_()
        found = so.solve_sample(x, y, a, b, p=p, blur=0.2, reach=reach, tol=1e-11)
        (force,) = torch.autograd.grad(found.value, x)
        return found, force[:12]

    plain, force = solved(x, y, a, b)
    padded, same = solved(
        torch.cat((x, far)), torch.cat((y, -far)), torch.cat((a, none)), torch.cat((b, none))
    )
    assert padded.converged
    torch.testing.assert_close(padded.value, plain.value, rtol=1e-10, atol=0)
    torch.testing.assert_close(same, force, rtol=1e-7, atol=1e-9)
    assert padded.lower <= plain.value <= padded.upper
    v = torch.randn(12, 2).double()
    if p == 2:
        product = padded.hvp(torch.cat((v, 0 * far)))
        torch.testing.assert_close(product[:12], plain.hvp(v), rtol=1e-6, atol=1e-8)
        assert not product[12:].any()


@pytest.mark.parametrize("scaling", [None, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses(scaling, dtype):
    """Every schedule: the value is finite and right, the gradient finite."""
    z = torch.tensor([[0.0], [40.0]], dtype=dtype, requires_grad=True)
    w = torch.tensor([1.0, 0.0], dtype=dtype, requires_grad=True)
    options = {"tol": 1e-4} if scaling is None else {"scaling": scaling}
    one = torch.ones(1, dtype=dtype)
    value = so.SamplesLoss(blur=0.1, reach=0.5, **options)(w, z, one, z[1:].detach())
    assert value.item() == pytest.approx(0.51, abs=1e-5)
    assert all(g.isfinite().all() for g in torch.autograd.grad(value, (z, w)))
    hausdorff = so.SamplesLoss("hausdorff", blur=0.1, reach=0.5)(w, z, one, z[1:].detach())
    assert hausdorff.isfinite()


def test_what_is_not_a_number_has_not_converged(monkeypatch):
    """Whatever a solver says: a result whose value is no number is not converged."""
    from sparseot.transport.solvers.relaxation import Softmins

    monkeypatch.setattr(Softmins, "dual", lambda *args: math.nan)
    x = torch.rand(30, 2)
    with pytest.warns(RuntimeWarning, match="converged=False"):
        found = so.solve_sample(x, x + 1, blur=0.1)
    assert not found.converged
