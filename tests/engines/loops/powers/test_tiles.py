"""Kept pairs for powers of the distance, compiled and in torch, against whole matrices in double precision."""

import pytest
import torch

from sparseot.engines.choose import tile_loops
from sparseot.formulas import GroundCost
from sparseot.transport.marginals import Balanced
from sparseot.transport.pruned.blocks.clouds import BlockCloud
from sparseot.transport.pruned.softmins import PrunedSoftmins

ENGINES = ["numba", "tiles"]
QS = [1.05, 1.2, 1.5, 1.8, 1.95]


def problem(engine, dim, dtype, q, blur=0.1, shift=3.0):
    """Some points of both clouds are equal, others near, and half of the columns are far away."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(n, dim, generator=generator).double() for n in (300, 200))
    y += (torch.arange(200) % 2)[:, None] * shift
    y[:30] = x[:30]
    X, Y = (BlockCloud(t, t.new_full((len(t),), 1 / len(t))) for t in (x, y))
    softmins = PrunedSoftmins(X, Y, GroundCost(1 / q, q), Balanced(), blur**q, 1e-3, dtype, engine)
    softmins.dtype = dtype
    far = (X.points[:, None] - Y.points).norm(dim=2)
    f = X.points.square().sum(1) / 3
    g = (far**q / q - f[:, None]).amin(0)
    softmins.build(f, g, 0.0)
    return softmins, f, g, far


def entries(softmins, f, g, far, q):
    return ((f[:, None] + g - far**q / q) / softmins.eps).exp()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("q", QS)
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("engine", ENGINES)
def test_sums(engine, dim, q, dtype):
    """Of rows and of columns, over near and over far blocks; bounds on what was dropped hold."""
    softmins, f, g, far = problem(engine, dim, dtype, q)
    matrix = entries(softmins, f, g, far, q)
    rtol = 5e-4 if dtype == torch.float32 else 1e-11
    rows = softmins._sums(0, f, g)
    missed = softmins.tiles.omitted.repeat_interleave(32)[:300]
    exact = matrix.mean(1)
    assert ((rows - exact).abs() <= missed + rtol * exact + 1e-12).all()
    softmins.tiles = softmins.all_tiles
    torch.testing.assert_close(softmins._sums(1, g, f), matrix.mean(0), rtol=rtol, atol=0)


@pytest.mark.parametrize("power", [0, "q - 2", "q", "2 q - 2"])
@pytest.mark.parametrize("q", QS)
@pytest.mark.parametrize("engine", ENGINES)
def test_products(engine, q, power):
    """With the powers that derivatives take; those of zero, and of what rounding leaves of it, are zero."""
    softmins, f, g, far = problem(engine, 3, torch.float64, q)
    softmins.tiles = softmins.all_tiles
    k = {0: 0, "q - 2": q - 2, "q": q, "2 q - 2": 2 * q - 2}[power]
    factors = far.where(far > 0, torch.inf if k < 0 else 0.0) ** k
    v = torch.randn(200, 2, generator=torch.Generator().manual_seed(1)).double()
    matrix = entries(softmins, f, g, far, q) * factors
    assert (far == 0).sum() == 30
    torch.testing.assert_close(softmins.products(0, f, g, v, k), matrix @ v, rtol=1e-9, atol=1e-9)
    back = softmins.products(1, g, f, factors.new_ones(300, 1), k)
    torch.testing.assert_close(back[:, 0], matrix.sum(0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("q", QS)
@pytest.mark.parametrize("engine", ENGINES)
def test_largest_entries(engine, q):
    softmins, f, g, far = problem(engine, 2, torch.float64, q)
    softmins.tiles = softmins.all_tiles
    nothing = torch.zeros_like(softmins.clouds[1].log_weights)
    given = softmins._given(0, f, g, nothing)
    top, where = softmins.loops.largest(softmins.tiles.sides[0], *given)
    exponents = entries(softmins, f, g, far, q).log2()
    best = exponents.amax(1)
    torch.testing.assert_close(top.view(-1)[:300], best, rtol=1e-10, atol=1e-10)
    found = exponents.gather(1, where.view(-1)[:300, None])[:, 0]
    torch.testing.assert_close(found, best, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("q", QS)
@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_rounding_of_single_precision(q, dim, shift):
    """On average it loses less of a row than a solve is told, or nothing that one asks about."""
    single, f, g, _ = problem("numba", dim, torch.float32, q, blur=0.02, shift=shift)
    double = single.like(*single.clouds)
    double.build(f, g, 0.0)
    lost = (single._sums(0, f, g) / double._sums(0, f, g) - 1).abs()
    known = single._sums(0, f, g) > 1e-20
    assert lost[known].mean() < max(2 * single.scale.lost(*single.clouds), 2e-5)


def test_of_one_cloud_of_equal_points():
    """All distances are zero: every entry is one."""
    x = torch.ones(200, 2).double()
    X = BlockCloud(x, x.new_full((200,), 1 / 200))
    zero = torch.zeros(200).double()
    for engine in ENGINES:
        softmins = PrunedSoftmins(
            X, X, GroundCost(1 / 1.5, 1.5), Balanced(), 0.1, 1e-3, torch.float32, engine
        )
        softmins.build(zero, zero)
        torch.testing.assert_close(softmins._sums(0, zero, zero), torch.ones(200).double())


def test_whole_powers_have_loops_of_their_own():
    """Those of powers between are another class, told of the power; Triton's fall back to torch."""
    kinds = {q: type(tile_loops("numba", q)).__name__ for q in (1, 1.5, 2)}
    assert kinds == {1: "NumbaDistances", 1.5: "NumbaPowers", 2: "NumbaSquares"}
    assert type(tile_loops("triton", 1.5)) is type(tile_loops("tiles", 1.5))
    assert tile_loops("numba", 1.7).q == 1.7
