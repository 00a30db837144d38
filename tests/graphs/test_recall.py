"""How many true neighbours the forest finds in real pictures and in clusters; floors are frozen."""

import pytest
import torch
from sklearn.datasets import load_digits

from sparseot import knn, knn_recall
from sparseot.nn import Forest
from tests.references.neighbours import hard_clouds

from .test_coming_from import sparsedistance_neighbours


def digits():
    return torch.tensor(load_digits().data, dtype=torch.float32)


def clusters(n=20_000, dimension=32):
    centres = 3 * torch.randn(100, dimension)
    return centres[torch.randint(0, 100, (n,))] + 0.5 * torch.randn(n, dimension)


@pytest.mark.parametrize("cloud", [digits, clusters])
@pytest.mark.parametrize("k", [5, 16])
def test_recall_of_real_pictures_and_of_clusters(cloud, k):
    x = cloud()
    found = knn(x, k=k, method="forest")
    assert not found.exact and knn_recall(x, found.indices) > 0.99


def test_one_round_of_hashing_finds_far_less():
    """SparseDistance's search, restated, with bins as large as the leaves of the forest."""
    x = clusters(8000)
    theirs = knn_recall(x, sparsedistance_neighbours(x, 250, 5), loop=True)
    ours = knn(x, k=5, loop=True, method=Forest(leaf_size=250)).indices
    assert knn_recall(x, ours, loop=True) > theirs + 0.3


@pytest.mark.parametrize("name", ["all equal", "copies", "lattice"])
def test_the_forest_never_finds_the_point_itself_among_copies(name):
    x = hard_clouds()[name]
    found = knn(x, k=6, method="forest")
    assert (found.indices != torch.arange(len(x))[:, None]).all()
    assert found.distances.isfinite().all()
    assert all(len(set(row)) == 6 for row in found.indices.tolist())
