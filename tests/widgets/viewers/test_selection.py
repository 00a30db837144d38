"""What is selected: the trait, what JavaScript sends of it, and where a plan takes it."""

import json

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot_widgets import CloudViewer, FlowViewer, GraphViewer, KernelViewer, PlanViewer
from sparseot_widgets.codec import quantised, to_text, to_wire
from sparseot_widgets.selection import as_indices, spread_of


@pytest.fixture
def viewer(two_clouds):
    return PlanViewer(*two_clouds, blur=0.1)


def test_nothing_is_selected_at_first(viewer):
    assert viewer.selected.dtype == np.int64 and len(viewer.selected) == 0
    assert len(viewer.selected_target) == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([5, 1, 1], [1, 5]),
        (np.array([7], dtype=np.uint8), [7]),
        (torch.tensor([39, 0]), [0, 39]),
        (torch.arange(40) < 2, [0, 1]),
        (3, [3]),
        (None, []),
        ([], []),
    ],
)
def test_it_is_set_to_indices_or_to_a_mask(viewer, given, kept):
    viewer.selected = given
    assert viewer.selected.tolist() == kept


def test_the_array_cannot_be_changed_behind_its_back(viewer):
    mine = np.array([1, 2])
    viewer.selected = mine
    mine[0] = 30
    assert viewer.selected.tolist() == [1, 2]
    viewer.selected[0] = 3
    assert viewer.selected.tolist() == [1, 2]
    assert torch.rand(40, 2)[viewer.selected].shape == (2, 2), "torch takes it without a warning"


def test_observers_are_told_of_what_is_new_only(viewer):
    seen = []
    viewer.observe(lambda change: seen.append(change.new.tolist()), names="selected")
    viewer.selected = [1, 2]
    viewer.selected = [2, 1]
    viewer.selected = []
    viewer.selected = None
    assert seen == [[1, 2], []]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([40], "selected: got the index 40, wanted indices below 40, or a mask"),
        ([-1, 3], "selected: got the index -1"),
        ([True, False], "selected: got a mask of 2 points"),
        ([[1, 2]], r"selected: got shape \(1, 2\)"),
        ([0.5], "selected: got dtype float64"),
        (["a"], "selected: got dtype <U1"),
    ],
)
def test_what_are_no_indices_is_refused(viewer, given, message):
    viewer.selected = [4]
    with pytest.raises((ValueError, TypeError), match=message):
        viewer.selected = given
    assert viewer.selected.tolist() == [4], "what was selected stays"


def test_what_javascript_sends_is_read_and_not_sent_back(viewer):
    sent = []
    viewer.send_state = lambda key=None: sent.append(key)
    buffer = memoryview(np.array([2, 17], "int32")).cast("B")
    viewer.set_state({"selected": {"buffer": buffer, "dtype": "int32", "shape": [2]}})
    assert viewer.selected.tolist() == [2, 17]
    viewer.set_state({"selected": {"buffer": b"", "dtype": "int32", "shape": [0]}})
    assert viewer.selected.tolist() == []


def test_a_page_shows_what_was_selected(viewer):
    viewer.record(blur=1, reach=1)
    viewer.selected_target = [3, 4]
    state = viewer.markup().split('type="application/json">')[1].split("</script>")[0]
    state = json.loads(state)
    assert state["selected_target"]["shape"] == [2] and state["selected"]["shape"] == [0]
    assert state["_selects"]["selected_target"] == {"name": "target", "count": 50}


def test_a_thinned_cloud_knows_whose_rows_are_drawn():
    x = torch.rand(2_300, 2, generator=torch.Generator().manual_seed(0))
    plan, graph = PlanViewer(x, x[:50] + 1.0, blur=0.5), GraphViewer(x, k=3)
    for viewer, index, places in ((plan, "x_index", "x"), (graph, "index", "points")):
        rows = viewer._scene[index]
        np.testing.assert_allclose(viewer._scene[places], x[rows].numpy())
        viewer.selected = [0, 2_299]
    assert "y_index" not in plan._scene, "the target is drawn whole, in its order"
    plan.selected = np.arange(2_300)
    assert plan.image["mass"] == pytest.approx(1.0)
    assert np.isnan(plan.preimage["certainty"]), "nothing of the target is selected"
    left = np.setdiff1d(np.arange(2_300), plan._scene["x_index"])
    plan.selected = left
    assert plan.image["mass"] == 0.0 and (plan.image["shares"] == 0).all()
    plan.selected_target = np.arange(50)
    assert np.isnan(plan.preimage["shares"][left]).all()


def test_a_page_with_fewer_points_knows_them_too():
    x = torch.rand(12_000, 2, generator=torch.Generator().manual_seed(0))
    viewer = KernelViewer(x, sigma=0.1, k=3)
    scene = viewer.page_scene()
    assert len(scene["index"]) == len(scene["points"]) < 12_000
    np.testing.assert_allclose(scene["points"], x[scene["index"]].numpy())


