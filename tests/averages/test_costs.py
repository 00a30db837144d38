"""Averages for other costs: those of moved points, moved back; on the sphere they stay there."""

import math
import warnings

import pytest
import torch

import sparseot as so
from sparseot import costs
from tests.references.clouds import cloud

SCALES = torch.tensor([0.5, 3.0]).double()
AXES = torch.tensor([[1.3, 0.0], [0.4, 0.7]]).double()  # of Cholesky: lower
LINEAR = {
    "Scaled": (costs.Scaled(SCALES), torch.diag(1 / SCALES)),
    "Mahalanobis": (costs.Mahalanobis(AXES @ AXES.T), AXES),
    "diagonal": (costs.Mahalanobis(SCALES), torch.diag(SCALES.sqrt())),
    "Features": (costs.Features(0.25), torch.diag(torch.tensor([1.0, 0.5]).double())),
}


@pytest.mark.filterwarnings("ignore:The average would move")
@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("p", [1, 2])
def test_it_is_that_of_moved_clouds_moved_back(name, p):
    cost, matrix = LINEAR[name]
    (y, b), (z, c), (x, _) = cloud(12, 2), cloud(15, 2, shift=0.3), cloud(8, 2)
    how = {"masses": [b, c], "blur": 0.3, "p": p, "max_steps": 3, "tol": 0.2 if p == 2 else 1.0}
    found = so.barycenter([y, z], [1, 2], support=x, cost=cost, **how)
    plain = so.barycenter([y @ matrix, z @ matrix], [1, 2], support=x @ matrix, **how)
    assert len(found.report) == len(plain.report)
    assert found.value == pytest.approx(plain.value, rel=1e-7)
    torch.testing.assert_close(found.points @ matrix, plain.points, rtol=1e-6, atol=1e-6)


def test_translates_for_a_number_of_points():
    x, _ = cloud(20, 2)
    shift = torch.tensor([1.0, 2.0]).double()
    found = so.barycenter([x, x + shift], support=20, blur=0.3, cost=costs.Scaled(SCALES))
    torch.testing.assert_close(found.points, x + shift / 2)


def on_the_sphere(n, seed):
    """Directions around one of them, of any lengths."""
    draw = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)).double()
    return draw * 0.4 + torch.tensor([0.0, 0.5, 2.0]).double()


@pytest.mark.filterwarnings("ignore:The average would move")
@pytest.mark.parametrize(
    ("cost", "p"), [(costs.Cosine(), 1), (costs.Cosine(), 2), (costs.Geodesic(), 2)]
)
def test_it_stays_on_the_sphere_and_turns_with_it(cost, p):
    y, z, x = (on_the_sphere(n, seed) for seed, n in enumerate((12, 10, 7)))
    turn, _ = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(5)).double()
    )

    def average(way):
        how = {"support": x @ way, "blur": 0.3, "p": p, "cost": cost, "max_steps": 4}
        return so.barycenter([y @ way, 3 * z @ way], [1, 2], **how)

    found, turned = average(torch.eye(3).double()), average(turn)
    assert found.value < found.report[0].value
    torch.testing.assert_close(found.points.norm(dim=-1), torch.ones(7).double())
    assert found.value == pytest.approx(turned.value, rel=1e-4)
    torch.testing.assert_close(found.points @ turn, turned.points, atol=1e-3, rtol=0)


