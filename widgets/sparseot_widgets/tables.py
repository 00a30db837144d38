"""One cloud as people have it: points, the columns of a data frame, a result of the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import sparseot as so
from sparseot.errors import bad_input
from sparseot.graphs.adjacency import Adjacency

from .clouds import as_points, given
from .codec import as_numpy

__all__ = ["Table", "as_table"]


class Table(NamedTuple):
    """A cloud with what its points carry; rows with a number that is not finite are not in it."""

    points: Tensor  # (N, D), finite, on the CPU
    values: np.ndarray | None  # (N,) numbers
    labels: np.ndarray | None  # (N,) words or numbers
    names: tuple[str, ...]  # of the D coordinates
    of: str  # what the values are called
    rows: np.ndarray  # (N,) where each point stood among those given
    total: int  # rows that were given


def as_table(x: Any, values: Any, labels: Any, names: Sequence[str] | None) -> Table:
    """Whatever holds one cloud, as a :class:`Table`.

    Args:
        x: ``(N, D)`` points; a data frame, whose columns are found by their names; a ``Transport``
            (both clouds, labelled), a ``KernelMatrix`` (its rows) or a ``Barycenter``.
        values: ``(N,)`` numbers, or the name of a column.
        labels: ``(N,)`` words or numbers, or the name of a column.
        names: of the coordinates; of a data frame, the columns that are coordinates.

    Raises:
        ValueError, TypeError: for what is no cloud, and for columns that it lacks or of another length.
    """
    of = values if isinstance(values, str) else ""
    if _is_frame(x):
        x, values, labels, names = _taken(x, values, labels, names)
    elif isinstance(values, str) or isinstance(labels, str):
        which = "values" if isinstance(values, str) else "labels"
        fix = "Names are those of the columns of a data frame."
        raise bad_input(which, "a name", "one number or word a point", fix, TypeError)
    x, own = _result(x)
    points = as_points("x", x, finite=False)
    labels = own if labels is None else labels
    total, dim = points.shape
    if names is not None and len(names) != dim:
        raise bad_input("names", f"{len(names)} names", f"{dim}, one a coordinate")
    values, labels = _column("values", values, total), _column("labels", labels, total)
    if values is not None and values.dtype.kind not in "fiub":
        raise bad_input(
            "values", f"dtype {values.dtype}", "numbers", "Words are labels.", TypeError
        )
    sound = points.isfinite().all(1).numpy()
    if values is not None:
        sound &= np.isfinite(values)
    if not sound.any():
        raise bad_input("x", f"{total} points with NaN or infinity", "finite coordinates")
    rows = np.flatnonzero(sound)
    if len(rows) < total:
        points = points[torch.from_numpy(rows)]
        values, labels = (None if part is None else part[rows] for part in (values, labels))
    told = (
        tuple(map(str, names))
        if names is not None
        else tuple(f"x{_low(k + 1)}" for k in range(dim))
    )
    return Table(points, values, labels, told, of, rows, total)


def _low(number: int) -> str:
    """A number as a subscript."""
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _is_frame(x: Any) -> bool:
    """Whether it has named columns, as the frames of pandas, Polars and others have."""
    return (
        hasattr(x, "columns")
        and hasattr(x, "__getitem__")
        and not isinstance(x, (Tensor, np.ndarray))
    )


def _taken(frame: Any, values: Any, labels: Any, names: Any) -> tuple[Any, Any, Any, list[str]]:
    """Coordinates, values, labels and names of a data frame."""
    there = list(frame.columns)

    def column(which: str, name: Any) -> Any:
        if not isinstance(name, str):
            return name
        if name not in there:
            listed = ", ".join(map(str, there[:20])) + (", ..." if len(there) > 20 else "")
            raise bad_input(which, repr(name), f"a column of the data frame: {listed}")
        return np.asarray(frame[name])

    if names is None:
        rest = [
            name
            for name in there
            if name not in [n for n in (values, labels) if isinstance(n, str)]
        ]
        parts = {name: np.asarray(frame[name]) for name in rest}
        parts = {name: part for name, part in parts.items() if part.dtype.kind in "fiu"}
        if not parts:
            raise bad_input("x", "a data frame without columns of numbers", "coordinates")
    else:
        names = [names] if isinstance(names, str) else names
        parts = {name: column("names", name) for name in names}
        for name, part in parts.items():
            if part.dtype.kind not in "fiu":
                raise bad_input("names", f"column {name!r} of {part.dtype}", "columns of numbers")
    points = np.stack([part.astype(np.float64) for part in parts.values()], 1)
    return points, column("values", values), column("labels", labels), list(parts)


def _result(x: Any) -> tuple[Any, Any]:
    """The points of what the library returned, and the labels that they bring."""
    if isinstance(x, so.Transport):
        (source, target, _, _), _ = given(x)
        came = x.solved[0].came
        if came is not None:  # a cost moved them
            source, target = came.x[0], came.y[0]
        words = np.repeat(["source", "target"], [len(source), len(target)])
        return torch.cat((source, target)), words
    if isinstance(x, so.KernelMatrix):
        if x.batched:
            raise bad_input("x", repr(x), "the matrix of one cloud, no batch")
        return x.x[0], None
    if isinstance(x, so.Barycenter):
        return x.points, None
    if isinstance(x, Adjacency):
        fix = "Give the points here, or both to GraphViewer(adjacency, points)."
        raise bad_input("x", "an adjacency, which has no points", "points", fix, TypeError)
    return x, None


def _column(name: str, column: Any, count: int) -> np.ndarray | None:
    """One entry a point; a copy, so that it stays what it was."""
    if column is None:
        return None
    array = np.array(as_numpy(column))
    if array.shape != (count,):
        raise bad_input(name, f"shape {array.shape}", f"({count},), one a point")
    return array
