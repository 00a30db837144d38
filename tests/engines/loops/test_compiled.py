"""The cache of compiled loops: many processes, changed sources, and folders that cannot be written."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core import caching

from sparseot.engines.loops import compiled
from sparseot.engines.loops.compiled import Files, njit, source_stamp

ROOT = Path(__file__).parents[3]

# A helper in one file and a loop in another: what it returns, and whether it was compiled.
HELPER = "from sparseot.engines.loops.compiled import njit\n@njit()\ndef step(x): return x + {}\n"
LOOP = """
from sparseot.engines.loops.compiled import njit
from helper import step
@njit(cache=True)
def walk(x):
    for _ in range(3):
        x = step(x)
    return x
"""
RUN = "import sys, loop; print(loop.walk({}), sum(loop.walk.stats.cache_misses.values()))"


def python(code: str, folder: Path, **more: str) -> subprocess.Popen:
    """A process that sees a folder and this tree."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    env = os.environ | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(folder / "cache")} | more
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], env=env, cwd=folder, **pipes)


def printed(process: subprocess.Popen) -> str:
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.strip()


@pytest.fixture
def two_files(tmp_path):
    (tmp_path / "helper.py").write_text(HELPER.format(1))
    (tmp_path / "loop.py").write_text(LOOP)
    return tmp_path


def test_keys_do_not_share_a_file(tmp_path):
    """Two writers that know nothing of each other, in any order."""
    one, other = (Files(tmp_path, "loop", "stamp") for _ in range(2))
    one.save("float", b"of floats")
    other.save("double", b"of doubles")
    one.save("float", b"of floats")
    for files in (one, other):
        assert files.load("float") == b"of floats" and files.load("double") == b"of doubles"
        assert files.load("int") is None
    assert len(list(tmp_path.iterdir())) == 2, "and leave nothing beside them"


def test_another_source_has_other_files(tmp_path):
    old, new, apart = (Files(tmp_path, *names) for names in (("f", "1"), ("f", "2"), ("g", "1")))
    for files in (old, apart):
        files.save("key", b"old")
    assert new.load("key") is None
    new.save("key", b"new")
    assert new.load("key") == b"new" and apart.load("key") == b"old"
    assert old.load("key") is None, "its file is removed: disks do not fill"


def test_what_cannot_be_read_is_compiled_again(tmp_path):
    files = Files(tmp_path, "loop", "stamp")
    for broken in (b"", b"\x80", b"no pickle"):
        files.path("key").write_bytes(broken)
        assert files.load("key") is None
    Files(tmp_path, "loop", "stamp").save("other", b"data")
    shutil.copy(files.path("other"), files.path("key"))
    assert files.load("key") is None, "the key inside is looked at"


def test_a_disk_that_is_full_costs_no_more_than_the_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    files = Files(tmp_path, "loop", "stamp")
    monkeypatch.setattr(os, "replace", full)
    files.save("key", b"data")
    assert files.load("key") is None and not list(tmp_path.iterdir())
    Files(tmp_path / "gone", "loop", "stamp").save("key", b"data")


def test_the_stamp_is_of_all_files_of_a_folder(tmp_path):
    stamps = []
    for text in ("x = 1", "x = 2"):
        (tmp_path / text[-1]).mkdir()
        for name in ("loop.py", "helper.py"):
            content = text if name == "helper.py" else "import helper"
            (tmp_path / text[-1] / name).write_text(content)
        stamps.append(source_stamp(tmp_path / text[-1]))
    assert stamps[0] != stamps[1]


def test_where_no_folder_can_be_written_loops_are_compiled_and_once_is_said_so(monkeypatch):
    def refuse(self):
        raise OSError("read-only")

    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", refuse)
    compiled._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="Set NUMBA_CACHE_DIR") as warned:
        first, second = (njit(cache=True)(lambda x, k=k: x + k) for k in range(2))
    assert len(warned) == 1 and (first(1), second(1)) == (1, 2)
    compiled._warn_once.cache_clear()


@pytest.mark.slow
def test_the_users_folder_is_taken_where_that_of_the_package_cannot_be_written(
    two_files, monkeypatch
):
    """A file stands where the folder would be, which stops even the superuser."""
    (two_files / "__pycache__").write_text("")
    home = two_files / "home"
    more = {"HOME": str(home), "LOCALAPPDATA": str(home), "NUMBA_CACHE_DIR": ""}
    more |= {"XDG_CACHE_HOME": str(home / "cache")}
    assert printed(python(RUN.format(1), two_files, **more)) == "4 1"
    assert len(list(home.rglob("loop.walk.*.nbc"))) == 1


def test_every_loop_is_cached_by_these_files():
    """Numba's own decorator with its own cache is nowhere in the library."""
    for path in (ROOT / "sparseot").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "numba":
                names = {alias.name for alias in node.names}
                assert not names & {"njit", "jit", "vectorize", "guvectorize"}, path


@pytest.mark.slow
def test_a_changed_helper_is_compiled_anew(two_files):
    assert printed(python(RUN.format(1), two_files)) == "4 1"
    assert printed(python(RUN.format(1), two_files)) == "4 0", "nothing is compiled twice"
    (two_files / "helper.py").write_text(HELPER.format(2))
    assert printed(python(RUN.format(1), two_files)) == "7 1"


@pytest.mark.slow
def test_processes_that_compile_at_once(two_files):
    """Each signature finds its own code afterwards, whoever was first."""
    arguments = {"1": "4", "1.0": "4.0", "1j": "(3+1j)"}
    processes = [python(RUN.format(argument), two_files) for argument in arguments]
    assert [printed(process).split()[0] for process in processes] == list(arguments.values())
    everything = f"import loop; print(*map(loop.walk, ({', '.join(arguments)})))\n"
    everything += "print(sum(loop.walk.stats.cache_misses.values()))"
    assert printed(python(everything, two_files)).split() == [*arguments.values(), "0"]


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sparseot.engines.loops.compiled.dumps", full)
    files = Files(tmp_path, "loop", "stamp")
    files.save("key", b"data")
    assert files.load("key") is None and not list(tmp_path.iterdir())
