"""Every page of the built site, opened as a file, with no network."""

import os
from pathlib import Path
from urllib.parse import quote_plus

import pytest

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]  # a busy machine is no mistake
PATIENCE = 120_000  # milliseconds

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

# Pictographs are drawn as empty boxes where no font has them, as on most servers and some laptops.
PICTOGRAPHS = r"() => document.body.innerText.match(/[\u{1F000}-\u{1FAFF}]/gu) ?? []"


@pytest.fixture(scope="module")
def pages() -> list[Path]:
    if not (SITE / "index.html").exists():
        required = os.environ.get("SPARSEOT_SITE_REQUIRED") == "1"
        (pytest.fail if required else pytest.skip)("the site is not built: make gallery builds it")
    return sorted(p for p in SITE.rglob("*.html") if "_static" not in p.relative_to(SITE).parts)


VIEWERS_DRAWN = """() => [...document.querySelectorAll(".sparseot-viewer")]
  .every(viewer => viewer.querySelector(".sov[data-drawn]"))"""


@pytest.fixture
def tab(chromium):
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


def open_file(page, file: Path) -> None:
    """Open a page, and wait for its formulas and viewers."""
    page.goto(file.as_uri(), wait_until="load", timeout=PATIENCE)
    page.evaluate("() => window.MathJax?.startup?.promise")
    page.wait_for_function(VIEWERS_DRAWN, timeout=PATIENCE)


def problems_of(page, formulas: dict) -> list[str]:
    """All that is wrong with the page that is open."""
    found = [f"broken formula: {text}" for text in formulas["broken"]]
    found += [f"no picture: {src}" for src in page.evaluate(BROKEN_IMAGES)]
    found += [f"an initial became a list: {text}" for text in page.evaluate(INITIALS)]
    found += [f"a symbol that fonts lack: {text}" for text in page.evaluate(PICTOGRAPHS)]
    if formulas["drawn"] != formulas["written"]:
        found.append(f"{formulas['drawn']} of {formulas['written']} formulas are drawn")
    if (excess := page.evaluate(TOO_WIDE)) > 0:
        found.append(f"{excess} px wider than a telephone")
    return found


@pytest.fixture(scope="module")
def opened(pages, chromium, watch) -> dict[Path, tuple[list[str], int]]:
    """What is wrong with each page, and how many formulas it shows, on a telephone's width.

    One tab opens them in turn, which costs a third of a new tab for each. It leaves a page when
    all that the page asked for is there.
    """
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    seen = watch(page, inside="file://")
    result = {}
    for file in pages:
        open_file(page, file)
        formulas = page.evaluate(FORMULAS)
        problems = problems_of(page, formulas)
        result[file] = seen.leave(page) + problems, formulas["drawn"]
    page.close()
    return result


def test_every_page_is_whole_and_offline(opened):
    assert len(opened) > 8, "the site has too few pages to be complete"
    found = [f"{f.relative_to(SITE)}: {what}" for f, (wrong, _) in opened.items() for what in wrong]
    assert not found, "\n".join(found)


def test_formulas_are_there_at_all(opened):
    """The check above means something: the page of conventions has many formulas."""
    assert opened[SITE / "guide" / "conventions.html"][1] > 20


# Every canvas of a viewer as one text. Viewers draw in the frame after a change.
PICTURES = """async viewer => {
  for (let k = 0; k < 2; k++) await new Promise(requestAnimationFrame);
  return [...viewer.querySelectorAll("canvas")].map(c => c.toDataURL()).join();
}"""


def test_sliders_of_every_viewer_move(pages, tab, watch):
    """In the pages as they were built, from files, with nothing that answers."""
    shown = [file for file in pages if 'class="sparseot-viewer"' in file.read_text()]
    assert len(shown) > 10 and {"index", "viewers"} < {file.stem for file in shown}
    tab.set_viewport_size({"width": 1280, "height": 900})
    seen = watch(tab, inside="file://")
    wrong = []
    for file in shown:
        open_file(tab, file)
        for viewer in tab.locator(".sparseot-viewer").all():
            for slider in viewer.locator("input[type=range]:enabled").all():
                pictures = []
                for key in ("Home", "End"):
                    slider.press(key)
                    pictures.append(viewer.evaluate(PICTURES))
                if pictures[0] == pictures[1]:
                    wrong.append(f"{file.stem}: {slider.get_attribute('name')} does nothing")
        wrong += [f"{file.stem}: {problem}" for problem in seen.leave(tab)]
    assert not wrong, "\n".join(wrong)


# The first picture or viewer of an article: where it begins and how high it is, on the page in pixels.
PICTURE = """() => {
  const first = document.querySelector(
    "article :is(img.sphx-glr-single-img, ul.sphx-glr-horizontal, .sparseot-viewer, .animation)");
  const box = first.getBoundingClientRect();
  return { top: box.top + scrollY, height: box.height };
}"""


