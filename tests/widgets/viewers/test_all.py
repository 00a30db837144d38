"""What every kind of viewer keeps: strict keywords, bad input refused, words for all readers."""

import inspect
from functools import cache

import numpy as np
import pytest
import torch
from ipywidgets import DOMWidget

import sparseot as so
import sparseot_widgets
from sparseot.nn import KNNGraph
from sparseot_widgets import (
    BaseViewer,
    FlowViewer,
    GraphViewer,
    HessianViewer,
    KernelViewer,
    PlanViewer,
)
from tests.widgets.examples import ALONE, EXAMPLES

KINDS = {name for name in sparseot_widgets.VIEWERS if name != "BaseViewer"}


@cache
def built(name):
    """An example, made once: no test here moves it."""
    return EXAMPLES[name]()


@pytest.fixture(params=EXAMPLES)
def example(request):
    return built(request.param)


def test_every_kind_has_its_example():
    kinds = {type(built(name)).__name__ for name in EXAMPLES}
    assert kinds == KINDS


def test_a_viewer_tells_what_it_shows(example):
    assert example.shown["summary"] and example.shown["readout"]
    assert all(len(pair) == 2 for pair in example.shown["readout"])


def test_every_slider_has_a_name_and_a_trait(example):
    for name, control in example.controls.items():
        assert control.label and example.has_trait(name)
        assert name not in DOMWidget.class_trait_names(), "Jupyter means something else by it"


def test_help_shows_the_arguments(example):
    arguments = inspect.signature(type(example)).parameters
    assert "x" in arguments and "kwargs" not in arguments


def test_posters_are_drawn(example, tmp_path):
    assert example.poster(tmp_path / "poster.png").stat().st_size > 5_000


def test_a_recorded_page_is_small(example):
    assert len(example.markup()) < 1_000_000


def test_sketch_and_answer_have_the_same_entries(example):
    coarse = example.answer(example.state, True, lambda: None)
    fine = example.answer(example.state, False, lambda: None)
    assert set(coarse) == set(fine)


def test_unknown_keywords_are_refused():
    x = np.zeros((3, 2))
    for kind in KINDS:
        with pytest.raises(TypeError, match="colour"):
            getattr(sparseot_widgets, kind)(*_clouds(kind, x, x), colour="red")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0.0, 1.0]], r"x: got list, wanted \(N, D\) points"),
        (np.zeros((2, 3, 2)), r"x: got shape \(2, 3, 2\).*not a batch"),
        (np.zeros((0, 2)), r"x: got shape \(0, 2\)"),
        (np.full((3, 2), np.nan), "x: got 3 points with NaN or infinity"),
    ],
)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_bad_clouds_are_refused(kind, x, message):
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(sparseot_widgets, kind)(*_clouds(kind, x, np.zeros((3, 2))))


def _clouds(kind, *clouds):
    return clouds[:1] if kind in ALONE else clouds


def test_plan_is_that_of_the_library(two_clouds):
    x, y = two_clouds
    found = so.solve_sample(x, y, blur=0.1)
    viewer = PlanViewer(found)
    assert viewer.blur == 0.1
    shown = viewer.shown
    plan = found.plan.numpy()
    np.testing.assert_allclose(shown["mass"], plan[shown["from"], shown["to"]], rtol=1e-5)
    assert shown["mass"][0] == plan.max()
    assert isinstance(viewer, BaseViewer)


def test_plan_keeps_what_the_transport_was_solved_with(two_clouds):
    x, y = two_clouds
    found = so.solve_sample(x, y, blur=0.1, reach=0.3)
    viewer = PlanViewer(found)
    assert viewer.reach == pytest.approx(0.3)
    assert viewer.transport.value == pytest.approx(found.value.item(), rel=1e-3)
    with pytest.raises(ValueError, match="a cloud or weights beside a Transport"):
        PlanViewer(found, y)
    with pytest.raises(ValueError, match="one reach for both clouds"):
        PlanViewer(so.solve_sample(x, y, blur=0.1, reach=(0.3, None)))


def test_plan_of_clouds_of_two_types():
    viewer = PlanViewer(torch.rand(20, 2), np.random.default_rng(0).random((30, 2)), blur=0.2)
    assert viewer.transport.converged


