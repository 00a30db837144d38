"""Viewers in pages built by Sphinx: those that end a tutorial, and those of a directive.

In ``conf.py``, add ``"sparseot_widgets.sphinx"`` to ``extensions``, and for Sphinx-Gallery
``"sparseot_widgets.sphinx.scraper"`` to ``image_scrapers``. The pages ask for nothing outside and
work from ``file://``.
"""

from pathlib import Path
from textwrap import indent
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from . import pages
from .base import BaseViewer

__all__ = ["ViewerDirective", "scraper", "setup"]

SCRIPT, STYLE = "sparseot-viewers.js", "sparseot-viewers.css"


def scraper(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """The viewer that is the last expression of a block, as reStructuredText.

    Its answers are recorded if the tutorial did not, and its poster is one of the images of the
    tutorial, so that it can be the thumbnail.
    """
    viewer = block_vars["example_globals"].get("___")
    if not isinstance(viewer, BaseViewer) or getattr(viewer, "in_page", False):
        return ""  # the last expression of an earlier block is still there in later ones
    viewer.in_page = True
    viewer.poster(next(block_vars["image_path_iterator"]))
    return ".. raw:: html\n\n" + indent(viewer.markup(), "    ") + "\n"


class ViewerDirective(SphinxDirective):
    """``viewer``: shows some lines of Python, runs them, and shows the viewer that ends them.

    The option ``hide-code`` leaves the lines out of the page.
    """

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"hide-code": directives.flag}

    def run(self) -> list[nodes.Node]:
        """The code as a literal block, unless it is hidden, and the viewer below it."""
        code = "\n".join(self.content)
        *lines, last = code.split("\n\n")
        names: dict[str, Any] = {}
        exec("\n\n".join(lines), names)
        viewer = eval(last, names)
        if not isinstance(viewer, BaseViewer):
            raise self.error(f"the last paragraph gives {type(viewer).__name__}, not a viewer")
        drawn = nodes.raw("", viewer.markup(), format="html")
        if "hide-code" in self.options:
            return [drawn]
        return [nodes.literal_block(code, code, language="python"), drawn]


def write_files(app: Sphinx, config: Any) -> None:
    """One script with all viewers and one style sheet, among the static files."""
    folder = Path(app.confdir) / "gen" / "viewers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCRIPT).write_text(pages.scripts(pages.viewers()), encoding="utf-8")
    (folder / STYLE).write_text(pages.style(), encoding="utf-8")
    config.html_static_path.append(str(folder))


def add_files(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Only pages with a viewer load them."""
    if 'class="sparseot-viewer"' in context.get("body", ""):
        app.add_js_file(SCRIPT, loading_method="defer")
        app.add_css_file(STYLE)


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    app.add_directive("viewer", ViewerDirective)
    app.connect("config-inited", write_files)
    app.connect("html-page-context", add_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
