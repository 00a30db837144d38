"""Which tutorials run again when the site is built, and where.

Sphinx-Gallery runs a script again when the script changed. What it computes depends on the library
and on the settings, too: when these changed, all scripts run again. Comments, docstrings and
layout of the library do not count, for no result depends on them.

Scripts run in worker processes. If one of these is killed, say because memory ran out, those that
had not finished run again in the process of Sphinx, one after the other.
"""

import ast
import hashlib
import shutil
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from sphinx_gallery import gen_gallery

run_scripts = gen_gallery.generate_gallery_rst

STAMP = ".made-with"  # in the folder of the pages: what the results there were computed with
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code(source: str) -> str:
    """A program without its comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def fingerprint(packages: list[Path], others: list[str]) -> str:
    """A hash of the code of some packages, and of other texts that results depend on."""
    parts = list(others)
    for package in packages:
        for file in sorted(package.rglob("*.py")):
            parts += [file.relative_to(package.parent).as_posix(), code(file.read_text())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def forget_results(pages: Path, now: str) -> bool:
    """Let all scripts run again if their results were not computed with what there is `now`."""
    stamp = pages / STAMP
    if stamp.exists() and stamp.read_text() == now:
        return False
    for record in pages.rglob("*.py.md5"):  # by these Sphinx-Gallery knows that a script has run
        record.unlink()
    pages.mkdir(exist_ok=True)
    stamp.write_text(now)
    return True


def remove_leftovers(gallery: Path, pages: Path) -> None:
    """Remove what was made of tutorials, and of whole sections, that are no longer there."""
    for folder in pages.glob("*/"):
        if folder.name != "images" and not (gallery / folder.name).is_dir():
            shutil.rmtree(folder)
    for script in pages.rglob("*.py"):
        if not (gallery / script.relative_to(pages)).exists():
            for made in script.parent.glob(f"{script.stem}.*"):
                made.unlink()


def run(app) -> None:
    """Run what has to be run, in workers; what a lost worker leaves, in this process."""
    try:
        run_scripts(app)
    except BrokenProcessPool:
        print("A worker was lost; the other scripts run one after the other", file=sys.stderr)
        app.config.sphinx_gallery_conf["parallel"] = False
        run_scripts(app)


def setup(app) -> None:
    """A local extension, to be loaded before Sphinx-Gallery, which then runs scripts by `run`."""
    gen_gallery.generate_gallery_rst = run
