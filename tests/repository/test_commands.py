"""How the tests are run: by make, by two workers, and where something is missing."""

import itertools
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import missing

ROOT = Path(__file__).parents[2]


def test_every_test_is_in_make_test_or_in_make_check():
    """Which runs make test first: each test runs once, but for those of a CUDA device and those of an hour."""
    fast, slow = re.findall(r'-m "([^"]*)"', (ROOT / "Makefile").read_text())
    for gpu, is_slow, hours, browser in itertools.product((False, True), repeat=4):
        marks = {"gpu": gpu, "slow": is_slow, "hours": hours, "browser": browser}
        selected = eval(fast, {}, marks) + eval(slow, {}, marks)
        assert selected == (0 if gpu or hours else 1), marks
    everywhere = (ROOT / ".github" / "workflows" / "everywhere.yml").read_text()
    assert f'-m "{fast}"' in everywhere
    assert "make check" in (ROOT / ".ci" / "run").read_text()


class Item(SimpleNamespace):
    """What pytest has collected, as far as it matters here."""

    def add_marker(self, mark):
        self.marks.append(mark)


@pytest.mark.parametrize("in_ci", [False, True])
def test_what_is_missing_is_said_once(in_ci, monkeypatch):
    """In CI the tests stay, and fail."""
    monkeypatch.setattr(missing, "IN_CI", in_ci)
    monkeypatch.setattr(missing, "find", lambda name: None if name == "node" else "/usr/bin/it")
    fixtures = [("node",), (), ("node", "tmp_path"), ("chromium",)]
    items = [Item(fixturenames=names, marks=[]) for names in fixtures]
    left_out, wanted = [], items[:] if in_ci else [items[0], items[1], items[3]]
    hook = SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    first = items[0]
    missing.tell_once(SimpleNamespace(hook=hook), items)
    assert items == wanted
    if not in_ci:
        (mark,) = first.marks
        assert mark.name == "skip" and mark.args[0].startswith("2 tests need Node: ")
        assert len(left_out) == 1