@pytest.mark.parametrize(("width", "height", "seen"), [(1280, 900, 250), (390, 844, 100)])
def test_tutorials_show_their_picture_on_the_first_screen(pages, tab, width, height, seen):
    """At least so many pixels of it, or all of it; of a laptop and of a telephone."""
    tab.set_viewport_size({"width": width, "height": height})
    wrong = []
    tutorials = sorted(SITE.glob("auto_gallery/*/plot_*.html"))
    assert len(tutorials) > 20
    for file in tutorials:
        open_file(tab, file)
        picture = tab.evaluate(PICTURE)
        if height - picture["top"] < min(seen, picture["height"]):
            wrong.append(f"{file.stem}: the picture begins at {picture['top']:.0f} px")
    assert not wrong, "\n".join(wrong)


# Boxes of the learning path whose text does not stand inside.
SPILT = """() => [...document.querySelectorAll(".so-path a")].filter(link => {
  const box = link.querySelector("rect").getBoundingClientRect();
  const text = link.querySelector("text").getBoundingClientRect();
  return box.width && (text.right > box.right || text.bottom > box.bottom || text.top < box.top);
}).map(link => link.textContent)"""


@pytest.mark.parametrize(("width", "shown"), [(1280, "wide"), (390, "narrow")])
def test_the_learning_path_leads_to_every_tutorial(pages, tab, width, shown):
    tab.set_viewport_size({"width": width, "height": 900})
    file = SITE / "auto_gallery" / "index.html"
    open_file(tab, file)
    assert tab.locator(".so-path:visible").count() == 1
    links = tab.locator(f".so-path-{shown} a")
    targets = [link.get_attribute("href") for link in links.all()]
    tutorials = SITE.glob("auto_gallery/*/plot_*.html")
    assert sorted(targets) == sorted(p.relative_to(file.parent).as_posix() for p in tutorials)
    assert tab.evaluate(SPILT) == []
    for image in tab.locator(".so-path image").all():
        assert (file.parent / image.get_attribute("href")).exists()


# What people look for, and a page that has to be among the first three hits.
FINDS = {
    "epsilon": "guide/glossary.html",
    "regularisation": "guide/glossary.html",
    "regularization": "guide/glossary.html",
    "NaN": "guide/messages.html",
    "error": "guide/messages.html",
    "memory": "guide/gpu.html",
    "out of memory": "guide/gpu.html",
    "blur": "guide/glossary.html",
    "GPU": "guide/gpu.html",
    "CUDA": "guide/gpu.html",
    "batch": "guide/ragged-batches.html",
    "padding": "guide/ragged-batches.html",
    "convergence": "guide/transport.html",
    "certificate": "guide/transport.html",
    "wasserstein distance": "guide/transport.html",
    "MMD": "guide/glossary.html",
    "float16": "guide/training-loops.html",
    "slow": "performance.html",
    "pip": "guide/install.html",
    "coupling": "guide/glossary.html",
}
FOUND = """() => {
  const summary = document.querySelector("#search-results p.search-summary");
  return summary && /found|did not/i.test(summary.textContent);
}"""
HITS = """() => [...document.querySelectorAll("#search-results li > a")]
  .slice(0, 3).map(link => link.getAttribute("href").split(/[?#]/)[0])"""


def test_a_search_finds_the_page(pages, tab):
    wrong = []
    for term, page in FINDS.items():
        tab.goto(f"{(SITE / 'search.html').as_uri()}?q={quote_plus(term)}", timeout=PATIENCE)
        tab.wait_for_function(FOUND, timeout=PATIENCE)
        hits = tab.evaluate(HITS)
        if page not in hits:
            wrong.append(f"{term}: {hits}, not {page}")
    assert not wrong, "\n".join(wrong)


def test_tutorials_can_be_downloaded(pages):
    scripts = [p.stem for p in SITE.glob("_downloads/*/plot_*.py")]
    notebooks = [p.stem for p in SITE.glob("_downloads/*/plot_*.ipynb")]
    assert scripts and sorted(scripts) == sorted(notebooks)


# One page of each kind.
KINDS = {
    "index": "index.html",
    "gallery": "auto_gallery/index.html",
    "tutorial": "auto_gallery/*/plot_*.html",
    "conventions": "guide/conventions.html",
    "api": "api/index.html",
    "api-name": "api/generated/*.html",
}


@pytest.mark.parametrize("name", KINDS)
def test_screenshots(pages, tab, artefacts, name):
    """Pictures to look at; the theme follows the reader's system."""
    open_file(tab, sorted(SITE.glob(KINDS[name]))[0])
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            tab.emulate_media(color_scheme=theme)
            tab.wait_for_function(
                "theme => document.documentElement.dataset.theme === theme", arg=theme
            )
            tab.screenshot(path=artefacts / f"site-{name}-{theme}-{width}.png", full_page=True)
