"""Clusters of points as runs of sorted clouds: what block-sparse sums of LazyTensors are asked with.

Names, arguments and results are those of KeOps's ``pykeops.torch.cluster`` and
``pykeops.numpy.cluster`` (Charlier et al., 2021), for tensors and for arrays. Put points into cells,
sort them, and keep pairs of cells::

    labels = grid_cluster(x, 0.05)
    ranges, centroids, _ = cluster_ranges_centroids(x, labels)
    x, labels = sort_clusters(x, labels)
    near = ((centroids[:, None] - centroids[None]) ** 2).sum(-1) < radius**2
    K.ranges = from_matrix(ranges, ranges, near)  # K: a LazyTensor between the sorted points

:class:`sparseot.Blocks` does the same in one step, by a tree whose blocks have equal size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .engines.openmp import on_one_thread
from .errors import bad_input
from .operators.arrays import Array, like, tensor_of

__all__ = [
    "cluster_centroids",
    "cluster_ranges",
    "cluster_ranges_centroids",
    "from_matrix",
    "grid_cluster",
    "sort_clusters",
    "swap_axes",
]


@on_one_thread
def grid_cluster(x: Array, size: float | Array) -> Array:
    r"""Labels of points: two have the same label if they lie in the same cell of a grid.

    Cells are boxes of the given sides. Those of arrays begin at zero, those of tensors at the
    smallest coordinates, as KeOps's do. Labels count the cells that are not empty, from 0 to
    C - 1, the last coordinate fastest.

    Args:
        x: ``(N, D)`` points, D of any size.
        size: side of a cubic cell, or ``(D,)`` sides, in the unit of the points; positive.

    Returns:
        ``(N,)`` integers, int64 for arrays and int32 for tensors.

    Raises:
        ValueError: for points of another shape, that are not finite, or sides that are not positive.

    Example:
        >>> import numpy as np
        >>> grid_cluster(np.array([[0.0], [0.1], [0.9], [0.05], [0.5]]), 0.2)
        array([0, 0, 2, 0, 1])
    """
    points = _points(x).detach()
    if not bool(points.isfinite().all()):
        raise bad_input("x", "points that are not finite", "finite coordinates")
    sides = tensor_of(size, "size").to(points.device) if hasattr(size, "shape") else size
    if not bool((torch.as_tensor(sides) > 0).all()) or torch.as_tensor(sides).dim() > 1:
        raise bad_input("size", repr(size), "a positive length, or one for each coordinate")
    if isinstance(x, Tensor) and len(points):
        points = points - points.amin(0)
    cells = (points / sides).floor()
    labels = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    for column in cells.unbind(1):  # two labels and a count of cells never overflow
        places, cell = torch.unique(column, return_inverse=True)
        labels = torch.unique(labels * len(places) + cell, return_inverse=True)[1]
    return like(labels.int() if isinstance(x, Tensor) else labels, x)


@on_one_thread
def sort_clusters(x: Any, lab: Array) -> tuple[Any, Array]:
    """Points, and all that belongs to them, in the order of their labels.

    Points of one label keep their order.

    Args:
        x: ``(N, ...)`` array or tensor, or a tuple or list of some.
        lab: ``(N,)`` integer labels.

    Returns:
        ``x`` sorted, of the same kind, and the sorted labels.

    Raises:
        ValueError: if there are not as many labels as points.
        TypeError: if labels are no integers.

    Example:
        >>> import numpy as np
        >>> sort_clusters(np.array([[0.0], [5.0], [0.4], [2.0]]), np.array([0, 2, 0, 1]))[1]
        array([0, 0, 1, 2])
    """
    labels = _labels(lab)
    order = torch.sort(labels, stable=True).indices
    place = like(order, lab)

    def moved(part: Array) -> Array:
        if len(part) != len(labels):
            got = f"{len(part)} points and {len(labels)} labels"
            raise bad_input("x, lab", got, "a label for each point")
        return part[place]

    parts = type(x)(map(moved, x)) if isinstance(x, tuple | list) else moved(x)
    return parts, like(tensor_of(lab).reshape(-1)[order], lab)


@on_one_thread
def cluster_ranges(lab: Array, Nlab: Array | None = None) -> Array:
    """Where each cluster begins and ends among sorted points.

    Args:
        lab: ``(N,)`` integer labels, sorted or not.
        Nlab: ``(C,)`` points of each label, if they are known.

    Returns:
        ``(C, 2)`` int64 first points, and those after the last.

    Example:
        >>> import numpy as np
        >>> cluster_ranges(np.array([0, 2, 0, 0, 1])).tolist()
        [[0, 3], [3, 4], [4, 5]]
    """
    counts = torch.bincount(_labels(lab)) if Nlab is None else tensor_of(Nlab, "Nlab").long()
    ends = counts.cumsum(0)
    return like(torch.stack((ends - counts, ends), 1), lab)


@on_one_thread
def cluster_centroids(
    x: Array,
    lab: Array,
    Nlab: Array | None = None,
    weights: Array | None = None,
    weights_c: Array | None = None,
) -> Array:
    r"""Means of clusters, :math:`c_k = \sum_{i : l_i = k} w_i x_i / \sum_{i : l_i = k} w_i`.

    Sums run in double precision; tensors have gradients in the points and in the weights. A label
    that no point has, has a mean of NaN.

    Args:
        x: ``(N, D)`` points.
        lab: ``(N,)`` integer labels.
        Nlab: ``(C,)`` points of each label, if they are known.
        weights: ``(N,)`` weights, one by default.
        weights_c: ``(C,)`` weights of the clusters, if they are known.

    Returns:
        ``(C, D)`` means, in the dtype of the points.

    Example:
        >>> import numpy as np
        >>> cluster_centroids(np.array([[0.0], [1.0], [4.0]]), np.array([0, 0, 1])).tolist()
        [[0.5], [4.0]]
    """
    points, labels = _points(x).double(), _labels(lab)
    if weights is not None:
        weight = tensor_of(weights, "weights").reshape(-1).double()
        points, Nlab = points * weight[:, None], weights_c
    mass = _mass(labels, weights) if Nlab is None else tensor_of(Nlab).reshape(-1).double()
    sums = points.new_zeros(len(mass), points.shape[1]).index_add(0, labels, points)
    means: Tensor = sums / mass[:, None]
    return like(means.to(_points(x).dtype), x)


@on_one_thread
def cluster_ranges_centroids(
    x: Array, lab: Array, weights: Array | None = None, min_weight: float = 1e-9
) -> tuple[Array, Array, Array]:
    """Ranges, means and weights of the clusters of a labelled cloud.

    Args:
        x: ``(N, D)`` points.
        lab: ``(N,)`` integer labels.
        weights: ``(N,)`` weights, one by default.
        min_weight: the least weight that a point has in a mean: a cluster of points without weight
            has a place, too.

    Returns:
        ``(C, 2)`` ranges, ``(C, D)`` means and ``(C,)`` weights; see :func:`cluster_ranges` and
        :func:`cluster_centroids`.

    Raises:
        ValueError: for shapes that do not agree.
        TypeError: if labels are no integers.

    Example:
        >>> import numpy as np
        >>> x, labels = np.array([[0.0], [0.5], [1.0], [2.0]]), np.array([0, 0, 1, 1])
        >>> [part.tolist() for part in cluster_ranges_centroids(x, labels)]
        [[[0, 2], [2, 4]], [[0.25], [1.5]], [2.0, 2.0]]
    """
    if weights is not None:
        weights = like(tensor_of(weights, "weights").reshape(-1).clamp_min(min_weight), weights)
    mass = _mass(_labels(lab), weights)
    if isinstance(x, Tensor):
        mass = mass.to(torch.float32 if weights is None else tensor_of(weights).dtype)
    return cluster_ranges(lab), cluster_centroids(x, lab, weights=weights), like(mass, x)


@on_one_thread
def from_matrix(ranges_i: Array, ranges_j: Array, keep: Array) -> tuple[Array, ...]:
    """KeOps's ranges of the kept pairs of clusters.

    Args:
        ranges_i: ``(M, 2)`` first points, and those after the last, of clusters of rows.
        ranges_j: ``(N, 2)`` the same for clusters of columns.
        keep: ``(M, N)`` truth values, which pairs of clusters are kept.

    Returns:
        Six int64 arrays: clusters of rows, where the list of each one's columns ends, these lists;
        and the same with rows and columns exchanged.

    Raises:
        ValueError: if the shapes do not agree.

    Example:
        >>> import numpy as np
        >>> rows, columns = np.array([[0, 2], [2, 5]]), np.array([[0, 3], [3, 4]])
        >>> parts = from_matrix(rows, columns, np.array([[True, True], [False, True]]))
        >>> [part.tolist() for part in parts[:3]]
        [[[0, 2], [2, 5]], [2, 3], [[0, 3], [3, 4], [3, 4]]]
    """
    rows, columns = (
        _ranges(r, name) for r, name in ((ranges_i, "ranges_i"), (ranges_j, "ranges_j"))
    )
    kept = tensor_of(keep, "keep") != 0
    if kept.shape != (len(rows), len(columns)):
        raise bad_input("keep", f"shape {tuple(kept.shape)}", f"({len(rows)}, {len(columns)})")
    parts: list[Tensor] = []
    for mine, theirs, mask in ((rows, columns, kept), (columns, rows, kept.T)):
        parts += [mine, mask.sum(1).cumsum(0), theirs[mask.nonzero()[:, 1]]]
    return tuple(like(part, keep) for part in parts)


def swap_axes(ranges: tuple[Array, ...] | None) -> tuple[Array, ...] | None:
    """KeOps's ranges with rows and columns exchanged, those of the transpose; None stays None."""
    return None if ranges is None else (*ranges[3:6], *ranges[:3])


