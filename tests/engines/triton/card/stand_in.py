"""A stand-in for CUDA graphs that really replays what it was shown."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.transport.test_synchronisations import WAITS


class Recorder(TorchDispatchMode):
    """Notes operators; those that read a number of the device break a recording."""

    def __init__(self):
        super().__init__()
        self.done = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in WAITS:
            raise RuntimeError("operation not permitted when stream is capturing")
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not func.is_view:
            self.done.append((func, args, kwargs, out))
        return out

    def replay(self):
        with torch.inference_mode(False), torch.no_grad():
            for func, args, kwargs, out in self.done:
                new = func(*args, **kwargs)
                if not func._schema.is_mutable:
                    for old, now in zip(tree_leaves(out), tree_leaves(new), strict=True):
                        old.copy_(now)


class Stand:
    """Instead of a card: what was recorded, and in which order streams wait."""

    def __init__(self):
        self.free, self.recorded, self.replayed, self.log = True, 0, 0, []

    def takes(self, tensors):
        return self.free

    def record(self, run, device):
        run()
        with Recorder() as recorder:
            out = run()
        for _, _, _, made in recorder.done:  # a card computes nothing while it records
            for t in tree_leaves(made):
                if t.is_floating_point():
                    t.fill_(torch.nan)
        self.recorded += 1

        def replay():
            self.replayed += 1
            self.log.append("replay")
            recorder.replay()

        return replay, out

    def mark(self, device):
        self.log.append("mark")
        return len(self.log)

    def after(self, moment, device):
        self.log.append(f"after {moment}")

    def wait(self, moment):
        self.log.append(f"waits for {moment}")
