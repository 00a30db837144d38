"""Blocks and cells that are cut on a device are those of a CPU, and nothing is read back."""

import math

import numpy as np
import pytest
import torch

from sparseot.pairs import partition, voxels
from sparseot.transport.pruned.blocks.clouds import BlockCloud
from sparseot.transport.pruned.blocks.coarse import Cells
from sparseot.transport.pruned.blocks.cuts import added, ascending, block_order, cells, halves, sums
from tests.references.clouds import cloud
from tests.references.elsewhere import Elsewhere, There


@pytest.mark.parametrize(("n", "size"), [(1, 32), (33, 32), (700, 32), (1000, 7)])
@pytest.mark.parametrize("dim", [1, 3])
def test_blocks_are_those_of_a_cpu(n, size, dim):
    x, _ = cloud(n, dim)
    x[:, 0] *= 3
    wanted = partition(x.numpy(), size)
    with Elsewhere():
        order = block_order(There(x), size)
    assert isinstance(order, There) and not There.moved
    found = order.inner.split(size)
    assert len(found) == len(wanted)
    for block, first, last in zip(found, wanted.starts[:-1], wanted.starts[1:], strict=True):
        assert set(block.tolist()) == set(wanted.order[first:last].tolist())
    here = block_order(x, size)
    assert np.array_equal(here.numpy(), wanted.order)
    there = [ascending(t, size) for t in (here, order.inner)]
    assert torch.equal(*there), "whoever has cut them"
    assert all(bool((block.diff() > 0).all()) for block in there[0].split(size))
    assert all(
        set(block.tolist()) == set(other.tolist())
        for block, other in zip(there[0].split(size), here.split(size), strict=True)
    )


def test_points_that_are_equal_are_cut_too():
    x = torch.zeros(100, 2).double()
    x[:50, 1] = 1
    with Elsewhere():
        order = block_order(There(x), 8)
    assert torch.equal(order.inner.sort()[0], torch.arange(100))


@pytest.mark.parametrize("side", [0.3, 1e-3])
def test_cells_are_those_of_a_cpu(side):
    """Which stands for each, too; what a device tells is whether they can be numbered."""
    x, _ = cloud(500, 3)
    here = cells(x, side)
    numbers = voxels(x.numpy(), side)
    assert torch.equal(here[1], torch.from_numpy(np.unique(numbers, return_inverse=True)[1]))
    with Elsewhere():
        there = cells(There(x), side)
        far = There(torch.tensor([[0.0] * 6, [1e12] * 6]).double())
        assert cells(far, 1.0) is None
    assert max(There.moved) == 1
    assert torch.equal(here[0], there[0].inner) and torch.equal(here[1], there[1].inner)


def test_sums_by_labels_are_the_same_at_each_call():
    """Labels without a value have none."""
    labels, values = torch.randint(0, 9, (200,)), torch.randn(200).double()
    labels[labels == 4] = 5
    wanted = sums(labels, values, 10)
    with Elsewhere():
        found = [sums(There(labels), There(values), 10).inner for _ in range(2)]
    assert not There.moved and torch.equal(*found)
    torch.testing.assert_close(found[0], wanted)
    assert not wanted[[4, 9]].any()


@pytest.mark.parametrize("spread", [0, 12, 200])
def test_sums_are_the_same_bits_in_any_order(spread):
    """Of numbers whose sizes differ by many orders; and those that ranks make of parts of them."""
    labels = torch.randint(0, 50, (20_000,))
    values = torch.randn(20_000).double() * 10 ** (spread * torch.rand(20_000).double() - spread)
    wanted, order = sums(labels, values, 50), torch.randperm(20_000)
    assert torch.equal(sums(labels[order], values[order], 50), wanted)
    bound = values.abs().amax() * len(values)
    halved = [
        [added(labels[k::3], half, 50) for half in halves(values[k::3], bound)] for k in range(3)
    ]
    first, second = (sum(parts) for parts in zip(*halved, strict=True))
    assert torch.equal(first + second, wanted)
    exact = [math.fsum(values[labels == k].tolist()) for k in range(50)]
    torch.testing.assert_close(wanted, torch.tensor(exact, dtype=torch.float64), rtol=1e-15, atol=0)
    equal = torch.tensor(0.1, dtype=torch.float64).expand(20_000)
    assert torch.equal(sums(labels, equal, 50), sums(labels, equal.clone(), 50))


def test_clouds_and_cells_are_the_same_elsewhere():
    x, a = cloud(600, 3, zero=slice(0, 30))
    here, cloud_here = Cells(x, a, 0.25), BlockCloud(x, a)
    with Elsewhere():
        there, cloud_there = Cells(There(x), There(a), 0.25), BlockCloud(There(x), There(a))
        counts = here.count(0.1), there.count(0.1)
    assert max(There.moved) == 1 and counts[0] == counts[1]
    for name in ("points", "weights", "labels", "heads"):
        torch.testing.assert_close(getattr(there, name).inner, getattr(here, name))
    for name in ("low", "high", "group_low", "masses"):
        torch.testing.assert_close(getattr(cloud_there, name).inner, getattr(cloud_here, name))
