"""``GraphViewer``: its neighbours, recall and weights are those of the library."""

import json

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot.nn import KNNGraph
from sparseot_widgets import GraphViewer, pages


@pytest.fixture(scope="module")
def cloud():
    return torch.rand(200, 3, generator=torch.Generator().manual_seed(0))


def test_neighbours_are_those_of_the_search(cloud):
    viewer = GraphViewer(cloud, k=6)
    found = so.knn(cloud, k=20)
    np.testing.assert_array_equal(viewer.shown["indices"], found.indices)
    np.testing.assert_allclose(viewer.shown["distances"], found.distances, rtol=1e-6)
    assert viewer.shown["recall"].tolist() == [1.0] * 20


def test_recall_is_that_of_the_library():
    x = torch.rand(600, 10, generator=torch.Generator().manual_seed(1))
    viewer = GraphViewer(x, method="forest, one small tree")
    indices = torch.as_tensor(viewer.shown["indices"].astype("int64"))
    assert viewer.shown["recall"][19] < 0.9
    for k in (1, 5, 20):
        library = so.knn_recall(x, indices[:, :k], samples=600)
        assert viewer.shown["recall"][k - 1] == pytest.approx(library, abs=1e-9)


def test_an_adjacency_is_shown_as_it_is(cloud):
    A = KNNGraph(7, bandwidth=0.2)(cloud)
    viewer = GraphViewer(A, cloud)
    assert viewer.bandwidth is None and viewer.controls["k"].stops == tuple(range(1, 8))
    assert viewer.method == A.method
    np.testing.assert_array_equal(viewer.shown["indices"], A.indices)
    np.testing.assert_allclose(viewer.shown["weights"], A.weights, rtol=1e-6)


def test_a_list_of_edges_is_shown_by_weight(cloud):
    A = KNNGraph(3, bandwidth=0.2, symmetrize="union")(cloud)
    viewer = GraphViewer(A, cloud)
    dense = np.zeros((200, 200))
    for i in range(200):
        np.add.at(dense[i], viewer.shown["indices"][i], viewer.shown["weights"][i])
    np.testing.assert_allclose(dense, A.to_dense(), atol=1e-6)
    assert (np.diff(viewer.shown["weights"], axis=1) <= 0).all()
    assert viewer.controls["bandwidth"].stops == (None,)


def test_padding_and_empty_slots_are_the_node_itself(cloud):
    mask = torch.ones(1, 200, dtype=torch.bool)
    mask[0, 150:] = False
    A = KNNGraph(5, bandwidth=0.2)(cloud[None], mask=mask)
    viewer = GraphViewer(A, cloud)
    own = np.arange(150, 200)[:, None]
    assert (viewer.shown["indices"][150:] == own).all()
    assert np.isfinite(viewer.shown["distances"]).all()


def test_weights_and_edges_drawn_in_javascript_are_those_of_the_library(cloud, node, tmp_path):
    A = KNNGraph(4, bandwidth=0.15)(cloud)
    viewer = GraphViewer(cloud, k=4, bandwidth=0.15)
    shown = viewer.shown
    given = {
        name: f"Object.assign({json.dumps(shown[name].ravel().tolist())}, {{ shape: [200, 20] }})"
        for name in ("indices", "distances")
    }
    script = tmp_path / "weights.mjs"
    script.write_text(
        f'const {{ edges, weigh }} = await import("file://{pages.JS / "graph.mjs"}");\n'
        f"const answer = {{ indices: {given['indices']}, distances: {given['distances']} }};\n"
        "const weights = weigh(answer, 4, 0.15);\n"
        "const { total, hidden } = edges(answer, weights, 4, 100);\n"
        "console.log(JSON.stringify([[...weights], total, hidden]));"
    )
    weights, total, hidden = json.loads(node(str(script)))
    np.testing.assert_allclose(np.reshape(weights, (200, 4)), A.weights, rtol=1e-4, atol=1e-7)
    assert total == A.symmetrize("union").edge_index().shape[1] / 2  # each once
    assert total - hidden == 100


def test_many_points_are_thinned_and_many_nodes_cut_out():
    x = torch.rand(2_500, 2, generator=torch.Generator().manual_seed(0))
    assert GraphViewer(x).shown["note"] == "2,000 of 2,500 points"
    A = KNNGraph(4, bandwidth=0.1)(x)
    viewer = GraphViewer(A, x)
    assert viewer.shown["note"] == "2,000 of 2,500 nodes, the nearest to one"
    rows = viewer._rows
    real = viewer.shown["weights"] > 0
    there = np.isin(A.indices[rows].numpy(), rows.numpy())
    np.testing.assert_array_equal(real, there & (A.weights[rows].numpy() > 0))
    assert len(GraphViewer(x).markup()) < 1_000_000


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        ({"method": "guess"}, ValueError, "method: got 'guess', wanted one of 'brute'"),
        ({"k": 0}, ValueError, "k: got 0, wanted a positive integer"),
        ({"bandwidth": 0.0}, ValueError, "bandwidth: got 0.0, wanted a positive length"),
        ({"labels": np.zeros(3)}, ValueError, r"labels: got shape \(3,\), wanted \(9,\)"),
        ({"places": np.zeros((4, 2))}, ValueError, "places: got 4 points, wanted 9"),
        ({"x": np.zeros((1, 2))}, ValueError, "x: got 1 point, wanted at least 2"),
        ({"x": KNNGraph(2)(torch.rand(9, 2))}, TypeError, "places: got None"),
        ({"x": KNNGraph(2)(torch.rand(2, 9, 2)), "places": np.zeros((9, 2))}, ValueError, "no batch"),
    ],
)  # fmt: skip
def test_bad_input(bad, kind, message):
    with pytest.raises(kind, match=message):
        GraphViewer(**({"x": np.random.default_rng(0).random((9, 2))} | bad))


def test_points_in_one_place_are_shown():
    viewer = GraphViewer(np.zeros((20, 2)), labels=["a"] * 20)
    assert viewer.bandwidth == 1.0 and viewer._scene["names"] == ["a"]
