"""Sources in a folder: written once, as a whole, readable, and elsewhere where it cannot be written."""

import inspect

import pytest

from sparseot.engines.trees.triton import modules
from sparseot.engines.trees.triton.modules import module

TEXT = '"""A module."""\n\nanswer = 42\n'


@pytest.fixture
def caches(monkeypatch, tmp_path):
    module.cache_clear()
    monkeypatch.setenv("SPARSEOT_CACHE_DIR", str(tmp_path))
    yield tmp_path / "formulas"
    module.cache_clear()


def test_a_text_is_written_once(caches):
    assert module(TEXT).answer == 42
    (path,) = caches.iterdir()
    assert path.read_text() == TEXT and path.suffix == ".py"
    when = path.stat().st_mtime_ns
    module.cache_clear()
    assert module(TEXT).answer == 42 and path.stat().st_mtime_ns == when


def test_what_asks_for_a_source_finds_it(caches):
    """As Triton does of kernels."""
    text = "def half(x):\n    return x / 2\n"
    assert inspect.getsource(module(text).half) == text


def test_a_file_that_was_cut_off_is_written_anew(caches):
    module(TEXT)
    (path,) = caches.iterdir()
    path.write_text(TEXT[:10])
    module.cache_clear()
    assert module(TEXT).answer == 42 and path.read_text() == TEXT
    assert list(caches.iterdir()) == [path]


def test_where_nothing_can_be_written_a_temporary_folder_is_taken(monkeypatch, tmp_path, caches):
    monkeypatch.setattr(modules, "_temporary", lambda: tmp_path / "other")
    caches.write_text("a file in the place of the folder")
    assert module(TEXT).answer == 42
    assert [path.read_text() for path in (tmp_path / "other").iterdir()] == [TEXT]
