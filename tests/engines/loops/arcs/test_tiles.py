"""Kept pairs for powers of angles, compiled and in torch, against whole matrices in double precision."""

import math

import pytest
import torch

from sparseot.engines.choose import tile_loops
from sparseot.formulas.arcs import Arc, ArcKernel
from sparseot.formulas.radial import Term
from sparseot.transport.marginals import Balanced
from sparseot.transport.pruned.blocks.clouds import BlockCloud
from sparseot.transport.pruned.scales import scale_of
from sparseot.transport.pruned.softmins import PrunedSoftmins

ENGINES = ["numba", "tiles"]


def unit(t):
    return t / t.norm(dim=1, keepdim=True)


def angles(x, y):
    """By both chords, so that neither near nor opposite points lose digits."""
    return 2 * torch.atan2((x[:, None] - y).norm(dim=2), (x[:, None] + y).norm(dim=2))


def problem(engine, dim, dtype, p, blur=0.1, spread=1.0):
    """Some points of both clouds are equal, some opposite, some nearly so."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, dim, generator=generator).double() for n in (300, 200))
    x[:, 0], y[:, 0] = x[:, 0] + 1 / spread - 1, y[:, 0] + 1 / spread - 1
    x, y = unit(x), unit(y)
    y[:30], y[30:50] = x[:30], -x[30:50]
    y[50:70] = unit(1e-3 * y[50:70] - x[50:70])
    X, Y = (BlockCloud(t, t.new_full((len(t),), 1 / len(t))) for t in (x, y))
    softmins = PrunedSoftmins(X, Y, Arc(p), Balanced(), blur**p, 1e-3, dtype, engine)
    softmins.dtype = dtype
    cost = angles(X.points, Y.points) ** p / p
    f = X.points[:, 0] / 3
    g = (cost - f[:, None]).amin(0)
    softmins.build(f, g, 0.0)
    return softmins, f, g, cost


def entries(softmins, f, g, cost):
    return ((f[:, None] + g - cost) / softmins.eps).exp()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dim", [2, 3, 5])
@pytest.mark.parametrize("engine", ENGINES)
def test_sums(engine, dim, p, dtype):
    """Of rows and of columns; bounds on what was dropped hold."""
    softmins, f, g, cost = problem(engine, dim, dtype, p, blur=0.05)
    matrix = entries(softmins, f, g, cost)
    rtol = 2e-4 if dtype == torch.float32 else 1e-11
    rows = softmins._sums(0, f, g)
    missed = softmins.tiles.omitted.repeat_interleave(32)[:300]
    exact = matrix.mean(1)
    assert ((rows - exact).abs() <= missed + rtol * exact + 1e-12).all()
    softmins.tiles = softmins.all_tiles
    torch.testing.assert_close(softmins._sums(1, g, f), matrix.mean(0), rtol=rtol, atol=0)


@pytest.mark.parametrize("power", [0, 1, -1])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_products(engine, p, power):
    """With the cost, and with its derivative over the chord: none at opposite points, and one at equal ones for p = 2."""
    softmins, f, g, cost = problem(engine, 3, torch.float64, p)
    softmins.tiles = softmins.all_tiles
    x, y = (cloud.points for cloud in softmins.clouds)
    angle = angles(x, y)
    equal, opposite = (x[:, None] == y).all(2), (x[:, None] == -y).all(2)
    factors = {0: torch.ones_like(cost), 1: cost, -1: angle ** (p - 1) / angle.sin()}[power]
    if power < 0:
        factors = torch.where(equal, float(p - 1), factors).where(~opposite, 0.0)
    assert equal.sum() == 30 and opposite.sum() == 20
    v = torch.randn(200, 2, generator=torch.Generator().manual_seed(1)).double()
    matrix = entries(softmins, f, g, cost) * factors
    found = softmins.products(0, f, g, v, power)
    torch.testing.assert_close(found, matrix @ v, rtol=1e-9, atol=1e-9 * float(matrix.max()))
    back = softmins.products(1, g, f, factors.new_ones(300, 1), power)
    torch.testing.assert_close(back[:, 0], matrix.sum(0), rtol=1e-9, atol=0)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_largest_entries(engine, p):
    softmins, f, g, cost = problem(engine, 3, torch.float64, p)
    softmins.tiles = softmins.all_tiles
    given = softmins._given(0, f, g, torch.zeros_like(softmins.clouds[1].log_weights))
    top, where = softmins.loops.largest(softmins.tiles.sides[0], *given)
    exponents = (f[:, None] + g - cost) / softmins.eps / math.log(2)
    best = exponents.amax(1)
    torch.testing.assert_close(top.view(-1)[:300], best, rtol=1e-10, atol=1e-10)
    found = exponents.gather(1, where.view(-1)[:300, None])[:, 0]
    torch.testing.assert_close(found, best, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("blur", [0.02, 0.1])
@pytest.mark.parametrize("spread", [0.05, 1.0])
def test_rounding_of_single_precision(p, blur, spread):
    """On average it loses less of a row than a solve is told, or nothing that one asks about."""
    single, f, g, _ = problem("numba", 3, torch.float32, p, blur, spread)
    double = single.like(*single.clouds)
    double.build(f, g, 0.0)
    lost = (single._sums(0, f, g) / double._sums(0, f, g) - 1).abs()
    known = single._sums(0, f, g) > 1e-20
    assert lost[known].mean() < single.scale.lost(*single.clouds) + 1e-6


@pytest.mark.parametrize("p", [1, 2])
def test_kernels_are_differentiated(p):
    """That of Gibbs in the squared chord, as autograd does it; other factors are not."""
    s = torch.linspace(0.01, 3.99, 50).double().requires_grad_()
    kernel = Arc(p).gibbs(0.7)
    (exact,) = torch.autograd.grad(kernel(s).sum(), s)
    torch.testing.assert_close(kernel.derivative()(s).detach(), exact)
    _, slope, bend = Arc(p).profiles(0.7)
    far = s.detach().sqrt().requires_grad_()
    cost = Arc(p).of_lengths(far)
    (first,) = torch.autograd.grad(cost.sum(), far, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), far)
    torch.testing.assert_close(first / far, slope.polynomial(s))
    exact = (second - first / far) / s - (first / far) ** 2 / 0.7
    torch.testing.assert_close(bend.polynomial(s), exact)
    for found, wanted in zip(Arc(p).slopes(far), (first, second), strict=True):
        torch.testing.assert_close(found, wanted)
    with pytest.raises(AssertionError, match="not differentiated"):
        ArcKernel((Term(1.0, 1),), 1.0, p).derivative()


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("blur", [0.1, 0.5])
def test_bounds_on_softmins_at_new_points(p, blur):
    """From value and gradient of any other point, near or opposite; right where they are one."""
    generator = torch.Generator().manual_seed(0)
    x, new, y = (unit(torch.randn(n, 3, generator=generator).double()) for n in (400, 400, 50))
    new[:100], new[100:200] = (
        unit(x[:100] + 0.05 * new[:100]),
        unit(0.02 * new[100:200] - x[100:200]),
    )
    new[:3] = x[:3]
    g = torch.randn(50, generator=generator).double() / 5
    scale = scale_of(Arc(p), blur**p)

    def softmin(x):
        return -scale.eps * ((g - angles(unit(x), y) ** p / p) / scale.eps).logsumexp(1)

    x.requires_grad_()
    (slope,) = torch.autograd.grad(softmin(x).sum(), x)  # along the sphere
    bound, rise = scale.above((new - x).detach(), softmin(x).detach(), slope)
    exact = softmin(new).detach()
    assert (bound >= exact - 1e-12).all() and (rise >= 0).all()
    torch.testing.assert_close(bound[:3], exact[:3])
    assert (bound[:100] - exact[:100] <= rise[:100] * (1 + 1 / scale.eps)).all()


def test_angles_have_loops_of_their_own():
    """They are told of the power and of the radius; Triton's fall back to torch."""
    kinds = {
        name: type(tile_loops(name, (1, 2.0))).__name__ for name in ("numba", "tiles", "triton")
    }
    assert kinds == {"numba": "NumbaArcs", "tiles": "TorchArcs", "triton": "TorchArcs"}
    assert tile_loops("numba", (2, 3.0)).radius == 3.0
