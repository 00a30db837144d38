"""The JupyterLab extension: what is packed, and what the wheel carries."""

import json
import os
import runpy
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import jsonschema
import pytest

from sparseot_widgets import pages
from sparseot_widgets.viewers.cloud import SIZES

ROOT = Path(__file__).parents[2]
LAB = ROOT / "widgets" / "lab"
SCRIPTS = sorted((ROOT / "gallery").rglob("plot_*.py"))
PACKED = "share/jupyter/labextensions/sparseot"
MOST = 500_000  # bytes, of which the code is 110,000; a picture in a tutorial would show


@pytest.fixture(scope="module")
def packer():
    return runpy.run_path(str(LAB / "pack.py"))


@pytest.fixture(scope="module")
def packed(packer, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lab") / "sparseot"
    packer["pack"](folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this tree, built where there is no Node and no network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(out), str(ROOT)]
    env = dict(os.environ) | {"PATH": str(out), "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, by path."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_every_tutorial_is_packed_as_the_notebook_of_the_site(packer, packed):
    gallery = packed / "static" / "gallery"
    convert = packer["NOTEBOOKS"]["convert"]
    wanted = {
        script.relative_to(ROOT / "gallery").with_suffix(".ipynb"): convert(
            script, ROOT / "gallery"
        )
        for script in SCRIPTS
    }
    assert {path.relative_to(gallery) for path in gallery.rglob("*.ipynb")} == set(wanted)
    for path, notebook in wanted.items():
        assert json.loads((gallery / path).read_text()) == notebook


def test_index_lists_each_tutorial_once_in_reading_order(packed):
    gallery = packed / "static" / "gallery"
    sections = json.loads((gallery / "index.json").read_text())["sections"]
    order = runpy.run_path(str(ROOT / "docs" / "notebooks.py"))["ORDER"]
    names = [section["name"] for section in sections]
    assert [name for name in names if name in order] == order
    tutorials = [tutorial for section in sections for tutorial in section["tutorials"]]
    assert len({tutorial["name"] for tutorial in tutorials}) == len(SCRIPTS)
    assert len({tutorial["title"] for tutorial in tutorials}) == len(SCRIPTS)
    for section in sections:
        assert section["title"]
        for tutorial in section["tutorials"]:
            assert tutorial["notebook"].startswith(f"{section['name']}/") or section["name"] == "."
            for path in [tutorial["notebook"], *tutorial["linked"]]:
                assert (gallery / path).is_file()


def test_links_are_followed_to_their_end(packer, tmp_path):
    bodies = {
        "one/plot_1_a.py": "to :ref:`sphx_glr_auto_gallery_two_plot_b.py`",
        "two/plot_b.py": "to :ref:`sphx_glr_auto_gallery_two_plot_c.py`",
        "two/plot_c.py": "back to :ref:`sphx_glr_auto_gallery_two_plot_b.py`",
    }
    gallery = tmp_path / "gallery"
    for name, body in bodies.items():
        (gallery / name).parent.mkdir(parents=True, exist_ok=True)
        (gallery / name).write_text(f'"""\n{name}\n======\n\n{body}\n"""\n')
        (gallery / name).with_name("GALLERY_HEADER.rst").write_text("Section\n=======\n")
    packer["pack"](tmp_path / "out", gallery)
    index = json.loads((tmp_path / "out/static/gallery/index.json").read_text())
    linked = {t["name"]: t["linked"] for s in index["sections"] for t in s["tutorials"]}
    b, c = "two/plot_b.ipynb", "two/plot_c.ipynb"
    assert linked == {"a": [b, c], "b": [c], "c": [b]}

    (gallery / "one/plot_b.py").write_text('"""\nAnother b\n=========\n"""\n')
    with pytest.raises(ValueError, match=r"two tutorials are called \['b'\]"):
        packer["pack"](tmp_path / "out", gallery)


def test_wheel_carries_what_was_packed(wheel, packed):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        data = [name for name in names if f".data/data/{PACKED}/" in name]
        found = {name.partition(f"{PACKED}/")[2]: archive.read(name) for name in data}
        scripts = next(name for name in names if name.endswith("entry_points.txt"))
        assert b"sparseot = sparseot_widgets.cli:main" in archive.read(scripts)
    assert found == files(packed)
    assert {"install.json", "package.json", "static/remoteEntry.js"} <= set(found)
    source = files(LAB / "static")
    assert {path: found[f"static/{path}"] for path in source} == source
    assert sum(map(len, found.values())) < MOST
    assert not [name for name in names if name.startswith(("gallery", "docs", "tests", "hatch"))]


def test_installed_command_finds_its_notebooks(wheel, tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    place = tmp_path / "prefix"
    subprocess.run(
        [*pip, "--ignore-installed", "--prefix", str(place), str(wheel)],
        check=True,
        capture_output=True,
    )
    site = sysconfig.get_path("purelib", vars={"base": str(place)})
    probe = "import sparseot_widgets.cli as cli; print(cli.__file__); print(cli.packaged())"
    env = dict(os.environ) | {"PYTHONPATH": site}
    done = subprocess.run(
        [sys.executable, "-c", probe], env=env, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    module, gallery = map(Path, done.stdout.split())
    assert module == Path(site) / "sparseot_widgets" / "cli.py"
    assert gallery == (place / PACKED / "static" / "gallery").resolve()
    assert (gallery / "index.json").is_file()


def test_the_viewer_is_that_of_notebooks(packed):
    viewers = packed / "static" / "viewers"
    assert (viewers / "cloud.js").read_text() == pages.bundle("cloud")
    assert (viewers / "viewers.css").read_text() == pages.style()
    assert '@import url("viewers/viewers.css")' in (packed / "static" / "style.css").read_text()


def test_packing_loads_neither_torch_nor_the_viewers():
    """A wheel is built where nothing is installed."""
    probe = f"import runpy, sys; runpy.run_path({str(LAB / 'pack.py')!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "sparseot", "sparseot_widgets", "anywidget"}


def test_settings_have_the_defaults_of_the_code_and_the_choices_of_the_viewer(packed, node):
    schema = json.loads((packed / "schemas" / "sparseot" / "clouds.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    static = (LAB / "static").as_uri()
    script = (
        f'const {{ DEFAULTS }} = await import("{static}/clouds/files.js");'
        f'const {{ COLOUR_MAPS, SIZES }} = await import("{static}/clouds/scene.js");'
        "console.log(JSON.stringify([DEFAULTS, COLOUR_MAPS, SIZES]));"
    )
    defaults, maps, sizes = json.loads(node("--input-type=module", "--eval", script))
    properties = schema["properties"]
    assert {name: entry["default"] for name, entry in properties.items()} == defaults
    assert properties["colourMap"]["enum"] == maps
    assert properties["pointSize"]["enum"] == sizes == list(SIZES)
    for entry in properties.values():
        assert entry["title"] and entry["description"]
    commands = (LAB / "static" / "clouds" / "commands.js").read_text()
    for shortcut in schema["jupyter.lab.shortcuts"]:
        assert f'id: "{shortcut["command"].removeprefix("sparseot:")}"' in commands


def test_names_and_version_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    package = json.loads((LAB / "package.json").read_text())
    assert (package["name"], package["version"]) == (project["name"], project["version"])
    assert json.loads((LAB / "install.json").read_text())["packageName"] == project["name"]
    assert (LAB / package["jupyterlab"]["_build"]["load"]).is_file()
