"""Which of a few tiles is the fastest on this card: large sums are timed once for each kind, and that is kept.

Triton's own tuner changes what kernels are launched with; here clouds are packed for a tile before any launch,
so each candidate takes a whole sum, of a part of the points. Its clock is Triton's. What was found is a file
among the caches of the user, for each card, version and kind, so a machine does this once; a folder that cannot
be written costs that much in each process. Of processes that time at once the first to end decides for all.
Sums that are smaller take the first candidate, on every card: they have the same bits whatever was timed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
import triton
from triton.compiler.errors import CompilationError
from triton.runtime.errors import OutOfResources
from triton.testing import do_bench

from .files import digest, first, folder

__all__ = [
    "CHOICES",
    "ENOUGH",
    "ENOUGH_TILES",
    "TRIED",
    "CardClock",
    "Choices",
    "Clock",
    "sources",
    "strides",
]

ENOUGH = 1 << 32  # pairs, below which nothing is timed
TRIED = 1 << 29  # of these, which a candidate visits at a time
ENOUGH_TILES = (
    1 << 20
)  # of kept pairs, of which a solve takes the sums some hundred times; as many are tried
WARM, REPEATED = 5, 25  # milliseconds for which a candidate runs unseen, and is timed
Run = Callable[[], object]
Tile = TypeVar("Tile", bound=tuple[int, ...])


class Clock(Protocol):
    """What is asked of a device."""

    def card(self, device: torch.device) -> str:
        """Its name."""

    def ready(self, device: torch.device) -> bool:
        """Whether something may be timed, here and now."""

    def milliseconds(self, run: Run, device: torch.device) -> float:
        """How long it takes, after it was compiled."""


class CardClock:
    """That of ``triton.testing``: events around some runs, between which the cache of the card is emptied."""

    def card(self, device: torch.device) -> str:
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

    def ready(self, device: torch.device) -> bool:
        """Not while somebody records around this, or traces: a clock waits for the card."""
        if device.type != "cuda" or torch.compiler.is_compiling():
            return False
        with torch.cuda.device(device):
            return not torch.cuda.is_current_stream_capturing()

    def milliseconds(self, run: Run, device: torch.device) -> float:
        with torch.cuda.device(device):
            return float(do_bench(run, warmup=WARM, rep=REPEATED, return_mode="median"))


class Choices:
    """The fastest shapes that were found; threads take turns.

    Args:
        clock: how a candidate is timed.
        place: the folder of the files.
    """

    def __init__(self, clock: Clock, place: Callable[[], Path]) -> None:
        self.clock, self.place = clock, place
        self.known: dict[str, Any] = {}
        self.lock = threading.Lock()

    def best(
        self,
        kind: Sequence[Any],
        shapes: Sequence[Tile],
        run: Callable[[Tile], Run],
        device: torch.device,
    ) -> Tile:
        """The fastest of some shapes, of which the first is taken where no clock may run.

        Args:
            kind: what decides which is fastest, beside the card: numbers, texts and lists of them.
            shapes: the candidates.
            run: prepares a sum of that shape, and gives what is timed.
            device: where.
        """
        if len(shapes) == 1 or os.environ.get("SPARSEOT_TUNED") == "0":
            return shapes[0]
        about = [self.clock.card(device), triton.__version__, sources()]
        key = json.dumps([*about, *kind, shapes])
        with self.lock:
            if key in self.known:
                return self.known[key]
            path = self.place() / f"{kind[0]}_{digest(key)}.json"
            found = _read(path, key, shapes)
            if found is None:
                if not self.clock.ready(device):
                    return shapes[0]
                try:
                    times = [self._time(run, shape, device) for shape in shapes]
                except (
                    Exception
                ):  # of this moment: the sum itself is taken in any case, and says what is wrong
                    return shapes[0]
                found = shapes[times.index(min(times))]
                took = [t if t < math.inf else None for t in times]
                first(path, json.dumps({"key": key, "milliseconds": took, "best": found}))
                found = _read(path, key, shapes) or found
            self.known[key] = found
            return found

    def _time(self, run: Callable[[Tile], Run], shape: Tile, device: torch.device) -> float:
        """Infinity for what this card can never run."""
        try:
            return self.clock.milliseconds(run(shape), device)
        except (OutOfResources, CompilationError):
            return math.inf


def _read(path: Path, key: str, shapes: Sequence[Tile]) -> Tile | None:
    """What the file says; one that is not of this key, or not whole, goes."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        best = saved["best"] if saved["key"] == key else None
    except OSError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        best = None
    found = next((shape for shape in shapes if list(shape) == best), None)
    if found is None:
        with contextlib.suppress(OSError):
            path.unlink()
    return found


@cache
def sources() -> str:
    """What stands for the kernels, which other versions have others of."""
    here = Path(__file__)
    files = [*sorted(here.parents[1].glob("*.py")), here.with_name("launches.py")]
    return digest("".join(file.read_text(encoding="utf-8") for file in files))


def strides(items: int, rows: int, columns: int, most: int) -> tuple[slice, slice, slice]:
    """Some items, rows and columns, spread over all, that are about so many pairs."""
    side = math.isqrt(most)
    high = -(-rows // max(side, most // columns))
    wide = -(-columns // max(side, most // rows))
    left = max(1, most * high * wide // (rows * columns))
    return slice(min(items, left)), slice(None, None, high), slice(None, None, wide)


CHOICES = Choices(CardClock(), lambda: folder("tuned"))
