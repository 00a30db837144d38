"""Solves that would take thousands of equal sweeps, taken at once."""

import pytest
import torch

import sparseot as so
from sparseot.engines.choose import choose_engine
from sparseot.formulas import GroundCost
from sparseot.points import Points
from sparseot.transport.marginals import marginals
from sparseot.transport.problem import Problem
from sparseot.transport.solvers.all_pairs import DenseSoftmins
from sparseot.transport.solvers.leaps import PATIENCE, Stall, leap
from tests.references.clouds import cloud
from tests.references.dense import cost_matrix


@pytest.mark.parametrize("reach", [None, (None, 300.0)])
@pytest.mark.parametrize("multilevel", [True, False])
def test_an_outlier_without_a_partner_takes_few_sweeps(multilevel, reach):
    """At a thousand diameters: the points that could serve it must rise by ten thousand temperatures."""
    x, y = torch.rand(900, 2).double(), torch.rand(800, 2).double()
    x[0] = 1000.0
    solver = so.Sinkhorn(multilevel=multilevel, max_sweeps=300)
    found = so.solve_sample(x, y, blur=0.05, reach=reach, solver=solver)
    assert found.converged  # it took thousands, and none was enough
    assert not multilevel or max(level.sweeps for level in found.levels) <= 150
    f, g = found.dual_potentials
    plan = torch.exp((f[:, None] + g - cost_matrix(x, y, 2)) / 0.05**2) / (900 * 800)
    wanted = torch.exp(-g / 300.0**2) if reach else torch.ones_like(g)
    assert (plan.sum(1) - 1 / 900).abs().sum() < 2e-3
    assert (plan.sum(0) - wanted / 800).abs().sum() < 2e-3
    assert found.lower <= found.value <= found.upper


def dense(x, y, blur):
    """The softmins of two clouds over all pairs."""
    clouds = [Points(t[None], torch.full((1, len(t)), 1 / len(t)).double()) for t in (x, y)]
    cost = GroundCost(0.5, 2)
    engine, _ = choose_engine("tiles", cost, x)
    return DenseSoftmins(Problem(*clouds, cost, marginals(None, 2), 2, blur, engine))


def swept(softmins, f, g):
    """One plain sweep."""
    g = softmins.step(1, g, f).value
    return softmins.step(0, f, g).value, g


def test_a_leap_is_worth_the_sweeps_of_its_length():
    """One point serves five, which are far from all others: a step of log 5 temperatures a sweep."""
    torch.manual_seed(0)
    x, y = torch.rand(30, 2).double(), torch.rand(30, 2).double()
    x[0], y[:5] = 40.0, 20.0
    softmins = dense(x, y, 0.1)
    old = swept(softmins, torch.zeros(30).double(), torch.zeros(30).double())
    for _ in range(60):
        old, before = swept(softmins, *old), old
    ends, length, half_steps = leap(softmins, before, old)
    assert length > 100 and half_steps < 30
    new = old
    for _ in range(int(length)):
        new = swept(softmins, *new)
    start, value, wanted = (softmins.dual(*z, softmins.step(0, *z).mass) for z in (old, ends, new))
    assert value - start > 0.9 * (wanted - start) > 0


def test_none_is_taken_where_potentials_have_settled():
    x, y = cloud(20, 2)[0], cloud(20, 2)[0]
    softmins = dense(x, y, 0.3)
    z = torch.zeros(20).double(), torch.zeros(20).double()
    for _ in range(100):
        z, before = swept(softmins, *z), z
    ends, length, half_steps = leap(softmins, before, z)
    assert (length, half_steps) == (0, 0) and all(map(torch.equal, ends, z))


def test_errors_that_fall_are_no_stall_and_failures_make_patient():
    stall = Stall()
    assert not any(stall.observe(0.95**k) for k in range(200))
    stall = Stall()
    waits = []
    for moved in (False, False, True):
        waits.append(next(k for k in range(1000) if stall.observe(1.0)))
        stall.tried(moved)
    assert waits == [PATIENCE, 2 * PATIENCE - 1, 4 * PATIENCE - 1]
    assert not any(stall.observe(2.0) for _ in range(PATIENCE))
