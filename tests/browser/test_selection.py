"""Selecting, linking and saving in pages of their own, in Chromium: what a hand and a keyboard do."""

import re
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from sparseot_widgets import CloudViewer, GraphViewer, PlanViewer, link, pages

from .frames import STILL

pytestmark = pytest.mark.browser

# The rows that a trait of a viewer holds.
CHOSEN = """([viewer, trait]) => {
  const { buffer, base64 } = document.querySelectorAll(".sov")[viewer].view.get(trait);
  if (base64 !== undefined) return [...new Int32Array(Uint8Array.from(atob(base64), c => c.charCodeAt(0)).buffer)];
  return [...new Int32Array(buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength))];
}"""
PIXELS = """canvas => canvas.toDataURL()"""


def _cloud(count: int, dim: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, dim, generator=torch.Generator().manual_seed(seed))


@cache
def markup(name: str) -> str:
    """Pages of one viewer, or of two that are linked; each is recorded once."""
    if name == "plan":
        viewer = PlanViewer(_cloud(60), _cloud(50, seed=1) + 0.5, blur=0.1, unit="m")
        return viewer.record(blur=[0.05, 0.1], reach=1).markup()
    if name == "selected plan":
        viewer = PlanViewer(_cloud(60), _cloud(50, seed=1) + 0.5, blur=0.1, unit="m")
        viewer.record(blur=[0.05, 0.1], reach=1)
        viewer.selected = _cloud(60)[:, 0] < 0.3
        return viewer.markup()
    if name == "space":
        return CloudViewer(_cloud(6_000, 3), values=_cloud(6_000)[:, 0]).markup()
    if name == "looked at":
        pair = [CloudViewer(_cloud(200, 3)) for _ in range(2)]
        link(*pair, "camera")
        pair[0]._camera = {"camera": [0, 1, 0, 0, 0, 1, 1, 0, 0], "zoom": 3.0, "pan": [0.1, 0]}
        return pair[0].markup() + pair[1].markup()
    x = _cloud(150)
    graph, other = (GraphViewer(x, k=k).record(method=["brute"]) for k in (3, 6))
    graph.title = "a & <b>"
    if name == "linked":
        link(graph, other, "selection", "camera", "k")
    return graph.markup() + other.markup()


@pytest.fixture
def opened(chromium, watch, tmp_path):
    """A function that opens a page of :func:`markup`; nothing may go wrong in it."""
    contexts, seen = [], []

    def open_page(name: str, **options):
        file = tmp_path / "page.html"
        file.write_text(pages.page(name, markup(name)), encoding="utf-8")
        options = {"viewport": {"width": 1000, "height": 760}, "color_scheme": "light"} | options
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        seen.append(watch(page, inside="file://"))
        page.goto(file.as_uri())
        still(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    for one in seen:
        assert not one.errors and not one.outside


def still(page) -> None:
    page.locator(".sov").first.wait_for()
    page.locator("body").evaluate(STILL)


def chosen(page, trait="selected", viewer=0) -> list[int]:
    still(page)
    return page.evaluate(CHOSEN, [viewer, trait])


def choose(page, tool: str, viewer=0) -> None:
    page.locator(".sov").nth(viewer).get_by_role("button", name=f"select with a {tool}").click()


def drag(page, corners, viewer=0, hold=None) -> None:
    """Along corners in shares of the first canvas; ``hold`` is a key that is held."""
    canvas = page.locator(".sov").nth(viewer).locator("canvas").first
    box = canvas.bounding_box()
    places = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in corners]
    if hold:
        page.keyboard.down(hold)
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    if hold:
        page.keyboard.up(hold)


LEFT = [(0.02, 0.02), (0.45, 0.02), (0.45, 0.98), (0.02, 0.98)]


def places(page, name="source", panel="clouds", viewer=0) -> np.ndarray:
    """Where the points of a cloud are drawn, in shares of the canvas."""
    script = """([viewer, panel, name]) => {
      const view = document.querySelectorAll(".sov")[viewer].view;
      const place = view.places[panel].find(one => one.name === name);
      return [...place.xy].map((v, k) => v / (k % 2 ? view.plots[panel].height : view.plots[panel].width));
    }"""
    return np.array(page.evaluate(script, [viewer, panel, name])).reshape(-1, 2)


