"""What cost objects hold may change, be mapped over, or be uneven; points may be padding, and solves in double."""

import pytest
import torch

import sparseot as so
from sparseot import costs

from .objects import COSTS, clouds


@pytest.mark.parametrize("name", COSTS)
def test_maps_in_single_precision(name):
    """Also where the solve went to double: the answer is that of a solve in double, in single."""
    x, y, *_ = clouds(name)
    how = {
        "cost": COSTS[name][0](),
        "blur": 0.01,
        "solver": so.Sinkhorn(max_sweeps=3000),
        "tol": 1e-4,
    }
    doubled = False
    for p in (1, 2):
        found = so.solve_sample(x.float(), y.float(), p=p, **how)
        exact = so.solve_sample(x.float().double(), y.float().double(), p=p, **how)
        doubled |= found.solved[0].problem.source.positions.dtype == torch.float64
        for inverse in (False, True):
            for new in (None, y if inverse else x):
                one = found.map(None if new is None else new.float(), inverse=inverse)
                two = exact.map(None if new is None else new.float().double(), inverse=inverse)
                assert one.dtype == torch.float32
                torch.testing.assert_close(one.double(), two, rtol=0, atol=0.05)
    assert doubled


def test_large_costs_between_classes_in_single_precision():
    """They leave the digits that a plan needs."""
    x, y = (torch.cat((torch.rand(20, 2), torch.full((20, 1), k)), -1) for k in (0.0, 1.0))
    far = costs.Labels([[0.0, 1e4], [1e4, 0.0]])
    result = so.solve_sample(x, y, blur=0.1, cost=far)
    wanted = so.solve_sample(x[:, :2].double(), y[:, :2].double(), blur=0.1, tol=1e-9).plan
    assert result.converged and (result.plan - wanted).abs().sum() < 5e-3


def test_what_changed_since_is_refused():
    """Maps of new points, and all that is computed from classes, are of what was solved or refused."""
    x, y, *_ = clouds("Scaled")
    scales = torch.nn.Parameter(torch.ones(3).double())
    result = so.solve_sample(x, y, blur=0.3, cost=costs.Scaled(scales))
    before = result.map()
    with torch.no_grad():
        scales.mul_(4)
    with pytest.raises(RuntimeError, match="map: got the cost of a result was changed in place"):
        result.map(x)
    assert torch.equal(result.map(), before)
    x, y, *_ = clouds("Labels")
    matrix = (1 - torch.eye(3).double()).requires_grad_()
    result = so.solve_sample(x, y, blur=0.3, cost=costs.Labels(matrix))
    with torch.no_grad():
        matrix.mul_(4)
    for ask in (
        lambda: result.plan,
        lambda: result.lower,
        lambda: result.map(),
        lambda: result.map(x),
    ):
        with pytest.raises(RuntimeError, match="changed in place"):
            ask()


@pytest.mark.parametrize("name", ["Cosine", "Geodesic"])
def test_padding_needs_no_direction(name):
    """Zero vectors of weight zero change nothing, no gradient either; of any weight they are refused."""
    x, y, a, b = clouds(name, batch=(2,))
    zeros = lambda t: torch.cat((t, 0 * t[:, :2]), 1)  # noqa: E731
    how = {"cost": COSTS[name][0](), "p": 1, "blur": 0.3, "tol": 1e-10}
    found = []
    for parts in ((x, y, a, b), tuple(map(zeros, (x, y, a, b)))):
        clouds_ = [t.clone().requires_grad_() for t in parts]
        value = so.sinkhorn_divergence(*clouds_, **how)
        found.append((value, *torch.autograd.grad(value.sum(), clouds_[:2])))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(two if one.dim() == 1 else two[:, : one.shape[1]], one)
    assert all((t[:, -2:] == 0).all() for t in found[1][1:])
    distances = [
        so.hausdorff_divergence(*t, cost=how["cost"], p=1, blur=0.3) for t in ((x, y, a, b), parts)
    ]
    torch.testing.assert_close(*distances)
    with pytest.raises(ValueError, match="x: got a zero vector"):
        so.sinkhorn_divergence(zeros(x), y, torch.ones_like(zeros(a)), b, reach=1.0, **how)


def test_divergences_look_at_the_matrix_itself():
    """Whatever places cost beside it."""
    x, y, *_ = clouds("Labels")
    x, y = (t * torch.tensor([100.0, 100.0, 1.0]) for t in (x, y))
    uneven = costs.Labels([[0.0, 5.0, 5.0], [0.0, 0.0, 5.0], [5.0, 5.0, 0.0]])
    so.solve_sample(x, y, blur=9.0, cost=uneven)
    for loss in (so.sinkhorn_divergence, so.hausdorff_divergence):
        with pytest.raises(
            ValueError, match="cost: got one that is 5 from class 0 to class 1 and 0 back"
        ):
            loss(x, y, blur=9.0, cost=uneven)


def test_transforms_over_what_costs_hold():
    """Through what moves points; refused where a formula holds it, and for maps."""
    x, y, *_ = clouds("Labels", 5, 4)
    loss = lambda cost: so.sinkhorn_divergence(x + 1, y + 1, blur=0.3, cost=cost, tol=1e-9)  # noqa: E731
    scales = torch.tensor([1.0, 2.0, 3.0]).double().requires_grad_()
    (wanted,) = torch.autograd.grad(loss(costs.Scaled(scales)), scales)
    found = torch.func.grad(lambda s: loss(costs.Scaled(s)))(scales.detach())
    torch.testing.assert_close(found, wanted)
    with pytest.raises(ValueError, match="torch.vmap: got a map over scales, which a cost holds"):
        torch.func.vmap(lambda s: loss(costs.Scaled(s)))(torch.stack((found, found)))
    matrix = 1 - torch.eye(4).double()
    with pytest.raises(ValueError, match="torch.func: got a derivative in what Labels holds"):
        torch.func.grad(lambda W: loss(costs.Labels(W)))(matrix)
    with pytest.raises(ValueError, match="torch.vmap: got a map over matrix, which a cost holds"):
        torch.func.vmap(lambda W: loss(costs.Labels(W)))(torch.stack((matrix, matrix)))
