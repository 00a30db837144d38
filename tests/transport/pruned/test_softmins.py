"""Which pairs are kept: few, and what the others hold is bounded."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sparseot as so
from sparseot.formulas import ground_cost
from sparseot.transport.marginals import Balanced
from sparseot.transport.pruned import frames
from sparseot.transport.pruned.blocks import clouds
from sparseot.transport.pruned.blocks.clouds import SIZE, BlockCloud
from sparseot.transport.pruned.softmins import PrunedSoftmins
from tests.references.dense import cost_matrix

ALL = so.Sinkhorn(multilevel=False)
FEW = so.Sinkhorn(multilevel=True)


def weights(n, spread=1.0):
    w = (spread * torch.randn(n).double()).exp()
    return w / w.sum()


@pytest.mark.parametrize("small", [True, False])
def test_slopes_of_blocks_are_those_of_least_squares(monkeypatch, small):
    """In ranges of blocks, too, whose fits are found anew: each group of points by itself."""
    monkeypatch.setattr(clouds, "PIECE", clouds.PIECE if small else clouds.GROUP)
    x = torch.rand(1200, 3).double()
    cloud = BlockCloud(x, weights(1200))
    h = cloud.fill(torch.randn(1200).double())
    for size in (SIZE, SIZE * clouds.GROUP) * 2:
        points = cloud.fill(cloud.points).view(-1, size, 3)
        ones = torch.ones_like(points[..., :1])
        wanted = torch.linalg.lstsq(torch.cat((points, ones), 2), h.view(-1, size, 1)).solution
        found = [fit.sloped(h.view(-1, size)[some])[0] for some, fit in cloud.fits(size)]
        full = 1200 // size  # of the last block nearly all may be one point
        torch.testing.assert_close(
            torch.cat(found)[:full], wanted[:full, :3, 0], rtol=1e-5, atol=1e-6
        )
    assert bool(cloud.known) is small


@pytest.mark.parametrize("potentials", ["zero", "random", "smooth", "solved"])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dim", [1, 3, 4])
def test_what_is_left_out_is_bounded(potentials, dim, p):
    """Whatever the potentials: true row sums lie between those that are kept and the bound."""
    eps, x, y = 0.05**p, torch.rand(400, dim).double(), torch.rand(333, dim).double() + 0.2
    a, b = weights(400), weights(333)
    f, g = {
        "zero": lambda: (torch.zeros(400).double(), torch.zeros(333).double()),
        "random": lambda: (10 * eps * torch.randn(400).double(), 10 * eps * torch.randn(333).double()),
        "smooth": lambda: ((x**2).sum(1) / 2 - x.sum(1), (y**2).sum(1) / 3),
        "solved": lambda: (lambda s: (s.potential_a, s.potential_b))(
            so.solve_sample(x, y, a, b, p=p, blur=0.05, solver=ALL)
        ),
    }[potentials]()  # fmt: skip
    X, Y = BlockCloud(x, a), BlockCloud(y, b)
    softmins = PrunedSoftmins(X, Y, ground_cost(p), Balanced(), eps, 1e-2, torch.float64)
    f, g = f[X.order], g[Y.order]
    softmins.build(f, g, 0.0)
    entries = Y.weights * ((f[:, None] + g - cost_matrix(X.points, Y.points, p)) / eps).exp()
    missed = entries.sum(1) - softmins._sums(0, f, g)
    bound = softmins.tiles.omitted.repeat_interleave(SIZE)[:400]
    scale = 1e-12 * entries.sum(1)
    assert (missed >= -scale).all() and (missed <= bound + scale).all()
    if potentials == "solved":
        assert bound.max() < 1e-2 and (dim > p + 1 or len(softmins.tiles) < X.filled * Y.filled)


@pytest.mark.parametrize("weighed", [True, False])
@pytest.mark.parametrize("p", [1, 2])
def test_groups_come_first_only_to_save_time(monkeypatch, p, weighed):
    """Without them the tiles are the same, and what others hold is bounded more closely."""
    x, y = torch.rand(2000, 2).double(), torch.rand(1700, 2).double()
    X, Y = BlockCloud(x, weights(2000)), BlockCloud(y, weights(1700))
    softmins = PrunedSoftmins(X, Y, ground_cost(p), Balanced(), 0.02**p, 1e-2, torch.float64)
    softmins.build(torch.zeros(2000).double(), torch.zeros(1700).double())
    assert softmins.framed is not None
    found = []
    for most in (1 << 20, 0):
        monkeypatch.setattr(frames, "ALONE", most)
        found.append(frames.screened(softmins.loops, *softmins.framed.frames, -20.0, weighed))
    (tiles, omitted), (same, more) = found
    assert 0 < len(tiles) < X.filled * Y.filled
    assert torch.equal(tiles.starts, same.starts) and torch.equal(tiles.blocks, same.blocks)
    assert (omitted <= more * (1 + 1e-9)).all()


def test_pairs_are_few_and_counted():
    """Work, not time."""
    x, y = torch.rand(4000, 3).double(), torch.rand(4000, 3).double()
    kept = [
        so.solve_sample(x, y, blur=blur, solver=FEW).reports[0].kept_fraction
        for blur in (0.1, 0.02)
    ]
    assert kept[0] > 3 * kept[1] and kept[1] < 0.2


def test_what_the_other_pairs_hold_is_a_mass():
    """And no share of the mass: a hundred times the mass, a hundred times as much."""
    x, y = (
        torch.rand(1500, 3, generator=torch.Generator().manual_seed(k)).double() for k in (1, 2)
    )
    one, hundred = (
        so.solve_sample(x, y, w, w, blur=0.03, solver=FEW)
        for w in (torch.full((1500,), mass / 1500).double() for mass in (1, 100))
    )
    assert one.omitted > 0
    assert hundred.omitted == pytest.approx(100 * one.omitted, rel=0.1)
    assert f"the others hold a mass of {hundred.omitted:.1e} at most" in repr(hundred)


def test_small_clouds_are_not_screened(monkeypatch):
    """All tiles of few blocks cost less than a choice of some; sums are those of all pairs."""
    (x, y), eps = (torch.rand(n, 2).double() for n in (150, 100)), 0.05**2
    a, b = weights(150), weights(100)
    X, Y = BlockCloud(x, a), BlockCloud(y, b)
    softmins = PrunedSoftmins(X, Y, ground_cost(2), Balanced(), eps, 1e-3, torch.float64)
    monkeypatch.setattr(softmins.loops, "screen", None)
    f, g = torch.randn(150).double() * eps, torch.randn(100).double() * eps
    for side, (h, t, w) in enumerate(((f, g, Y.weights), (g, f, X.weights))):
        found = softmins.step(side, h, t).value
        costs = cost_matrix(X.points, Y.points, 2)
        exponents = (t - (costs.T if side else costs)) / eps
        torch.testing.assert_close(found, -eps * (exponents + w.log()).logsumexp(1))
    assert softmins.builds == 1 and not softmins.screened.omitted.any()


class Operations(TorchDispatchMode):
    """Counts what torch is asked for."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), options=None):
        self.count += 1
        return function(*args, **(options or {}))


