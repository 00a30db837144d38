"""Which tutorials run again when the site is built, and that a lost worker does not end the build."""

import hashlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tutorials():
    return runpy.run_path(str(ROOT / "docs" / "tutorials.py"))


PROGRAM = '''"""A module."""

HALF = 0.5


def f(x):
    """Half of x."""
    # a comment
    return x * HALF
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('"""A module."""', "", True),
        ('    """Half of x."""\n', "", True),
        ("# a comment", "# another", True),
        ("x * HALF", "(x\n        * HALF)", True),
        ("HALF = 0.5", "HALF = 0.25", False),
        ("return x", "return 2 * x", False),
        ("def f(x)", "def f(x, y=1)", False),
    ],
)
def test_results_depend_on_code_and_not_on_its_words(tutorials, tmp_path, old, new, same):
    assert old in PROGRAM
    module = tmp_path / "library" / "module.py"
    module.parent.mkdir()
    module.write_text(PROGRAM)
    before = tutorials["fingerprint"]([module.parent], ["settings"])
    module.write_text(PROGRAM.replace(old, new))
    assert (tutorials["fingerprint"]([module.parent], ["settings"]) == before) == same
    assert tutorials["fingerprint"]([module.parent], ["other settings"]) != before


def test_a_module_more_is_a_change(tutorials, tmp_path):
    before = tutorials["fingerprint"]([tmp_path], [])
    (tmp_path / "module.py").touch()
    assert tutorials["fingerprint"]([tmp_path], []) != before


def test_leftovers_of_removed_tutorials_go_and_no_others(tutorials, tmp_path):
    gallery, pages = tmp_path / "gallery", tmp_path / "pages"
    for folder in (gallery / "one", pages / "one", pages / "gone", pages / "images"):
        folder.mkdir(parents=True)
    (gallery / "one" / "plot_a.py").touch()
    for name in ("plot_a", "plot_a_more"):
        for kind in ("py", "py.md5", "rst", "ipynb"):
            (pages / "one" / f"{name}.{kind}").touch()
    (pages / "one" / "index.rst").touch()
    (pages / "gone" / "index.rst").touch()
    tutorials["remove_leftovers"](gallery, pages)
    left = {p.relative_to(pages).as_posix() for p in pages.rglob("*") if p.is_file()}
    kept = {f"one/plot_a.{kind}" for kind in ("py", "py.md5", "rst", "ipynb")}
    assert left == kept | {"one/index.rst"}
    assert not (pages / "gone").exists() and (pages / "images").exists()


def test_scripts_that_changed_or_never_finished_run_again(tutorials, tmp_path):
    gallery, pages = tmp_path / "gallery", tmp_path / "pages"
    gallery.mkdir()
    pages.mkdir()

    def ran(name: str, finished: bool = True) -> None:
        """What Sphinx-Gallery leaves of a script that ran."""
        text = (gallery / f"{name}.py").read_bytes()
        (pages / f"{name}.py.md5").write_text(hashlib.md5(text).hexdigest())
        if finished:
            (pages / f"{name}.codeobj.json").write_text("{}")

    def kept(now: str) -> set[str]:
        tutorials["forget_results"](gallery, pages, now)
        return {path.name.removesuffix(".py.md5") for path in pages.glob("*.py.md5")}

    for name in ("plot_a", "plot_b", "plot_c"):
        (gallery / f"{name}.py").write_text(f"print('{name}')\n")
    assert kept("library") == set()
    for name in ("plot_a", "plot_b", "plot_c"):
        ran(name, finished=name != "plot_b")
    assert kept("library") == {"plot_a", "plot_c"}
    (gallery / "plot_c.py").write_text("print(1)\n")
    assert kept("library") == {"plot_a"}
    ran("plot_c", finished=False)
    assert kept("library") == {"plot_a"}, "names of the run before count for nothing"
    assert kept("other library") == set()


CONF = f"""
import os, sys
sys.path.insert(0, {str(ROOT / "docs")!r})
extensions = ["tutorials", "sphinx_gallery.gen_gallery"]
sphinx_gallery_conf = {{
    "examples_dirs": "scripts", "gallery_dirs": "pages", "parallel": 2,
    "write_computation_times": False,
}}
exclude_patterns = ["scripts"]
os.environ["MAIN"] = str(os.getpid())
tutorials_made_with = os.environ["MADE_WITH"]
"""

SCRIPT = '''"""
{name}
{line}
"""
import os, signal
main = str(os.getpid()) == os.environ["MAIN"]
with open("{log}", "a") as log:
    log.write("{name} " + ("main" if main else "worker") + "\\n")
if {deadly} and not main:
    os.kill(os.getpid(), signal.SIGKILL)
print("{name} came to its end")
'''


@pytest.mark.slow
def test_lost_workers_and_second_builds(tmp_path):
    """A script that dies in every worker runs in the main process; a script that ran is kept."""
    log = tmp_path / "log.txt"
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "GALLERY_HEADER.rst").write_text("Scripts\n=======\n")
    for name, deadly in (("plot_deadly", True), ("plot_harmless", False)):
        (scripts / f"{name}.py").write_text(
            SCRIPT.format(name=name, line="=" * 20, log=log, deadly=deadly)
        )
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "index.rst").write_text("Index\n=====\n\n.. toctree::\n\n   pages/index\n")

    def build(made_with: str) -> tuple[list[str], str]:
        """What ran, and what was said."""
        log.write_text("")
        done = subprocess.run(
            [sys.executable, "-m", "sphinx", "-q", "-W", "-E", "-a", str(tmp_path), str(tmp_path / "html")],
            env={**os.environ, "MADE_WITH": made_with}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for name in ("plot_deadly", "plot_harmless"):
            assert (
                f"{name} came to its end" in (tmp_path / "html/pages" / f"{name}.html").read_text()
            )
        return log.read_text().splitlines(), done.stderr

    ran, said = build("one library")
    assert "plot_deadly worker" in ran and ran.count("plot_deadly main") == 1
    assert "A worker was lost" in said
    assert build("one library")[0] == []
    assert "plot_harmless" in " ".join(build("another library")[0])
