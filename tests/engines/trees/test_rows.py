"""Tiles of rows: which meet the same columns, and how numbers are laid out in them and taken from them."""

import numpy as np
import pytest
import torch

from sparseot.engines.trees.base import Ranges
from sparseot.engines.trees.rows import packed, tiles_of, unpacked
from sparseot.formulas.trees.expressions import I, J, P
from sparseot.formulas.trees.slots import slot


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_groups_of_tiles_meet_the_same_columns(most):
    rows, columns = np.array([[0, 40], [40, 41], [41, 100]]), np.array([[0, 9], [3, 20]])
    back = np.array([[0, 100]]), np.array([1]), np.array([[0, 40]])
    ranges = Ranges(rows, np.array([1, 1, 2]), columns, *back)
    for tiles in (tiles_of(2, 100, 20, 8, ranges), tiles_of(3, 100, 20, 8, None)):
        ends = tiles.groups(most).tolist()
        assert ends[0] == 0 and ends[-1] == len(tiles) and ends == sorted(set(ends))
        for lo, hi in zip(ends[:-1], ends[1:], strict=True):
            assert hi - lo <= most and (tiles.table[lo:hi] == tiles.table[lo]).all()
            full = hi - lo == most or hi == len(tiles)
            assert full or (tiles.table[hi] != tiles.table[lo]).any()


@pytest.mark.parametrize("n", [1, 8, 13, 64])
@pytest.mark.parametrize("items", [1, 2])
def test_all_rows_in_their_order_are_laid_out_as_others_are(n, items):
    slots = slot(0, 3, I), slot(1, 2, J), slot(2, 2, I), slot(3, 1, P)
    heights = {I: n, J: 5, P: 1}
    tensors = [torch.rand(items, heights[s.on], s.dim) for s in slots]
    tiles, size = tiles_of(items, n, 5, 8, None), (items, n, 5)
    whole = packed(slots, tensors, tiles.rows, size, 4, True)
    for one, other in zip(whole, packed(slots, tensors, tiles.rows, size, 4), strict=True):
        assert torch.equal(one, other) and one.is_contiguous()
    assert whole[0].shape == (len(tiles), 5, 8)
    assert torch.equal(whole[1][: items * 5], tensors[1].flatten(0, 1))
    assert whole[1].shape == (items * 5 + 4, 2) and not whole[1][items * 5 :].any()
    for found in (unpacked(whole[0], tiles.rows, items, n, 0.0, k) for k in (False, True)):
        assert torch.equal(found, torch.cat((tensors[0], tensors[2]), -1))
