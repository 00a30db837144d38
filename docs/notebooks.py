"""Turn the tutorials into notebooks, with the converter of the site.

Usage: python docs/notebooks.py gallery notebooks

A notebook whose cells were edited is never overwritten: when its tutorial changes, the new
version is written beside it as ``<name>.new.ipynb``.
"""

import hashlib
import json
import os
import re
import sys
from pathlib import Path

from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
from sphinx_gallery.notebook import jupyter_notebook
from sphinx_gallery.py_source_parser import remove_config_comments, split_code_and_text_blocks

# The folders of the gallery, as one should read them. Those not listed come after, by name.
ORDER = [
    "first_steps",
    "gradient_flows",
    "kernel_matrices",
    "transport",
    "curvature",
    "graphs",
]

# What only Sphinx understands: a role with its target, and the label of a tutorial.
ROLE = re.compile(r":(?P<role>[a-z:]+):`(?:(?P<text>[^`<]+?)\s*<)?(?P<target>[^`<>]+)>?`")
LABEL = "sphx_glr_auto_gallery_"

# reST that would be left in a notebook as raw text.
RAW_REST = re.compile(r":[a-z:]+:`[^`]*`|sphx_glr_\w+|^\.\. .*|\[[#\w]+\]_(?!\w)", re.MULTILINE)


def title(script: Path) -> str:
    """The first heading of a tutorial."""
    lines = script.read_text().splitlines()
    return next(line.strip() for line in lines if line.strip(" =\"'r"))


def in_order(gallery: Path) -> list[Path]:
    """The tutorials, as one should read them: by folder, then by file name."""

    def place(script: Path) -> tuple:
        folder = script.parent.relative_to(gallery).as_posix()
        known = -1 if folder == "." else ORDER.index(folder) if folder in ORDER else len(ORDER)
        return known, folder, script.name

    return sorted(gallery.rglob("plot_*.py"), key=place)


def plain(text: str, script: Path, gallery: Path) -> str:
    """Replace the roles of Sphinx: links to tutorials become links to notebooks, names literals."""
    labels = {
        LABEL + "_".join(other.relative_to(gallery).parts): other for other in gallery.rglob("*.py")
    }

    def replace(match: re.Match) -> str:
        role, target = match["role"], " ".join(match["target"].split())
        if role == "math":
            return match.group()
        if other := labels.get(target):
            path = Path(os.path.relpath(other, script.parent)).with_suffix(".ipynb").as_posix()
            return f"`{match['text'] or title(other)} <{path}>`_"
        if role in ("ref", "doc"):
            return f"*{match['text'] or target}*"
        short = target.rpartition(".")[2] if target.startswith("~") else target
        return f"``{match['text'] or short}``"

    return ROLE.sub(replace, text)


def convert(script: Path, gallery: Path) -> dict:
    """The notebook of one tutorial."""
    _, blocks = split_code_and_text_blocks(str(script))
    blocks = [
        (kind, remove_config_comments(text) if kind == "code" else plain(text, script, gallery), n)
        for kind, text, n in blocks
    ]
    return jupyter_notebook(blocks, DEFAULT_GALLERY_CONF, str(script.parent))


def raw_rest(notebook: dict) -> list[str]:
    """The pieces of reST that are left in the text cells of a notebook."""
    texts = ("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown")
    return [match.group() for text in texts for match in RAW_REST.finditer(text)]


def fingerprint(notebook: dict) -> str:
    """A hash of what the reader may edit: the cells' text, not their outputs."""
    cells = [(c["cell_type"], "".join(c["source"])) for c in notebook["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def update(gallery: Path, notebooks: Path) -> list[Path]:
    """Convert the tutorials under `gallery` that changed; return the notebooks written."""
    record = notebooks / ".converted.json"  # path of a notebook -> fingerprint when written
    known = json.loads(record.read_text()) if record.exists() else {}
    written = []
    for script in sorted(gallery.rglob("plot_*.py")):
        name = script.relative_to(gallery).with_suffix(".ipynb")
        notebook = convert(script, gallery)
        new = fingerprint(notebook)
        target = notebooks / name
        if target.exists():
            if known.get(str(name)) == new:
                continue  # the tutorial did not change
            if fingerprint(json.loads(target.read_text())) not in (known.get(str(name)), new):
                target = target.with_suffix(".new.ipynb")
                print(f"{notebooks / name}: you edited it, so it stays; see {target.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(notebook, indent=1) + "\n")
        known[str(name)] = new
        written.append(target)
    notebooks.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(known, indent=1) + "\n")
    return written


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    done = update(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{sys.argv[2]}/: {len(done)} notebooks written, the others are up to date")
