"""The second half of KeOps's tutorial on SciPy, call for call, with products counted and timed.

python -m spectral.roll [points] in benchmarks; a million points by default, for which it takes about half an hour on two free cores.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from helpers.timing import machine
from scipy.sparse import diags
from scipy.sparse.linalg import LinearOperator, aslinearoperator, eigsh

from sparseot import LazyTensor
from sparseot.cluster import cluster_ranges_centroids, from_matrix, grid_cluster, sort_clusters

SIGMA, EPS = 0.01, 0.05


def roll(n: int) -> np.ndarray:
    """The noisy Swiss roll of the tutorial."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2 * np.pi, n + 1)[:-1]
    across = (0.4 + 0.4 * (t / 7) * np.cos(1.5 * t), 0.5 + 0.3 * (t / 7) * np.sin(1.5 * t))
    x = np.stack((across[0], 0.1 + 0.8 * rng.random(n), across[1]), 1)
    return (x + 0.01 * rng.standard_normal(x.shape)).astype("float32")


def on_cells(n: int) -> LazyTensor:
    """The symbolic matrix on kept pairs of cells."""
    x = roll(n)
    x_labels = grid_cluster(x, EPS)
    x_ranges, x_centroids, _ = cluster_ranges_centroids(x, x_labels)
    x, x_labels = sort_clusters(x, x_labels)
    apart = np.sum((x_centroids[:, None, :] - x_centroids[None, :, :]) ** 2, 2)
    x_ = x / SIGMA
    x_i, x_j = LazyTensor(x_[:, None, :]), LazyTensor(x_[None, :, :])
    K_xx = (-((x_i - x_j) ** 2).sum(2) / 2).exp()
    K_xx.ranges = from_matrix(x_ranges, x_ranges, apart < (4 * SIGMA + np.sqrt(3) * EPS) ** 2)
    return K_xx


def counted(K: LazyTensor, times: list[tuple[float, float]]) -> LinearOperator:
    """The operator of a matrix; real and processor seconds of each product go to the list."""
    operator = aslinearoperator(K)

    def matvec(v: np.ndarray) -> np.ndarray:
        real, own = time.perf_counter(), time.process_time()
        found = operator @ v
        times.append((time.perf_counter() - real, time.process_time() - own))
        return found

    return LinearOperator(operator.shape, matvec=matvec, dtype=operator.dtype)


def main(n: int) -> None:
    """Degrees, the normed Laplacian, seven eigenvalues."""
    times: list[tuple[float, float]] = []
    K = counted(on_cells(n), times)
    D = K @ np.ones(n, dtype="float32")
    D_2 = aslinearoperator(diags(1 / np.sqrt(D)))
    L_norm = aslinearoperator(diags(np.ones_like(D))) - D_2 @ K @ D_2
    L_norm.dtype = np.dtype("float32")
    start = time.perf_counter()
    K @ D  # makes the bounds
    K @ D
    print(f"\nThe roll of {n:,} points ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    for name, (real, own) in zip(("first", "second", "third"), times, strict=True):
        print(f"{name} product: {real:.2f} s, {own:.2f} s of processors", flush=True)
    values = eigsh(L_norm, k=7, which="SM", return_eigenvectors=False)
    seconds = time.perf_counter() - start
    print(f"eigenvalues: {len(times)} products, {seconds:.0f} s: {np.sort(values)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
