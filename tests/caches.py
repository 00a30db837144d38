"""Numba's cache of compiled loops, shared by the workers of the test command."""

import fcntl
import os
import tempfile
from functools import wraps
from pathlib import Path

from numba.core.caching import IndexDataCacheFile

LOCK = Path(tempfile.gettempdir()) / f"sparseot-numba-{os.getuid()}.lock"


def share() -> None:
    """Only one process at a time reads or writes the cache.

    The cache of a loop is an index and a file for each signature, written one after the other. A
    worker that came in between would take a loop of another signature, or of the source as it was
    before an edit, for its own.
    """
    for name in ("load", "save"):
        setattr(IndexDataCacheFile, name, _locked(getattr(IndexDataCacheFile, name)))


def _locked(method):
    @wraps(method)
    def locked(*args):
        with LOCK.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            return method(*args)

    return locked
