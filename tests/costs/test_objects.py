"""Cost objects: their matrices, digits near and far, what they learn, and what they refuse."""

import copy
import math

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot import costs
from sparseot.formulas.trees.tracing import traced
from sparseot.operators.autograd.over_ranks import _said

from .objects import AXES, CLASSES, COSTS, clouds


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("name", COSTS)
def test_matrices(name, p):
    make, reference = COSTS[name]
    x, y, *_ = clouds(name, batch=(2,))
    found = make()(x, y, p)
    for k in range(2):
        torch.testing.assert_close(found[k], reference(x[k], y[k], p), rtol=1e-11, atol=1e-13)
        assert torch.equal(make()(x[k], y[k], p), found[k])
    single = make()(x.float(), y.float(), p)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["Geodesic", "Labels", "Power(1.5)"])
def test_functions_are_traced(name):
    """They become loops, and have second derivatives."""
    cost, x, y = COSTS[name][0](), *clouds(name, batch=(1,))[:2]
    for p in (1, 2):
        assert traced(cost.formula(p).function, cost.prepare(x), cost.prepare(y)).dim == 1


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 1.0, math.pi / 2, 3.0, math.pi - 1e-5, math.pi - 1e-9, math.pi])  # fmt: skip
def test_angles_have_their_digits_everywhere(angle):
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    rest = math.pi - angle  # its sine and cosine have the digits that those of the angle lose
    y = torch.tensor([[-math.cos(rest), math.sin(rest)]], dtype=torch.float64)
    if angle < 1:
        y = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    cost = costs.Geodesic()
    assert float(cost(x, y, 1)) == pytest.approx(angle, rel=1e-14, abs=1e-300)
    assert math.pi - float(cost(x, y, 1)) == pytest.approx(rest, rel=1e-14, abs=1e-15)
    assert float(cost(x, y, 2)) == pytest.approx(angle**2 / 2, rel=1e-14, abs=1e-300)
    assert float(cost(x.float(), y.float(), 1)) == pytest.approx(angle, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("name", [n for n in COSTS if n != "Labels"])
def test_derivatives(name, p):
    x, y, *_ = clouds(name, 4, 3, grad=True)
    cost = COSTS[name][0]()
    function = lambda x, y: cost(x, y, p)  # noqa: E731
    assert torch.autograd.gradcheck(function, (x, y))
    assert torch.autograd.gradgradcheck(function, (x, y))


def test_equal_and_opposite_points():
    """Derivatives are numbers everywhere; those of squared angles are those of a sphere where points meet."""
    x = torch.nn.functional.normalize(torch.randn(4, 3).double(), dim=-1)
    for make in (costs.Geodesic, lambda: costs.Power(1.3), lambda: costs.Features(1.0)):
        cost = make()
        for p in (1, 2):
            z = torch.cat((x, -x)).requires_grad_()
            (gradient,) = torch.autograd.grad(cost(z, x, p).sum(), z)
            assert gradient.isfinite().all()
    way = torch.autograd.functional.hessian(
        lambda z: costs.Geodesic()(z[None], x[:1])[0, 0], x[0].clone()
    )
    torch.testing.assert_close(way, torch.eye(3).double() - torch.outer(x[0], x[0]))


LEARNT = {
    "Scaled": (costs.Scaled, torch.tensor([0.5, 1.5, 1.0]).double()),
    "Scaled by one": (costs.Scaled, torch.tensor(0.8).double()),
    "Mahalanobis": (lambda A: costs.Mahalanobis(A @ A.mT), AXES),
    "diagonal": (costs.Mahalanobis, torch.tensor([0.5, 1.5, 1.0]).double()),
    "Features": (costs.Features, torch.tensor(0.7).double()),
    "Labels": (costs.Labels, CLASSES + 0.1),
}


@pytest.mark.parametrize("name", LEARNT)
def test_what_they_learn(name):
    make, start = LEARNT[name]
    x, y, *_ = clouds(name, 4, 3)
    numbers = start.clone().requires_grad_()
    for p in (1, 2):
        function = lambda t, p=p: make(t)(x, y, p)  # noqa: E731
        assert torch.autograd.gradcheck(function, (numbers,))
        assert torch.autograd.gradgradcheck(function, (numbers,))


def test_they_are_modules():
    """Optimisers find what they learn, also inside of a loss."""
    scales = torch.nn.Parameter(torch.ones(3))
    loss = so.SamplesLoss(cost=costs.Scaled(scales), tol=1e-4, blur=0.3)
    assert [p is scales for p in loss.parameters()] == [True]
    loss(torch.rand(8, 3), torch.rand(9, 3)).backward()
    assert scales.grad.abs().sum() > 0
    assert repr(loss.cost) == "Scaled(1, 1, 1)"


NAN, X = math.nan, torch.rand(5, 3).double()
BAD = {
    "scales: got -1, wanted positive": lambda: costs.Scaled([1.0, -1.0, 1.0])(X, X),
    "scales: got NaN": lambda: costs.Scaled([1.0, NAN, 1.0]),
    r"x: got points of dimension 3, wanted 2 coordinates, as scales has": lambda: costs.Scaled([1, 2])(X, X),
    "scales: got str, wanted numbers": lambda: costs.Scaled("two"),
    r"matrix: got shape \(3, 2\)": lambda: costs.Mahalanobis(torch.rand(3, 2)),
    "matrix: got one that is not symmetric": lambda: costs.Mahalanobis([[1.0, 0.5], [0.0, 1.0]]),
    "one with the eigenvalue -1, wanted a positive definite": lambda: costs.Mahalanobis(
        np.diag([1.0, 2.0, -1.0])
    )(X, X),
    "weight: got 0, wanted positive": lambda: costs.Features(0.0)(X, X),
    "size: got '1', wanted an integer": lambda: costs.Features(1.0, "1"),
    "the last 3 of them features, wanted a place": lambda: costs.Features(1.0, 3)(X, X),
    r"matrix: got shape \(2, 3\), wanted \(K, K\)": lambda: costs.Labels(torch.rand(2, 3)),
    "matrix: got the cost -1": lambda: costs.Labels([[0.0, -1.0], [1.0, 0.0]]),
    "x: got the class 0.5, its last coordinate, wanted whole numbers from 0 to 2": lambda: costs.Labels(
        CLASSES
    )(X[:, :2] * 0 + 0.5, X[:, :2]),
    "y: got the class 3, ": lambda: costs.Labels(CLASSES)(
        torch.zeros(1, 2), torch.tensor([[0.0, 3.0]])
    ),
    "x: got points of one coordinate": lambda: costs.Labels(CLASSES)(X[:, :1], X[:, :1]),
    r"x: got a zero vector, x\[1\], wanted vectors": lambda: costs.Cosine()(X[:2] * torch.tensor([[1.0], [0.0]]), X),
    "q: got 2.5, wanted an exponent from 1 to 2": lambda: costs.Power(2.5),
    "q: got 0, wanted a positive": lambda: costs.Power(0),
    r"y: got points of dimension 2, .* wanted dimension 3": lambda: costs.Cosine()(X, X[:, :2]),
    r"y: got shape \(1, 5, 3\), wanted": lambda: costs.Scaled(1.0)(X, X[None]),
    r"x: got .*shape \(1, 1, 5, 3\)": lambda: costs.Geodesic()(X[None, None], X[None, None]),
    "y: got an array, wanted a torch tensor": lambda: costs.Power(1.5)(X, X.numpy()),
    "arrays, beside a kernel or a cost": lambda: costs.Scaled(torch.ones(3).requires_grad_())(X.numpy(), X.numpy()),
}  # fmt: skip


@pytest.mark.parametrize("said", BAD)
def test_refusals(said):
    with pytest.raises((ValueError, TypeError), match=said):
        BAD[said]()


@pytest.mark.parametrize("p", [3, 0, "2", None])
@pytest.mark.parametrize("name", COSTS)
def test_p_is_checked_by_all(name, p):
    x, y, *_ = clouds(name)
    for call in (
        COSTS[name][0](),
        lambda x, y, p: so.solve_sample(x, y, p=p, blur=0.3, cost=COSTS[name][0]()),
    ):
        with pytest.raises(ValueError, match=f"p: got {p!r}, wanted 1 or 2"):
            call(x, y, p=p)


def test_matrices_of_arrays_are_arrays():
    x, y, *_ = clouds("Cosine")
    found = costs.Geodesic()(x.numpy(), y.numpy(), 1)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, costs.Geodesic()(x, y, 1).numpy())


