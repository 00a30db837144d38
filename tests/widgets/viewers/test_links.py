"""``link``: what two viewers share, until it is ended."""

import json

import numpy as np
import pytest
import torch

from sparseot_widgets import (
    CloudViewer,
    GraphViewer,
    HessianViewer,
    KernelViewer,
    PlanViewer,
    link,
)
from sparseot_widgets.viewers import cloud as room


@pytest.fixture(scope="module")
def cloud():
    return torch.rand(40, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def graph(cloud):
    return GraphViewer(cloud, k=3)


@pytest.fixture
def plan(cloud):
    return PlanViewer(cloud, cloud[:30] + 0.5, blur=0.2)


def test_a_selection_goes_both_ways_and_the_second_begins_as_the_first(cloud, graph):
    kernel = KernelViewer(cloud, sigma=0.2, k=3)
    graph.selected = [3, 4]
    unlink = link(graph, kernel)
    assert kernel.selected.tolist() == [3, 4]
    kernel.selected = [7]
    assert graph.selected.tolist() == [7]
    graph.selected = []
    assert kernel.selected.tolist() == []
    unlink()
    unlink()
    graph.selected = [1]
    assert kernel.selected.tolist() == [] and graph._shared == {"selected": []}


def test_three_viewers_in_a_ring_come_to_rest(cloud, graph):
    others = [GraphViewer(cloud, k=k) for k in (1, 2)]
    for a, b in ((graph, others[0]), (others[0], others[1]), (others[1], graph)):
        link(a, b)
    others[1].selected = [5, 6]
    assert graph.selected.tolist() == others[0].selected.tolist() == [5, 6]


def test_both_clouds_of_two_plans(cloud, plan):
    other = PlanViewer(cloud, cloud[:30] + 0.5, blur=0.4)
    link(plan, other, "selection", "blur")
    plan.selected, other.selected_target, other.blur = [1], [2], 0.3
    assert other.selected.tolist() == [1] and plan.selected_target.tolist() == [2]
    assert plan.blur == 0.3 and plan.wait() and plan.transport.solved[0].problem.blur == 0.3


def test_a_pair_of_traits(cloud, plan):
    target = GraphViewer(cloud[:30] + 0.5, k=3)
    link(plan, target, ("selected_target", "selected"))
    target.selected = [29]
    assert plan.selected_target.tolist() == [29] and plan.selected.tolist() == []


def test_a_camera(cloud, plan):
    other = PlanViewer(cloud, cloud[:30] + 0.5, blur=0.4)
    link(plan, other, "camera")
    plan._camera = {"zoom": 2.0}
    assert other._camera == {"zoom": 2.0}


def test_pages_know_their_links(cloud, graph):
    other = GraphViewer(cloud, k=5)
    link(graph, other, "selection", "k")
    for viewer in (graph, other):
        viewer.record(method=["brute"])
    states = [
        json.loads(v.markup().split('type="application/json">')[1].split("</script>")[0])
        for v in (graph, other)
    ]
    assert states[0]["_shared"] == states[1]["_shared"]
    assert set(states[0]["_shared"]) == {"selected", "k"} and states[1]["k"] == 3


def test_linked_crowds_in_pages_know_their_rows(cloud, monkeypatch):
    """Each stands in an order of its own; what the link carries are rows."""
    monkeypatch.setattr(room, "WHOLE", 1_000)
    generator = np.random.default_rng(0)
    crowds = [CloudViewer(generator.random((1_500, dim))) for dim in (3, 2)]
    unlink = link(*crowds)
    crowds[0].selected = [3, 1_200]
    for viewer in crowds:
        scene = viewer.page_scene()
        assert "shuffled" not in scene and sorted(scene["index"]) == list(range(1_500))
        assert viewer.page_selection("selected").tolist() == [3, 1_200]
        block = np.flatnonzero(scene["index"] == 1_200)[0] // scene["points"]["each"]
        point = viewer._cloud["points"][1_200]
        lo, hi = scene["points"]["lo"][block], scene["points"]["hi"][block]
        assert (lo <= point + 1e-6).all() and (point <= hi + 1e-6).all(), "its row is that point"
    unlink()
    assert crowds[0].page_scene()["shuffled"]


def test_what_cannot_be_linked(cloud, graph, plan):
    small = GraphViewer(cloud[:20], k=3)
    hessian = HessianViewer(cloud[:6], cloud[:5], blur=0.3)
    wrong = [
        ((graph, graph), ValueError, "b: got the viewer a itself"),
        ((graph, np.zeros(3)), TypeError, "b: got ndarray, wanted a viewer"),
        ((graph, small), ValueError, "got clouds of 40 and 20 points, wanted clouds whose rows"),
        ((graph, plan, "blur"), ValueError, "got 'blur', wanted some of 'selection', 'camera'"),
        ((plan, hessian, "camera"), ValueError, "the camera of a HessianViewer"),
        ((plan, graph, ("selected", "k")), ValueError, "two selections, or two controls"),
        ((plan, graph, ("selected", "colour")), ValueError, "'colour' of a GraphViewer"),
        ((plan, graph, ("selected",)), ValueError, r"got \('selected',\), wanted a pair of names"),
        ((plan, graph, ("k", "k", "k")), ValueError, "wanted a pair of names, first that of a"),
        ((plan, graph, ["selected", "colour"]), ValueError, "'colour' of a GraphViewer"),
    ]
    for arguments, kind, message in wrong:
        with pytest.raises(kind, match=message):
            link(*arguments)
    assert not any(graph._shared.values()) and not any(plan._shared.values())
    assert np.array_equal(small.selected, [])