def _mass(labels: Tensor, weights: Array | None) -> Tensor:
    """The weight of each label, ``(C,)`` in double precision."""
    count = int(labels.max()) + 1 if len(labels) else 0
    one = torch.ones(len(labels), dtype=torch.float64, device=labels.device)
    weight = one if weights is None else tensor_of(weights, "weights").reshape(-1).double()
    return one.new_zeros(count).index_add(0, labels, weight)


def _points(x: Array) -> Tensor:
    points = tensor_of(x, "x")
    if points.dim() != 2 or not points.is_floating_point():
        got = f"{points.dtype} of shape {tuple(points.shape)}"
        raise bad_input("x", got, "points (N, D) of floating numbers")
    return points


def _labels(lab: Array) -> Tensor:
    """Labels as a vector of int64."""
    labels = tensor_of(lab, "lab").reshape(-1)
    if labels.is_floating_point() or labels.is_complex():
        raise bad_input("lab", str(labels.dtype), "integer labels", kind=TypeError)
    if len(labels) and int(labels.min()) < 0:
        raise bad_input("lab", f"a label of {int(labels.min())}", "labels from 0 on")
    return labels.long()


def _ranges(ranges: Array, name: str) -> Tensor:
    found = tensor_of(ranges, name)
    if found.dim() != 2 or found.shape[1] != 2:
        raise bad_input(name, f"shape {tuple(found.shape)}", "(C, 2): first points, and ends")
    return found.long()
