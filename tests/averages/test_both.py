"""Averages of which points and weights are found at once."""

import pytest
import torch

import sparseot as so
from sparseot.averages.descent import Moves
from sparseot.averages.ground import as_ground
from sparseot.averages.objective import Objective, Support
from tests.references.clouds import cloud

FINE = so.Sinkhorn(tol=1e-9)


@pytest.mark.parametrize("reach", [None, 0.5])
@pytest.mark.parametrize("debias", [True, False])
def test_they_are_no_worse_than_points_alone(debias, reach):
    (y, b), (z, c), (x, _) = cloud(20, 2), cloud(25, 2, shift=0.3), cloud(6, 2)
    common = {"masses": [b, c], "support": x, "blur": 0.3, "debias": debias, "reach": reach}
    points = so.barycenter([y, z], [1, 3], **common)
    both = so.barycenter([y, z], [1, 3], free="both", **common)
    assert both.converged and both.value < points.value
    values = [step.value for step in both.report]
    assert values[: len(points.report)] == [step.value for step in points.report]
    assert all(after < before for before, after in zip(values[:-1], values[1:], strict=True))
    assert reach is not None or float(both.weights.sum()) == pytest.approx(1)


def test_of_one_cloud_it_is_that_cloud():
    """Three places of unequal weights are found from equal ones nearby."""
    y = torch.tensor([[0.0, 0.0], [1.0, 0.2], [0.3, 1.0]]).double()
    b = torch.tensor([0.5, 0.3, 0.2]).double()
    how = {"masses": [b], "support": y + 0.05, "free": "both", "blur": 0.3, "tol": 1e-3}
    found = so.barycenter([y], **how)
    assert found.converged and abs(found.value) < 1e-5
    torch.testing.assert_close(found.points, y, atol=1e-2, rtol=0)
    torch.testing.assert_close(found.weights, b, atol=1e-2, rtol=0)


def test_translates():
    """A point that counts twice in one of them is there twice in the other: the mean translate still."""
    x = torch.tensor([[0.0, 0.0], [1.0, 0.2], [0.3, 1.0]]).double()
    a, shift = torch.tensor([0.5, 0.25, 0.25]).double(), torch.tensor([1.0, -1.0]).double()
    clouds = [torch.cat((x, x[:1])), x + shift]
    masses = [torch.tensor([0.25, 0.25, 0.25, 0.25]).double(), a]
    how = {"masses": masses, "support": x + 0.2, "free": "both", "blur": 0.4, "tol": 1e-3}
    found = so.barycenter(clouds, **how)
    assert found.value == pytest.approx(float(shift.square().sum()) / 8, rel=1e-5)
    torch.testing.assert_close(found.points, x + shift / 2, atol=1e-2, rtol=0)
    torch.testing.assert_close(found.weights, a, atol=1e-2, rtol=0)


@pytest.mark.parametrize("free", ["points", "weights", "both"])
@pytest.mark.parametrize(
    ("cost", "p"), [(None, 2), (None, 1), (so.costs.Cosine(), 2), (so.costs.Geodesic(), 1)]
)
@pytest.mark.parametrize("reach", [None, 0.7])
def test_slope_of_a_step(free, cost, p, reach):
    """The gradient, in the metric of steps, is the derivative of the objective along them."""
    clouds = [(t + 1, a) for t, a in (cloud(8, 3), cloud(9, 3, shift=0.4))]
    ground = as_ground(cost, p, 0.4, True)
    clouds = [(ground.moved(y, b, "clouds"), b) for y, b in clouds]
    x, a = cloud(6, 3, shift=0.2)
    x = ground.moved(x + 1, a, "support")
    shares = torch.tensor([0.3, 0.7]).double()
    objective = Objective(clouds, shares, FINE, ground, reach, True)
    moves, here = Moves(free, ground, reach is None), Support(x, a)
    place, metric = objective.at(here), moves.metric(here)
    r, h = moves.gradient(place), 1e-4
    d = torch.randn(r.shape, generator=torch.Generator().manual_seed(0)).double()
    ahead, behind = (objective.at(moves.moved(here, s * d)).value for s in (h, -h))
    slope = moves.unit(here) * float(metric @ (r * d))
    assert (ahead - behind) / (2 * h) == pytest.approx(slope, rel=1e-5, abs=1e-9)