def test_of_two_directions_it_is_the_one_between():
    """Half of the angle for its square, whatever the cost; in a ratio of the cosine's own."""
    y, z = torch.tensor([[1.0, 0.0, 0.0]]).double(), torch.tensor([[0.0, 2.0, 0.0]]).double()
    how = {"support": torch.tensor([[1.0, 0.2, 0.5]]).double(), "blur": 0.1, "tol": 1e-5}
    for share in (0.5, 0.25):
        arc = so.barycenter([y, z], [1 - share, share], cost=costs.Geodesic(), **how)
        angle = share * math.pi / 2
        wanted = torch.tensor([[math.cos(angle), math.sin(angle), 0.0]]).double()
        torch.testing.assert_close(arc.points, wanted, atol=1e-4, rtol=0)
        chord = so.barycenter([y, z], [1 - share, share], cost=costs.Cosine(), **how)
        mean = torch.tensor([[1 - share, share, 0.0]]).double()
        torch.testing.assert_close(chord.points, mean / mean.norm(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("cost", [None, costs.Power(1)])
def test_medians(cost):
    """With p = 1, of three points on a line that of the middle; of four in a cross, their crossing."""
    line = [torch.tensor([[t, 0.0]]).double() for t in (0.0, 1.0, 10.0)]
    how = {"blur": 0.1, "p": 1, "cost": cost, "debias": False, "tol": 1e-3}
    with pytest.warns(
        RuntimeWarning, match="average"
    ):  # it has a corner there, and no slope of zero
        found = so.barycenter(line, support=torch.tensor([[2.0, 0.5]]).double(), **how)
    torch.testing.assert_close(found.points, line[1], atol=1e-2, rtol=0)
    cross = torch.tensor([[0.0, 1.0], [0.0, -3.0], [2.0, 0.0], [-0.5, 0.0]]).double()
    found = so.barycenter(list(cross[:, None]), support=cross[:1] * 0.3 + 0.1, **how)
    torch.testing.assert_close(found.points, torch.zeros(1, 2).double(), atol=1e-2, rtol=0)


def test_of_one_cloud_it_is_that_cloud():
    y = on_the_sphere(10, 0)
    for cost, p in ((costs.Cosine(), 2), (costs.Power(1.5), 2)):
        x = y * torch.tensor([1.0, 0.5, 1.0]).double() + 0.5
        start = float(so.sinkhorn_divergence(x, y, blur=0.2, p=p, cost=cost))
        found = so.barycenter([y], support=x, blur=0.2, p=p, cost=cost)
        assert abs(found.value) < 1e-2 * start


def test_weights_on_points_that_stay():
    """Classes stay what they are; each has the weight that the cloud gives it, where places are equal."""
    place = torch.zeros(3, 1).double()
    points = torch.cat((place, torch.arange(3.0).double()[:, None]), 1)
    cost = costs.Labels([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]])
    b = torch.tensor([0.5, 0.3, 0.2]).double()
    how = {"support": points, "free": "weights", "blur": 0.5, "cost": cost, "tol": 1e-4}
    found = so.barycenter([points], masses=[b], **how)
    assert torch.equal(found.points, points)
    torch.testing.assert_close(found.weights, b, atol=1e-2, rtol=0)
    far = 5 * on_the_sphere(6, 0)
    how = {"support": far, "free": "weights", "blur": 0.3, "cost": costs.Cosine()}
    assert torch.equal(so.barycenter([far, 2 * far.flip(0)], **how).points, far)


@pytest.mark.filterwarnings("ignore:The average would move")
@pytest.mark.parametrize("reach", [None, 1000.0])
def test_a_large_constant_in_single_precision(reach):
    """Costs of 10,000 temperatures a thousand that all pairs have: single precision has no digits left for places."""
    y, z, x = (
        torch.cat((cloud(n, 2)[0], torch.arange(n).remainder(2)[:, None].double()), 1).float()
        for n in (14, 11, 9)
    )
    matrix = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double()
    how = {"free": "weights", "blur": 0.1, "max_steps": 3, "tol": 1e-3, "reach": reach}

    def average(constant, *clouds):
        cost = costs.Labels(matrix + constant)
        return so.barycenter([*clouds[:2]], support=clouds[2], cost=cost, **how)

    exact = average(1e5, y.double(), z.double(), x.double())
    found = average(1e5, y, z, x)
    assert found.weights.dtype == torch.float32
    assert found.value == pytest.approx(exact.value, rel=1e-5)
    torch.testing.assert_close(found.weights.double(), exact.weights, rtol=0, atol=1e-5)
    if reach is None:  # it changes no plan
        assert average(0.0, y, z, x).value == pytest.approx(exact.value, rel=1e-4)


def test_points_that_have_no_direction():
    """They may be there without weight."""
    y, x = on_the_sphere(6, 0), on_the_sphere(4, 1)
    b = torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0, 0.0]).double()
    y[4:] = 0
    how = {"support": x, "blur": 0.3, "cost": costs.Cosine()}
    found = so.barycenter([y], masses=[b], **how)
    torch.testing.assert_close(found.points, so.barycenter([y[:4]], **how).points)
    with pytest.raises(ValueError, match="item 0 of clouds: got a zero vector"):
        so.barycenter([y], **how)


@pytest.mark.parametrize("free", ["points", "both"])
def test_classes_do_not_move(free):
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).double()
    with pytest.raises(ValueError, match="cost: got Labels, whose points have no way back"):
        so.barycenter([x], support=x, free=free, blur=1, cost=costs.Labels([[0.0, 1], [1, 0]]))


def test_refusals():
    x = torch.rand(4, 2).double()
    uneven = costs.Labels([[0.0, 1.0], [2.0, 0.0]])
    with pytest.raises(ValueError, match="cost: got .*a symmetric one"):
        so.barycenter([x], support=x, free="weights", blur=1, cost=uneven)
    with pytest.raises(ValueError, match="p: got 3"):
        so.barycenter([x], support=x, blur=1, p=3)
    with pytest.raises(ValueError, match="item 0 of clouds: got points of dimension 2"):
        so.barycenter([x], support=x, blur=1, cost=costs.Scaled([1.0, 2.0, 3.0]))


def one_way(x, y):
    """Moving to the left is free."""
    return (x[..., :, None, 0] - y[..., None, :, 0]).relu()


def test_a_debiased_average_wants_a_symmetric_cost():
    clouds = [torch.rand(20, 2), torch.rand(20, 2) + 1]
    with pytest.raises(ValueError, match="symmetric"):
        so.barycenter(clouds, support=4, blur=0.3, cost=one_way)


def test_weights_for_a_cost_that_is_not_symmetric():
    """Scalings from a cloud back take its transpose: the objective is at its minimum."""

    def cost(x, y):
        gap = x[..., :, None, :] - y[..., None, :, :]
        return gap.square().sum(-1) / 2 + gap[..., 0].relu() / 2

    torch.manual_seed(0)
    clouds = [torch.rand(15, 2).double(), torch.rand(10, 2).double() + 0.3]
    support = torch.rand(12, 2).double() * 1.3
    how = {"support": support, "blur": 0.3, "cost": cost, "debias": False, "free": "weights"}
    found = so.barycenter(clouds, tol=1e-4, **how)
    assert found.converged

    def objective(a):
        options = {"blur": 0.3, "cost": cost, "debias": False, "tol": 1e-9}
        return sum(so.sinkhorn_divergence(support, y, a, **options) for y in clouds) / 2

    least = objective(found.weights)
    torch.testing.assert_close(found.value, float(least), rtol=1e-5, atol=0.0)
    for k in range(12):
        a = 0.99 * found.weights
        a[k] += 0.01
        assert objective(a) > least - 1e-9


def test_opposite_directions_have_an_average():
    """The mean of their means is zero, which has no direction."""
    clouds = [torch.tensor([[1.0, 0, 0]]), torch.tensor([[-1.0, 0, 0]])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # any place between them is as good
        found = so.barycenter(clouds, support=1, blur=0.2, cost=so.costs.Cosine())
    assert abs(float(found.points.norm()) - 1) < 1e-6
