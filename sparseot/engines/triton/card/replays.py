"""Recordings of many small launches, as CUDA graphs: a schedule that comes again is launched at once.

What is recorded is a function of tensors that reads none of their numbers. Its graph reads tensors of
its own, into which those of a call are copied, and its results are copied out. A recording is made once
a task has come some times, and the first answers of each are compared, bit by bit, with those of
the function: since these kernels give equal bits for equal input, what differs was not recorded
rightly. Then, and where recording fails, nothing more is recorded, which is said once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import torch
from torch import Tensor

from ....errors import warn_user

__all__ = ["RECORDINGS", "CudaGraphs", "Graphs", "Recordings"]

AFTER = 2  # calls of a task that are not recorded: most come once
CHECKED = 2  # calls whose answers are compared
KEPT = 8  # recordings, each with memory of its own
COUNTED = 256  # tasks whose calls are counted
Steps = Callable[..., Tensor]
Replay = Callable[[], None]


class Graphs(Protocol):
    """What is asked of a device."""

    def takes(self, tensors: Sequence[Tensor]) -> bool:
        """Whether launches with these tensors may be recorded, here and now."""

    def record(self, run: Callable[[], Tensor], device: torch.device) -> tuple[Replay, Tensor]:
        """Runs a function, then records it; and the tensor that replays write."""

    def mark(self, device: torch.device) -> Any:
        """A moment after all that was launched on the stream of the caller."""

    def after(self, moment: Any, device: torch.device) -> None:
        """Lets the stream of the caller wait for a moment."""

    def wait(self, moment: Any) -> None:
        """Waits for a moment."""


class CudaGraphs:
    """Those of ``torch.cuda``."""

    def takes(self, tensors: Sequence[Tensor]) -> bool:
        """Plain tensors of CUDA devices, unless somebody compiles or records around this."""
        plain = all(type(t) is Tensor and t.device.type == "cuda" for t in tensors)
        if not plain or torch.version.hip is not None or torch.compiler.is_compiling():
            return False
        with torch.cuda.device(tensors[0].device):
            return not torch.cuda.is_current_stream_capturing()

    def record(self, run: Callable[[], Tensor], device: torch.device) -> tuple[Replay, Tensor]:
        """On a stream of its own, where the first run compiles whatever is not compiled.

        The outer context gives the caller's stream back where a recording fails. Other threads may
        ask for memory meanwhile.
        """
        with torch.cuda.device(device):
            here, aside, graph = (
                torch.cuda.current_stream(),
                torch.cuda.Stream(),
                torch.cuda.CUDAGraph(),
            )
            aside.wait_stream(here)
            try:
                with torch.cuda.stream(aside):
                    run()
                    with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
                        out = run()
            finally:
                here.wait_stream(aside)
        return graph.replay, out

    def mark(self, device: torch.device) -> Any:
        with torch.cuda.device(device):
            return torch.cuda.current_stream().record_event()

    def after(self, moment: Any, device: torch.device) -> None:
        with torch.cuda.device(device):
            torch.cuda.current_stream().wait_event(moment)

    def wait(self, moment: Any) -> None:
        moment.synchronize()


class _Recording:
    """One task, with the tensors that its graph reads and writes."""

    def __init__(self, graphs: Graphs, steps: Steps, tensors: Sequence[Tensor]) -> None:
        self.graphs, self.steps, self.device = graphs, steps, tensors[0].device
        self.unchecked = CHECKED
        with torch.inference_mode(False), torch.no_grad():  # so that later calls may write to them
            self.inputs = [torch.empty_like(t).copy_(t) for t in tensors]
            self.replay, self.out = graphs.record(lambda: steps(*self.inputs), self.device)
        self.done = graphs.mark(self.device)

    def __call__(self, tensors: Sequence[Tensor]) -> Tensor | None:
        """The answer, or None where it is not that of the steps.

        Streams wait for each other, since all calls share these tensors.
        """
        self.graphs.after(self.done, self.device)
        for into, given in zip(self.inputs, tensors, strict=True):
            into.copy_(given)
        self.replay()
        found = self.out.clone()
        self.done = self.graphs.mark(self.device)
        if self.unchecked:
            self.unchecked -= 1
            if not torch.allclose(found, self.steps(*tensors), rtol=0, atol=0, equal_nan=True):
                return None
        return found

    def close(self) -> None:
        """Waits until nothing reads its memory, which then is freed with it."""
        self.graphs.wait(self.done)


class Recordings:
    """Recordings of the tasks that came last; threads take turns.

    Args:
        graphs: how launches are recorded.
        kept: how many there are at most; that which was not replayed for longest is left out.
    """

    def __init__(self, graphs: Graphs, kept: int = KEPT) -> None:
        self.graphs, self.kept = graphs, kept
        self.why_not: str | None = None  # nothing more is recorded
        self.lock = threading.Lock()
        self.calls: OrderedDict[Hashable, int] = OrderedDict()
        self.known: OrderedDict[Hashable, _Recording] = OrderedDict()

    def run(self, steps: Steps, tensors: Sequence[Tensor]) -> Tensor | None:
        """``steps(*tensors)`` from a recording; None where there is none.

        Args:
            steps: reads nothing from the device, and no tensor but these; equal ones do the same.
            tensors: of one device.
        """
        tensors = [t.contiguous() for t in tensors]
        if self.why_not or not self.graphs.takes(tensors):
            return None
        key = steps, tensors[0].device, *((t.shape, t.dtype) for t in tensors)
        with self.lock:
            try:
                return self._replayed(key, steps, tensors)
            except Exception as error:  # whatever it is, the steps can be taken
                self._stop(f"{type(error).__name__}: {error}")
                return None

    def _replayed(self, key: Hashable, steps: Steps, tensors: Sequence[Tensor]) -> Tensor | None:
        if key not in self.known:
            if not self._worth(key):
                return None
            while len(self.known) >= self.kept:
                self.known.popitem(last=False)[1].close()
            self.known[key] = _Recording(self.graphs, steps, tensors)
        self.known.move_to_end(key)
        found = self.known[key](tensors)
        if found is None:
            self._stop("a replay gave other numbers")
        return found

    def _worth(self, key: Hashable) -> bool:
        """Whether a task came often enough."""
        calls = self.calls.pop(key, 0) + 1
        self.calls[key] = calls
        if len(self.calls) > COUNTED:
            self.calls.popitem(last=False)
        return calls > AFTER

    def _stop(self, why: str) -> None:
        self.why_not = why
        with suppress(Exception):  # a device that has failed may not wait either
            for recording in self.known.values():
                recording.close()
        self.known.clear()
        self.calls.clear()
        warn_user(
            f"Launches of a schedule are not recorded as CUDA graphs, but one by one ({why})."
        )


RECORDINGS = Recordings(CudaGraphs())
