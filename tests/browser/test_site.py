"""Every page of the built site, opened as a file, with no network."""

import os
from pathlib import Path

import pytest

from .frames import STILL

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"

pytestmark = pytest.mark.browser

# Formulas that the page has, that were drawn, and that MathJax could not read.
FORMULAS = """() => ({
  written: document.querySelectorAll(".math").length,
  drawn: document.querySelectorAll(".math mjx-container > svg").length,
  broken: [...document.querySelectorAll(
    "mjx-merror, [data-mjx-error], [data-mml-node=merror], mjx-container [fill=red]"
  )].map(node => node.getAttribute("data-mjx-error") || node.closest(".math")?.textContent || "?"),
})"""

BROKEN_IMAGES = """() => [...document.images]
  .filter(image => image.loading !== "lazy" && image.complete && image.naturalWidth === 0)
  .map(image => image.src)"""

# In reST a line that begins with "M. Cuturi" can become a list numbered with roman numerals.
INITIALS = (
    "() => [...document.querySelectorAll('ol.upperalpha, ol.upperroman')].map(o => o.innerText)"
)

TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def pages() -> list[Path]:
    if not (SITE / "index.html").exists():
        required = os.environ.get("SPARSEOT_SITE_REQUIRED") == "1"
        (pytest.fail if required else pytest.skip)("the site is not built: make gallery builds it")
    return sorted(p for p in SITE.rglob("*.html") if "_static" not in p.relative_to(SITE).parts)


def problems_of(file: Path, browser, watch) -> list[str]:
    """Open one page on a telephone's width and say all that is wrong with it."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    seen = watch(page, inside="file://")
    page.goto(file.as_uri(), wait_until="load")
    page.evaluate("() => window.MathJax?.startup?.promise")
    formulas = page.evaluate(FORMULAS)
    found = [*seen.errors, *(f"asks the network: {url}" for url in seen.outside)]
    found += [f"broken formula: {text}" for text in formulas["broken"]]
    found += [f"no picture: {src}" for src in page.evaluate(BROKEN_IMAGES)]
    found += [f"an initial became a list: {text}" for text in page.evaluate(INITIALS)]
    if formulas["drawn"] != formulas["written"]:
        found.append(f"{formulas['drawn']} of {formulas['written']} formulas are drawn")
    if (excess := page.evaluate(TOO_WIDE)) > 0:
        found.append(f"{excess} px wider than a telephone")
    page.close()
    return [f"{file.relative_to(SITE)}: {problem}" for problem in found]


def test_every_page_is_whole_and_offline(pages, chromium, watch):
    assert len(pages) > 8, "the site has too few pages to be complete"
    problems = [problem for file in pages for problem in problems_of(file, chromium, watch)]
    assert not problems, "\n".join(problems)


# Every canvas of a viewer as one text.
PICTURES = """viewer => [...viewer.querySelectorAll("canvas")].map(c => c.toDataURL()).join()"""


def test_sliders_of_every_viewer_move(pages, chromium, watch):
    """In the pages as they were built, from files, with nothing that answers."""
    shown = [file for file in pages if 'class="sparseot-viewer"' in file.read_text()]
    assert len(shown) > 10 and any(file.stem == "viewers" for file in shown)
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    seen = watch(page, inside="file://")
    still = []
    for file in shown:
        page.goto(file.as_uri(), wait_until="load")
        for viewer in page.locator(".sparseot-viewer").all():
            viewer.locator(".sov[data-drawn]").wait_for()
            for slider in viewer.locator("input[type=range]:enabled").all():
                pictures = []
                for key in ("Home", "End"):
                    slider.press(key)
                    viewer.evaluate(STILL)
                    pictures.append(viewer.evaluate(PICTURES))
                if pictures[0] == pictures[1]:
                    still.append(f"{file.stem}: {slider.get_attribute('name')}")
    page.close()
    assert not still and not seen.outside and not seen.errors


def test_formulas_are_there_at_all(pages, chromium):
    """The check above means something: the page of conventions has many formulas."""
    page = chromium.new_page()
    page.goto((SITE / "guide" / "conventions.html").as_uri(), wait_until="load")
    page.evaluate("() => window.MathJax.startup.promise")
    assert page.evaluate(FORMULAS)["drawn"] > 20
    page.close()


def test_tutorials_can_be_downloaded(pages):
    scripts = [p.stem for p in SITE.glob("_downloads/*/plot_*.py")]
    notebooks = [p.stem for p in SITE.glob("_downloads/*/plot_*.ipynb")]
    assert scripts and sorted(scripts) == sorted(notebooks)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_screenshots(pages, chromium, artefacts, theme, width):
    """Pictures to look at; the theme follows the reader's system."""
    tutorial = next(p for p in pages if p.name.startswith("plot_"))
    api = next((p for p in pages if "generated" in p.parts), SITE / "api" / "index.html")
    shots = {
        "index": SITE / "index.html",
        "gallery": SITE / "auto_gallery" / "index.html",
        "tutorial": tutorial,
        "conventions": SITE / "guide" / "conventions.html",
        "api": SITE / "api" / "index.html",
        "api-name": api,
    }
    context = chromium.new_context(
        color_scheme=theme, viewport={"width": width, "height": 900}, device_scale_factor=1
    )
    for name, file in shots.items():
        page = context.new_page()
        page.goto(file.as_uri(), wait_until="load")
        page.evaluate("() => window.MathJax?.startup?.promise")
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        page.screenshot(path=artefacts / f"site-{name}-{theme}-{width}.png", full_page=True)
    context.close()
