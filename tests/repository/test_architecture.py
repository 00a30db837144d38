"""The architecture page says what is there: its picture, and the files that it names."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
sys.path.insert(0, str(ROOT / "docs"))

import rooms  # noqa: E402


def test_the_picture_is_drawn_from_the_import_contracts():
    """After a change of the contracts: python docs/rooms.py"""
    assert rooms.PICTURE.read_text() == rooms.draw()
    assert rooms.PICTURE.name in PAGE


def test_every_room_is_in_the_contracts():
    """No package or module stands beside the layers; the data sets and the version do."""
    apart = {"datasets", "__init__"}
    known = {room for row in rooms.layers()["sparseot"] for room in row}
    there = {path.stem for path in (ROOT / "sparseot").glob("*.py")}
    there |= {path.parent.name for path in (ROOT / "sparseot").glob("*/__init__.py")}
    assert there - apart == known


def test_every_file_that_the_page_names_exists():
    """In backticks, by the end of its path."""
    named = re.findall(r"`([\w/]+\.(?:py|md|mjs|toml))`", PAGE)
    folders = ("sparseot", "widgets", "docs", "tests")
    there = [
        f"/{path.relative_to(ROOT)}" for name in folders for path in (ROOT / name).rglob("*.*")
    ]
    there += [f"/{path.name}" for path in ROOT.iterdir()]
    missing = {name for name in named if not any(path.endswith(f"/{name}") for path in there)}
    assert len(named) > 20 and not missing


def test_every_folder_of_the_library_is_small():
    """At most a dozen files, beside the one that says what the folder is for; none over 350 lines."""
    for folder in {path.parent for path in (ROOT / "sparseot").rglob("*.py")}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 12, folder
        assert all(len(path.read_text().splitlines()) <= 350 for path in files), folder
