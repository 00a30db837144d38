"""Tensors with numbers on a device that is not the CPU, for a machine that has no other.

They say that they are on "meta", and keep their numbers on the CPU. What mixes them with tensors of
the CPU is an error, as it would be on a card, and what brings numbers to the host is written down.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

BETWEEN = (
    "copy_",
    "_to_copy",
    "index",
    "index_put",
    "index_put_",
)  # devices; indices may be on the host


class There(torch.Tensor):
    """A tensor of the other device."""

    moved: list[int] = []  # the sizes of what was read, or brought to the host

    @staticmethod
    def __new__(cls, inner):
        known = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, dtype=inner.dtype, device="meta", **known
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    def tolist(self):
        There.moved.append(self.numel())
        return self.inner.tolist()

    def numpy(self, *, force=False):
        if not force:
            raise TypeError("NumPy cannot see a tensor of this device.")
        There.moved.append(self.numel())
        return self.inner.numpy()


class _Lists(TorchFunctionMode):
    """Python's numbers become tensors of the CPU first; no operator is seen."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.tensor and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return torch.tensor(*args, **kwargs).to(device)
        return func(*args, **kwargs)


class Elsewhere(TorchDispatchMode):
    """Within it, tensors can be made there."""

    def __enter__(self):
        There.moved = []
        self.lists = _Lists()
        self.lists.__enter__()
        return super().__enter__()

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self.lists.__exit__(*failure)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _inner(t):
    return t.inner if isinstance(t, There) else t


def _outer(t):
    return There(t) if isinstance(t, torch.Tensor) else t


def _run(func, args, kwargs):
    """The operator on what is inside, whose result is where that of a card would be."""
    name, tensors = func.overloadpacket.__name__, tree_leaves((args, kwargs))
    there = [t for t in tensors if isinstance(t, There)]
    here = [t for t in tensors if isinstance(t, torch.Tensor) and not isinstance(t, There)]
    if there and name not in BETWEEN and any(t.dim() for t in here):
        raise RuntimeError(f"{name}: tensors of two devices")
    device = kwargs.get("device")
    given, named = tree_map(_inner, args), tree_map(_inner, kwargs)
    if device is not None:
        named["device"] = "cpu"
    found = func(*given, **named)
    stays = isinstance(args[0], There) if name == "copy_" else bool(there)
    if device is not None:
        stays = torch.device(device).type == "meta"
    if name == "_local_scalar_dense":
        stays = False
    if not stays:
        There.moved += [t.numel() for t in there]
        return found
    found = tree_map(_outer, found)
    return return_and_correct_aliasing(func, args, kwargs, found) if there else found
