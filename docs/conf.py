"""Settings of the site. Nothing here asks the network, at build or at view time."""

import importlib
import inspect
import json
import os
import runpy
import sys
from pathlib import Path

from sphinx_gallery.downloads import generate_zipfiles
from sphinx_gallery.utils import zip_files

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import learning_path  # noqa: E402
import messages  # noqa: E402
import tutorials  # noqa: E402

project = "sparseot"
author = "The sparseot developers"
copyright = "2026, " + author

extensions = [
    "tutorials",  # beside this file, and before Sphinx-Gallery
    "first_screen",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "sparseot_widgets.sphinx",
]
exclude_patterns = ["_build", "auto_gallery/**/*.ipynb", "gen"]
templates_path = ["_templates"]
myst_enable_extensions = [
    "amsmath",
    "attrs_block",
    "attrs_inline",
    "colon_fence",
    "deflist",
    "dollarmath",
]
myst_heading_anchors = 3
default_role = None

# --- look ------------------------------------------------------------------------------------

html_title = "sparseot"
html_theme = "pydata_sphinx_theme"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["sparseot.css"]
html_favicon = "_static/logo.svg"
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "performance": [], "architecture": [], "releasing": []}
html_theme_options = {
    "logo": {
        "text": "sparseot",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "alt_text": "",
    },
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": {"**": ["page-toc", "sg_download_links"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# One file, served by the site: see _static/vendor/README.txt.
mathjax_path = "vendor/mathjax-3.2.2-tex-svg.js"
mathjax_options = {"loading_method": "defer"}
myst_update_mathjax = False

# --- tutorials -------------------------------------------------------------------------------

NOTEBOOKS = runpy.run_path(str(HERE / "notebooks.py"))

# Scripts run side by side, each in a process with its share of the cores. Sphinx itself must not
# fork (no -j): a fork beside live OpenMP threads hangs.
CORES = os.cpu_count() or 1
WORKERS = min(CORES, 4)
for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, str(max(1, CORES // WORKERS)))

sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "gallery"),
    "gallery_dirs": "auto_gallery",
    "nested_sections": True,
    "subsection_order": [f"../gallery/{name}" for name in NOTEBOOKS["ORDER"]] + ["*"],
    "within_subsection_order": "FileNameSortKey",
    "parallel": WORKERS,
    "show_memory": False,
    "write_computation_times": False,  # these pages would load jQuery from a CDN
    "abort_on_example_error": False,
    "min_reported_time": 1,
    "image_scrapers": ("matplotlib", "sparseot_widgets.sphinx.scraper"),
    "image_srcset": ["2x"],
    "matplotlib_animations": (True, "jshtml"),
    "capture_repr": ("_repr_html_", "__repr__"),
    "ignore_repr_types": r"matplotlib|sparseot_widgets",
    "remove_config_comments": True,
    "doc_module": ("sparseot",),
    "backreferences_dir": "gen/backreferences",
    "reference_url": {"sparseot": None},
    "inspect_global_variables": False,
    "junit": "sphinx-gallery/junit.xml",
}

# All that results depend on, beside the scripts.
tutorials_made_with = tutorials.fingerprint(
    [HERE.parent / "sparseot", HERE.parent / "widgets" / "sparseot_widgets"],
    [repr(sphinx_gallery_conf), (HERE.parent / "constraints.txt").read_text()],
)

# --- the public names ------------------------------------------------------------------------

autosummary_ignore_module_all = False
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 80
napoleon_use_rtype = False

API = """\
API
===

The public names, as ``import sparseot as so`` gives them. Each page ends with the tutorials that
use the name. Conventions that hold everywhere are in :doc:`../guide/conventions`.

"""


def public_names(name: str, title: str) -> str:
    """A table of what a module lists in ``__all__``, then one of each module among them."""
    module = importlib.import_module(name)
    members = {n: getattr(module, n) for n in getattr(module, "__all__", []) if n[0] != "_"}
    objects = [n for n, member in members.items() if not inspect.ismodule(member)]
    first_line = (inspect.getdoc(module) or "").partition("\n")[0]
    text = f"{title}\n{'-' * len(title)}\n\n{first_line}\n\n" if objects else ""
    if objects:
        text += f".. autosummary::\n   :toctree: generated\n\n   ~{name}."
        text += f"\n   ~{name}.".join(objects) + "\n\n"
    for short, member in members.items():
        if inspect.ismodule(member):
            text += public_names(f"{name}.{short}", f"{title}.{short}")
    return text


# --- hooks -----------------------------------------------------------------------------------


def same_notebooks(app) -> None:
    """The notebooks to download are those of `make lab`: write them again with its converter."""
    gallery, pages = HERE.parent / "gallery", HERE / "auto_gallery"
    for script in gallery.rglob("plot_*.py"):
        copy = pages / script.relative_to(gallery)
        notebook = copy.with_suffix(".ipynb")
        notebook.write_text(json.dumps(NOTEBOOKS["convert"](script, gallery), indent=1) + "\n")
        zip_files([str(copy), str(notebook)], copy.with_suffix(".zip"), copy.parent)
    generate_zipfiles(pages, HERE, app.config.sphinx_gallery_conf)


TAG = "\N{LABEL} "  # before "Tags:"; few fonts have it, and a box is drawn where none does


def untagged_page(app, name: str, source: list[str]) -> None:
    """Take the symbol out of the pages of tutorials."""
    source[0] = source[0].replace(TAG, "")


def untagged_script(app, error) -> None:
    """Take it out of the script that lists all tags of a gallery."""
    script = Path(app.outdir) / "_static" / "sg-tags.js"
    if script.exists():
        script.write_text(script.read_text(encoding="utf-8").replace(TAG, ""), encoding="utf-8")


def setup(app) -> None:
    """Write what is made from the source before it is read, the notebooks after Sphinx-Gallery did.

    That is the API page, the list of messages, and the learning path.
    """
    app.connect("builder-inited", same_notebooks, priority=600)
    app.connect("source-read", untagged_page)
    app.connect("build-finished", untagged_script)
    page = HERE / "api" / "index.rst"
    page.parent.mkdir(exist_ok=True)
    names = public_names("sparseot", "sparseot")
    names += public_names("sparseot_widgets", "Viewers and flows")
    page.write_text(API + names)
    (HERE / "gen").mkdir(exist_ok=True)
    (HERE / "gen" / "messages.md").write_text(messages.page(), encoding="utf-8")
    path = learning_path.page(HERE.parent / "gallery")
    (HERE / "gen" / "learning_path.html").write_text(path, encoding="utf-8")
