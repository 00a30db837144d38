"""Every viewer in a page of its own, opened as a file in Chromium: keys, drags, themes, no network."""

import re
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.widgets.examples import EXAMPLES

from .frames import STILL

pytestmark = pytest.mark.browser

# How many pixels of each canvas are not empty, and a hash of all of them.
INK = """() => [...document.querySelectorAll(".sov canvas")].map(canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let ink = 0, hash = 0;
  for (let k = 0; k < data.length; k += 4) {
    if (data[k + 3]) ink++;
    hash = (31 * hash + data[k] + 3 * data[k + 1] + 7 * data[k + 2] + 11 * data[k + 3]) | 0;
  }
  return { ink, hash, size: [canvas.width, canvas.height] };
})"""


@cache
def written(name):
    """The text of a page with this viewer, recorded once for all tests."""
    viewer = EXAMPLES[name]()
    viewer.title = f"{name} <img src=x onerror=console.error('injected')>"
    with tempfile.TemporaryDirectory() as folder:
        return viewer.to_html(Path(folder) / "page.html").read_text(encoding="utf-8")


@pytest.fixture(params=EXAMPLES)
def opened(request, chromium, watch, tmp_path):
    """A page with one viewer; at the end nothing went wrong and nothing was asked from outside."""
    file = tmp_path / "page.html"
    file.write_text(written(request.param), encoding="utf-8")
    context = chromium.new_context(viewport={"width": 1000, "height": 760}, color_scheme="light")
    page = context.new_page()
    seen = watch(page, inside="file://")
    page.goto(file.as_uri())
    drawn(page)
    page.kind = request.param
    yield page
    context.close()
    assert not seen.errors and not seen.outside


def drawn(page) -> None:
    """Wait until the picture stands still."""
    page.locator(".sov").wait_for()
    page.locator("body").evaluate(STILL)


def hashes(page) -> list[int]:
    drawn(page)
    return [canvas["hash"] for canvas in page.evaluate(INK)]


def test_every_canvas_is_drawn_in_both_themes(opened, artefacts):
    before = opened.evaluate(INK)
    assert before and all(canvas["ink"] > 200 for canvas in before)
    opened.screenshot(path=artefacts / f"viewer-{opened.kind}-light.png", full_page=True)
    opened.emulate_media(color_scheme="dark")
    after = hashes(opened)
    opened.screenshot(path=artefacts / f"viewer-{opened.kind}-dark.png", full_page=True)
    assert all(new != old["hash"] for new, old in zip(after, before, strict=True))
    opened.emulate_media(color_scheme="light")
    assert hashes(opened) == [canvas["hash"] for canvas in before], "the light picture comes back"


def test_keys_move_every_slider(opened):
    for slider in opened.locator(".sov input[type=range]:enabled").all():
        slider.focus()
        slider.press("Home")
        low, said = hashes(opened), slider.get_attribute("aria-valuetext")
        slider.press("End")
        assert slider.get_attribute("aria-valuetext") != said
        assert hashes(opened) != low, slider.get_attribute("name")
        assert slider.get_attribute("data-lm-suppress-shortcuts") == "true"
        slider.press("Escape")
        assert not slider.evaluate("node => node === document.activeElement")


def test_dragging_shows_what_was_recorded(opened):
    asking = opened.locator(".sov .sov-asks input[type=range]:enabled")
    slider = (asking if asking.count() else opened.locator(".sov input[type=range]:enabled")).first
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    opened.mouse.move(box["x"] + 3, middle)
    opened.mouse.down()
    seen = set()
    for share in (0.02, 0.5, 0.98):
        opened.mouse.move(box["x"] + share * box["width"], middle)
        seen.add(tuple(hashes(opened)))
    opened.mouse.up()
    assert len(seen) == 3
    assert re.search(r"\S", opened.locator(".sov-readout").inner_text())
    slider.dblclick()
    assert "aria-valuetext" in slider.evaluate("node => node.outerHTML")


def test_words_for_screen_readers(opened):
    for canvas in opened.locator(".sov canvas").all():
        assert canvas.get_attribute("role") == "img" and canvas.get_attribute("aria-label")
    names = [node.get_attribute("aria-label") for node in opened.locator(".sov input").all()]
    assert all(names)
    assert opened.locator(".sov-status").get_attribute("aria-live") == "polite"


def test_narrow_and_fine_screens(opened, artefacts):
    opened.set_viewport_size({"width": 390, "height": 844})
    drawn(opened)
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.screenshot(path=artefacts / f"viewer-{opened.kind}-narrow.png", full_page=True)


def test_picture_can_be_saved(opened):
    with opened.expect_download() as download:
        opened.get_by_role("button", name="save the picture as PNG").click()
    assert download.value.suggested_filename.endswith(".png")
