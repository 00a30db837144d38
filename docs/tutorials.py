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
from sphinx_gallery.utils import get_md5sum

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


def forget_results(gallery: Path, pages: Path, now: str) -> None:
    """Let a script run again that changed, or that had no time to finish; all, if `now` is new.

    `now` is a hash of what results depend on beside the scripts. Sphinx-Gallery notes that a script
    has run before it writes the page, and the names that the script uses at the very end.
    """
    stamp = pages / STAMP
    same = stamp.exists() and stamp.read_text() == now
    for script in gallery.rglob("*.py"):
        made = pages / script.relative_to(gallery)
        begun, names = made.with_name(f"{made.name}.md5"), made.with_suffix(".codeobj.json")
        finished = begun.exists() and names.exists()
        if not (same and finished and begun.read_text() == get_md5sum(script, mode="t")):
            begun.unlink(missing_ok=True)
            names.unlink(missing_ok=True)
    pages.mkdir(exist_ok=True)
    stamp.write_text(now)


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
    settings, source = app.config.sphinx_gallery_conf, Path(app.srcdir)
    gallery, pages = source / settings["examples_dirs"], source / settings["gallery_dirs"]
    remove_leftovers(gallery, pages)
    forget_results(gallery, pages, app.config.tutorials_made_with)
    try:
        run_scripts(app)
    except BrokenProcessPool:
        print("A worker was lost; the other scripts run one after the other", file=sys.stderr)
        forget_results(gallery, pages, app.config.tutorials_made_with)
        settings["parallel"] = False
        run_scripts(app)


def setup(app) -> None:
    """A local extension, to be loaded before Sphinx-Gallery, which then runs scripts by `run`.

    The setting ``tutorials_made_with`` is what :func:`fingerprint` gives.
    """
    app.add_config_value("tutorials_made_with", "", "", str)
    gen_gallery.generate_gallery_rst = run