def test_particles_of_a_thinned_flow_know_their_rows():
    x, y = (torch.rand(600, 2, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    viewer = FlowViewer(x, y, losses=["energy"], frames=3, until=0.1)
    for coarse in (True, False):
        answer = viewer.answer(viewer.state, coarse, lambda: None)
        assert len(answer["index"]) == answer["path"].shape[1] < 600
        np.testing.assert_allclose(answer["path"][0], x[answer["index"].astype(int)], rtol=1e-5)
    np.testing.assert_allclose(viewer._scene["target"], y[viewer._scene["target_index"]], rtol=1e-6)
    viewer.selected, viewer.selected_target = [599], [0, 599]
    line = FlowViewer(x[:, :1], y[:, :1], losses=["energy"], frames=3, until=0.1)
    assert not line._selects, "a density has no points"


def test_a_page_in_another_order_selects_the_same_points():
    x = np.random.default_rng(0).random((100_500, 2))
    x[7] = np.nan
    viewer = CloudViewer(x)
    viewer.selected = [3, 8, 100_499]
    scene, chosen = viewer.page_scene(), viewer.page_selection("selected")
    assert scene["shuffled"] and len(chosen) == 3
    levels, lo, hi = (scene["points"][name] for name in ("levels", "lo", "hi"))
    block = chosen // scene["points"]["each"]
    places = lo[block] + levels[chosen] / 255 * (hi - lo)[block]
    apart = abs(places[:, None] - x[viewer.selected]).max(2).min(0)
    assert apart.max() < 1e-3, "each of the three is among them"


def test_where_mass_goes_in_closed_forms():
    y = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    certain = spread_of(torch.eye(4) / 4, [0, 3], y)
    assert certain["mass"] == 0.5 and certain["shares"].tolist() == [1, 0, 0, 1]
    assert (certain["certainty"], certain["partners"], certain["spread"]) == (1, 1, 0)
    even = spread_of(torch.full((3, 4), 1 / 12), [1], y)
    assert even["certainty"] == pytest.approx(0, abs=1e-12)
    assert even["partners"] == pytest.approx(4) and even["spread"] == pytest.approx(1.25**0.5)
    np.testing.assert_allclose(even["shares"], 1 / 3)
    # Rows count by their mass: three quarters are certain, one goes to two points alike.
    mixed = spread_of(torch.tensor([[0.75, 0.0], [0.125, 0.125]]), [0, 1], y[:2])
    assert mixed["certainty"] == pytest.approx(0.75)
    assert mixed["partners"] == pytest.approx(2**0.25)


def test_nothing_and_columns_without_mass():
    y = torch.arange(3.0)[:, None]
    plan = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    assert np.isnan(spread_of(plan, [], y)["partners"])
    assert spread_of(plan, [1], y)["mass"] == 0
    found = spread_of(plan, [0, 1], y)
    assert found["shares"].tolist() == [1, 1, 0]
    assert found["certainty"] == pytest.approx(0, abs=1e-12), "the third column is no choice"
    assert spread_of(torch.ones(2, 1), [0], y[:1])["certainty"] == 1.0, "there is one way"


def test_image_is_that_of_the_plan(two_clouds):
    x, y = two_clouds
    a = torch.linspace(0, 2, 40)
    viewer = PlanViewer(x, y, a, blur=0.1, reach=0.4)
    viewer.selected, viewer.selected_target = [0, 5, 6], [1]
    plan = torch.as_tensor(viewer.transport.plan).double().numpy()
    assert viewer.image["mass"] == pytest.approx(plan[[0, 5, 6]].sum() / plan.sum())
    np.testing.assert_allclose(viewer.image["shares"], plan[[0, 5, 6]].sum(0) / plan.sum(0))
    np.testing.assert_allclose(viewer.preimage["shares"][1:], plan[1:, 1] / plan[1:].sum(1))


SAID = """
import { readFileSync } from "node:fs";
const js = new URL("%s/", "file://");
const { decode } = await import(new URL("codec.mjs", js));
const { given } = await import(new URL("partners.mjs", js));
const cases = decode(JSON.parse(readFileSync("%s", "utf8")));
console.log(JSON.stringify(cases.map(({ problem, potentials, mask, back }) => {
  const found = given({ problem, potentials }, mask, back);
  return { ...found, got: [...found.got] };
})));
"""


def test_javascript_computes_the_image_of_a_recorded_page(two_clouds, node, tmp_path):
    """From potentials, exactly enough at a small blur: for both powers, unbalanced, in five dimensions."""
    from sparseot_widgets import pages

    far = torch.rand(40, 5, dtype=torch.float64), torch.rand(30, 5) + 100.0
    viewers = [
        PlanViewer(*two_clouds, blur=0.01),
        PlanViewer(*two_clouds, torch.linspace(0, 2, 40), blur=0.05, reach=0.3, p=1),
        PlanViewer(far[0] + 100, far[1], blur=0.2),
    ]
    cases, wanted = [], []
    for viewer in viewers:
        viewer.selected, viewer.selected_target = np.arange(1, 12), np.arange(3)
        answer = quantised(viewer.answer(viewer.state, False, lambda: None) | {"result": None})
        for back, found in ((False, viewer.image), (True, viewer.preimage)):
            chosen = viewer.selected_target if back else viewer.selected
            mask = np.isin(np.arange(viewer._sizes[back]), chosen).astype("uint8")
            cases.append({"problem": viewer._scene["problem"], "mask": mask, "back": back})
            cases[-1]["potentials"] = answer["potentials"]
            plan = torch.as_tensor(viewer.transport.plan).double()
            wanted.append(
                found | {"got": (plan[:, chosen].sum(1) if back else plan[chosen].sum(0))}
            )
    (tmp_path / "cases.json").write_text(json.dumps(to_text(to_wire(cases))))
    (tmp_path / "run.mjs").write_text(SAID % (pages.JS, tmp_path / "cases.json"))
    for said, python in zip(json.loads(node(str(tmp_path / "run.mjs"))), wanted, strict=True):
        np.testing.assert_allclose(said["got"], python["got"], rtol=2e-2, atol=1e-7)
        for name in ("certainty", "partners", "spread"):
            assert said[name] == pytest.approx(python[name], rel=1e-2, abs=1e-4), name


SHARES = """
import { readFileSync } from "node:fs";
const js = new URL("%s/", "file://");
const { decode } = await import(new URL("codec.mjs", js));
const { imageOf } = await import(new URL("partners.mjs", js));
const pages = decode(JSON.parse(readFileSync("%s", "utf8")));
console.log(JSON.stringify(pages.map(({ scene, answer, masks }) => {
  const selection = { maskOf: (name) => masks[name] ?? null };
  const { share, mass } = imageOf({ scene, answer, selection, memory: {}, get: () => null });
  return { share: [...share], mass };
})));
"""


def test_a_page_knows_small_masses_as_well_as_large_ones(node, tmp_path):
    """Unbalanced, masses span many powers of ten: cut to steps, a share would be any number."""
    from sparseot_widgets import pages

    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(60, 2, generator=generator), 2 * torch.rand(50, 2, generator=generator)
    viewer = PlanViewer(x, y, blur=0.05, reach=0.1)
    masses = torch.as_tensor(viewer.transport.plan).sum(0)
    assert masses.max() > 1e6 * masses.min(), "the smallest of them are no step of the largest"
    viewer.selected, viewer.selected_target = np.flatnonzero(x[:, 0] < 0.5), np.arange(0, 50, 2)
    live = viewer.answer(viewer.state, False, lambda: None) | {"result": None}
    chosen = {"source": (60, viewer.selected), "target": (50, viewer.selected_target)}
    cases = []
    for answer in (live, quantised(live)):
        for name, (count, rows) in chosen.items():
            masks = {name: np.isin(np.arange(count), rows).astype("uint8")}
            cases.append({"scene": viewer._scene, "answer": answer, "masks": masks})
    (tmp_path / "cases.json").write_text(json.dumps(to_text(to_wire(cases))))
    (tmp_path / "run.mjs").write_text(SHARES % (pages.JS, tmp_path / "cases.json"))
    said = json.loads(node(str(tmp_path / "run.mjs")))
    for found, python in zip(said, [viewer.image, viewer.preimage] * 2, strict=True):
        np.testing.assert_allclose(found["share"], python["shares"], atol=2e-3)
        assert found["mass"] == pytest.approx(python["mass"], rel=1e-3)


def test_a_cost_of_ones_own_is_answered_by_python(two_clouds):
    x, y = two_clouds

    def cost(x, y):
        return (x[:, :, None] - y[:, None]).abs().sum(-1).sqrt()

    viewer = PlanViewer(so.solve_sample(x, y, blur=0.1, cost=cost))
    assert "problem" not in viewer._scene and not viewer._image
    viewer.selected = [1, 2, 3]
    np.testing.assert_allclose(viewer._image["selected"]["shares"], viewer.image["shares"])
    before = viewer._image["selected"]["mass"]
    viewer.blur = 0.5
    assert viewer.wait()
    assert viewer._image["selected"]["certainty"] == viewer.image["certainty"]
    viewer.selected = None
    assert not viewer._image and before == pytest.approx(3 / 40, rel=1e-4)


def test_indices_of_an_empty_cloud():
    assert as_indices("selected", [], 0).tolist() == []
    with pytest.raises(ValueError, match="below 0"):
        as_indices("selected", [0], 0)
