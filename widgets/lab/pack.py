"""Put the JupyterLab extension together: its files, the viewer, the tutorials as notebooks, their index.

Usage: python widgets/lab/pack.py build/labextensions/sparseot

The build of the wheel calls this, and so does `make lab`; nothing that it writes is committed.
"""

import json
import posixpath
import re
import runpy
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
GALLERY = HERE.parents[1] / "gallery"
NOTEBOOKS = runpy.run_path(str(HERE.parents[1] / "docs" / "notebooks.py"))
VIEWERS = runpy.run_path(str(HERE.parent / "sparseot_widgets" / "pages.py"))  # torch is not needed

LINK = re.compile(r"\]\(([^()\s]+\.ipynb)\)")


def short_name(script: Path) -> str:
    """What a tutorial is called on the command line: plot_1_calorimeter.py is calorimeter."""
    return re.sub(r"^plot_(\d+_)?", "", script.stem)


def links(path: str, notebook: dict) -> set[str]:
    """The notebooks that the text of the one at `path` links to."""
    cells = [c for c in notebook["cells"] if c["cell_type"] == "markdown"]
    found = LINK.findall("\n".join("".join(cell["source"]) for cell in cells))
    return {posixpath.normpath(posixpath.join(posixpath.dirname(path), link)) for link in found}


def reached(start: str, direct: dict[str, set[str]]) -> list[str]:
    """All that links lead to from one notebook, without itself."""
    seen, ahead = {start}, [start]
    while ahead:
        new = direct[ahead.pop()] - seen
        seen |= new
        ahead += new
    return sorted(seen - {start})


def index(scripts: list[Path], notebooks: dict[str, dict], gallery: Path) -> dict:
    """The sections of the gallery, with name, title, path and links of each tutorial."""
    direct = {path: links(path, notebook) for path, notebook in notebooks.items()}
    names = [short_name(script) for script in scripts]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two tutorials are called {sorted(doubled)}: rename one of their scripts")
    sections: dict[Path, dict] = {}
    for name, script, path in zip(names, scripts, notebooks, strict=True):
        header = script.parent / "GALLERY_HEADER.rst"
        title = NOTEBOOKS["title"]
        section = sections.setdefault(
            script.parent,
            {
                "name": script.parent.relative_to(gallery).as_posix(),
                "title": title(header),
                "tutorials": [],
            },
        )
        section["tutorials"].append(
            {
                "name": name,
                "title": title(script),
                "notebook": path,
                "linked": reached(path, direct),
            }
        )
    return {"sections": list(sections.values())}


def write(file: Path, text: str) -> None:
    """Write a text, and make the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def pack(target: Path, gallery: Path = GALLERY) -> None:
    """Write the extension to the folder `target`, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(HERE / "static", target / "static")
    for name in ("package.json", "install.json"):
        shutil.copy(HERE / name, target)
    shutil.copytree(HERE / "schemas", target / "schemas" / "sparseot")
    shutil.copy(HERE / "package.json", target / "schemas" / "sparseot" / "package.json.orig")
    viewers = target / "static" / "viewers"
    write(viewers / "cloud.js", VIEWERS["bundle"]("cloud"))
    write(viewers / "viewers.css", VIEWERS["style"]())
    scripts = NOTEBOOKS["in_order"](gallery)
    notebooks = {
        script.relative_to(gallery).with_suffix(".ipynb").as_posix(): NOTEBOOKS["convert"](
            script, gallery
        )
        for script in scripts
    }
    files = {**notebooks, "index.json": index(scripts, notebooks, gallery)}
    for path, content in files.items():
        write(target / "static" / "gallery" / path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    pack(Path(sys.argv[1]))
