"""Numba's ``njit``, with a cache on disk that several processes may write at once.

Numba keeps an index and numbered files, written one after the other: a process that comes in between takes
the loop of another signature, or that of the source before an update, for its own. And it looks at the file
of a loop alone, not at those whose helpers are compiled into it. Here each signature of each source has a
file of a name that nothing else has, which appears as a whole.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, NullCache
from numba.core.serialize import dumps

from ...errors import warn_user

__all__ = ["Files", "njit", "source_stamp"]

HERE = Path(__file__).parent


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` with these options; with ``cache``, compiled code is kept in :class:`Files`."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if cache:
            dispatcher._cache = _kept_on_disk(function)
        return dispatcher

    return decorate


class Files:
    """One file for each key, under a name made of the loop, the source and the key.

    Args:
        folder: where they are.
        loop: the name of the loop.
        stamp: of the source.
    """

    def __init__(self, folder: Path, loop: str, stamp: str) -> None:
        self.folder, self.stamp = folder, stamp
        self.loop = f"{loop}.{sys.implementation.cache_tag}"

    def path(self, key: Any) -> Path:
        """Where that which belongs to the key is, or will be."""
        return self.folder / f"{self.loop}.{self.stamp}.{_digest(repr(key).encode())}.nbc"

    def load(self, key: Any) -> Any:
        """What was saved under the key; None where there is nothing, or nothing that can be read."""
        try:
            saved, data = pickle.loads(self.path(key).read_bytes())
        except Exception:  # a file of another time may raise anything: the loop is compiled again
            return None
        return data if saved == key else None

    def save(self, key: Any, data: Any) -> None:
        """Writes a file and puts it in its place; a disk that is full costs the file, not the call."""
        path = self.path(key)
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(dir=self.folder)
            try:
                with open(handle, "wb") as file:
                    file.write(dumps((key, data)))
                os.replace(name, path)
            except OSError:  # a full disk; on Windows, while another process reads it
                os.unlink(name)
            self._remove_stale()

    def flush(self) -> None:
        """Removes all of them."""
        for path in self.folder.glob(f"{self.loop}.*.nbc"):
            path.unlink(missing_ok=True)

    def _remove_stale(self) -> None:
        """Removes what belongs to another source: a process that still has it compiles once more."""
        for path in self.folder.glob(f"{self.loop}.*.nbc"):
            if not path.name.startswith(f"{self.loop}.{self.stamp}."):
                path.unlink(missing_ok=True)


class _LoopCache(FunctionCache):
    """Numba's choice of the folder, with files of ours."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        source = Path(inspect.getfile(function))
        name = function.__qualname__.replace("<", "").replace(">", "")
        loop = f"{source.stem}.{name}"
        files: Any = Files(Path(self.cache_path), loop, source_stamp(source.parent))
        self._cache_file = files


def _kept_on_disk(function: Callable[..., Any]) -> Any:
    try:
        return _LoopCache(function)
    except RuntimeError:  # Numba found no folder
        _warn_once()
        return NullCache()


@functools.cache
def source_stamp(folder: Path) -> str:
    """What is known of all sources of a folder, of those that its loops call in others, and of Numba.

    Loops call helpers of other files: of this folder, and of numbers that all engines share.
    """
    files = [*sorted(folder.glob("*.py")), *folder.parent.glob("base.py")]
    if folder.parent == HERE:
        files += [*sorted(HERE.glob("*.py")), *HERE.parent.glob("base.py")]
    return _digest(numba.__version__.encode(), *(file.read_bytes() for file in files))


@functools.cache
def _warn_once() -> None:
    warn_user(
        "Compiled loops are not kept, so each process compiles them anew: neither the folder of sparseot "
        "nor the user's folder for caches can be written. Set NUMBA_CACHE_DIR to a folder that can."
    )


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[
        :20
    ]