def test_a_lasso_takes_what_it_goes_around(opened, artefacts):
    page = opened("plan")
    canvas = page.locator(".sov canvas").first
    before = canvas.evaluate(PIXELS)
    assert chosen(page) == []
    choose(page, "lasso")
    drag(page, LEFT)
    x = places(page)
    wanted = np.flatnonzero((x[:, 0] < 0.45) & (x > 0.02).all(1) & (x[:, 1] < 0.98)).tolist()
    assert chosen(page) == wanted and 5 < len(wanted) < 60
    assert canvas.evaluate(PIXELS) != before, "it lights up"
    said = page.locator(".sov-selected").inner_text()
    assert re.match(
        rf"{len(wanted)} of 60 source points selected: [\d.]+ % of the mass, .* certain", said
    )
    assert "certain where it goes" in page.locator(".sov-readout").inner_text()
    page.screenshot(path=artefacts / "selection-light.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    still(page)
    page.screenshot(path=artefacts / "selection-dark.png", full_page=True)


def test_boxes_with_modifiers_and_escape(opened):
    page = opened("plan")
    choose(page, "box")
    drag(page, [(0.02, 0.02), (0.45, 0.98)])
    left = set(chosen(page))
    drag(page, [(0.3, 0.02), (0.98, 0.98)], hold="Shift")
    assert set(chosen(page)) == set(range(60)), "Shift adds"
    drag(page, [(0.02, 0.02), (0.45, 0.98)], hold="Alt")
    assert set(chosen(page)) == set(range(60)) - left, "Alt takes away"
    page.get_by_label("cloud to select from").select_option("target")
    drag(page, [(0.02, 0.02), (0.98, 0.98)])
    assert chosen(page) == [] and chosen(page, "selected_target") == list(range(50))
    assert "100 % of the mass" in page.locator(".sov-selected").inner_text()
    page.locator(".sov canvas").first.press("Escape")
    assert chosen(page, "selected_target") == []


def test_a_click_takes_the_point_below(opened):
    page = opened("plan")
    choose(page, "lasso")
    u, v = places(page)[7]
    drag(page, [(u, v)])
    assert chosen(page) == [7]
    drag(page, [(0.01, 0.01)])
    assert chosen(page) == [], "there is nothing in the corner"


def test_escape_leaves_a_box_that_is_being_drawn(opened):
    page = opened("plan")
    canvas = page.locator(".sov canvas").first
    choose(page, "box")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 200, steps=3)
    assert page.locator(".sov-outline").count() == 1
    canvas.press("Escape")
    page.mouse.up()
    assert page.locator(".sov-outline").count() == 0 and chosen(page) == []


def test_keys_alone_select(opened):
    page = opened("plan")
    canvas = page.locator(".sov canvas").first
    canvas.focus()
    canvas.press("s")
    assert page.locator(".sov-outline").count() == 1
    for _ in range(10):
        canvas.press("ArrowRight")
    for _ in range(10):
        canvas.press("ArrowUp")
    canvas.press("Enter")
    some = chosen(page)
    assert 0 < len(some) < 60
    canvas.press("s")
    for _ in range(12):
        canvas.press("Shift+ArrowLeft")
    canvas.press("Shift+Enter")
    more = chosen(page)
    assert set(some) < set(more), "Shift adds"
    canvas.press("Escape")
    assert chosen(page) == []
    canvas.press("Escape")
    assert not canvas.evaluate("node => node === document.activeElement"), "back to the notebook"


def test_a_page_opens_with_what_was_selected_in_python(opened):
    page = opened("selected plan")
    assert chosen(page) == np.flatnonzero(_cloud(60)[:, 0] < 0.3).tolist()
    assert "source points selected" in page.locator(".sov-selected").inner_text()
    slider = page.locator(".sov input[name=blur]")
    seen = []
    for key in ("Home", "End"):
        slider.press(key)
        still(page)
        text = page.locator(".sov-readout").inner_text()
        seen.append(float(re.search(r"certain where it goes ([\d.]+) %", text)[1]))
    assert seen[0] > seen[1] > 0, "a plan of smaller blur is surer"


def test_linked_viewers_of_a_page(opened):
    page = opened("linked")
    choose(page, "box")
    drag(page, [(0.02, 0.02), (0.5, 0.5)])
    assert len(chosen(page)) > 5 and chosen(page, viewer=1) == chosen(page)
    choose(page, "lasso", viewer=1)
    drag(page, LEFT, viewer=1)
    assert chosen(page) == chosen(page, viewer=1)
    page.locator(".sov").nth(1).locator("input[name=k]").press("End")
    assert (
        page.locator(".sov").nth(0).locator("input[name=k]").evaluate("node => node.value") == "19"
    )
    before = places(page, "points", "graph", viewer=1)
    page.locator(".sov canvas").first.press("+")
    still(page)
    after = places(page, "points", "graph", viewer=1)
    np.testing.assert_allclose(np.ptp(after, 0), 1.25 * np.ptp(before, 0), rtol=1e-3)
    np.testing.assert_allclose(after, places(page, "points", "graph"), atol=2e-3)


