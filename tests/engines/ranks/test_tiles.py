"""Lists of tiles that several ranks have of the same rows become one, row by row and rank by rank."""

import pytest
import torch

from sparseot.engines.ranks import tiles


@pytest.mark.parametrize("rows", [1, 3, 1000])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_lists_of_the_same_rows_become_one(monkeypatch, rows, size):
    monkeypatch.setattr(tiles, "ROWS", rows)
    generator = torch.Generator().manual_seed(2)
    counts = torch.randint(0, 4, (size, 10), generator=generator)
    counts[:, 4] = 0  # a row without tiles
    counts[-1] = 0  # a rank without any
    parts = [torch.randint(0, 99, (int(some.sum()),), generator=generator).int() for some in counts]
    wanted = [
        block
        for row in range(10)
        for part, some in zip(parts, counts, strict=True)
        for block in part.split(some.tolist())[row].tolist()
    ]
    assert tiles._merged(parts, counts).tolist() == wanted


def test_no_rows_at_all():
    nothing = torch.zeros(0, dtype=torch.int32)
    counts = torch.zeros(2, 0, dtype=torch.int64)
    assert tiles._merged([nothing, nothing], counts).tolist() == []