def test_a_half_step_takes_few_operations():
    """For some thousand points each costs as much as the sums themselves."""
    x, y = torch.rand(2500, 2).double(), torch.rand(2400, 2).double()
    X, Y = BlockCloud(x, weights(2500)), BlockCloud(y, weights(2400))
    softmins = PrunedSoftmins(X, Y, ground_cost(2), Balanced(), 0.2**2, 1e-3)
    f, g = torch.zeros(2500).double(), torch.zeros(2400).double()
    for _ in range(20):
        g = softmins.step(1, g, f).value
        f = softmins.step(0, f, g).value
    builds = softmins.builds
    with Operations() as half_step:
        softmins.step(1, g, f)
    assert softmins.builds == builds and half_step.count <= 17


@pytest.mark.parametrize("dim", [1, 2, 4])
@pytest.mark.parametrize("p", [1, 2])
def test_what_tiles_were_chosen_for_before_changes_no_number(p, dim):
    """Frames of the same potential stay, and what clouds keep of their blocks serves other temperatures, too."""
    x, y, a, b = (
        torch.rand(400, dim).double(),
        torch.rand(333, dim).double(),
        weights(400),
        weights(333),
    )
    X, Y = BlockCloud(x, a), BlockCloud(y, b)
    f, g, h = x.sum(1) / 3, y.sum(1) / 5, y.square().sum(1) / 4
    PrunedSoftmins(X, Y, ground_cost(p), Balanced(), 0.3**p, 1e-3).build(f, h)
    rest = ground_cost(p), Balanced(), 0.1**p, 1e-3, torch.float64
    used, anew = (
        PrunedSoftmins(X, Y, *rest),
        PrunedSoftmins(BlockCloud(x, a), BlockCloud(y, b), *rest),
    )
    used.build(f, h)
    before = used.framed.frames
    used.build(f, g)
    assert used.framed.frames[0] is before[0] and used.framed.frames[1] is not before[1]
    anew.build(f, g)
    for side, both in enumerate(((f, g), (g, f))):
        assert used._sums(side, *both).equal(anew._sums(side, *both))
        assert used.tiles.sides[side].blocks.equal(anew.tiles.sides[side].blocks)
    assert used.tiles.omitted.equal(anew.tiles.omitted)