def test_hessian_of_clouds_in_single_precision():
    x, y = torch.rand(30, 2), torch.rand(37, 2)
    assert HessianViewer(so.solve_sample(x, y, blur=0.2)).shown["rows"] == 60


def test_plan_of_many_points_is_thinned_and_says_so():
    x = torch.rand(2_500, 2, generator=torch.Generator().manual_seed(0))
    viewer = PlanViewer(x, x[:50] + 1.0, blur=0.5)
    assert viewer.shown["note"] == "2,000 of 2,500 points"


MADE_OF = {
    "plan": lambda x, y, a: PlanViewer(x, y, a, blur=0.3),
    "plan of a Transport": lambda x, y, a: PlanViewer(
        so.solve_sample(torch.as_tensor(x), torch.as_tensor(y), torch.as_tensor(a), blur=0.3)
    ),
    "flow": lambda x, y, a: FlowViewer(x, y, losses=["energy"], frames=3, until=0.2),
    "Hessian": lambda x, y, a: HessianViewer(x[:9], y[:8], a[:9] / a[:9].sum(), blur=0.3),
    "kernel": lambda x, y, a: KernelViewer(x, sigma=0.3, k=3),
    "kernel matrix": lambda x, y, a: KernelViewer(
        so.KernelMatrix(so.kernels.Gaussian(0.3), x), k=3
    ),
    "graph": lambda x, y, a: GraphViewer(x, k=3),
    "adjacency": lambda x, y, a: GraphViewer(KNNGraph(3)(torch.as_tensor(x)), x),
}  # fmt: skip


def _entries(viewer):
    """What is seen: the numbers of the scene and of a new answer."""
    message = viewer.answer(viewer.state, False, lambda: None) | viewer._scene
    return {
        name: np.array(part)
        for name, part in message.items()
        if isinstance(part, np.ndarray) and part.dtype.kind in "fiu"
    }


@pytest.mark.parametrize("kind", ["torch", "numpy"])
@pytest.mark.parametrize("what", MADE_OF)
def test_viewers_keep_their_own_points(what, kind):
    """The sliders of a viewer go on showing what it was given, whatever becomes of the arrays."""
    x, y = torch.rand(30, 2, dtype=torch.float64), torch.rand(40, 2, dtype=torch.float64) + 0.5
    arrays = [x, y, torch.full((30,), 1 / 30, dtype=torch.float64)]
    arrays = arrays if kind == "torch" else [array.numpy() for array in arrays]
    viewer = MADE_OF[what](*arrays)
    before = _entries(viewer)
    arrays[0] += 0.5 * (arrays[0] > 0.5)
    for array in arrays[1:]:
        array *= 3
    after = _entries(viewer)
    assert len(before) > 2
    for name, part in before.items():
        np.testing.assert_allclose(after[name], part, rtol=1e-6, atol=1e-9, err_msg=name)


def test_an_adjacency_may_change_after_it_was_shown():
    x = torch.rand(30, 2)
    A = KNNGraph(3)(x)
    viewer = GraphViewer(A, x)
    before = _entries(viewer)
    A.weights *= 2
    A.indices.fill_(0)
    for name, part in _entries(viewer).items():
        np.testing.assert_array_equal(part, before[name])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_clouds_of_every_byte_order(kind):
    """Read-only, big-endian and integer arrays: shown, without a warning."""
    x = np.random.default_rng(0).integers(0, 100, (20, 2))
    frozen = x.astype(float)
    frozen.flags.writeable = False
    for points in (x, x.astype(">f8"), x.astype(">i4"), frozen):
        shown = getattr(sparseot_widgets, kind)(*_clouds(kind, points, points + 50)).shown
        assert shown["summary"]


def test_what_is_not_finite_is_not_drawn():
    x = torch.rand(30, 2)
    A = KNNGraph(3)(x)
    A.weights[3, 1] = torch.nan
    with pytest.raises(ValueError, match="x: got an adjacency with NaN"):
        GraphViewer(A, x)
    for weights in (np.full(30, np.nan), np.full(30, np.inf)):
        with pytest.raises(ValueError, match="a: got .*finite weights"):
            PlanViewer(x, x + 1, weights)
    with pytest.raises(TypeError, match="x: got dtype complex128, wanted real"):
        KernelViewer(x.double().numpy() + 1j)
