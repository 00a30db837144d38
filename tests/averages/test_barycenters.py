"""Averages of clouds: closed forms, symmetries, and an objective that falls."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize_scalar

import sparseot as so
from tests.references.clouds import cloud
from tests.references.exact import diracs_unbalanced

V = torch.tensor([[3.0, 0.0], [-1.0, 2.0], [0.0, -4.0]]).double()
W = torch.tensor([0.5, 0.3, 0.2]).double()


def objective(found, clouds, weights, blur, masses=None, **options):
    """The weighted sum of divergences, each by itself."""
    masses = masses or [None] * len(clouds)
    options = {"blur": blur, "tol": 1e-8, **options}
    values = [
        so.sinkhorn_divergence(found.points, y, found.weights, b, **options)
        for y, b in zip(clouds, masses, strict=True)
    ]
    return sum(float(w * value) for w, value in zip(weights, values, strict=True))


def falls(found):
    values = [step.value for step in found.report]
    assert all(after < before for before, after in zip(values[:-1], values[1:], strict=True))
    assert found.value == values[-1]


@pytest.mark.parametrize("own_start", [True, False])
def test_translates(own_start):
    """A divergence to a translate is one to the cloud between them, and the spread of the translations."""
    x, _ = cloud(40, 2)
    support = x.flip(0) * 0.5 if own_start else 40
    found = so.barycenter([x + v for v in V], W, support=support, blur=0.1)
    spread = float(W @ (V - W @ V).square().sum(1)) / 2
    assert found.converged and found.value == pytest.approx(spread, rel=1e-5)
    falls(found)
    if not own_start:
        torch.testing.assert_close(found.points, x + W @ V)
        assert len(found.report) == 1


def test_translates_of_unequal_masses():
    """Masses 1 and 3, of which a large reach moves the geometric mean: each cloud pulls by what moves."""
    x, _ = cloud(10, 2)
    a = torch.full((10,), 0.1).double()
    shift = torch.tensor([0.4, -0.2]).double()
    options = {"masses": [a, 3 * a], "blur": 0.3, "reach": 8.0}
    found = so.barycenter([x, x + shift], [0.75, 0.25], support=x - 0.1, tol=1e-3, **options)
    assert found.converged and float(found.weights.sum()) == pytest.approx(1.5)
    pull = [0.75 * math.sqrt(1.5), 0.25 * math.sqrt(4.5)]  # the mass that each plan moves
    mean = x.mean(0) + shift * pull[1] / sum(pull)
    torch.testing.assert_close(found.points.mean(0), mean, atol=5e-3, rtol=0)


def test_of_one_cloud_it_is_that_cloud():
    (y, _), (x, _) = cloud(30, 2), cloud(30, 2, shift=0.5)
    start = float(so.sinkhorn_divergence(x, y, blur=0.1))
    found = so.barycenter([y], support=x, blur=0.1, tol=1e-3)
    assert found.converged and abs(found.value) < 1e-4 * start
    torch.testing.assert_close(found.points.mean(0), y.mean(0), atol=1e-3, rtol=0)


def gaussian(n, mean, deviation):
    """Quantiles of a Gaussian law on the line."""
    middles = (torch.arange(n).double() + 0.5) / n
    return mean + deviation * math.sqrt(2) * torch.erfinv(2 * middles - 1)[:, None]


def deviation_between(deviations, weights, eps, debias):
    r"""Of the average of Gaussians, by the derivative of Janati, Muzellec, Peyré and Cuturi, 2020, theorem 1.

    Debiased, :math:`\sum_k w_k \sqrt{4 s^2 t_k^2 + \varepsilon^2} = \sqrt{4 s^4 + \varepsilon^2}`; with entropic
    costs the right-hand side is :math:`2 s^2 + \varepsilon`.
    """

    def defect(s):
        left = sum(w * math.hypot(2 * s * t, eps) for w, t in zip(weights, deviations, strict=True))
        return left - (math.hypot(2 * s**2, eps) if debias else 2 * s**2 + eps)

    return brentq(defect, 1e-3, 10 * max(deviations))


@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize("blur", [0.1, 0.6])
def test_gaussians(blur, debias):
    clouds = [gaussian(200, -1.0, 0.4), gaussian(250, 2.0, 1.2)]
    weights, deviations = [0.6, 0.4], [float(y.std(unbiased=False)) for y in clouds]
    found = so.barycenter(clouds, weights, support=220, blur=blur, debias=debias, tol=1e-3)
    between = deviation_between(deviations, weights, blur**2, debias)
    assert found.converged and float(found.points.mean()) == pytest.approx(0.2, abs=1e-3)
    assert float(found.points.std(unbiased=False)) == pytest.approx(between, rel=3e-3)
    falls(found)


@pytest.mark.parametrize("debias", [True, False])
def test_gaussians_in_the_plane(debias):
    """Of covariances with common axes, each axis is as on the line; the axes are turned."""
    turn, blur, weights = torch.tensor([[0.6, 0.8], [-0.8, 0.6]]).double(), 0.4, [0.6, 0.4]
    axes = [[gaussian(14, 0.0, t) for t in pair] for pair in ((0.5, 1.2), (1.0, 0.8))]
    clouds = [torch.cartesian_prod(*(t[:, 0] for t in pair)) @ turn for pair in axes]
    options = {"blur": blur, "debias": debias, "tol": 1e-2}
    found = so.barycenter(clouds, weights, support=clouds[1] + 0.3, **options)
    points = found.points @ turn.T
    assert found.converged and float(points.mean(0).abs().max()) < 1e-2
    covariance = torch.cov(points.T, correction=0)
    for k in range(2):
        deviations = [float(pair[k].std(unbiased=False)) for pair in axes]
        between = deviation_between(deviations, weights, blur**2, debias)
        assert float(covariance[k, k]) == pytest.approx(between**2, rel=2e-2)
    assert abs(float(covariance[0, 1])) < 1e-2


def test_gaussians_on_a_grid():
    """Densities on fixed points."""
    grid = torch.linspace(-4, 5, 181).double()[:, None]
    laws, weights, blur = [(-1.0, 0.4), (1.5, 0.9)], [0.6, 0.4], 0.4
    masses = [torch.exp(-((grid[:, 0] - m) ** 2) / (2 * s**2)) for m, s in laws]
    masses = [mass / mass.sum() for mass in masses]
    found = so.barycenter(
        [grid, grid], weights, masses=masses, support=grid, free="weights", blur=blur
    )
    mean = float(found.weights @ grid[:, 0])
    spread = float(found.weights @ (grid[:, 0] - mean) ** 2) ** 0.5
    between = deviation_between([0.4, 0.9], weights, blur**2, True)
    assert found.converged and mean == pytest.approx(0.0, abs=1e-2)
    assert spread == pytest.approx(between, rel=1e-2)
    assert torch.equal(found.points, grid)
    falls(found)


def test_weights_of_one_minimum():
    """In weights the problem is convex: where it starts does not matter."""
    (y, b), (z, c), (x, a) = cloud(20, 2), cloud(25, 2, shift=0.3), cloud(30, 2)
    common = {"masses": [b, c], "support": x, "free": "weights", "blur": 0.2}
    one = so.barycenter([y, z], **common)
    other = so.barycenter([y, z], support_weights=a, **common)
    assert one.converged and other.converged
    assert one.value == pytest.approx(other.value, rel=1e-3)
    assert float(one.weights.sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("free", "reach", "debias"),
    [
        ("points", None, True),
        ("points", None, False),
        ("points", 0.5, True),
        ("weights", None, True),
        ("weights", None, False),
        ("weights", 0.5, True),
    ],
)
def test_value_and_slope(free, reach, debias):
    """The value is the weighted sum of divergences, and nothing nearby is lower."""
    (y, b), (z, c), (x, a) = cloud(20, 2), cloud(25, 2, shift=0.3), cloud(15, 2)
    c = c if reach is None else 2 * c
    options = {"blur": 0.3, "reach": reach, "debias": debias}
    found = so.barycenter([y, z], [1, 3], masses=[b, c], support=x, free=free, tol=5e-3, **options)
    falls(found)
    value = objective(found, [y, z], [0.25, 0.75], masses=[b, c], **options)
    assert found.converged and found.value == pytest.approx(value, abs=1e-7)
    for seed in range(3):
        draw = torch.Generator().manual_seed(seed)
        shift, tilt = (torch.randn(*t.shape, generator=draw).double() for t in (x, a))
        points = found.points + (0.02 * shift if free != "weights" else 0)
        weights = found.weights * ((0.1 * tilt).exp() if free != "points" else 1)
        weights = weights if reach else weights / weights.sum()
        near = so.Barycenter(points, weights, 0.0, True, 0.1, found.report, ())
        assert objective(near, [y, z], [0.25, 0.75], masses=[b, c], **options) > value - 1e-7


def test_masses_of_points_that_stay():
    """Of one place, with two masses: the mass between them, in closed form."""
    place = torch.zeros(1, 2).double()
    masses, weights, blur, reach = (
        [torch.tensor([m]).double() for m in (1.0, 3.0)],
        [0.7, 0.3],
        0.4,
        0.8,
    )
    eps, rho = blur**2, reach**2

    def cost(m, n):
        return diracs_unbalanced(0.0, eps, rho, m, n)

    def total(m):
        parts = [
            cost(m, n) - cost(m, m) / 2 - cost(n, n) / 2 + eps / 2 * (m - n) ** 2
            for n in (1.0, 3.0)
        ]
        return sum(w * part for w, part in zip(weights, parts, strict=True))

    best = minimize_scalar(total, bounds=(0.5, 4), method="bounded", options={"xatol": 1e-9})
    found = so.barycenter(
        [place, place],
        weights,
        masses=masses,
        support=place,
        free="weights",
        blur=blur,
        reach=reach,
        tol=1e-5,
    )
    assert float(found.weights) == pytest.approx(best.x, rel=1e-4)
    assert found.value == pytest.approx(best.fun, rel=1e-6)


def test_equivariance():
    (y, b), (z, c), (x, _) = cloud(20, 2), cloud(25, 2, shift=0.3), cloud(15, 2)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]]).double()

    def moved(t):
        return 3 * t @ turn.T + torch.tensor([1.0, -2.0])

    def average(clouds, support, blur):
        return so.barycenter(clouds, [1, 2], masses=[b, c], support=support, blur=blur)

    plain, other = average([y, z], x, 0.2), average([moved(y), moved(z)], moved(x), 0.6)
    torch.testing.assert_close(other.points, moved(plain.points), rtol=1e-3, atol=1e-3)
    assert other.value == pytest.approx(9 * plain.value, rel=1e-5)


def test_order_and_shares():
    (y, b), (z, c), (x, _) = cloud(20, 2), cloud(25, 2, shift=0.3), cloud(15, 2)
    common = {"support": x, "blur": 0.2}
    one = so.barycenter([y, z], [1, 2], masses=[b, c], **common)
    other = so.barycenter([z, y], [4, 2], masses=[c, b], **common)
    torch.testing.assert_close(one.points, other.points, rtol=1e-3, atol=1e-3)
    first = so.barycenter([y, z], [1, 0], masses=[b, c], **common)
    alone = so.barycenter([y], masses=[b], **common)
    assert torch.equal(first.points, alone.points) and len(first.transports) == 1


def test_points_without_weight():
    """Those of clouds do nothing, those of the support stay."""
    (y, b), (z, c), (x, a) = cloud(20, 2), cloud(25, 2, zero=3), cloud(15, 2, zero=4)
    common = {"support": x, "support_weights": a, "blur": 0.2}
    found = so.barycenter([y, z], masses=[b, c], **common)
    keep = c > 0
    less = so.barycenter([y, z[keep]], masses=[b, c[keep]], **common)
    torch.testing.assert_close(found.points, less.points, rtol=1e-3, atol=1e-3)
    assert torch.equal(found.points[4], x[4]) and found.weights[4] == 0


def test_forms_of_clouds():
    x = torch.rand(3, 12, 2).double()
    common = {"support": 10, "blur": 0.3, "tol": 0.1}
    plain = so.barycenter(list(x), **common)
    nested = torch.nested.nested_tensor(list(x), layout=torch.jagged)
    labels = torch.arange(3).repeat_interleave(12)
    for given, batch in ((x, None), (tuple(x), None), (nested, None), (x.flatten(0, 1), labels)):
        same = so.barycenter(given, batch=batch, **common)
        assert torch.equal(same.points, plain.points)
    arrays = so.barycenter([y.numpy() for y in x], **common)
    assert isinstance(arrays.points, np.ndarray) and isinstance(arrays.weights, np.ndarray)
    np.testing.assert_array_equal(arrays.points, plain.points.numpy())
    lists = so.barycenter(x.tolist(), [1, 1, 1], masses=[[1 / 12] * 12] * 3, **common)
    np.testing.assert_allclose(lists.points, plain.points.numpy(), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_single_precision(dtype):
    x = [torch.rand(20, 3), torch.rand(25, 3) + 0.5]
    found = so.barycenter([y.to(dtype) for y in x], support=15, blur=0.2)
    assert found.points.dtype == found.weights.dtype == torch.float32 and found.converged
    wide = so.Barycenter(found.points.double(), None, 0.0, True, 0.1, found.report, ())
    exact = objective(wide, [y.to(dtype).double() for y in x], [0.5, 0.5], 0.2)
    assert found.value == pytest.approx(exact, rel=1e-5)


def test_more_points_than_the_clouds_have():
    x = torch.zeros(1, 2).double()
    y = torch.tensor([[0.0, 0.0], [4.0, 0.0]]).double()
    found = so.barycenter([x, y], support=6, blur=0.5)
    assert found.converged and len(found.points.unique(dim=0)) == 6
    torch.testing.assert_close(
        found.points.mean(0), torch.tensor([1.0, 0.0]).double(), atol=1e-3, rtol=0
    )


def test_solves_start_from_the_last_ones():
    (y, _), (z, _), (x, _) = cloud(300, 2), cloud(300, 2, shift=0.3), cloud(300, 2)
    found = so.barycenter([y, z], support=x, blur=0.05, tol=0.1)
    first, *others = np.diff([0, *(step.sweeps for step in found.report)])
    assert found.converged and max(others[1:]) < first


def test_what_is_interrupted_is_a_warning():
    (y, _), (z, _), (x, _) = cloud(20, 2), cloud(25, 2, shift=0.3), cloud(15, 2)
    seen = []

    def stop(value, error, tol):
        seen.append((value, error))
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.warns(RuntimeWarning, match="interrupted.*converged=False"):
        found = so.barycenter([y, z], support=x, blur=0.1, tol=1e-6, progress=stop)
    assert not found.converged and len(found.report) == 3 and "NOT CONVERGED" in repr(found)
    assert [(step.value, step.error) for step in found.report] == seen
    with pytest.warns(RuntimeWarning, match="after 2 steps.*converged=False"):
        found = so.barycenter([y, z], support=x, blur=0.1, tol=1e-6, max_steps=2)
    assert len(found.report) == 3


def test_weights_are_interrupted_too():
    (y, b), (x, _) = cloud(20, 2), cloud(15, 2)
    shown = []

    def stop(value, error, tol):
        shown.append(value)
        raise KeyboardInterrupt

    with pytest.warns(RuntimeWarning, match="interrupted"):
        found = so.barycenter([y], masses=[b], support=x, free="weights", blur=0.1, progress=stop)
    assert len(found.report) == len(shown) == 1 and not found.converged


X, ONE = torch.rand(5, 2).double(), torch.full((5,), 0.2).double()
REFUSED = {
    "nothing": (lambda: so.barycenter([], support=3, blur=1), ValueError, "clouds: got an empty list"),
    "one cloud": (lambda: so.barycenter(X, support=3, blur=1), ValueError, "clouds: got shape .5, 2., wanted several"),
    "dimensions": (lambda: _average([X, X[:, :1]]), ValueError, "item 1 of clouds: got dimension 1"),
    "whole numbers": (lambda: _average([X.long()]), TypeError, "clouds: got dtype torch.int64"),
    "an empty cloud": (lambda: _average([X, X[:0]]), ValueError, "item 1 of clouds: got an empty cloud"),
    "shares": (lambda: _average([X, X], [1, 2, 3]), ValueError, r"weights: got shape \(3,\), wanted \(2,\)"),
    "negative shares": (lambda: _average([X, X], [1, -1]), ValueError, r"weights: got \[1.0, -1.0\]"),
    "no shares": (lambda: _average([X, X], [0, 0]), ValueError, "weights: got .*one above"),
    "masses": (lambda: _average([X, X], masses=[ONE, 2 * ONE]), ValueError, "masses: got totals from 1 to 2.*reach"),
    "negative masses": (lambda: _average([X, X], masses=[ONE, -ONE]), ValueError, "item 1 of masses: got a negative"),
    "no mass": (lambda: _average([X], masses=[0 * ONE]), ValueError, "item 0 of masses: got weights that are all zero"),
    "precisions": (lambda: _average([X], masses=[ONE.float()]), TypeError, "masses: got dtype torch.float32"),
    "arrays": (lambda: _average([X], masses=[ONE.numpy()]), TypeError, "masses: got an array, wanted a torch tensor"),
    "dimension of the support": (lambda: _average([X], support=torch.rand(4, 3).double()), ValueError, r"support: got shape \(4, 3\), wanted \(n, 2\)"),
    "no support": (lambda: _average([X], support=0), ValueError, "support: got 0"),
    "half a point": (lambda: _average([X], support=2.5), TypeError, "support: got 2.5"),
    "an infinite support": (lambda: _average([X], support=X / 0), ValueError, "support: got NaN or infinite"),
    "weights of the support": (lambda: _average([X], support_weights=ONE), ValueError, r"support_weights: got shape \(5,\)"),
    "mass of the support": (lambda: _average([X], support=5, support_weights=2 * ONE), ValueError, "support_weights: got a mass of 2, wanted 1"),
    "negative weights of it": (lambda: _average([X], support=5, support_weights=-ONE), ValueError, "support_weights: got negative"),
    "what is free": (lambda: _average([X], free="all"), ValueError, "free: got 'all'"),
    "a pair of reaches": (lambda: _average([X], reach=(1.0, 2.0)), TypeError, "reach: got"),
    "blur": (lambda: _average([X], blur=0), ValueError, "blur: got 0"),
    "steps": (lambda: _average([X], max_steps=0), ValueError, "max_steps: got 0"),
    "a solver": (lambda: _average([X], solver=3), TypeError, "solver: got int"),
}  # fmt: skip


def _average(clouds, weights=None, support=3, blur=0.5, **options):
    return so.barycenter(clouds, weights, support=support, blur=blur, **options)


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input(case):
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call()
