"""What is shipped, what is declared, and what an import costs."""

import importlib.metadata
import json
import re
import runpy
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

# Each run imports torch, then sparseot, in a fresh process, and reports what that did.
PROBE = """
import json, sys, time, warnings
warnings.simplefilter("error")
import torch
start = time.process_time()
import sparseot
seconds = time.process_time() - start  # of this process alone: others may be busy
lazy = [name for name in ("numba", "pykeops", "keopscore", "finufft") if name in sys.modules]
print(json.dumps({"seconds": seconds, "loaded": lazy}))
"""


def normal(requirement: str) -> str:
    """One spelling for one requirement: conda calls torch pytorch."""
    parsed = Requirement(requirement)
    return str(parsed).lower().replace("pytorch", "torch")


def probe() -> dict:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"import sparseot writes to stderr: {done.stderr}"
    return json.loads(done.stdout)  # nothing else may be printed


def test_import_is_quiet_light_and_fast():
    probe()  # the first run may compile byte code
    runs = [probe() for _ in range(5)]
    assert not any(run["loaded"] for run in runs), runs
    seconds = statistics.median(run["seconds"] for run in runs)
    assert seconds < 0.3, f"import sparseot takes {seconds:.2f} s after torch"


def test_version_is_declared_once():
    import sparseot

    installed = importlib.metadata.version("sparseot")
    assert installed == PROJECT["version"]
    assert getattr(sparseot, "__version__", installed) == installed


def test_types_are_shipped():
    assert (ROOT / "sparseot" / "py.typed").is_file()


def test_environment_has_the_dependencies_of_pyproject():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {normal(line) for line in listed if isinstance(line, str) and line != "pip"}
    declared = {normal(line) for line in PROJECT["dependencies"] + EXTRAS["jupyter"]}
    assert conda == declared | {f"python{PROJECT['requires-python']}"}
    assert {"pip": ["-e ."]} in listed


def test_constraints_pin_every_declared_package():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    for pin in pins:
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), f"not one public version: {pin}"
        assert pin.url is None
    versions = {pin.name.lower(): next(iter(pin.specifier)).version for pin in pins}
    assert len(versions) == len(pins), "a package is pinned twice"
    for line in PROJECT["dependencies"] + sum(EXTRAS.values(), []):
        wanted = Requirement(line)
        if wanted.name != "sparseot":
            assert wanted.specifier.contains(versions[wanted.name.lower()]), line


def test_every_dependency_has_its_reason():
    page = (ROOT / "docs" / "architecture.md").read_text().lower()
    cells = re.findall(r"^\| ([^|]+) \|", page, flags=re.MULTILINE)
    named = {name.strip() for cell in cells for name in cell.split(",")}
    for line in PROJECT["dependencies"] + sum(EXTRAS.values(), []):
        name = Requirement(line).name.lower()
        if name != "sparseot":
            assert name in named, f"docs/architecture.md gives no reason for {name}"


SCRIPTS = sorted((ROOT / "gallery").rglob("plot_*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: str(s.relative_to(ROOT / "gallery")))
def test_tutorial_text_can_be_shown_in_a_notebook(script):
    notebooks = runpy.run_path(str(ROOT / "docs" / "notebooks.py"))
    left = notebooks["raw_rest"](notebooks["convert"](script, ROOT / "gallery"))
    assert not left, f"{script.name}: a notebook would show this reST as it is: {left}"


def test_links_and_names_become_markdown(tmp_path):
    notebooks = runpy.run_path(str(ROOT / "docs" / "notebooks.py"))
    text = "of :func:`~a.b.c`, see :ref:`sphx_glr_auto_gallery_two_plot_b.py`, :math:`x`"
    for name, body in {"one/plot_a.py": text, "two/plot_b.py": "end"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f'"""\nTitle of {name[0]}\n==========\n\n{body}\n"""\n')
    cells = notebooks["convert"](tmp_path / "one/plot_a.py", tmp_path)["cells"]
    assert cells[0]["source"][0].strip() == (
        "# Title of o\n\nof ``c``, see [Title of t](../two/plot_b.ipynb), $x$"
    )


def test_edited_notebooks_are_kept(tmp_path):
    update = runpy.run_path(str(ROOT / "docs" / "notebooks.py"))["update"]
    gallery, notebooks = tmp_path / "gallery", tmp_path / "notebooks"
    script = gallery / "section" / "plot_one.py"
    script.parent.mkdir(parents=True)
    script.write_text('"""\nOne\n===\n\nText, :math:`x`.\n"""\n\nprint(1)\n')
    target = notebooks / "section" / "plot_one.ipynb"
    assert update(gallery, notebooks) == [target]
    assert "$x$" in target.read_text()
    assert update(gallery, notebooks) == []

    # A run notebook has outputs but the same cells: a new tutorial replaces it.
    run = json.loads(target.read_text())
    run["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}]
    target.write_text(json.dumps(run))
    assert update(gallery, notebooks) == []
    script.write_text(script.read_text().replace("print(1)", "print(2)"))
    assert update(gallery, notebooks) == [target]

    # An edited one stays, and the new version is written beside it, once.
    edited = target.read_text().replace("print(2)", "print(20)")
    target.write_text(edited)
    script.write_text(script.read_text().replace("print(2)", "print(3)"))
    assert update(gallery, notebooks) == [target.with_suffix(".new.ipynb")]
    assert target.read_text() == edited
    assert update(gallery, notebooks) == []
