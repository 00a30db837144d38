"""The command `sparseot`: lists tutorials, copies notebooks, overwrites nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparseot_widgets import cli

PROBE = """
import sys
from sparseot_widgets import cli
heavy = {"torch", "numpy", "matplotlib", "ipywidgets", "anywidget", "sparseot"}
print(sorted(heavy & set(sys.modules)))
"""


def notebook(text: str, **more) -> str:
    cells = [{"cell_type": "code", "source": text, "outputs": [], **more}]
    return json.dumps({"cells": cells, "nbformat": 4})


@pytest.fixture
def gallery(tmp_path, monkeypatch) -> Path:
    """Three small tutorials; a links to b. The working folder is empty."""
    folder = tmp_path / "installed"
    entries = {
        "one": [("a", ["two/plot_b.ipynb"]), ("calorimeter", [])],
        "two": [("b", [])],
    }
    sections = []
    for section, tutorials in entries.items():
        (folder / section).mkdir(parents=True)
        listed = []
        for name, linked in tutorials:
            path = f"{section}/plot_{name}.ipynb"
            (folder / path).write_text(notebook(name))
            listed.append({"name": name, "title": f"On {name}", "notebook": path, "linked": linked})
        sections.append({"name": section, "title": f"Part {section}", "tutorials": listed})
    (folder / "index.json").write_text(json.dumps({"sections": sections}))
    monkeypatch.setattr(cli, "packaged", lambda: folder)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def run(capsys, *arguments: str) -> list[str]:
    cli.main(["tutorials", *arguments])
    return capsys.readouterr().out.splitlines()


def refused(*arguments: str) -> str:
    """The message with which the command ends; a string is status 1, on stderr."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(["tutorials", *arguments])
    assert isinstance(stopped.value.code, str)
    return stopped.value.code


def test_what_is_installed_is_listed(capsys):
    cli.main(["tutorials"])
    out = capsys.readouterr().out
    index = json.loads((cli.packaged() / "index.json").read_text())
    for section in index["sections"]:
        assert f"\n{section['title']}\n" in out
        for tutorial in section["tutorials"]:
            line = next(line for line in out.splitlines() if tutorial["title"] in line)
            assert line.split()[0] == tutorial["name"]


def test_list_is_by_section(capsys, gallery):
    lines = run(capsys)
    assert lines[1:7] == [
        "Part one",
        "  a            On a",
        "  calorimeter  On calorimeter",
        "",
        "Part two",
        "  b            On b",
    ]
    assert "sparseot tutorials copy a " in lines[8]


@pytest.mark.parametrize("name", ["a", "plot_a", "plot_a.py", "one/plot_a.ipynb"])
def test_one_tutorial_comes_with_what_it_links_to(capsys, gallery, name):
    lines = run(capsys, "copy", name)
    folder = Path("sparseot-gallery")
    assert lines == [
        f"wrote  {folder / 'one/plot_a.ipynb'}",
        f"wrote  {folder / 'two/plot_b.ipynb'}",
    ]
    for path in ("one/plot_a.ipynb", "two/plot_b.ipynb"):
        assert (folder / path).read_bytes() == (gallery / path).read_bytes()
    assert not (folder / "one/plot_calorimeter.ipynb").exists()


@pytest.mark.parametrize("arguments", [(), ("all", "mine/deep")])
def test_all_are_copied_without_a_name(capsys, gallery, arguments):
    lines = run(capsys, "copy", *arguments)
    folder = Path(arguments[1]) if arguments else Path("sparseot-gallery")
    assert len(lines) == len(list(folder.rglob("*.ipynb"))) == 3


def test_nothing_is_overwritten(capsys, gallery):
    mine = Path("sparseot-gallery/one/plot_a.ipynb")
    other = Path("sparseot-gallery/two/plot_b.ipynb")
    run(capsys, "copy", "a")

    # A notebook that was run has the same cells: it is the copy that was asked for.
    ran = notebook("a", execution_count=3)
    mine.write_text(ran)
    assert run(capsys, "copy", "a") == [f"kept   {mine}", f"kept   {other}"]
    assert mine.read_text() == ran

    # An edited one stays, and so does what only links lead to.
    for path in (mine, other):
        path.write_text(notebook("edited"))
    line = f"wrote  {mine.with_stem('plot_a-1')}  (yours is still plot_a.ipynb)"
    assert run(capsys, "copy", "a") == [line, f"kept   {other}"]
    assert mine.read_text() == other.read_text() == notebook("edited")
    assert run(capsys, "copy", "a")[0] == f"kept   {mine.with_stem('plot_a-1')}"

    # What is no notebook stays too, be it a folder.
    mine.with_stem("plot_a-1").write_text("notes")
    mine.with_stem("plot_a-2").mkdir()
    assert "plot_a-3.ipynb" in run(capsys, "copy", "a")[0]
    assert mine.with_stem("plot_a-1").read_text() == "notes"


def test_unknown_name_gets_the_closest(gallery):
    message = refused("copy", "calorimetre")
    assert "no tutorial called 'calorimetre'" in message
    assert "Did you mean calorimeter?" in message
    assert "Did you mean" not in refused("copy", "xyz")
    assert not list(Path().iterdir())


@pytest.mark.parametrize("folder", ["file", "file/below", "folder"])
def test_a_file_in_the_way_is_named(gallery, folder):
    Path("file").write_text("mine")
    Path("folder").mkdir()
    Path("folder/one").write_text("mine")
    message = refused("copy", "a", folder)
    blocked = Path("folder/one") if folder == "folder" else Path("file")
    assert f"{blocked} is a file, and a folder is wanted there" in message
    assert blocked.read_text() == "mine"


def test_a_folder_that_cannot_be_written(gallery, monkeypatch):
    def denied(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", denied)  # tests may run as root, who may write anywhere
    message = refused("copy", "a", "locked")
    assert "Can't write to locked" in message
    assert "Permission denied" in message
    assert "Give another folder" in message


def test_tutorials_that_are_not_installed(monkeypatch, tmp_path):
    def nothing(name):
        raise cli.PackageNotFoundError(name)

    monkeypatch.setattr(cli, "distribution", nothing)
    monkeypatch.setattr(cli.sysconfig, "get_path", lambda name: str(tmp_path))
    assert "The tutorials are not installed" in refused()

    moved = tmp_path / cli.INDEX  # found without a record of the installed files
    moved.parent.mkdir(parents=True)
    moved.write_text("{}")
    assert cli.packaged() == moved.parent


def test_a_reader_who_stops_early_sees_no_traceback():
    """As in ``sparseot tutorials | head -1``."""
    code = "from sparseot_widgets.cli import main; main(['tutorials'])"
    closed, writes = os.pipe()
    os.close(closed)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writes, stderr=subprocess.PIPE, text=True
    )
    os.close(writes)
    assert not done.stderr and done.returncode == 0


def test_command_starts_without_the_library():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]", "sparseot_widgets loads what a list of titles does not need"
