"""GeomLoss 0.3.1, item by item: its numbers where they are right, both numbers where not."""

import os
import warnings

import pytest
import torch

import sparseot as so
from tests.references.clouds import cloud

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    if os.environ.get("CI") == "true":
        import geomloss  # a peer that is missing in CI is a failure
    else:
        geomloss = pytest.importorskip("geomloss")

SIZES = [(1, 30, 40), (2, 50, 50), (3, 60, 20), (5, 25, 30), (10, 40, 35)]


def results(make, clouds, **options):
    """Value and gradients in x, y, a and b, as float64."""
    x, a, y, b = (t.detach().clone().requires_grad_() for t in clouds)
    value = make(**options)(a, x, b, y)
    gradients = torch.autograd.grad(value.sum(), (x, y, a, b))
    return [t.double() for t in (value, *gradients)]


def assert_same(found, wanted, tolerance):
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours - theirs).norm() <= tolerance * theirs.norm()


@pytest.mark.parametrize("blur", [0.02, 0.1, 0.5, 20.0])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize("scaling", [0.5, 0.8])
def test_sinkhorn_values_and_gradients(size, blur, debias, scaling):
    """p = 2, balanced, float64: equal to 1e-10 in every output."""
    d, n, m = size
    clouds = (*cloud(n, d), *cloud(m, d, shift=0.3))
    options = {"p": 2, "blur": blur, "debias": debias, "scaling": scaling}
    theirs = results(geomloss.SamplesLoss, clouds, backend="tensorized", **options)
    assert_same(results(so.SamplesLoss, clouds, **options), theirs, 1e-10)


