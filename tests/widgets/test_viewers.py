"""What every kind of viewer keeps: strict keywords, bad input refused, words for all readers."""

import inspect
from functools import cache

import numpy as np
import pytest
import torch
from ipywidgets import DOMWidget

import sparseot as so
import sparseot_widgets
from sparseot_widgets import BaseViewer, HessianViewer, PlanViewer
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
