"""Files among the caches of the user: whole ones, whoever writes them at once."""

import subprocess
import sys
from pathlib import Path

from sparseot.engines.triton.card import files
from sparseot.engines.triton.card.files import folder, written


def test_processes_write_at_once(tmp_path):
    """None sees half of a file."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from files import written\n"  # alone: without torch
        f"path = Path({str(tmp_path / 'one' / 'file')!r})\n"
        "for k in range(40):\n"
        "    assert written(path, 1_000_000 * 'xyz'[(k + int(sys.argv[1])) % 3])\n"
        "    text = path.read_text()\n"
        "    assert text in {1_000_000 * letter for letter in 'xyz'}\n"
    )
    here = Path(files.__file__).parent
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen([*command, str(k)], cwd=here) for k in range(3)]
    assert [one.wait() for one in running] == [0, 0, 0]
    assert len(list((tmp_path / "one").iterdir())) == 1


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "one").write_text("a file in the place of the folder")
    assert not written(tmp_path / "one" / "file", "text")
    assert not written(tmp_path / "a\0b", "text")


def test_the_folder_is_among_the_caches_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("SPARSEOT_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder("formulas") == tmp_path / "sparseot" / "formulas"
    monkeypatch.setenv("SPARSEOT_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert folder("tuned") == tmp_path / "elsewhere" / "tuned"
