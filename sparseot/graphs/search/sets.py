"""Sets of different sizes where neighbours are sought: the points of all, and the sample of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from ...errors import bad_input
from ...ragged.forms import Sets, as_sets, is_ragged
from ...ragged.vectors import vectors_of
from .clouds import of_tensors

__all__ = ["features_of_sets", "joined", "joined_pair", "local", "points_of_sets"]


def joined(x: Any, batch: Any) -> tuple[Any, Any, Any]:
    """Points ``(n, D)`` of several sets, the sample of each, and an array of their kind; one cloud as it is."""
    if not is_ragged(x):
        return x, batch, x
    sets = as_sets("x", x, batch)
    return sets.points, sets.labels, sets.first


def joined_pair(x: Any, y: Any, batch: Any) -> tuple[Any, Any, Any, tuple[Sets, Sets] | None]:
    """The same of a cloud and another, which may be None; and the sets of both, where they are some."""
    if not (is_ragged(x) or is_ragged(y)):
        return x, y, batch, None
    of_x, of_y = vectors_of(batch, y is None)
    here = as_sets("x", x, of_x)
    if y is None:
        return here.points, y, here.labels, (here, here)
    there = as_sets("y", y, of_y)
    if len(here) != len(there):
        raise bad_input("y", f"{len(there)} clouds", f"{len(here)}, as x has")
    return here.points, there.points, (here.labels, there.labels), (here, there)


def local(indices: Tensor, sets: tuple[Sets, Sets]) -> Tensor:
    """Indices ``(n, k)`` into the points of all other sets, as those within the set of each row."""
    here, there = sets
    starts, sizes = (torch.tensor(t, device=indices.device) for t in (there.ends[:-1], here.sizes))
    return (indices - starts.repeat_interleave(sizes)[:, None]).clamp(min=0)


def points_of_sets(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A layer's ``forward(self, x, y)`` of points, for several sets of them, which it sees as one batch."""

    @wraps(forward)
    def run(self: Any, x: Any, y: Any = None, *, mask: Any = None, batch: Any = None) -> Any:
        of_tensors(x=x, y=y)
        x, y, batch, _ = joined_pair(x, y, batch)
        return forward(self, x, y, mask=mask, batch=batch)

    return run


def features_of_sets(forward: Callable[..., Tensor]) -> Callable[..., Any]:
    """A layer's ``forward(self, x, batch)`` of features, for several sets of them too: it returns as many.

    A pair is a tuple; what it returns has the form of the second.
    """

    @wraps(forward)
    def run(self: Any, x: Any, batch: Any = None, **options: Any) -> Any:
        pair, sets = isinstance(x, tuple), None
        if pair and len(x) == 2:
            of_tensors(**{f"x[{k}]": side for k, side in enumerate(x)})
            *both, batch, sets = joined_pair(x[0], x[1], batch)
            x = tuple(both) if sets else x
        elif is_ragged(x):
            of_tensors(x=x)
            x, _, batch, sets = joined_pair(x, None, batch)
        out = forward(self, x, batch, **options)
        return sets[1].back(out) if sets else out

    return run
