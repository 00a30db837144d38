"""Steps of SparseDistance, asked for one at a time; run by a Python that has TensorFlow.

python benchmarks/helpers/sparsedistance_peer.py FOLDER   where FOLDER holds jpata/SparseDistance

Reads lines ``points.npy weights.npy k bin out.npz``; does forward, product and gradient, and
prints the seconds; the indices of the adjacency and the features go into the last file.
"""

from __future__ import annotations

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, sys.argv[1])

import numpy as np
import tensorflow as tf
from sparsedistance.models import SparseHashedNNDistance
from sparsedistance.utils import sparse_dense_matmult_batch

LAYERS: dict[tuple[int, ...], SparseHashedNNDistance] = {}


def step(points: str, weights: str, k: int, size: int, out: str) -> float:
    """One training step, timed without reading and writing files."""
    x, w = tf.constant(np.load(points)), tf.Variable(np.load(weights))
    key = (x.shape[1], w.shape[1], k, size)
    if key not in LAYERS:
        bins = max(2, x.shape[1] // size)
        LAYERS[key] = SparseHashedNNDistance(max_num_bins=bins, bin_size=size, num_neighbors=k)
    start = time.perf_counter()
    with tf.GradientTape() as tape:
        features = x @ w
        graph = LAYERS[key](features)
        value = tf.reduce_sum(sparse_dense_matmult_batch(graph, x))
    gradient = tape.gradient(value, w)
    float(tf.reduce_sum(gradient))
    seconds = time.perf_counter() - start
    np.savez(out, indices=graph.indices.numpy(), features=features.numpy())
    return seconds


for line in sys.stdin:
    points, weights, k, size, out = line.split()
    print(step(points, weights, int(k), int(size), out), flush=True)
