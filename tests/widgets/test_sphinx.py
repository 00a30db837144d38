"""The directive that puts a viewer into a page."""

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import directives
from docutils.utils import SystemMessage

from sparseot_widgets.sphinx import ViewerDirective

PAGE = """
.. viewer::
   {option}

   import torch
   from sparseot_widgets import GraphViewer

   {last}
"""
VIEWER = "GraphViewer(torch.rand(12, 2), k=2)"


@pytest.fixture(scope="module", autouse=True)
def registered():
    directives.register_directive("viewer", ViewerDirective)


def parts(option: str = "", last: str = VIEWER) -> tuple[list, list]:
    """The pieces of code and of HTML that a page has."""
    text = PAGE.format(option=option, last=last)
    settings = {"halt_level": 3, "report_level": 3, "warning_stream": False}
    page = publish_doctree(text, settings_overrides=settings)
    return list(page.findall(nodes.literal_block)), list(page.findall(nodes.raw))


def test_code_is_shown_above_its_viewer_unless_it_is_hidden():
    (code,), (viewer,) = parts()
    assert VIEWER in code.astext()
    assert 'class="sparseot-viewer" data-module="graph"' in viewer.astext()
    hidden, (alone,) = parts(":hide-code:")
    assert not hidden
    assert 'class="sparseot-viewer" data-module="graph"' in alone.astext()


def test_what_is_no_viewer_is_refused():
    with pytest.raises(SystemMessage, match="gives int, not a viewer"):
        parts(last="1 + 1")
