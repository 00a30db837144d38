"""Tests lie where a reader of the library looks for them: in a folder of the same name."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

# Rooms without a folder of their own, and the tests that go through them.
ELSEWHERE = {
    "graphs/loops": "graphs/search",  # a loop is known by the neighbours that it finds
}


def rooms():
    """The folders of the library that have code."""
    return {
        str(path.parent.relative_to(ROOT / "sparseot"))
        for path in (ROOT / "sparseot").rglob("*.py")
        if path.name != "__init__.py"
    }


def test_every_room_has_a_folder_of_tests():
    assert len(rooms()) > 10 and set(ELSEWHERE) <= rooms()
    for room in rooms():
        assert list((ROOT / "tests" / ELSEWHERE.get(room, room)).glob("test_*.py")), room


def test_every_folder_is_small():
    """At most a dozen files, beside what all of them share; those of the library are counted with its rooms."""
    for top in ("benchmarks", "tests", "widgets"):
        for folder in {path.parent for path in (ROOT / top).rglob("*.py")}:
            shared = ("__init__", "conftest")
            files = [path for path in folder.glob("*.py") if path.stem not in shared]
            assert len(files) <= 12, folder
