"""Layers for torch models: neighbour graphs, and convolutions on them."""

from .graphs.convolutions import DynamicEdgeConv, GravNetConv
from .graphs.layers import KNNGraph
from .graphs.radius.layer import RadiusGraph
from .graphs.search.methods import Forest
from .graphs.sparsedistance import (
    SparseHashedNNDistance,
    pairwise_dist,
    sparse_dense_matmult_batch,
)

__all__ = [
    "DynamicEdgeConv",
    "Forest",
    "GravNetConv",
    "KNNGraph",
    "RadiusGraph",
    "SparseHashedNNDistance",
    "pairwise_dist",
    "sparse_dense_matmult_batch",
]
