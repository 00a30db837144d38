"""Other searches find the same neighbours; those that are not installed are skipped."""

import pytest
import torch
from sklearn.neighbors import kneighbors_graph

from sparseot import knn, knn_recall
from tests.references.neighbours import hard_clouds

CLOUDS = hard_clouds()


@pytest.mark.parametrize("method", ["brute", "kdtree", "tiles"])
def test_scikit_learn_has_the_same_distances(method):
    x = torch.rand(2000, 4, dtype=torch.float64)
    theirs = kneighbors_graph(x.numpy(), 7, mode="distance")
    found = knn(x, k=7, method=method)
    expected = torch.from_numpy(theirs.data.reshape(2000, 7)).sort(dim=1).values
    torch.testing.assert_close(found.distances, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["space", "lattice", "all equal", "far away", "huge", "double"])
def test_faiss_agrees_edge_for_edge(name):
    pytest.importorskip("faiss")
    ours, theirs = (knn(CLOUDS[name], k=5, method=method) for method in ("brute", "faiss"))
    assert torch.equal(ours.indices, theirs.indices)
    assert torch.equal(ours.distances, theirs.distances)


@pytest.mark.slow
@pytest.mark.usefixtures("needs_compiler")
@pytest.mark.parametrize("name", ["space", "lattice"])
def test_keops_agrees_edge_for_edge(name):
    ours, theirs = (knn(CLOUDS[name], k=5, method=method) for method in ("brute", "keops"))
    assert torch.equal(ours.indices, theirs.indices)


@pytest.mark.slow
def test_pynndescent_is_ranked_by_exact_distances():
    pytest.importorskip("pynndescent")
    x = torch.randn(3000, 10)
    found = knn(x, k=5, method="pynndescent")
    assert not found.exact and knn_recall(x, found.indices) > 0.9


@pytest.mark.gpu
def test_the_graph_is_the_same_on_a_cuda_device():
    x = torch.randn(3000, 10)
    ours = knn(x, k=5, method="brute")
    for method in ("auto", "tiles", "keops"):
        assert torch.equal(knn(x.cuda(), k=5, method=method).indices.cpu(), ours.indices)
