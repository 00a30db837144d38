"""The modules of viewers and launcher cards: their tests in Node, and how viewers are joined."""

import re
from pathlib import Path

import pytest

from sparseot_widgets import pages

HERE = Path(__file__).parent / "js"


def test_units(node):
    said = node("--test", *map(str, sorted(HERE.glob("*.test.mjs"))))
    assert int(re.search(r"pass (\d+)", said)[1]) >= 9 and "fail 0" in said


@pytest.mark.parametrize("module", pages.viewers())
def test_a_bundle_is_one_small_module_without_imports(module, node, tmp_path):
    bundle = pages.bundle(module)
    assert not re.search(r"^\s*(import|export (?!default))", bundle, re.MULTILINE)
    assert len(bundle) < 60_000
    path = tmp_path / "bundle.mjs"
    path.write_text(bundle)
    node("--check", str(path))  # two pieces with one name would be a syntax error
