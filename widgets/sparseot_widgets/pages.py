"""Viewers in pages: the modules joined to one, and the HTML that needs no kernel and no network."""

import base64
import html
import json
import re
from functools import cache
from importlib import resources

__all__ = ["bundle", "holder", "page", "scripts", "style", "viewers"]

JS = resources.files("sparseot_widgets") / "js"
SHARED = (
    "codec",
    "scales",
    "colours",
    "plot",
    "space",
    "webgl",
    "points",
    "controls",
    "hands",
    "stage",
)  # each needs those before it

# A module loaded from a string cannot import a file beside it, so that the pieces are joined: the
# imports between them go, and what they export is simply there.
IMPORT = re.compile(r'^import [^;]*? from "\./\w+\.mjs";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)
# For readers of the source only: comments (whole lines, ends of lines), empty lines and indentation.
UNSEEN = re.compile(r"^ *(?://|/\*\*| \*).*\n| +// .*$|^\n|^ +", re.MULTILINE)
# Spaces beside signs are not needed either, but for those in strings, which the first group keeps.
SPACED = re.compile(r"""("[^"\n]*"|'[^'\n]*'|`[^`]*`)| *([][=<>?:,&|{}()*+/;]+) *""")


@cache
def bundle(module: str) -> str:
    """The whole JavaScript of one viewer: the shared modules, then its own."""
    sources = [(JS / f"{name}.mjs").read_text(encoding="utf-8") for name in (*SHARED, module)]
    joined = UNSEEN.sub("", "\n".join(EXPORT.sub("", IMPORT.sub("", s)) for s in sources))
    return SPACED.sub(lambda found: found[1] or found[2], joined)


def viewers() -> list[str]:
    """The modules that draw a viewer."""
    names = [path.name.removesuffix(".mjs") for path in JS.iterdir() if path.name.endswith(".mjs")]
    return sorted(set(names) - set(SHARED))


@cache
def style() -> str:
    """The style sheet of all viewers."""
    return (JS / "viewers.css").read_text(encoding="utf-8")


def scripts(modules: list[str]) -> str:
    """A classic script that starts every viewer of a page that it stands in.

    Classic, and with the modules as strings: a browser loads no module from a file:// page.
    """
    sources = json.dumps({name: bundle(name) for name in modules}).replace("</", "<\\/")
    host = (JS / "page.js").read_text(encoding="utf-8")
    return f"window.sparseotViewers = {sources};\n{host}"


def holder(module: str, state: str, poster: bytes, summary: str) -> str:
    """A viewer with its state, to be brought to life by :func:`scripts`; the poster is a WebP."""
    data = base64.b64encode(poster).decode()
    picture = f'<img src="data:image/webp;base64,{data}" alt="{html.escape(summary)}">'
    safe = state.replace("<", "\\u003c")  # no text of the user can end the script
    return (
        f'<div class="sparseot-viewer" data-module="{module}">'
        f'<script type="application/json">{safe}</script>'
        f"<noscript>{picture}</noscript></div>"
    )


def page(title: str, viewer: str) -> str:
    """A page with one viewer (that of :func:`holder`)."""
    module = re.findall(r'data-module="(\w+)"', viewer)
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title>\n<style>\n{style()}\n"
        "body { margin: 1rem auto; max-width: 60rem; padding: 0 1rem; }\n</style></head>\n"
        f"<body>\n{viewer}\n<script>\n{scripts(module)}\n</script>\n</body></html>\n"
    )