def test_arrays_are_copied():
    given = np.array([1.0, 2.0])
    cost = costs.Scaled(given)
    given[:] = -1
    assert cost.scales.tolist() == [1.0, 2.0]


def test_factors_have_the_digits_of_double_precision():
    """Of matrices whose least eigenvalue single precision does not see."""
    near = torch.tensor([[1.0, 1 - 1e-9], [1 - 1e-9, 1.0]], dtype=torch.float64)
    x, y = torch.rand(6, 2).double(), torch.rand(5, 2).double()
    wanted = costs.Mahalanobis(near)(x, y)
    found = costs.Mahalanobis(near)(x.float(), y.float())
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)


def test_ranks_compare_numbers():
    """Those of costs that read alike: digits that are not shown, and classes of one shape."""
    one, other = costs.Scaled([1.0, 2.0]), costs.Scaled([1.0, 2.000001])
    assert repr(one) == repr(other)
    pairs = [
        (one, other),
        (costs.Labels(CLASSES), costs.Labels(2 * CLASSES)),
        (costs.Power(1.5), costs.Power(1.500001)),
    ]
    for one, other in pairs:
        said = [_said({"cost": cost}) for cost in (one, other, copy.deepcopy(one))]
        assert said[0] != said[1] and said[0] == said[2]
