"""The forms in which sets of different sizes come: lists, nested tensors, and a vector of samples.

Whatever the form, the points of all sets stand in one tensor, one set after the other, and answers go
back to the form in which the points came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import bad_input
from ..operators.arrays import Array, like, tensor_of
from .vectors import offsets

__all__ = ["Sets", "as_sets", "is_ragged", "refuse_sets", "weights_of"]


@dataclass(frozen=True)
class Sets:
    """The sets of one side, one after the other.

    Attributes:
        points: ``(n, D)``, with their graph.
        ends: ``(S + 1,)`` where sets end, from 0.
        back: gives numbers ``(n, ...)`` of the points the form in which the points came.
        first: an array of the kind of the points.
    """

    points: Tensor
    ends: list[int]
    back: Callable[[Tensor], Any]
    first: Array

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def sizes(self) -> list[int]:
        """How many points each set has."""
        return [end - start for start, end in zip(self.ends[:-1], self.ends[1:], strict=True)]

    @property
    def labels(self) -> Tensor:
        """``(n,)`` the set of each point, as in PyG."""
        device, sizes = self.points.device, torch.tensor(self.sizes)
        return torch.arange(len(self), device=device).repeat_interleave(sizes.to(device))


def is_ragged(given: Any) -> bool:
    """Whether these are several clouds: a list of arrays of points, or of tensors, or a nested tensor.

    A list of numbers, or of rows of numbers, is an array.
    """
    if isinstance(given, Tensor):
        return given.is_nested
    if not isinstance(given, (list, tuple)):
        return False
    return any(isinstance(v, Tensor) or (isinstance(v, np.ndarray) and v.ndim > 1) for v in given)


def refuse_sets(door: str, **given: Any) -> None:
    """Raises TypeError for several clouds, where a function takes two, or a batch of equal sizes."""
    for name, x in given.items():
        if is_ragged(x) and (isinstance(x, Tensor) or _first_item(x).ndim > 1):
            fix = f"Call it for each: [so.{door}(x, y) for x, y in zip(xs, ys)]."
            wanted = "one cloud (N, D), or clouds (B, N, D) of one size"
            raise bad_input(name, "clouds of different sizes", wanted, fix, TypeError)


def _first_item(x: Any) -> Array:
    """The first array of a list."""
    return next(v for v in x if isinstance(v, (Tensor, np.ndarray)))


def as_sets(name: str, x: Any, batch: Any = None, samples: int = 0) -> Sets:
    """The sets of one side, checked.

    Args:
        name: of the argument.
        x: a list or tuple of ``(N_i, D)`` points, a nested tensor ``(S, j, D)``, a batch ``(S, N, D)``
            of equal sizes, or points ``(n, D)`` with ``batch``.
        batch: ``(n,)`` the sample of each point, sorted.
        samples: how many samples there are at least.

    Raises:
        ValueError, TypeError: with the number of the set that is not as it should be.
    """
    if batch is not None:
        sets = _of_vector(name, x, batch, samples)
    elif isinstance(x, Tensor) and x.is_nested:
        flat, ends = _of_nested(name, x)
        sets = Sets(flat, ends, _nested_like(x, ends), flat)
    elif isinstance(x, (list, tuple)):
        sets = _of_list(name, x)
    else:
        sets = _of_batch(name, x)
    _check(name, sets)
    return sets


def weights_of(name: str, a: Any, sets: Sets, points: str) -> Tensor | None:
    """The weights of all points of these sets, ``(n,)``: in the form of the points, or ``(n,)``."""
    if a is None:
        return None
    if isinstance(a, Tensor) and a.is_nested:
        flat, ends = _of_nested(name, a)
    elif is_ragged(a) or (
        isinstance(a, (list, tuple)) and any(isinstance(v, np.ndarray) for v in a)
    ):
        parts = _tensors(name, a)
        flat, ends = torch.cat(parts), [0, *accumulate(len(part) for part in parts)]
    else:
        flat = tensor_of(a, name)
        equal = flat.dim() > 1 and flat.shape[:2] == (len(sets), sets.ends[1])
        flat, ends = flat.flatten(0, 1) if equal else flat, sets.ends
    if flat.dim() == 2 and flat.shape[1] == 1:
        flat = flat[:, 0]
    if flat.dim() == 1 and len(flat) == len(sets.points) and ends == sets.ends:
        return flat
    got = f"shape {tuple(flat.shape)}"
    if len(ends) != len(sets.ends):
        got = f"the weights of {len(ends) - 1} clouds"
        raise bad_input(name, got, f"those of {len(sets)}, as {points} has")
    if ends != sets.ends:
        k = next(k for k, (s, t) in enumerate(zip(ends, sets.ends, strict=True)) if s != t) - 1
        got = f"{ends[k + 1] - ends[k]} weights in item {k}"
        raise bad_input(name, got, f"{sets.sizes[k]}, as {points} has points there")
    raise bad_input(name, got, f"one for each of the {len(sets.points)} points in {points}")


def _of_vector(name: str, x: Any, batch: Tensor, samples: int) -> Sets:
    """Points ``(n, D)`` and the sample of each."""
    if is_ragged(x):
        fix = "A batch vector belongs to points (n, D)."
        raise bad_input("batch", f"one for {name}, which is several clouds", "None", fix)
    points = tensor_of(x, name)
    if points.dim() != 2:
        fix = "Points (B, N, D) are a batch as they are."
        raise bad_input("batch", f"with {name} {tuple(points.shape)}", "points (N, D)", fix)
    ends = offsets(name, batch, len(points), samples)
    return Sets(points, ends, partial(like, array=_kind(x)), x)


def _of_nested(name: str, x: Any) -> tuple[Tensor, list[int]]:
    """The values of a nested tensor, one item after the other, and where items end."""
    if x.layout is not torch.jagged:
        fix = "Make it with layout=torch.jagged, or give x.unbind(), a list."
        raise bad_input(name, "a nested tensor of the strided layout", "the jagged one", fix)
    if x._ragged_idx != 1:
        fix = "Items are (j, D): transpose it back."
        raise bad_input(name, "a nested tensor that is ragged elsewhere", "sizes in axis 1", fix)
    if x.lengths() is None:
        return x.values(), x.offsets().tolist()
    parts = x.unbind()  # with gaps in between
    return torch.cat(parts), [0, *accumulate(len(part) for part in parts)]


def _nested_like(x: Any, ends: list[int]) -> Callable[[Tensor], Tensor]:
    """What makes nested tensors of numbers of the points, with the sizes of this one."""
    offsets = x.offsets() if x.lengths() is None else x.offsets().new_tensor(ends)
    return partial(torch.nested.nested_tensor_from_jagged, offsets=offsets)


def _of_list(name: str, given: Any) -> Sets:
    """A list of clouds."""
    parts = _tensors(name, given)
    for k, part in enumerate(parts):
        if part.dim() == 1:
            fix = "torch.stack(...), or np.stack(...), makes one cloud of points."
            got = f"a {type(given).__name__} of points, each {tuple(part.shape)}"
            raise bad_input(name, got, "an array, or a list of clouds (N, D)", fix, TypeError)
        if part.dim() != 2:
            got = f"shape {tuple(part.shape)}"
            raise bad_input(_item(k, name), got, "points (N, D)")
        if part.shape[1] != parts[0].shape[1]:
            got, wanted = f"dimension {part.shape[1]}", f"{parts[0].shape[1]}, as item 0 has"
            raise bad_input(_item(k, name), got, wanted)
    sizes, container = [len(part) for part in parts], tuple if isinstance(given, tuple) else list
    back = partial(_parts, container=container, sizes=sizes, kind=_kind(given[0]))
    return Sets(torch.cat(parts), [0, *accumulate(sizes)], back, given[0])


def _of_batch(name: str, x: Any) -> Sets:
    """Clouds of equal sizes beside others, or what is no set of clouds at all."""
    batch = tensor_of(x, name)
    if batch.dim() != 3:
        fix = "The other cloud is several ones: give a list, a nested tensor, (B, N, D), or batch=."
        raise bad_input(name, f"shape {tuple(batch.shape)}", "as many clouds", fix)
    count, size = batch.shape[:2]
    ends = [size * k for k in range(count + 1)]
    return Sets(batch.flatten(0, 1), ends, partial(_stacked, count=count, kind=_kind(x)), x)


def _kind(x: Array) -> Array:
    """An empty array of the same kind."""
    return x.detach()[:0] if isinstance(x, Tensor) else x[:0]


def _parts(t: Tensor, container: type, sizes: list[int], kind: Array) -> Any:
    """Numbers of the points, set by set."""
    return container(like(part, kind) for part in t.split(sizes))


def _stacked(t: Tensor, count: int, kind: Array) -> Array:
    """Numbers of the points of sets of one size."""
    return like(t.unflatten(0, (count, -1)), kind)


def _tensors(name: str, given: Any) -> list[Tensor]:
    """The items of a list as tensors of one kind, dtype and device."""
    of_torch, parts = isinstance(given[0], Tensor), []
    for k, item in enumerate(given):
        if not isinstance(item, (Tensor, np.ndarray)) or isinstance(item, Tensor) is not of_torch:
            got = "an array" if isinstance(item, np.ndarray) else type(item).__name__
            got = "a tensor" if isinstance(item, Tensor) else got
            wanted = ("a tensor" if of_torch else "an array") + ", as item 0 is"
            raise bad_input(_item(k, name), got, wanted, "Lists are of one kind.", TypeError)
        parts.append(tensor_of(item, _item(k, name)))
        for what in ("dtype", "device"):
            here, first = getattr(parts[k], what), getattr(parts[0], what)
            if here != first:
                raise bad_input(
                    _item(k, name), f"{what} {here}", f"{first}, as item 0 has", kind=TypeError
                )
    return parts


def _check(name: str, sets: Sets) -> None:
    """No set is empty, and points are numbers."""
    if 0 in sets.sizes or not len(sets):
        where = _item(sets.sizes.index(0), name) if len(sets) else name
        fix = "Leave it out, on both sides."
        raise bad_input(where, "an empty cloud", "at least one point", fix)
    if torch.compiler.is_compiling() or not sets.points.is_floating_point():
        return  # compiled code has no numbers yet
    finite = torch.isfinite(sets.points.detach()).flatten(1).all(1)
    if not bool(finite.all()):
        labels = sets.labels[~finite]
        count = int((labels == labels[0]).sum())
        got = f"{count} points with NaN or infinite coordinates"
        raise bad_input(_item(int(labels[0]), name), got, "finite numbers")


def _item(k: int, name: str) -> str:
    return f"item {k} of {name}"
