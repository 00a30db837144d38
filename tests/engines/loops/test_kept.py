"""The loops over kept pairs, compiled, in torch and in Triton: the same numbers."""

import math

import pytest
import torch

from sparseot.engines.choose import tile_loops
from sparseot.engines.kept import Anchor, TileRows
from sparseot.engines.loops import kept_torch
from sparseot.formulas import ground_cost
from sparseot.transport.marginals import Balanced
from sparseot.transport.pruned.blocks.clouds import BlockCloud
from sparseot.transport.pruned.softmins import PrunedSoftmins
from tests.engines import triton

# Triton's interpreter takes tensors of a CPU, a card does not
OTHERS = ["tiles", "triton"] if triton.INTERPRETED else ["tiles"]


def problem(engine, dim, dtype, p):
    X, Y = (
        BlockCloud(t, t.new_full((len(t),), 1 / len(t)))
        for t in (torch.rand(300, dim).double(), torch.rand(200, dim).double())
    )
    softmins = PrunedSoftmins(X, Y, ground_cost(p), Balanced(), 0.1**p, 1e-3, dtype, engine)
    f, g = (X.points**2).sum(1) / 3, (Y.points**2).sum(1) / 4
    softmins.build(f, g)
    return softmins, f, g


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dim", [1, 3, 5])
def test_loops_without_numba_give_the_same(dim, p, dtype, other):
    """The same tiles, bounds, sums, largest entries and products, to rounding."""
    found, v = [], torch.arange(400.0).double().sin().view(200, 2)
    for engine in ("numba", other):
        torch.manual_seed(0)
        softmins, f, g = problem(engine, dim, dtype, p)
        sums, tiles = softmins._sums(1, g, f), softmins.tiles
        blocks = [side.blocks for side in tiles.sides]
        given = softmins._given(1, g, f, softmins.clouds[0].log_weights)
        peaks = softmins.loops.sums(tiles.sides[1], *given)[1]
        found.append((*blocks, tiles.omitted, sums, peaks, softmins.products(0, f, g, v),
                      softmins.products(0, f, g, v, 2 * (p == 1))))  # fmt: skip
    for compiled, plain in zip(*found, strict=True):
        rtol = 2e-5 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(compiled, plain, rtol=rtol, atol=rtol * float(plain.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_what_surrounds_sums_is_the_same(dim, dtype):
    """Biases, and what is told of a marginal; the last block is not full."""
    n, (one, other) = 700, (tile_loops(name) for name in ("numba", "tiles"))
    x, w, near = torch.rand(n, dim).double(), torch.rand(n).double(), torch.rand(n).double()
    h, logs = 7 * x.square().sum(1), torch.randn(22, 32).double()
    given = Anchor(logs.sin(), near, logs, 1.3, dtype), h
    for compiled, plain in zip(one.biases(*given), other.biases(*given), strict=True):
        plain = plain if plain.dim() else float(plain)
        torch.testing.assert_close(compiled, plain)
    low, high, nothing = h.clone(), h.clone(), h.clone()
    low[3], high[5], nothing[-1] = 0.0, math.inf, math.nan
    for total, sound in ((h + 1e-3, True), (low, False), (high, False), (nothing, False)):
        for wanted in (1.0, near):
            args = total, w, wanted, (1e-25, 1e30)
            compiled, plain = one.marginal(*args), other.marginal(*args)
            assert bool(compiled[2]) == bool(plain[2]) == sound
            if sound:
                assert compiled[:2] == pytest.approx([float(t) for t in plain[:2]], rel=1e-12)


def test_potentials_that_are_no_numbers_have_risen_too_far():
    """Whatever else they are: no bound holds for them."""
    below, logs = torch.rand(2, 22, 32).double()
    anchor = Anchor(below, torch.rand(700).double(), logs, 1.0, torch.float32)
    nothing = torch.zeros(700).double()
    nothing[3] = math.nan
    for name in ("numba", "tiles"):
        assert not tile_loops(name).biases(anchor, nothing)[2] <= 1e300


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tiles_that_hold_something_are_the_same(dtype):
    """Those whose peak reaches a share of the least sum of their rows; a row block may have no tile."""
    counts = torch.tensor([3, 0, 4, 5])
    tiles = TileRows.of(counts, torch.arange(12, dtype=torch.int32))
    sums, peaks = 0.5 + torch.rand(4, 32).double(), torch.rand(12).to(dtype) / 8
    sums[0] = 0.0
    given = tiles, peaks, sums, (1e-25, 1.0), 0.1
    compiled, plain = (tile_loops(name).above(*given) for name in ("numba", "tiles"))
    bars = (sums.amin(1).clamp(1e-25, 1.0) * 0.1).to(dtype)[tiles.owners.long()]
    assert compiled.tolist() == plain.tolist() == (peaks > bars).tolist()
    assert 0 < int(plain.sum()) < 12


@pytest.mark.parametrize("power", [-3, -2, -1, 0, 1, 2])
@pytest.mark.parametrize("engine", ["numba", *OTHERS])
def test_products_with_powers_of_the_distance(engine, power):
    """Negative powers of zero are zero, where a point meets itself in a block of another cloud."""
    softmins, f, g = problem(engine, 3, torch.float64, 1)
    X, Y = softmins.clouds
    same = torch.cat((X.points[:50], Y.points))
    Z = BlockCloud(same, same.new_full((250,), 1 / 250))
    f, g = f - f.mean(), torch.zeros(250).double()
    softmins = softmins.like(X, Z)
    softmins.build(f, g, 0.0)
    v = torch.randn(250, 2).double()
    far = (X.points[:, None] - Z.points).norm(dim=2)
    entries = ((f[:, None] + g - far) / softmins.eps).exp()
    factors = far.where(far > 0, torch.inf if power < 0 else 0.0) ** power
    found = softmins.products(0, f, g, v, power)
    assert (far == 0).sum() == 50 and len(softmins.tiles) == X.filled * Z.filled
    torch.testing.assert_close(found, (entries * factors) @ v, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("engine", ["numba", *OTHERS])
@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("eps", [0.005, 0.02, 0.1, 50.0])
def test_rounding_of_distances_is_bounded(eps, dim, engine):
    """What single precision loses of row sums; no bound is known where the clouds are near."""
    X, Y = (BlockCloud(t, t.new_full((len(t),), 1 / len(t)))
            for t in (torch.rand(300, dim).double(), 1 + torch.rand(200, dim).double()))  # fmt: skip
    rest = ground_cost(1), Balanced(), eps, 1e-2
    single = PrunedSoftmins(X, Y, *rest, torch.float32, engine)
    single.dtype = torch.float32
    double = single.like(X, Y)
    f = torch.cdist(X.points, Y.points).amin(1)  # one entry of each row is one, all others smaller
    g, sums = torch.zeros_like(Y.weights), []
    for one in (single, double):
        one.build(f, g, 0.0)
        sums.append(one._sums(0, f, g))
    lost = (sums[0] / sums[1] - 1).abs()
    scale = single.scale
    assert 0 < lost.mean() < scale.lost(X, Y) and lost.max() < scale.bound(X, Y)
    assert (scale.bound(X, Y) < 1) == (eps < 1)


@pytest.mark.parametrize("power", [0, -1, 1])
def test_distances_are_computed_once(power, monkeypatch):
    """They serve the exponents and the powers of a tile."""
    x = torch.rand(200, 2).double()
    X = BlockCloud(x, x.new_full((200,), 1 / 200))
    softmins = PrunedSoftmins(X, X, ground_cost(1), Balanced(), 0.1, 1e-3, torch.float64, "tiles")
    zero, calls, true = torch.zeros(200).double(), [], kept_torch._distances
    softmins.build(zero, zero)

    def counted(rows, cols, I, J):
        calls.append(len(I))
        return true(rows, cols, I, J)

    monkeypatch.setattr(kept_torch, "_distances", counted)
    found = softmins.products(0, zero, zero, torch.ones(200, 1).double(), power)
    assert sum(calls) == len(softmins.tiles)
    far = torch.cdist(X.points, X.points)
    wanted = (
        torch.exp(-far / 0.1) * torch.where(far > 0, far, torch.inf if power < 0 else far) ** power
    )
    torch.testing.assert_close(found[:, 0], wanted.sum(1), rtol=1e-6, atol=0)
