"""What is shipped, what is declared, and what an import costs."""

import importlib.metadata
import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

# What `import sparseot` loads after torch, in a fresh process.
PROBE = """
import json, sys, warnings
warnings.simplefilter("error")
import torch
before = set(sys.modules)
import sparseot
print(json.dumps(sorted(set(sys.modules) - before)))
"""
AT_FIRST_USE = {"finufft", "keopscore", "llvmlite", "matplotlib", "numba", "pykeops", "scipy"}
AT_FIRST_USE |= {"sklearn", "sparseot_widgets", "tqdm.auto", "triton"}
MOST_OF_OURS, MOST_OF_OTHERS = 115, 10  # modules, beside those that torch loads


def normal(requirement: str) -> str:
    """One spelling for one requirement: conda calls torch pytorch, and knows no markers."""
    parsed = Requirement(requirement)
    return f"{parsed.name}{parsed.specifier}".lower().replace("pytorch", "torch")


def requirements(extra: str) -> list[str]:
    """What an extra adds, and those that it names."""
    found = []
    for line in EXTRAS[extra]:
        parsed = Requirement(line)
        more = [requirements(name) for name in sorted(parsed.extras)]
        found += sum(more, []) if parsed.name == PROJECT["name"] else [line]
    return found


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"import sparseot writes to stderr: {done.stderr}"
    return json.loads(done.stdout)  # nothing else may be printed


def test_import_loads_nothing_that_belongs_to_a_first_use(loaded):
    """Not the module, and nothing inside it; what torch itself loads is not looked at."""
    early = [m for m in loaded if any(f"{m}.".startswith(f"{name}.") for name in AT_FIRST_USE)]
    assert not early


def test_import_loads_few_modules(loaded):
    """Most of an import is opening files: their number is its price, on every machine."""
    ours = [name for name in loaded if name.partition(".")[0] == "sparseot"]
    assert "sparseot.losses.samples" in ours
    assert len(ours) <= MOST_OF_OURS
    assert len(loaded) - len(ours) <= MOST_OF_OTHERS, set(loaded) - set(ours)


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
    declared = {normal(line) for line in PROJECT["dependencies"] + requirements("jupyter")}
    assert conda == declared | {f"python{PROJECT['requires-python']}"}
    assert {"pip": ["-e ."]} in listed


def test_keops_is_an_extra():
    """It compiles with g++ and does not run on Windows: the core installs without it."""
    names = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert "pykeops" not in names
    for extra in ("keops", "jupyter", "docs", "test", "all"):
        (line,) = (line for line in map(Requirement, requirements(extra)) if line.name == "pykeops")
        assert line.marker is not None and not line.marker.evaluate({"platform_system": "Windows"})
        assert line.marker.evaluate({"platform_system": "Darwin"})


def test_every_python_that_is_declared_is_allowed():
    label = "Programming Language :: Python :: 3."
    declared = [line for line in PROJECT["classifiers"] if line.startswith(label)]
    assert [int(line.removeprefix(label)) for line in declared] == [11, 12, 13]
    assert PROJECT["requires-python"] == ">=3.11"


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
