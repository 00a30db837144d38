"""Clouds that are turned, enlarged and painted by two painters, in pages opened as files in Chromium."""

import base64
import io
import tempfile
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import sparseot as so
from sparseot_widgets import CloudViewer, FlowViewer, PlanViewer

from .frames import STILL

pytestmark = pytest.mark.browser

CROWD = 30_000  # points that are painted as a crowd


def _roll(count: int) -> np.ndarray:
    return so.datasets.swiss_roll(count, seed=0).double().numpy()


def _plane() -> CloudViewer:
    x = np.random.default_rng(0).normal(size=(CROWD, 2)) @ np.array([[1.0, 0.4], [0.0, 0.5]])
    return CloudViewer(x, labels=np.where(x[:, 0] > 0, "<b>right</b>", "left"), unit="m")


def _helix(count: int) -> np.ndarray:
    t = np.linspace(0, 18, count)
    return np.stack((1.6 + 0.3 * np.cos(t), 0.5 + 0.3 * np.sin(t), t / 18), 1)


VIEWERS = {
    "plane": _plane,
    "space": lambda: CloudViewer(_roll(CROWD), values=_roll(CROWD)[:, 1], unit="m"),
    "few": lambda: CloudViewer(_roll(2_000)),
    "plan": lambda: PlanViewer(_roll(150), _helix(150), blur=0.1).record(blur=1, reach=1),
    "flow": lambda: FlowViewer(
        _roll(100), _helix(80), losses=["energy"], blurs=[0.1], frames=5
    ).record(),
}

# What a test may ask of the cards: to be lost, to come back.
CARDS = """
  window.cards = [];
  const getContext = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
    if (kind === "webgl2" && window.noCards) return null;
    const made = getContext.call(this, kind, ...rest);
    if (kind === "webgl2" && made) window.cards.push(made.getExtension("WEBGL_lose_context"));
    return made;
  };
"""
# The first canvas on white; and who painted its crowd.
PICTURE = """() => {
  const canvas = document.querySelector(".sov canvas");
  const sheet = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  const pen = sheet.getContext("2d");
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.drawImage(canvas, 0, 0);
  return [sheet.toDataURL(), canvas.dataset.painter];
}"""


