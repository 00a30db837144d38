"""How many of the true neighbours were found, measured on a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engines.openmp import own_settings
from ..errors import bad_input
from ..operators.arrays import Array, tensor_of
from ..points import check_integer
from .search.candidates import squared_distances
from .search.clouds import Clouds, as_clouds, points_tensor

__all__ = ["knn_recall"]


@own_settings
def knn_recall(
    x: Array,
    indices: Array,
    y: Array | None = None,
    *,
    loop: bool = False,
    mask: Any = None,
    batch: Any = None,
    metric: str = "euclidean",
    samples: int = 256,
    seed: int = 0,
) -> float:
    """The share of true neighbours among those found, measured on a sample of the queries.

    A neighbour counts if it is no farther than the true k-th, so ties are no errors. The cost is
    ``samples`` times the number of points, whatever the size of the graph.

    Args:
        x, y, loop, mask, batch, metric: as they were given to :func:`knn`.
        indices: ``(..., N, k)`` what was found.
        samples: how many queries are checked, drawn at random; all if there are fewer.
        seed: of the draw.

    Returns:
        A number from 0 to 1; NaN if no query has a neighbour.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Aumüller, Bernhardsson and Faithfull, 2020, "ANN-Benchmarks", section 2.

    Example:
        >>> from sparseot import knn
        >>> x = torch.rand(500, 3)
        >>> knn_recall(x, knn(x, k=5).indices)
        1.0
    """
    given = indices if isinstance(indices, Tensor) else np.asarray(indices)
    a, claimed = points_tensor("x", x), tensor_of(given, "indices")
    b = None if y is None else points_tensor("y", y)
    clouds = as_clouds(a, b, mask, batch, metric)
    if claimed.shape[:-1] != a.shape[:-1]:
        wanted = f"{(*a.shape[:-1], 'k')}, a row for each point of x"
        raise bad_input("indices", f"shape {tuple(claimed.shape)}", wanted)
    if claimed.is_floating_point() or claimed.is_complex():
        raise bad_input("indices", f"dtype {claimed.dtype}", "integers", kind=TypeError)
    claimed = claimed.reshape(-1, claimed.shape[-1]).to(a.device)
    generator = torch.Generator().manual_seed(check_integer("seed", seed, 0))
    drawn = torch.randperm(len(clouds.x.where), generator=generator)[:samples]
    measured = [_share(clouds, int(q), claimed, loop) for q in drawn.sort().values]
    shares = [share for share in measured if share is not None]
    return sum(shares) / len(shares) if shares else float("nan")


def _share(clouds: Clouds, q: int, claimed: Tensor, loop: bool) -> float | None:
    """The share of the neighbours of one query that are as near as the true ones."""
    s = int(np.searchsorted(clouds.x.ends, q, side="right")) - 1
    columns = clouds.y.sample(s)
    squares = squared_distances(clouds.x.points[q], clouds.y.points[columns])
    if clouds.same and not loop:
        squares[q - columns.start] = torch.inf
    k = min(claimed.shape[1], len(squares) - int(clouds.same and not loop))
    if k < 1:
        return None
    worst = squares.kthvalue(k).values
    where = clouds.y.where[columns] - clouds.y.local[s]
    found = torch.isin(where, claimed[clouds.x.where[q]])
    return min(1.0, float((squares[found] <= worst * (1 + 1e-9)).sum()) / k)
