"""Sources as modules: Triton reads a kernel from a file, so each is written into a folder of the user's.

The name of a file is a digest of its text. It appears as a whole, so two processes may write it at
once; where the folder cannot be written, a temporary one takes its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["folder", "module"]


@lru_cache(1024)
def module(text: str) -> Any:
    """The module of that text, in a file; one that was written before is left as it is."""
    name = f"formula_{hashlib.sha256(text.encode()).hexdigest()[:20]}"
    path = _written(folder(), name, text) or _written(_temporary(), name, text)
    assert path is not None
    found = ModuleType(f"sparseot_{name}")
    exec(
        compile(text, path, "exec"), found.__dict__
    )  # a file is only for those who ask for sources
    return found


def folder() -> Path:
    """Where sources are kept: ``SPARSEOT_CACHE_DIR``, or a folder among the caches of the user."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SPARSEOT_CACHE_DIR") or Path(caches) / "sparseot") / "formulas"


@cache
def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="sparseot-"))


def _written(folder: Path, name: str, text: str) -> Path | None:
    """The file with that text, or None where none can be written."""
    path = folder / f"{name}.py"
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
    except (OSError, ValueError):
        return None
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return None
    return path