def test_a_page_opens_from_where_linked_viewers_were_looked_at(opened):
    page = opened("looked at")
    script = """() => [...document.querySelectorAll(".sov")].map(({ view }) => {
      const { camera, zoom, pan } = view.lens("cloud");
      return [camera, zoom, pan];
    })"""
    assert page.evaluate(script) == [[[0, 1, 0, 0, 0, 1, 1, 0, 0], 3, [0.1, 0]]] * 2
    page.locator(".sov canvas").first.press("Home")
    still(page)
    assert [zoom for _, zoom, _ in page.evaluate(script)] == [1, 1]


def test_viewers_that_are_not_linked_stay_apart(opened):
    page = opened("apart")
    choose(page, "box")
    drag(page, [(0.02, 0.02), (0.5, 0.5)])
    assert len(chosen(page)) > 5 and chosen(page, viewer=1) == []


def test_svg_has_words_lines_and_circles(opened):
    page = opened("apart")
    with page.expect_download() as download:
        page.get_by_role("button", name="save the picture as SVG").first.click()
    assert download.value.suggested_filename.endswith(".svg")
    root = ElementTree.parse(download.value.path()).getroot()
    tag = "{http://www.w3.org/2000/svg}"
    texts = ["".join(node.itertext()) for node in root.iter(f"{tag}text")]
    assert "a & <b>" in texts and "degree" in texts and "Degrees: sums of weights" in texts
    assert len(list(root.iter(f"{tag}circle"))) == 150, "one circle a point"
    assert len(list(root.iter(f"{tag}path"))) > 20 and len(list(root.iter(f"{tag}rect"))) > 20
    fills = {node.get("fill") for node in root.iter(f"{tag}text")}
    assert all(re.match(r"#[0-9a-f]{6}$|rgb", fill) for fill in fills)


def test_a_crowd_is_an_image_in_the_svg_and_that_is_said(opened):
    page = opened("space")
    with page.expect_download() as download:
        page.get_by_role("button", name="save the picture as SVG").click()
    text = Path(download.value.path()).read_text()
    assert "<circle" not in text and text.count("data:image/png") >= 1
    assert "more than 5000 points" in text
    assert "image" in page.locator(".sov-selected").inner_text()


def test_png_holds_all_panels_as_they_stand(opened):
    page = opened("plan", device_scale_factor=2)
    with page.expect_download() as download:
        page.get_by_role("button", name="save the picture as PNG").click()
    data = Path(download.value.path()).read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = (int.from_bytes(data[k : k + 4], "big") for k in (16, 20))
    frame = page.locator(".sov").bounding_box()
    assert width == pytest.approx(2 * frame["width"], abs=3) and 400 < height < 2 * frame["height"]


def test_full_screen_and_back(opened, artefacts):
    page = opened("plan")
    page.get_by_role("button", name="full screen").click()
    page.wait_for_function("() => document.fullscreenElement?.classList.contains('sov')")
    still(page)
    page.screenshot(path=artefacts / "selection-full-screen.png")
    page.get_by_role("button", name="leave full screen").click()
    page.wait_for_function("() => !document.fullscreenElement")


def test_the_card_under_the_pointer_has_the_row(opened):
    page = opened("space")
    canvas = page.locator(".sov canvas").first
    card = page.locator(".sov-card")
    assert card.count() == 0 or card.is_hidden()
    u, v = places(page, "points", "cloud")[3]
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
    still(page)
    text = card.inner_text()
    assert re.search(r"point [\d,]+\n", text) and "at 0." in text and "value 0." in text
    page.mouse.move(box["x"] - 10, box["y"] - 10)
    assert card.is_hidden()


def test_reduced_motion(opened):
    """Nothing moves by itself, and a player goes in steps that can be followed."""
    page = opened("plan", reduced_motion="reduce")
    moving = page.evaluate(
        "() => document.getAnimations().filter(a => a.effect.getComputedTiming().duration > 0).length"
    )
    assert moving == 0
