"""Sources as modules: Triton reads a kernel from a file, so each is written into a folder of the user's.

The name of a file is a digest of its text. Where the folder cannot be written, a temporary one takes its place.
"""

from __future__ import annotations

import tempfile
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ...triton.card.files import digest, folder, written

__all__ = ["module"]

FOLDER = "formulas"


@lru_cache(1024)
def module(text: str) -> Any:
    """The module of that text, in a file; one that was written before is left as it is."""
    name = f"formula_{digest(text)}"
    paths = (place() / f"{name}.py" for place in (lambda: folder(FOLDER), _temporary))
    path = next(path for path in paths if written(path, text))
    found = ModuleType(f"sparseot_{name}")
    exec(
        compile(text, path, "exec"), found.__dict__
    )  # a file is only for those who ask for sources
    return found


@cache
def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="sparseot-"))
