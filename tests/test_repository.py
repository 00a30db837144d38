"""What the files around the library promise: the version, the hooks, how to cite, what to report."""

import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

import sparseot

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_library_knows_its_version():
    assert sparseot.__version__ == PROJECT["version"]
    assert "__version__" not in sparseot.__all__, "import * would replace the caller's own"


def test_a_tree_that_is_not_installed_has_a_version_too(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT)])  # nothing is installed here
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("sparseot")
    source = Path(sparseot.__file__)
    names = {"__name__": "sparseot", "__package__": "sparseot"}
    exec(compile(source.read_text(), source, "exec"), names)
    assert names["__version__"] == "0+unknown"
    assert Version(names["__version__"]) < Version(PROJECT["version"])
