"""All pairs within a distance by sparseot, SciPy and scikit-learn, from points to edges."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.spatial import cKDTree
from sklearn.neighbors import radius_neighbors_graph

from sparseot import radius, radius_graph

__all__ = ["contestants", "reach"]

NEIGHBOURS = 30


def reach(n: int) -> float:
    """The distance within which a point of n in the unit cube has 30 others, the border apart."""
    return (NEIGHBOURS * 3 / (4 * math.pi * n)) ** (1 / 3)


def contestants(x: torch.Tensor, r: float) -> dict[str, Callable[[], int]]:
    """What is timed: edges alone, then edges with distances. Each says how many edges it found.

    Trees are built anew. SciPy's pairs are counted twice, as edges are, and its matrix without
    the diagonal.
    """
    points = x.numpy()

    def matrix() -> int:
        tree = cKDTree(points)
        return tree.sparse_distance_matrix(tree, r, output_type="coo_matrix").nnz - len(x)

    return {
        "sparseot, radius_graph": lambda: radius_graph(x, r).shape[1],
        "SciPy, query_pairs": lambda: (
            2 * len(cKDTree(points).query_pairs(r, output_type="ndarray"))
        ),
        "sparseot, radius": lambda: len(radius(x, None, r).indices),
        "SciPy, sparse_distance_matrix": matrix,
        "scikit-learn, 2 jobs": lambda: (
            radius_neighbors_graph(points, r, mode="distance", n_jobs=2).nnz
        ),
    }
