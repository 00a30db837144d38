"""Newton's method over kept pairs: its direction, and solves in which groups exchange mass."""

import pytest
import torch

import sparseot as so
from sparseot.formulas import GroundCost
from sparseot.transport.marginals import marginals
from sparseot.transport.pruned import newton
from sparseot.transport.pruned.clouds import BlockCloud
from sparseot.transport.pruned.softmins import PrunedSoftmins
from sparseot.transport.solvers.relaxation import close
from tests.references.dense import cost_matrix


def groups(n, seed):
    """Points of five blobs, whose shares of the mass are not those of other draws."""
    draw = torch.Generator().manual_seed(3)
    centres = torch.rand(5, 2, generator=draw)
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.randint(5, (n,), generator=draw)
    return (centres[chosen] + 0.03 * torch.randn(n, 2, generator=draw)).double()


def test_the_direction_is_that_of_the_dense_system(monkeypatch):
    monkeypatch.setattr(newton, "SHARE", 1e-7)
    monkeypatch.setattr(newton, "PRODUCTS", 300)
    blur, (x, y) = 0.3, (groups(90, 1), groups(80, 2))
    clouds = [BlockCloud(t, torch.full((len(t),), 1 / len(t)).double()) for t in (x, y)]
    rest = GroundCost(0.5, 2), marginals(None, 2), blur**2, 1e-9, torch.float64
    softmins = PrunedSoftmins(*clouds, *rest)
    found = close(softmins, torch.zeros(90).double(), torch.zeros(80).double(), 0.0, pair=True)
    f, g, a, b = found.f_prev, found.g_prev, softmins.a, softmins.b
    x, y = x[clouds[0].order], y[clouds[1].order]
    plan = a[:, None] * b * torch.exp((f[:, None] + g - cost_matrix(x, y, 2)) / blur**2)
    c = plan.sum(0)
    hessian = torch.diag(c) - plan.T @ (plan / a[:, None])
    wanted = torch.linalg.lstsq(hessian, blur**2 * (b - c), driver="gelsd").solution
    direction, products = newton._solved(softmins, f, g, c, blur**2 * (b - c))
    assert 0 < products < 300
    shift = (wanted - direction).mean()  # constants change nothing
    torch.testing.assert_close(direction + shift, wanted, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("tol", [1e-3, 1e-5])
def test_groups_exchange_mass_in_few_sweeps(tol):
    """By sweeps alone it takes them 427 and 561."""
    x, y, blur = groups(2000, 4), groups(2100, 5), 0.05
    how = so.Sinkhorn(multilevel=True, tol=tol)
    found = so.solve_sample(x, y, blur=blur, solver=how)
    assert found.converged and found.n_iter < 250
    f, g = found.dual_potentials
    plan = torch.exp((f[:, None] + g - cost_matrix(x, y, 2)) / blur**2) / (2000 * 2100)
    assert float((plan.sum(1) - 1 / 2000).abs().sum()) <= 2 * tol
    assert float((plan.sum(0) - 1 / 2100).abs().sum()) <= 2 * tol


def test_budgets_hold_and_plain_sweeps_stay_plain(monkeypatch):
    x, y = groups(2000, 4), groups(2100, 5)
    how = so.Sinkhorn(multilevel=True, tol=1e-5, max_sweeps=40)
    with pytest.warns(RuntimeWarning, match="The marginals are off"):
        found = so.solve_sample(x, y, blur=0.03, solver=how)
    assert not found.converged and found.levels[-1].sweeps <= 40 + newton.PRODUCTS + newton.TRIES
    monkeypatch.setattr(newton, "_step", None)  # not called
    plain = so.Sinkhorn(multilevel=True, tol=1e-2, accelerate=False, max_sweeps=60)
    assert so.solve_sample(x, y, blur=0.05, solver=plain).residual < 0.1
