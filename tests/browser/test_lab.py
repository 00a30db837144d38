"""The tutorials in a real JupyterLab: open one from its card, run it, look at what the reader sees."""

import json
from pathlib import Path

import pytest

from .jupyter import EXECUTE, READY, TOKEN, change_theme, end_kernels, run_cells

BY_PATH = "gradient_flows/plot_flow_2d"
BY_CARD = "first_steps/plot_first_steps"
WITH_VIEWER = "first_steps/plot_0_first_look"

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# The cards and the palette entries of the tutorials, and a colour of their icons.
CARDS = ".jp-LauncherCard[data-category=sparseot]"
ENTRIES = ".lm-CommandPalette-item[data-command='sparseot:open-tutorial']"
BLUE = f"() => getComputedStyle(document.querySelector('{CARDS} .jp-icon-brand1')).fill"

# Whether each picture has as many pixels as the place that it fills.
SHARP = """() => [...document.querySelectorAll(".sov canvas")].every(
  canvas => Math.abs(canvas.width - canvas.clientWidth * devicePixelRatio) <= 1)"""

# Whether the first canvas shows the whole answer, or another one than before.
SETTLED = """() => {
  const root = document.querySelector(".sov");
  return !root.classList.contains("sov-busy") && !root.innerText.includes("computing")
    && document.querySelector(".sov canvas").dataset.coarse === "false";
}"""
CHANGED = """before => document.querySelector(".sov canvas").dataset.answer !== before"""

# What is wrong with what the reader sees: formulas that MathJax refused, or that were left as text.
BROKEN = r"""() => {
  const broken = [...document.querySelectorAll(".jp-Notebook mjx-merror, .jp-Notebook [data-mjx-error]")];
  const texts = [...document.querySelectorAll(".jp-MarkdownOutput")].map(cell => cell.innerText);
  return broken.map(node => node.getAttribute("data-mjx-error") ?? node.textContent)
    .concat(texts.flatMap(text => text.match(/\$[^$\n]+\$|\\begin\{\w+|:\w+:`|^\.\. .*/gm) ?? []));
}"""


def cells(notebook: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"]]


def run_all(page, path: str, artefacts: Path) -> None:
    """Run all cells of the notebook that is opening, and look at the result."""
    name = Path(path).stem
    try:
        state = run_cells(page, path)
    finally:
        page.screenshot(path=artefacts / f"lab-{name}-end.png")
    assert not state["errors"]
    assert not state["stderr"], "a tutorial writes warnings"
    assert state["executed"] == state["code"] > 1

    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    picture = notebook.locator(".jp-OutputArea-output img").first
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    page.screenshot(path=artefacts / f"lab-{name}.png")
    assert notebook.locator(".jp-MarkdownOutput mjx-container").count() >= 3, (
        "formulas are not drawn"
    )
    assert not page.evaluate(BROKEN)
    page.evaluate(EXECUTE, ["docmanager:save", {}])


def test_tutorial_runs_top_to_bottom(lab, page, artefacts):
    # A workspace of its own: no tab of another test comes back and takes the clicks.
    page.goto(f"{lab.root}lab/workspaces/by-path/tree/{BY_PATH}.ipynb?token={TOKEN}")
    run_all(page, f"{BY_PATH}.ipynb", artefacts)


def test_viewer_answers_while_it_is_dragged(lab, page, artefacts):
    """Live: sketches during a drag, the answer after it, keys, both themes, and no kernel at all."""
    page.goto(f"{lab.root}lab/workspaces/live/tree/{WITH_VIEWER}.ipynb?token={TOKEN}")
    page.wait_for_function(READY, arg=f"{WITH_VIEWER}.ipynb", timeout=120_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    canvas = page.locator(".sov canvas").first
    page.locator(".sov[data-drawn]").wait_for(timeout=120_000)

    slider = page.locator(".sov .sov-asks input[type=range]").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.9 * box["width"], middle)
    page.mouse.down()
    for share in (0.7, 0.5, 0.3):  # each is answered before the hand goes on
        before = canvas.get_attribute("data-answer")
        page.mouse.move(box["x"] + share * box["width"], middle)
        page.wait_for_function(CHANGED, arg=before, timeout=120_000)
    page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=40)  # these are not waited for
    page.mouse.up()
    page.wait_for_function(SETTLED, timeout=120_000)
    said = page.locator(".sov-readout").inner_text()
    assert "between" in said, "the interval comes with the answer, not with the sketch"
    page.screenshot(path=artefacts / "lab-viewer-light.png")

    change_theme(page, "Dark")
    page.wait_for_function(SHARP, timeout=60_000)
    page.screenshot(path=artefacts / "lab-viewer-dark.png")

    before = canvas.get_attribute("data-answer")
    slider.focus()
    slider.press("ArrowLeft")
    page.wait_for_function(CHANGED, arg=before, timeout=120_000)
    page.wait_for_function(SETTLED, timeout=120_000)
    assert slider.evaluate("node => node === document.activeElement"), "JupyterLab took the key"

    end_kernels(lab.root)
    slider.press("ArrowRight")
    page.locator(".sov-gone").wait_for(timeout=120_000)
    assert "No answer from the kernel" in page.locator(".sov-status").inner_text()
    page.screenshot(path=artefacts / "lab-viewer-no-kernel.png")


