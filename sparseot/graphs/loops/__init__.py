"""Compiled loops of the neighbour searches; they are imported at the first search on a CPU.

Arrays are flat with explicit offsets, since a slice in a hot loop bumps a reference count that
all threads share, and indices are unsigned, since signed ones carry a test for negative values
that prevents vector loads. No infinity and no NaN may enter the searches.

The first search waits for the compiler, so loops are written for it too: callers give sizes in
the type that is wanted and allocate the room, constants are global, and helpers, which only loops
call, get no entry from Python and no place on the disk of their own.
"""

from typing import Any

__all__ = ["FAST", "FAST_HELPER", "HELPER", "LOOP"]

_ALL: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "no_cfunc_wrapper": True,
}
LOOP = _ALL | {"cache": True}
HELPER = _ALL | {"no_cpython_wrapper": True}
FAST, FAST_HELPER = LOOP | {"fastmath": True}, HELPER | {"fastmath": True}
