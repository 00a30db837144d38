"""What is asked of torch.cuda for a recording, in which order; and that a schedule may be recorded."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sparseot.engines.choose import load
from sparseot.engines.triton.card import replays
from sparseot.engines.triton.card.replays import CudaGraphs
from sparseot.formulas import ground_cost
from sparseot.transport.solvers.annealing import _Steps
from tests.transport.test_synchronisations import WAITS


def test_steps_touch_no_tensor_of_the_host_and_read_none(monkeypatch):
    """On tensors that have no numbers: what would break a recording on a card."""
    pytest.importorskip("triton")
    from sparseot.engines.triton import reductions
    from sparseot.engines.triton.card import launches

    class Here(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            assert func.overloadpacket.__name__ not in WAITS
            tensors = [t for t in tree_leaves((args, out)) if isinstance(t, torch.Tensor)]
            assert all(t.device.type == "meta" for t in tensors), func
            return out

    runs = []
    monkeypatch.setattr(launches, "launch", lambda kernel, *rest, **kind: runs.append(kernel))
    monkeypatch.setitem(launches.PROGRAMS, "meta", 264)
    for dim, power in ((3, 2), (3, 1), (64, 2)):
        steps = _Steps(load("triton"), ground_cost(power), together=False, own=False)
        x = torch.empty(4, 700, dim, device="meta")
        times, start = torch.empty(6, 4, 1, device="meta"), torch.empty(4, 1, device="meta").long()
        runs.clear()
        with Here(), torch.no_grad():
            found = steps(x, x, x[..., 0].contiguous(), times, times, start, start[:, 0])
        assert found.shape == (4, 700)
        assert runs.count(reductions.kernels.log_sums) == 7


@pytest.fixture
def card(monkeypatch):
    """As if there were one: what is asked of ``torch.cuda``, in its order."""
    log, streams = [], ["main"]

    class Stream:
        def __init__(self, name="aside"):
            self.name = name

        def wait_stream(self, other):
            log.append(f"{self.name} waits for {other.name}")

    @contextmanager
    def stream(new):
        before = list(streams)
        streams.append(new.name)
        try:
            yield
        finally:
            streams[:] = before

    @contextmanager
    def graph(made, stream, capture_error_mode):
        log.append(f"{capture_error_mode} recording on {stream.name}")
        streams.append(stream.name)
        yield  # an error leaves its stream the current one
        streams.pop()

    @contextmanager
    def device(which):
        yield

    cuda = SimpleNamespace(
        current_stream=lambda: Stream(streams[-1]), Stream=Stream, stream=stream, graph=graph, device=device,
        CUDAGraph=lambda: SimpleNamespace(replay="replay"), is_current_stream_capturing=lambda: False,
    )  # fmt: skip
    for name, value in vars(cuda).items():
        monkeypatch.setattr(torch.cuda, name, value)
    return SimpleNamespace(log=log, streams=streams, cuda=cuda)


def test_a_recording_on_a_card(card):
    """Compiles first, on the same stream, with the caller's work done before; what follows waits for it."""

    def run():
        card.log.append(f"run on {card.streams[-1]}")
        return torch.ones(1)

    replay, out = CudaGraphs().record(run, torch.device("cuda:1"))
    assert replay == "replay" and out == 1 and card.streams == ["main"]
    assert card.log == [
        "aside waits for main", "run on aside", "thread_local recording on aside", "run on aside",
        "main waits for aside",
    ]  # fmt: skip


def test_a_recording_that_fails_gives_the_stream_back(card):
    """Torch's own context leaves it where the recording was."""
    runs = []

    def run():
        runs.append(0)
        if len(runs) == 2:
            raise RuntimeError("operation not permitted")
        return torch.ones(1)

    with pytest.raises(RuntimeError, match="not permitted"):
        CudaGraphs().record(run, torch.device("cuda"))
    assert card.streams == ["main"] and card.log[-1] == "main waits for aside"


@pytest.mark.parametrize("busy", [None, "compiles", "records", "elsewhere", "a subclass"])
def test_who_may_record(monkeypatch, card, busy):
    """Neither within a compiled function nor in another recording, and plain tensors of a card alone."""

    class Plain(torch.Tensor):
        pass

    def made(kind, device):
        return SimpleNamespace(device=torch.device(device), kind=kind)

    there = made(torch.Tensor, "cuda:0")
    tensors = [there, made(torch.Tensor, "cpu" if busy == "elsewhere" else "cuda:0")]
    if busy == "a subclass":
        tensors.append(made(Plain, "cuda:0"))
    monkeypatch.setattr(replays, "type", lambda t: t.kind, raising=False)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: busy == "compiles")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: busy == "records")
    assert CudaGraphs().takes(tensors) == (busy is None)
