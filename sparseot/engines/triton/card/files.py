"""Files among the caches of the user, each with a name that its content decides.

They appear as a whole, so two processes may write one at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["digest", "first", "folder", "written"]


def folder(name: str) -> Path:
    """A folder in ``SPARSEOT_CACHE_DIR``, or among the caches of the user."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("SPARSEOT_CACHE_DIR") or Path(caches) / "sparseot") / name


def digest(text: str) -> str:
    """What stands for a text in the name of a file."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def written(path: Path, text: str) -> bool:
    """Whether that file has the text now; False where it cannot be written."""
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return True
    except (OSError, ValueError):
        return False
    return _put(path, text, os.replace)


def first(path: Path, text: str) -> bool:
    """Writes a file that is not there yet; False where it is, or cannot be written."""
    return _put(path, text, os.link)


def _put(path: Path, text: str, place: Callable[[str, Path], None]) -> bool:
    """Writes a file of another name, and puts it there as a whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    except (OSError, ValueError):
        return False
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        place(temporary, path)
    except (OSError, ValueError):
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    return True