@pytest.mark.parametrize("loss", ["sinkhorn", "gaussian"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_single_precision(loss, size):
    """Ours in float32 equals theirs in float64 to 1e-5, values and gradients."""
    d, n, m = size
    clouds = (*cloud(n, d), *cloud(m, d, shift=0.3))
    options = {"loss": loss, "blur": 0.1 if loss == "sinkhorn" else 0.5}
    exact = results(geomloss.SamplesLoss, clouds, backend="tensorized", **options)
    single = [t.float() for t in clouds]
    assert_same(results(so.SamplesLoss, single, **options), exact, 1e-5)


@pytest.mark.parametrize("blur", [0.3, 0.5, 2.0])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gaussian_norms(size, blur):
    d, n, m = size
    clouds = (*cloud(n, d), *cloud(m, d, shift=0.3))
    options = {"loss": "gaussian", "blur": blur}
    theirs = results(geomloss.SamplesLoss, clouds, backend="tensorized", **options)
    assert_same(results(so.SamplesLoss, clouds, **options), theirs, 1e-10)


@pytest.mark.parametrize("loss", ["sinkhorn", "gaussian"])
@pytest.mark.parametrize("debias", [True, False])
def test_potentials(loss, debias):
    clouds = (*cloud(30, 3), *cloud(40, 3, shift=0.2))
    x, a, y, b = clouds
    options = {"loss": loss, "blur": 0.2, "potentials": True}
    options |= {"debias": debias} if loss == "sinkhorn" else {}
    ours = so.SamplesLoss(**options)(a, x, b, y)
    theirs = geomloss.SamplesLoss(backend="tensorized", **options)(a, x, b, y)
    assert_same(ours, [t.view(-1) for t in theirs], 1e-10)


@pytest.mark.parametrize("options", [{"cost": True}, {"kernel": True, "loss": "gaussian"}], ids=str)
def test_callables(options):
    """A cost or a kernel of one's own, with GeomLoss's signatures."""

    def cost(x, y):
        return (x[:, :, None] - y[:, None]).abs().pow(1.5).sum(-1)

    def kernel(x, y, blur=0.05, use_keops=False, ranges=None):
        return 1 / (1 + (x[:, :, None] - y[:, None]).square().sum(-1) / blur**2)

    given = {"cost": cost, "kernel": kernel}
    options = {key: given.get(key, value) for key, value in options.items()} | {"blur": 0.3}
    clouds = (*cloud(20, 2), *cloud(25, 2, shift=0.2))
    theirs = results(geomloss.SamplesLoss, clouds, backend="tensorized", **options)
    assert_same(results(so.SamplesLoss, clouds, **options), theirs, 1e-10)


def distance(x, y):
    """The distance without GeomLoss's floor, and with derivative zero at zero."""
    squares = (x[:, :, None] - y[:, None]).square().sum(-1)
    return torch.where(squares > 0, squares, 1).sqrt() * (squares > 0)


DISTANCES = {
    "sinkhorn": ({"p": 1}, {"cost": distance}),
    "energy": ({}, {"kernel": lambda x, y, **_: -distance(x, y)}),
    "laplacian": ({"blur": 0.3}, {"kernel": lambda x, y, **_: (-distance(x, y) / 0.3).exp()}),
}


@pytest.mark.parametrize("loss", DISTANCES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_losses_of_distances(loss, size):
    """p = 1, energy and Laplacian: GeomLoss's numbers once its distances have no floor."""
    d, n, m = size
    clouds = (*cloud(n, d), *cloud(m, d, shift=0.3))
    options, exact = DISTANCES[loss]
    theirs = results(
        geomloss.SamplesLoss, clouds, loss=loss, backend="tensorized", **options, **exact
    )
    assert_same(results(so.SamplesLoss, clouds, loss=loss, **options), theirs, 1e-10)


@pytest.mark.slow
def test_online_and_formula_strings(needs_compiler):
    """The online backend has no floor (it rounds temperatures to float32); strings go to KeOps."""
    clouds = (*cloud(30, 2), *cloud(40, 2, shift=0.2))
    for loss, (options, _) in DISTANCES.items():
        theirs = results(geomloss.SamplesLoss, clouds, loss=loss, backend="online", **options)
        assert_same(results(so.SamplesLoss, clouds, loss=loss, **options), theirs, 1e-8)
    options = {"cost": "SqDist(X,Y) / IntCst(2)", "blur": 0.1}
    theirs = results(geomloss.SamplesLoss, clouds, blur=0.1, backend="tensorized")
    assert_same(results(so.SamplesLoss, clouds, **options), theirs, 1e-10)


UNBALANCED = [(True, (1.0, 1.0)), (True, (2.0, 0.7)), (True, (0.1, 10.0)), (False, (1.0, 1.0))]


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("debias", "masses"), UNBALANCED)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_unbalanced_values_and_potentials(size, debias, masses, p):
    """GeomLoss's divergences are right, its costs at unit mass, its potentials always."""
    d, n, m = size
    (x, a), (y, b) = cloud(n, d), cloud(m, d, shift=0.3)
    a, b = masses[0] * a, masses[1] * b
    options = {"p": p, "blur": 0.2, "reach": 0.4, "debias": debias}
    exact = options | ({"cost": distance} if p == 1 else {}) | {"backend": "tensorized"}
    value = so.SamplesLoss(**options)(a, x, b, y)
    torch.testing.assert_close(
        value, geomloss.SamplesLoss(**exact)(a, x, b, y), rtol=1e-10, atol=1e-12
    )
    ours = so.SamplesLoss(potentials=True, **options)(a, x, b, y)
    theirs = geomloss.SamplesLoss(potentials=True, **exact)(a, x, b, y)
    assert_same(ours, [t.view(-1) for t in theirs], 1e-10)


class LearnedCost(torch.nn.Module):
    """Squared distances after a linear map that is to be learned."""

    def __init__(self):
        super().__init__()
        self.map = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)

    def forward(self, x, y):
        return (self.map(x)[:, :, None] - self.map(y)[:, None]).square().sum(-1)


@pytest.mark.parametrize("points_too", [True, False])
def test_learned_costs(points_too):
    """A cost may have parameters: they are found, and their gradient is half of GeomLoss's.

    GeomLoss's is twice the derivative of its value: tests/transport/test_costs.py.
    """
    (x, a), (y, b) = cloud(8, 2, grad=points_too), cloud(7, 2, shift=0.2)
    cost = LearnedCost()
    ours = so.SamplesLoss(cost=cost, blur=0.3)
    assert len(list(ours.parameters())) == 1
    theirs = geomloss.SamplesLoss(cost=cost, blur=0.3, backend="tensorized")
    one, two = (
        torch.autograd.grad(loss(a, x, b, y), cost.map.weight)[0] for loss in (ours, theirs)
    )
    torch.testing.assert_close(one, two / 2, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="parameters to learn, wanted a fixed cost"):
        so.SamplesLoss("hausdorff", cost=cost)(x, y)


def test_batches_equal_their_items():
    """Each item follows GeomLoss's schedule for that item alone."""
    x, a = cloud(12, 2, batch=(3,))
    y, b = cloud(9, 2, batch=(3,), shift=0.1)
    x, y = (t * torch.tensor([1.0, 0.1, 5.0]).double()[:, None, None] for t in (x, y))
    ours = so.SamplesLoss()(a, x, b, y)
    theirs = geomloss.SamplesLoss(backend="tensorized")
    items = torch.stack([theirs(*item) for item in zip(a, x, b, y, strict=True)])
    torch.testing.assert_close(ours, items, rtol=1e-10, atol=0)
    together = theirs(a, x, b, y)
    assert (together - items).abs().max() > 1e-6 * items.max()  # their widest item rules


# What is not matched: each test shows both numbers (documentation, "Coming from GeomLoss").


def test_deviation_unbalanced_gradients():
    """Theirs are too small by (rho + eps / 2) / (rho + eps), here 2 / 3 of what they should be."""
    (x, a), (y, b) = cloud(8, 2), cloud(7, 2, shift=0.2)
    options = {"blur": 0.5, "reach": 0.35355339059327373}  # eps = 1/4, rho = 1/8
    ours = results(so.SamplesLoss, (x, a, y, b), **options)
    theirs = results(geomloss.SamplesLoss, (x, a, y, b), backend="tensorized", **options)
    torch.testing.assert_close(ours[0], theirs[0])
    for right, wrong in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(wrong, right * 2 / 3)


def test_deviation_unbalanced_values_of_other_masses():
    """Theirs lacks eps * (m_a m_b - (m_a + m_b) / 2); at unit mass nothing."""
    (x, a), (y, b) = cloud(8, 2), cloud(7, 2, shift=0.2)
    options = {"blur": 0.5, "reach": 0.5, "debias": False}
    for ma, mb in ((1.0, 1.0), (2.0, 0.5), (2.0, 3.0)):
        ours = so.SamplesLoss(**options)(ma * a, x, mb * b, y)
        theirs = geomloss.SamplesLoss(backend="tensorized", **options)(ma * a, x, mb * b, y)
        missing = 0.25 * (ma * mb - (ma + mb) / 2)
        torch.testing.assert_close(ours, theirs + missing)


def test_deviation_balanced_values_of_other_masses():
    """Theirs lacks eps * (m^2 - m), and compares unequal masses without a word."""
    (x, a), (y, b) = cloud(8, 2), cloud(7, 2, shift=0.2)
    options = {"blur": 0.5, "debias": False}
    ours = so.SamplesLoss(**options)(3 * a, x, 3 * b, y)
    theirs = geomloss.SamplesLoss(backend="tensorized", **options)
    torch.testing.assert_close(ours, theirs(3 * a, x, 3 * b, y) + 0.25 * 6)
    assert theirs(a, x, 3 * b, y).isfinite()
    with pytest.raises(ValueError, match="equal masses"):
        so.SamplesLoss(**options)(a, x, 3 * b, y)


def test_deviation_floor_on_distances():
    """Theirs, tensorized, sees at least 1e-4 between equal points: the energy kernel's diagonal."""
    x = torch.zeros(5, 2).double()
    x[:, 0] = torch.arange(5) * 1e-5
    ours = so.SamplesLoss("energy")(x, x + 1e-5)
    theirs = geomloss.SamplesLoss("energy", backend="tensorized")(x, x + 1e-5)
    exact = so.kernel_norm(x, x + 1e-5, kernel=so.kernels.Energy(), engine="tiles")
    torch.testing.assert_close(ours, exact)
    assert ours > 1e-7 and theirs < ours / 10


def test_deviation_grad_mode():
    """Theirs switches gradients on behind the caller's back."""
    x, y = cloud(5, 2)[0], cloud(5, 2)[0]
    with torch.no_grad():
        so.SamplesLoss()(x, y)
        assert not torch.is_grad_enabled()
        geomloss.SamplesLoss(backend="tensorized")(x, y)
        assert torch.is_grad_enabled()
        torch.set_grad_enabled(False)


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_deviation_coincident_points():
    """Theirs fails where all points are one; the loss is zero there."""
    x = torch.ones(4, 2).double().requires_grad_()
    value = so.SamplesLoss()(x, x.detach())
    assert value == 0 and torch.autograd.grad(value, x)[0].abs().max() == 0
    with pytest.raises(ValueError, match="Maximum allowed size exceeded"):
        geomloss.SamplesLoss(backend="tensorized")(x, x.detach())


def test_deviation_shape_of_potentials():
    """Ours have the shape of the weights."""
    x, a = cloud(6, 2)
    f, g = so.SamplesLoss(potentials=True)(a, x, a, x)
    assert f.shape == g.shape == (6,)
    f, g = geomloss.SamplesLoss(potentials=True, backend="tensorized")(a, x, a, x)
    assert f.shape == g.shape == (1, 6)
