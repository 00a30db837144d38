"""Neighbours in registers: those of the compiled search, edge for edge and tie for tie."""

import pytest
import torch

from sparseot import knn
from sparseot.engines.triton import nearest
from tests.references.neighbours import hard_clouds


@pytest.fixture(autouse=True)
def few_tiles(monkeypatch):
    """What is interpreted takes time by the tile, whatever its size."""
    monkeypatch.setattr(nearest, "ROWS", 64)
    monkeypatch.setattr(nearest, "COLUMNS", 128)


@pytest.mark.parametrize(
    ("dim", "k", "dtype"),
    [
        (2, 3, torch.float32),
        (3, 20, torch.float32),
        (20, 3, torch.float32),
        (2, 3, torch.float64),
        pytest.param(3, 64, torch.float32, marks=pytest.mark.slow),
        pytest.param(3, 64, torch.float64, marks=pytest.mark.slow),
    ],
)
def test_points_of_another_cloud(dim, k, dtype):
    """Far from the origin, with more slots than neighbours and short blocks."""
    x, y = torch.rand(70, dim, dtype=dtype) + 50, torch.rand(150, dim, dtype=dtype) + 50
    found, exact = (knn(x, y, k=k, method=method) for method in ("triton", "brute"))
    assert found.method == "triton" and found.exact
    assert torch.equal(found.indices, exact.indices)
    assert torch.equal(found.distances, exact.distances)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lattice", "all equal", "copies"])
def test_ties(name):
    x = hard_clouds()[name][:150]
    found, exact = (knn(x, k=4, method=method) for method in ("triton", "brute"))
    assert torch.equal(found.indices, exact.indices)


def test_fewer_points_than_slots():
    x = torch.rand(5, 3)
    found = knn(x, k=6, method="triton")
    assert torch.equal(found.indices, knn(x, k=6, method="brute").indices)
    assert (found.distances.isfinite().sum(1) == 4).all()
