"""Blocks of a cloud: of one process, and the shares that ranks have of them."""

import pytest
import torch

from sparseot.transport.pruned.blocks.clouds import GROUP, SIZE, BlockCloud


class Rank:
    """One of several, that asks the others for nothing."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size

    def part(self, count):
        return slice(*(count * k // self.size for k in (self.rank, self.rank + 1)))


def cloud(n=3000, dim=3):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, dim, generator=generator), torch.rand(n, generator=generator)


@pytest.mark.parametrize("size", [1, 2, 4, 9])
def test_shares_are_the_whole(size):
    """Neighbouring groups; some ranks have none where there are few."""
    x, a = cloud()
    whole = BlockCloud(x, a)
    shares = [BlockCloud(x, a, Rank(k, size)) for k in range(size)]
    assert [s.before for s in shares] == [sum(s.blocks for s in shares[:k]) for k in range(size)]
    assert sum(s.n for s in shares) == whole.n == whole.count == shares[-1].count
    assert {(s.all_blocks, s.all_filled) for s in shares} == {(whole.blocks, whole.filled)}
    assert max(s.n for s in shares) <= GROUP * SIZE * -(-whole.groups // size)
    for name in ("points", "weights", "order", "low", "high", "masses", "radii", "group_high"):
        together = torch.cat([getattr(share, name) for share in shares])
        assert torch.equal(together, getattr(whole, name)), name
    assert torch.equal(torch.cat([share.own(a) for share in shares]), whole.own(a))


def test_vectors_of_all_points_and_their_order():
    x, a = cloud(700, 2)
    here = BlockCloud(x, a)
    assert here.points.dtype == here.weights.dtype == torch.float64
    assert torch.equal(here.whole(here.own(a)), a) and torch.equal(here.whole(here.own(x)), x)
    assert torch.equal(x[here.order].double(), here.points)
    assert torch.allclose(here.mean(here.points), x.double().mean(0))
    assert here.mass == pytest.approx(float(a.double().sum()))
    assert all(map(torch.equal, here.corners, x.double().aminmax(dim=0)))
