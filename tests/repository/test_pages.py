"""What readers find: the learning path, pictures before code, an example for each public name."""

import importlib
import inspect
import re
import runpy
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from docutils import nodes
from sphinx_gallery.directives import imgsgnode

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "gallery"
SVG = "{http://www.w3.org/2000/svg}"
NAMES = [script.relative_to(GALLERY).as_posix()[:-3] for script in GALLERY.rglob("plot_*.py")]


@pytest.fixture(scope="module")
def path():
    """The module that draws the learning path; as a module, since it has data classes."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module("learning_path")
    finally:
        sys.path.remove(str(ROOT / "docs"))


@pytest.mark.parametrize(("columns", "width"), [(3, 840), (1, 340)])
def test_every_tutorial_stands_once_in_the_learning_path(path, columns, width):
    text = path.draw(GALLERY, columns, width, "some")
    drawn = ElementTree.fromstring(text.replace("<svg", f'<svg xmlns="{SVG[1:-1]}"', 1))
    links = [link.get("href") for link in drawn.iter(f"{SVG}a")]
    assert len(NAMES) > 20 and sorted(links) == sorted(f"{name}.html" for name in NAMES)
    boxes = []
    for link in drawn.iter(f"{SVG}a"):
        box = link.find(f"{SVG}rect")
        left, top, wide, high = (float(box.get(k)) for k in ("x", "y", "width", "height"))
        assert left >= 0 and left + wide <= width
        boxes.append((left, top, left + wide, top + high))
    for k, one in enumerate(boxes):
        for other in boxes[:k]:
            apart = one[0] >= other[2] or other[0] >= one[2]
            assert apart or one[1] >= other[3] or other[1] >= one[3], "two boxes overlap"


def test_every_box_but_the_first_of_each_folder_has_an_arrow(path):
    folders = path.sections(GALLERY)
    path.place(folders, 3, 840)
    for folder, boxes in folders.items():
        assert [box.parent is None for box in boxes] == [True] + [False] * (len(boxes) - 1), folder
    arrows = path.arrows(folders)
    assert len(arrows) == sum(len(boxes) - 1 for boxes in folders.values())


def test_a_tutorial_that_is_named_nowhere_comes_after_the_first_of_its_folder(path, tmp_path):
    for name in ("first_steps/plot_a", "new/plot_b", "new/plot_c"):
        script = tmp_path / f"{name}.py"
        script.parent.mkdir(exist_ok=True)
        script.write_text('"""\nA <title>\n=========\n"""\n')
        (script.parent / "GALLERY_HEADER.rst").write_text("New\n===\n")
    boxes = path.sections(tmp_path)["new"]
    assert [(box.name, box.parent) for box in boxes] == [
        ("new/plot_b", None),
        ("new/plot_c", "new/plot_b"),
    ]
    assert "&lt;title&gt;" in path.draw(tmp_path, 1, 340, "narrow")


def section_of(*children):
    return nodes.section("", *children)


@pytest.fixture(scope="module")
def picture_first():
    return runpy.run_path(str(ROOT / "docs" / "first_screen.py"))["picture_first"]


def test_the_first_picture_changes_places_with_its_code(picture_first):
    code, printed = nodes.literal_block("", "code"), nodes.literal_block("", "printed")
    picture, other = imgsgnode(**{"class": ["sphx-glr-single-img"]}), nodes.image()
    text = nodes.paragraph("", "before")
    section = section_of(text, code, printed, picture, nodes.paragraph("", "after"), other)
    assert picture_first(section)
    assert section.children[:2] == [text, picture]
    assert [type(child) for child in section.children[2:4]] == [
        nodes.paragraph,
        nodes.literal_block,
    ]
    assert section.children[3] is code and section.children[-1] is other


@pytest.mark.parametrize(
    "picture",
    [
        nodes.bullet_list(classes=["sphx-glr-horizontal"]),
        nodes.raw("", '<figure class="sparseot-viewer">', format="html"),
        nodes.raw("", '<div class="animation">', format="html"),
    ],
)
def test_rows_of_pictures_viewers_and_animations_are_pictures(picture_first, picture):
    code = nodes.literal_block("", "code")
    section = section_of(code, picture)
    assert picture_first(section) and section.children[0] is picture


def test_pictures_of_later_blocks_stay(picture_first):
    """Between them and the first code there is prose."""
    code = nodes.literal_block("", "code")
    picture = nodes.bullet_list(classes=["sphx-glr-horizontal"])
    section = section_of(code, nodes.paragraph("", "prose"), picture)
    before = list(section.children)
    assert not picture_first(section) and section.children == before
    assert not picture_first(section_of(nodes.paragraph("", "no code")))


def public(module: str):
    """Each public name, as in the API page, with its object."""
    loaded = importlib.import_module(module)
    for name in loaded.__all__:
        member = getattr(loaded, name)
        if inspect.ismodule(member):
            yield from public(f"{module}.{name}")
        elif name[0] != "_" and name != "BaseViewer":  # shown by the viewers, which are made of it
            yield f"{module}.{name}", member


def test_every_public_name_has_an_example():
    """In its docstring, or a tutorial that calls it, a picture of which is then on its page."""
    scripts = "\n".join(script.read_text() for script in GALLERY.rglob("*.py"))
    names = [*public("sparseot"), *public("sparseot_widgets")]
    assert len(names) > 50
    for name, member in names:
        called = re.search(rf"\b{name.rpartition('.')[2]}\(", scripts)
        assert called or ">>>" in (inspect.getdoc(member) or ""), f"{name} has no example"
