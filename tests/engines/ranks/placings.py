"""Points that ranks share are cut into the blocks of one process, and values find their way there and back."""

import tracemalloc

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sparseot.engines.ranks.group import Ranks, traffic
from sparseot.engines.ranks.placing import Placing
from sparseot.transport.pruned.blocks.cuts import block_order

SIZE, GROUP = 32, 16


def distinct(n, dim, dtype, seed=0):
    """Points of which no two share a coordinate."""
    generator = torch.Generator().manual_seed(seed)
    columns = [torch.randperm(n, generator=generator) - n // 3 for _ in range(dim)]
    stretch = torch.linspace(1, 0.6, dim, dtype=dtype)
    return torch.stack(columns, 1).to(dtype).reshape(n, dim) * stretch


def is_that_of_one_process(whole, mine, ranks):
    """The placing of points ``mine`` of this rank, once it was compared with the blocks of all points."""
    found = Placing(mine, ranks, SIZE, GROUP)
    part = ranks.part(-(-len(whole) // (SIZE * GROUP)))
    order = block_order(whole, SIZE)[part.start * SIZE * GROUP : part.stop * SIZE * GROUP]
    assert found.count == len(whole) and found.numbers.dtype == torch.int64
    assert len(found.numbers) == len(order)
    for numbers, wanted in zip(found.numbers.split(SIZE), order.split(SIZE), strict=True):
        assert torch.equal(numbers, wanted.sort()[0])
    assert found.points.dtype == whole.dtype
    assert torch.equal(found.points, whole[found.numbers])
    return found


def brings(found, whole, mine, first):
    """Values of the rows that begin at ``first``, of several kinds."""
    rows = torch.arange(first, first + len(mine))
    assert torch.equal(found.bring(rows), found.numbers)
    random = torch.rand(len(whole), 2, 3, generator=torch.Generator().manual_seed(1))
    for values in (random, random[:, 0, 0] < 0.5):
        own = values[rows]
        there = found.bring(own)
        assert there.dtype == values.dtype and torch.equal(there, values[found.numbers])


def check_blocks_of_one_process(here):
    """In both precisions, for clouds of one point, of few groups and of many."""
    ranks = Ranks(here.group, "test")
    for n, dim, dtype in (
        (0, 3, torch.float32),
        (1, 2, torch.float64),
        (700, 1, torch.float64),
        (1500, 6, torch.float32),
        (20011, 3, torch.float64),
        (20011, 2, torch.float32),
    ):
        whole = distinct(n, dim, dtype)
        found = is_that_of_one_process(whole, here.part(whole), ranks)
        brings(found, whole, here.part(whole), here.ends(n)[0])


def check_all_points_on_one_rank(here):
    """Which gives most of them away."""
    ranks, whole = Ranks(here.group, "test"), distinct(9000, 3, torch.float32)
    mine = whole if here.rank == here.size - 1 else whole[:0]
    found = is_that_of_one_process(whole, mine, ranks)
    brings(found, whole, mine, 0)


def check_ties(here):
    """Points on a grid, and points that are all equal: each is in one block, the same one in two calls."""
    ranks, side = Ranks(here.group, "test"), torch.arange(20).double()
    for whole in (torch.cartesian_prod(side, side, side - 9), torch.zeros(5000, 2)):
        mine = here.part(whole)
        found, again = (Placing(mine, ranks, SIZE, GROUP) for _ in range(2))
        assert torch.equal(found.numbers, again.numbers)
        assert torch.equal(found.points, whole[found.numbers])
        part = ranks.part(-(-len(whole) // (SIZE * GROUP)))
        assert len(found.numbers) == len(
            whole[part.start * SIZE * GROUP : part.stop * SIZE * GROUP]
        )
        order = ranks.rows(found.numbers)
        assert torch.equal(order.sort()[0], torch.arange(len(whole)))
        ours, theirs = (sides(whole[order]), sides(whole[block_order(whole, SIZE)]))
        assert (ours <= 1.02 * theirs).all()


def sides(points):
    """Of the boxes around blocks, the mean of each: the shortest, the next ones."""
    boxes = [(some.amax(0) - some.amin(0)).sort()[0] for some in points.split(SIZE)]
    return torch.stack(boxes).mean(0)


class Lengths(TorchDispatchMode):
    """The longest axis of all tensors that are made meanwhile."""

    longest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for t in tree_leaves(found):
            if isinstance(t, torch.Tensor):
                self.longest = max(self.longest, *t.shape, 0)
        return found


def check_nobody_has_all(here):
    """What is made, sent and kept is of the points of one rank."""
    ranks, own = Ranks(here.group, "test"), 40000
    whole = distinct(own * here.size, 3, torch.float32)
    mine = whole[own * here.rank : own * (here.rank + 1)].clone()
    with traffic() as sent, Lengths() as made:  # of torch's tensors
        found = Placing(mine, ranks, SIZE, GROUP)
    k = len(found.numbers)
    assert own <= made.longest <= own + 2 * SIZE * GROUP
    tracemalloc.start()
    Placing(mine, ranks, SIZE, GROUP)
    _, most = tracemalloc.get_traced_memory()  # of NumPy's arrays; a cut of all takes more
    tracemalloc.stop()
    assert 3 * 8 * k < most < 96 * k, (most, k)
    assert sent["points"] > 0.3 * mine.nbytes and sent["numbers"] > 0.3 * 4 * own
    assert sum(sent.values()) <= 1.5 * (mine.nbytes + 4 * own)
    kept = sum(t.nbytes for t in vars(found).values() if isinstance(t, torch.Tensor))
    assert kept == (8 + 4 + 3 * 4) * k + 4 * own


def check_an_error_of_one_rank_is_one_of_all(here):
    """Wherever it is: in points, or in values."""
    ranks, points = Ranks(here.group, "test"), distinct(90, 2, torch.float32)
    found = Placing(points, ranks, SIZE, GROUP)
    last = here.rank == here.size - 1
    refused(lambda: Placing(points * torch.inf if last else points, ranks, SIZE, GROUP), "finite")
    refused(lambda: Placing(points.half() if last else points, ranks, SIZE, GROUP), "float32")
    refused(lambda: Placing(points[:, 0] if last else points, ranks, SIZE, GROUP), "one cloud")
    refused(lambda: found.bring(points[:89] if last else points), "89 of them")


def refused(function, why):
    """With the sentence of the rank that it is about."""
    try:
        function()
    except (ValueError, TypeError) as error:
        assert why in str(error), error
    else:
        raise AssertionError("no error")