@cache
def written(name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return VIEWERS[name]().to_html(Path(folder) / "page.html").read_text(encoding="utf-8")


@pytest.fixture
def opened(chromium, watch, tmp_path):
    """Opens a viewer with a painter; at the end nothing went wrong and nothing was asked from outside."""
    contexts, seen = [], []

    def open_page(name: str, before: str = "", **options):
        file = tmp_path / f"{name}.html"
        file.write_text(written(name), encoding="utf-8")
        look = {"viewport": {"width": 700, "height": 600}, "color_scheme": "light"}
        contexts.append(chromium.new_context(**look | options))
        page = contexts[-1].new_page()
        seen.append(watch(page, inside="file://"))
        page.add_init_script(CARDS + before)
        page.goto(file.as_uri())
        page.locator(".sov").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not any(one.errors or one.outside for one in seen)


def picture(page) -> tuple[np.ndarray, str]:
    page.locator("body").evaluate(STILL)
    address, painter = page.evaluate(PICTURE)
    file = io.BytesIO(base64.b64decode(address.partition(",")[2]))
    return plt.imread(file, format="png")[:, :, :3] * 255.0, painter


def centre(page):
    box = page.locator(".sov canvas").first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("name", ["plane", "space"])
def test_both_painters_show_the_same(opened, name, artefacts):
    pictures = {}
    for painter in ("webgl", "canvas"):
        page = opened(name, f"window.sparseotPainter = '{painter}';")
        pictures[painter], who = picture(page)
        assert who == painter
        page.screenshot(path=artefacts / f"crowd-{name}-{painter}.png")
    ours, theirs = pictures.values()
    ink = (abs(ours - 255).max(2) > 20) | (abs(theirs - 255).max(2) > 20)
    blurred = [sum(np.roll(one, (i, j), (0, 1)) for i in range(5) for j in range(5)) / 25
               for one in (ours, theirs)]  # fmt: skip
    assert ink.sum() > 5_000
    assert abs(blurred[0] - blurred[1])[ink].mean() < 6, "alike but for the edges of points"
    empty = np.full_like(ours, 255)
    assert abs(ours - empty)[ink].mean() > 60, "a bar that a blank picture does not reach"


def test_a_lost_card_is_replaced_and_taken_again(opened):
    page = opened("space", "window.sparseotPainter = 'webgl';")
    first, who = picture(page)
    assert who == "webgl" and page.evaluate("window.cards.length") == 1
    page.evaluate("window.cards[0].loseContext()")
    page.wait_for_selector(".sov canvas[data-painter=canvas]")
    page.evaluate("window.cards[0].restoreContext()")
    page.wait_for_selector(".sov canvas[data-painter=webgl]")
    again, _ = picture(page)
    np.testing.assert_array_equal(again, first)


def test_without_webgl_there_is_a_picture(opened):
    page = opened("space", "window.noCards = true; window.sparseotPainter = 'webgl';")
    shown, who = picture(page)
    assert who == "canvas" and (shown < 200).any(2).sum() > 5_000


def test_a_processor_is_not_asked_to_be_a_card(opened):
    page = opened("space")
    _, who = picture(page)
    software = page.evaluate("""() => {
      const gl = document.createElement("canvas").getContext("webgl2");
      const more = gl?.getExtension("WEBGL_debug_renderer_info");
      return !gl || /swiftshader|llvmpipe/i.test(gl.getParameter(more.UNMASKED_RENDERER_WEBGL));
    }""")
    assert who == ("canvas" if software else "webgl")


@pytest.mark.parametrize("name", ["plane", "few", "plan", "flow"])
def test_hands_and_keys_move_the_picture_and_home_brings_it_back(opened, name, artefacts):
    page = opened(name)
    first, _ = picture(page)
    x, y = centre(page)
    page.screenshot(path=artefacts / f"moved-{name}-before.png", full_page=True)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 25)
    page.mouse.up()
    dragged, _ = picture(page)
    assert (dragged != first).any()
    page.screenshot(path=artefacts / f"moved-{name}-after.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=artefacts / f"moved-{name}-dark.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.mouse.wheel(0, -400)  # the drag left the focus there
    enlarged, _ = picture(page)
    assert (enlarged != dragged).any()
    canvas = page.locator(".sov canvas").first
    seen = [enlarged]
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowLeft", "+", "-"):
        canvas.press(key)
        seen.append(picture(page)[0])
        assert (seen[-1] != seen[-2]).any(), key
    canvas.press("Home")
    np.testing.assert_array_equal(picture(page)[0], first)
    canvas.press("ArrowRight")
    page.get_by_role("button", name="reset the view").click()
    np.testing.assert_array_equal(picture(page)[0], first)


def test_a_wheel_scrolls_the_page_until_the_picture_was_clicked(opened):
    page = opened("few", viewport={"width": 700, "height": 300})
    first, _ = picture(page)
    x, y = centre(page)
    page.mouse.move(x, min(y, 250))
    page.mouse.wheel(0, 120)
    page.wait_for_function("scrollY > 0")
    np.testing.assert_array_equal(picture(page)[0], first)


def test_two_fingers_enlarge(opened):
    page = opened("few", has_touch=True)
    first, _ = picture(page)
    page.evaluate("""() => {
      const canvas = document.querySelector(".sov canvas");
      canvas.setPointerCapture = () => {};
      const { left, top, width, height } = canvas.getBoundingClientRect();
      const tell = (type, pointerId, dx) => canvas.dispatchEvent(new PointerEvent(type, {
        pointerId, pointerType: "touch", clientX: left + width / 2 + dx, clientY: top + height / 2, bubbles: true,
      }));
      tell("pointerdown", 1, -20); tell("pointerdown", 2, 20);
      tell("pointermove", 1, -60); tell("pointermove", 2, 60);
      tell("pointerup", 1, -60); tell("pointerup", 2, 60);
    }""")
    enlarged, _ = picture(page)
    spread = [np.ptp(np.nonzero((one < 200).any(2)[80:, :-120])[1]) for one in (first, enlarged)]
    assert spread[1] > 1.3 * spread[0], "as far as the panel goes"
