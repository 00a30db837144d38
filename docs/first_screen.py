"""The picture of a tutorial on the first screen: above the code that draws it.

Sphinx-Gallery shows a block of code, then what it draws. A first block that loads data and draws is
longer than a screen, so in the page of a tutorial its first picture changes places with the code.
Scripts and notebooks stay as they are: there, what is drawn can only come after what draws it.
"""

from docutils import nodes
from sphinx.application import Sphinx

FIGURES = ("sphx-glr-single-img", "sphx-glr-horizontal")  # one picture, some in rows
RAW = ('class="sparseot-viewer"', 'class="animation"')  # a viewer, an animation


def is_picture(node: nodes.Node) -> bool:
    """Whether a node is what a block of code has drawn."""
    if isinstance(node, nodes.raw):
        return any(mark in node.astext() for mark in RAW)
    given = getattr(node, "attributes", {})
    return any(name in FIGURES for key in ("class", "classes") for name in given.get(key, ()))


def picture_first(section: nodes.Element) -> bool:
    """Move the first picture of a section before its first code; False where there is none.

    Pictures of later blocks stay where they are: between code and picture there is no prose.
    """
    code = section.first_child_matching_class(nodes.literal_block)
    if code is None:
        return False
    for node in section.children[code + 1 :]:
        if is_picture(node):
            section.remove(node)
            note = nodes.paragraph("", "The code that draws it:", classes=["so-draws"])
            section.insert(code, [node, note])
            return True
        if isinstance(node, nodes.paragraph | nodes.section):
            return False
    return False


def on_page(app: Sphinx, tree: nodes.document) -> None:
    """The pages of tutorials, as they are read."""
    if "/plot_" in app.env.docname:
        for section in tree.findall(nodes.section):
            picture_first(section)
            break


def setup(app: Sphinx) -> dict[str, bool]:
    """A local extension: what Sphinx calls."""
    app.connect("doctree-read", on_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