def titles_of(lab) -> dict[str, str]:
    """Path of a packaged notebook -> title, in the order of the cards."""
    sections = json.loads((lab.packaged / "index.json").read_text())["sections"]
    return {t["notebook"]: t["title"] for section in sections for t in section["tutorials"]}


def test_launcher_has_a_card_for_each_tutorial(lab, page, artefacts):
    titles = list(titles_of(lab).values())
    page.goto(f"{lab.root}lab/workspaces/cards?token={TOKEN}")
    cards = page.locator(CARDS)
    cards.last.wait_for(timeout=120_000)
    assert cards.all_inner_texts() == ["Open a Point Cloud …", *titles]

    light = page.locator("body").get_attribute("data-jp-theme-light") == "true"
    for theme in ("Dark", "Light") if light else ("Light", "Dark"):
        before = page.evaluate(BLUE)
        change_theme(page, theme)
        # The style sheet of the theme arrives some time after its name; the icons follow it.
        page.wait_for_function(f"before => ({BLUE})() !== before", arg=before, timeout=60_000)
        page.screenshot(path=artefacts / f"lab-cards-{theme.lower()}.png")

    page.evaluate(EXECUTE, ["apputils:activate-command-palette", {}])
    page.keyboard.type("sparseot tutorial")
    page.locator(ENTRIES).last.wait_for()
    assert page.locator(ENTRIES).count() == len(titles)
    page.screenshot(path=artefacts / "lab-palette.png")


def test_card_copies_and_opens_without_overwriting(lab, page, artefacts):
    copy = lab.notebooks / "sparseot-gallery" / f"{BY_CARD}.ipynb"
    page.goto(f"{lab.root}lab/workspaces/click?token={TOKEN}")
    card = page.locator(CARDS).nth(1 + list(titles_of(lab)).index(f"{BY_CARD}.ipynb"))
    card.click(timeout=120_000)
    run_all(page, copy.relative_to(lab.notebooks).as_posix(), artefacts)
    saved = copy.read_bytes()
    assert b"image/png" in saved, "the outputs were not saved"
    assert cells(copy) == cells(lab.packaged / f"{BY_CARD}.ipynb")

    # By keyboard, from a new launcher.
    page.evaluate(EXECUTE, ["launcher:create", {}])
    card.press("Enter")
    second = copy.with_stem(f"{copy.stem}-1")
    page.wait_for_function(READY, arg=second.relative_to(lab.notebooks).as_posix(), timeout=120_000)
    assert copy.read_bytes() == saved
    assert cells(second) == cells(copy)
    linked = lab.notebooks / "sparseot-gallery" / f"{BY_PATH}.ipynb"
    assert cells(linked) == cells(lab.packaged / f"{BY_PATH}.ipynb"), "its links lead nowhere"
