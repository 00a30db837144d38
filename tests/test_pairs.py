"""Block pairs: nothing within the radius is lost, nothing far is kept, whatever the clouds."""

import numpy as np
import pytest

from sparseot.pairs import Blocks, partition, voxels

CLOUDS = {
    "single points": lambda r: (r.random((1, 2)), r.random((1, 2))),
    "fewer than a block": lambda r: (r.random((7, 2)), r.random((100, 2))),
    "unequal": lambda r: (r.random((1000, 3)), r.random((777, 3))),
    "a line": lambda r: (r.random((301, 1)), r.random((40, 1))),
    "duplicates": lambda r: (np.repeat(r.random((30, 3)), 9, 0), np.zeros((50, 3))),
    "one far point": lambda r: (np.concatenate((r.random((200, 3)), [[1e6, 0, 0]])), r.random((99, 3))),
    "many cells an axis": lambda r: (r.random((900, 2)) * [400, 1] - 200, r.random((900, 2)) * [400, 1]),
    "six dimensions": lambda r: (0.2 * r.random((500, 6)), 0.2 * r.random((400, 6))),
}  # fmt: skip


@pytest.fixture(params=CLOUDS)
def clouds(request):
    return CLOUDS[request.param](np.random.default_rng(0))


def kept_entries(pairs):
    """The kept pairs of points as a matrix of truth values."""
    kept = np.zeros((len(pairs.rows.order), len(pairs.columns.order)), bool)
    for i in range(len(pairs.rows)):
        rows = members(pairs.rows, i)
        for j in pairs.cols[pairs.starts[i] : pairs.starts[i + 1]]:
            kept[np.ix_(rows, members(pairs.columns, j))] = True
    return kept


def members(cut, block):
    return cut.order[cut.starts[block] : cut.starts[block + 1]]


def test_a_partition_is_a_permutation_into_full_blocks_with_tight_boxes(clouds):
    for x in clouds:
        cut = partition(x, 16)
        assert sorted(cut.order) == list(range(len(x)))
        assert (cut.order[cut.inverse] == np.arange(len(x))).all()
        assert (np.diff(cut.starts)[:-1] == 16).all()
        for block in range(len(cut)):
            points = x[members(cut, block)]
            assert (points.min(0) == cut.low[block]).all()
            assert (points.max(0) == cut.high[block]).all()


@pytest.mark.parametrize("radius", [0.03, 0.3])
def test_what_is_near_is_kept_and_boxes_that_are_far_are_not(clouds, radius):
    x, y = clouds
    pairs = Blocks(radius, 16).between(x, y)
    kept = kept_entries(pairs)
    distances = np.linalg.norm(x[:, None] - y, axis=-1)
    assert kept[distances <= radius].all()
    assert kept.sum() == pairs.kept
    assert pairs.kept_fraction == pytest.approx(kept.mean())
    gap = np.maximum(
        pairs.rows.low[:, None] - pairs.columns.high, pairs.columns.low - pairs.rows.high[:, None]
    )
    near = np.linalg.norm(np.maximum(gap, 0), axis=-1) <= radius
    assert near.sum() == len(pairs.cols)


def test_the_transpose_exchanges_rows_and_columns(clouds):
    pairs = Blocks(0.2, 16).between(*clouds)
    assert (kept_entries(pairs.T) == kept_entries(pairs).T).all()
    assert pairs.T.T is pairs


def test_runs_are_the_kept_blocks_joined(clouds):
    pairs = Blocks(0.2, 8).between(*clouds)
    starts, first, last = pairs.runs
    kept = np.zeros_like(kept_entries(pairs))
    for i in range(len(pairs.rows)):
        for lo, hi in zip(
            first[starts[i] : starts[i + 1]], last[starts[i] : starts[i + 1]], strict=True
        ):
            assert not kept[members(pairs.rows, i)[0], pairs.columns.order[lo:hi]].any()
            kept[np.ix_(members(pairs.rows, i), pairs.columns.order[lo:hi])] = True
    assert (kept == kept_entries(pairs)).all()
    assert len(first) <= len(pairs.cols)


def test_the_walk_looks_at_few_pairs(monkeypatch):
    """Work grows with the pairs that are kept: a table of all block pairs would be 4e6 here."""
    from sparseot import pairs as module

    seen = []
    distance = module.box_distance
    monkeypatch.setattr(
        module, "box_distance", lambda *args: seen.append(len(args[2])) or distance(*args)
    )
    x = np.random.default_rng(0).random((32_000, 2))
    kept = Blocks(0.02, 16).between(x, x)
    assert len(kept.rows) == 2000
    assert sum(seen) < 4 * len(kept.cols)


def test_voxels_are_those_of_the_grid(clouds):
    """Two points share a number if and only if they share a cell, negative coordinates or not."""
    for x in clouds:
        numbers = voxels(x, 0.25)
        cells = np.floor((x - x.min(0)) / 0.25)
        assert (np.unique(numbers).size) == len(np.unique(cells, axis=0))
        same = (cells[:50, None] == cells).all(-1)
        assert ((numbers[:50, None] == numbers) == same).all()
    assert voxels(np.array([[0.0] * 6, [1e12] * 6]), 1.0) is None


@pytest.mark.parametrize("radius", [0, -1, float("nan"), "wide"])
def test_a_radius_is_a_positive_number(radius):
    with pytest.raises((ValueError, TypeError), match="radius"):
        Blocks(radius)


def test_batches_are_refused():
    with pytest.raises(ValueError, match="one cloud after the other"):
        partition(np.zeros((2, 5, 3)), 4)


def test_voxels_of_single_precision_are_those_of_the_same_numbers_in_double():
    x = np.random.default_rng(5).random((2000, 3), np.float32) + np.float32(7.0)
    for side in (0.01, 0.1):
        assert np.array_equal(voxels(x, side), voxels(x.astype(np.float64), side))
