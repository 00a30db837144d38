"""What a solve lets go of goes back to the system, and what is large is made piece by piece."""

import ctypes

import pytest
import torch

from sparseot.engines import kept
from sparseot.engines.choose import tile_loops
from sparseot.engines.kept import TileRows
from sparseot.formulas import ground
from sparseot.formulas.ground import GroundCost
from sparseot.transport.pruned import memory, tile_lists


def tiles_at_random(rows: int, cols: int, share: float) -> TileRows:
    generator = torch.Generator().manual_seed(3)
    some = torch.rand(rows, cols, generator=generator) < share
    some[rows // 2] = False  # a row that meets nothing
    return TileRows.of(some.sum(1), some.nonzero()[:, 1].int())


def marks_at_random(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed)) < 0.3


@pytest.mark.parametrize("engine", ["numba", "tiles"])
@pytest.mark.parametrize("piece", [1, 7, 10**6])
def test_tiles_marked_from_either_side_are_those_of_whole_matrices(monkeypatch, engine, piece):
    monkeypatch.setattr(kept, "PIECE", piece)
    loops, rows = tile_loops(engine), tiles_at_random(9, 11, 0.4)
    tiles = tile_lists.Tiles.of(rows, torch.zeros(9), 11, loops)
    marks = marks_at_random(len(rows), 5), marks_at_random(len(rows), 6)
    wanted = torch.zeros(9, 11, dtype=torch.bool)
    for side, (listed, marked) in enumerate(zip(tiles.sides, marks, strict=True)):
        for owner, block, kept_one in zip(listed.owners, listed.blocks, marked, strict=True):
            wanted[(block, owner) if side else (owner, block)] |= kept_one
    found = tiles.only(marks)
    for listed, matrix in zip(found.sides, (wanted, wanted.T), strict=True):
        assert torch.equal(listed.starts.diff(), matrix.sum(1))
        assert torch.equal(listed.blocks, matrix.nonzero()[:, 1].int())


def test_no_tile_at_all_may_be_kept():
    loops, rows = tile_loops("numba"), tiles_at_random(9, 11, 0.4)
    none = loops.only(rows, torch.zeros(len(rows), dtype=torch.bool))
    assert len(none) == 0 and torch.equal(none.starts, torch.zeros(10, dtype=torch.int64))


@pytest.mark.parametrize("piece", [3, 10**6])
def test_costs_of_a_product_of_weights(monkeypatch, piece):
    monkeypatch.setattr(ground, "PIECE", piece)
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.rand(n, 3, generator=generator, dtype=torch.float64) for n in (10, 7))
    u, v = (torch.rand(n, generator=generator, dtype=torch.float64) for n in (10, 7))
    wanted = 0.5 * float(u @ torch.cdist(x, y).square() @ v)
    found = GroundCost(0.5, 2).bilinear(u, x, v, y, lambda v: v)
    assert abs(found - wanted) <= 1e-14 * wanted


def test_the_heap_is_asked_where_vectors_are_long(monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "_trimmer", lambda: asked.append)
    memory.give_back(memory.MANY - 1)
    assert not asked
    memory.give_back(memory.MANY)
    assert asked == [0]


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_another_heap_is_left_alone(monkeypatch, error):
    def library(name):
        raise error

    memory._trimmer.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", library)
    try:
        memory.give_back(memory.MANY)
        assert memory._trimmer()(0) == 0
    finally:
        memory._trimmer.cache_clear()


def test_ranks_are_asked_for_what_each_has_of_its_own_points():
    """Each has its part of the clouds and no more; tiles are of one rank as they are told."""
    alone = 1000 * (memory.POINT + 3 * memory.COORDINATE)
    memory.check_memory(alone, 1000, 3)
    for ranks, share in ((2, 0.5), (1000, 0.001)):
        memory.check_memory(1.001 * share * alone, 1000, 3, ranks=ranks)
        with pytest.raises(ValueError, match="for 1,000 points"):
            memory.check_memory(0.999 * share * alone, 1000, 3, ranks=ranks)
    with pytest.raises(ValueError, match="9,000 pairs of blocks"):
        memory.check_memory(0.58 * alone, 1000, 3, ranks=2, tiles=9000)
