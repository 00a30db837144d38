"""The command `sparseot`: lists the tutorials and copies them as notebooks."""

import argparse
import json
import os
import sys
import sysconfig
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, distribution
from itertools import count
from pathlib import Path
from typing import NamedTuple

# The JupyterLab extension carries the notebooks; its launcher cards copy to the same folder.
INDEX = "share/jupyter/labextensions/sparseot/static/gallery/index.json"
FOLDER = "sparseot-gallery"


class Refused(Exception):
    """What the user is told, without a traceback."""


class Tutorial(NamedTuple):
    name: str  # what the user types
    title: str
    section: str
    notebook: str  # its path, below the gallery
    linked: list[str]  # the notebooks that its links lead to


def packaged() -> Path:
    """The folder of the notebooks that were installed with sparseot."""
    found = []
    try:
        installed = distribution("sparseot")
        found = [installed.locate_file(f) for f in installed.files or [] if f.match(INDEX)]
    except PackageNotFoundError:
        pass
    # Some package managers move data files and keep no record of them.
    for index in [*found, Path(sysconfig.get_path("data")) / INDEX]:
        if Path(str(index)).is_file():
            return Path(str(index)).resolve().parent
    raise Refused(
        "The tutorials are not installed. Install sparseot again: pip install --force-reinstall "
        "--no-deps sparseot, or pip install -e . in a copy of the repository."
    )


def listed(gallery: Path) -> list[Tutorial]:
    """The tutorials, in the order of the gallery."""
    sections = json.loads((gallery / "index.json").read_text(encoding="utf-8"))["sections"]
    return [
        Tutorial(section=section["title"], **tutorial)
        for section in sections
        for tutorial in section["tutorials"]
    ]


def show(tutorials: list[Tutorial]) -> None:
    """Print names and titles, by section."""
    width = max(len(tutorial.name) for tutorial in tutorials)
    section = None
    for tutorial in tutorials:
        if tutorial.section != section:
            section = tutorial.section
            print(f"\n{section}")
        print(f"  {tutorial.name:{width}}  {tutorial.title}")
    print(f"\nsparseot tutorials copy {tutorials[0].name}   copies one into {FOLDER}/")
    print("sparseot tutorials copy" + " " * len(tutorials[0].name) + "    copies all of them")


def find(name: str, tutorials: list[Tutorial]) -> Tutorial:
    """The tutorial of that name; the name of its notebook or script will do."""
    names = {tutorial.name: tutorial for tutorial in tutorials}
    files = {Path(tutorial.notebook).stem: tutorial for tutorial in tutorials}
    stem = Path(name).stem
    if found := names.get(name) or names.get(stem) or files.get(stem):
        return found
    close = get_close_matches(stem, [*names, *files], n=3, cutoff=0.4)
    close = list(dict.fromkeys((names.get(match) or files[match]).name for match in close))
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise Refused(
        f"There is no tutorial called {name!r}.{hint} `sparseot tutorials` lists them; "
        "`sparseot tutorials copy all DIR` copies all of them to a folder."
    )


def cells(content: bytes) -> list[tuple[str, str]] | None:
    """What the reader may edit: the text of the cells, not their outputs. None for no notebook."""
    try:
        found = json.loads(content)["cells"]
        return [(cell["cell_type"], "".join(cell["source"])) for cell in found]
    except (ValueError, KeyError, TypeError):
        return None


def candidates(path: Path) -> Iterator[Path]:
    """x.ipynb, x-1.ipynb, x-2.ipynb, ..."""
    yield path
    for n in count(1):
        yield path.with_stem(f"{path.stem}-{n}")


def copy_one(source: Path, target: Path, keep: bool) -> str:
    """Copy a notebook, beside what has its name already; return what was written or kept.

    A copy whose cells are unchanged is kept, and with `keep` anything of that name.
    """
    content = source.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in candidates(target):
        try:
            with path.open("xb") as out:
                out.write(content)
        except FileExistsError:
            if keep or (path.is_file() and cells(path.read_bytes()) == cells(content)):
                return f"kept   {path}"
            continue
        return f"wrote  {path}" + ("" if path == target else f"  (yours is still {target.name})")
    raise AssertionError("there is always a free name")


def refusal(error: OSError, folder: Path) -> Refused:
    """Why nothing could be written, and what to do."""
    advice = "Give another folder: sparseot tutorials copy NAME DIR"
    wanted = Path(error.filename or folder)
    for place in (wanted, *wanted.parents):
        if place.exists() and not place.is_dir():
            return Refused(f"{place} is a file, and a folder is wanted there. {advice}")
    return Refused(f"Can't write to {folder}: {error}. {advice}")


def copy(name: str, folder: Path, gallery: Path) -> None:
    """Copy one tutorial, with those that its links lead to, or all."""
    tutorials = listed(gallery)
    chosen = tutorials if name == "all" else [find(name, tutorials)]
    asked = [tutorial.notebook for tutorial in chosen]
    linked = {notebook for tutorial in chosen for notebook in tutorial.linked}
    for notebook in [*asked, *sorted(linked.difference(asked))]:
        try:
            line = copy_one(gallery / notebook, folder / notebook, keep=notebook not in asked)
        except OSError as error:
            raise refusal(error, folder) from None
        print(line)


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    command = argparse.ArgumentParser(prog="sparseot", description="The tutorials of sparseot.")
    tutorials = command.add_subparsers(dest="command", required=True)
    what = "list the tutorials, or copy them as notebooks"
    actions = tutorials.add_parser("tutorials", help=what, description=what).add_subparsers(
        dest="action"
    )
    what = "copy notebooks; what you have is never overwritten"
    action = actions.add_parser("copy", help=what, description=what)
    action.add_argument("name", nargs="?", default="all", metavar="NAME", help="one tutorial; all")
    action.add_argument(
        "folder", nargs="?", default=FOLDER, type=Path, metavar="DIR", help=f"default: {FOLDER}"
    )
    return command


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors go to stderr, with status 1."""
    given = parser().parse_args(arguments)
    try:
        gallery = packaged()
        if given.action == "copy":
            copy(given.name, Path(given.folder), gallery)
        else:
            show(listed(gallery))
        sys.stdout.flush()
    except Refused as error:
        sys.exit(f"sparseot: {error}")
    except BrokenPipeError:  # the reader has seen enough: sparseot tutorials | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
