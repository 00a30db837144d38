r"""A coarse space for the low eigenvectors of a normed Laplacian: they are smooth at scale sigma.

Points are gathered in voxels somewhat larger than sigma; a voxel of mass m at its centroid c is
one node of a small, sparse graph with the weights ``m_a k(c_a, c_b) m_b``. Its eigenvectors,
spread over the points and smoothed by one product with the large matrix, start the iteration,
and its inverse corrects the smooth part of the residuals in each step: two-grid preconditioning
(Notay, 2002, "Combination of Jacobi-Davidson and conjugate gradients"; Hackbusch, 1985).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...formulas import Radial
from ...pairs import voxels
from ..cg import descend
from ..small import product

__all__ = ["Coarse", "coarsen"]

EDGES = 1.5, 2.0  # of a voxel, in lengths sigma; 1.2 saves no product and costs more (docs)
CUTOFF = 4.5  # of the coarse graph, in lengths sigma
SHIFT = 1e-4  # keeps the coarse inverse bounded at the eigenvalue zero
LEAST_POINTS, LEAST_RATIO = 20_000, 2  # below them coarsening does not pay


@dataclass
class Coarse:
    """The small graph and the way between it and the points.

    Attributes:
        members: ``(N,)`` the node of each point.
        scale: ``(N,)`` entries of the orthonormal prolongation, one in each row.
        matrix: ``(C, C)`` the normed adjacency A of the small graph, sparse.
        values, vectors: its largest eigenpairs.
    """

    members: Tensor
    scale: Tensor
    matrix: Any
    values: np.ndarray[Any, Any]
    vectors: np.ndarray[Any, Any]

    def prolong(self, u: np.ndarray[Any, Any]) -> Tensor:
        """Values ``(C, R)`` of the nodes on the points, ``(N, R)``."""
        spread = torch.from_numpy(u).to(self.scale).index_select(0, self.members)
        return self.scale[:, None] * spread

    def restrict(self, v: Tensor) -> np.ndarray[Any, Any]:
        """The transpose of :meth:`prolong`."""
        sums = v.new_zeros(self.matrix.shape[0], v.shape[1], dtype=torch.float64)
        sums.index_add_(0, self.members, (self.scale[:, None] * v).double())
        return np.asarray(sums.cpu().numpy())

    def start(self, block: int) -> Tensor:
        """Approximate eigenvectors on the points, still rough."""
        return self.prolong(self.vectors[:, -block:])

    def correct(self, residuals: Tensor) -> Tensor:
        """The coarse part of ``(I + SHIFT - A)^-1`` times the residuals, rough."""
        return self.prolong(self._solve(self.restrict(residuals)))

    def _solve(self, b: np.ndarray[Any, Any], steps: int = 60, tol: float = 1e-2) -> Any:
        """Conjugate gradients for all columns, in the complement of the known eigenvectors."""
        known = _times(self.vectors.T, b)
        right = torch.from_numpy(b - _times(self.vectors, known))
        goal = tol * right.norm(dim=0)

        def shifted(p: Tensor) -> Tensor:
            image = (1 + SHIFT) * p.numpy() - self.matrix @ p.numpy()
            return torch.from_numpy(image - _times(self.vectors, _times(self.vectors.T, image)))

        # until the last column is there: the others go on meanwhile
        rest = descend(shifted, right, 0.0, steps, told=lambda norms: bool((norms > goal).any()))
        return _times(self.vectors, known / (1 + SHIFT - self.values)[:, None]) + rest.x.numpy()


def _times(left: Any, right: Any) -> Any:
    """A product of NumPy's matrices, for which its library would wake threads that spin."""
    return product(torch.from_numpy(left), torch.from_numpy(right)).numpy()


def coarsen(kernel: Radial, x: Tensor, degrees: Tensor, pairs: int) -> Coarse | None:
    """The coarse space of a Gaussian graph, or None where coarsening does not apply.

    Args:
        kernel: the Gaussian.
        x: ``(N, D)`` points.
        degrees: ``(N,)`` the row sums of the matrix.
        pairs: how many eigenpairs of the small graph are wanted.
    """
    from scipy.sparse import linalg  # here, for a light import of the library

    sigma = (2 * kernel.rate) ** -0.5
    points = x.detach().cpu().double().numpy()
    if len(points) < LEAST_POINTS or points.shape[1] > 3:
        return None
    most = len(points) // LEAST_RATIO
    for edge in EDGES:
        cells = voxels(points, edge * sigma)
        if cells is None:
            return None
        _, members, masses = np.unique(cells, return_inverse=True, return_counts=True)
        if len(masses) <= most:
            break
    if not 10 * pairs < len(masses) <= most:
        return None
    counts = masses.astype(np.float64)
    sums = [np.bincount(members, points[:, d]) for d in range(points.shape[1])]
    centroids = np.stack(sums, 1) / counts[:, None]
    matrix = _graph(kernel, centroids, counts, CUTOFF * sigma)
    start = np.random.default_rng(0).standard_normal(len(counts))
    try:
        values, vectors = linalg.eigsh(
            matrix, pairs, which="LA", ncv=4 * pairs, v0=start, tol=1e-3, maxiter=200
        )
    except linalg.ArpackNoConvergence:  # too many eigenvalues crowd at the end
        return None
    own = torch.from_numpy(members).to(x.device)
    mass = degrees.new_zeros(len(counts)).index_add_(0, own, degrees)
    scale = (degrees / mass.index_select(0, own)).sqrt()
    return Coarse(own, scale, matrix, values, vectors)


def _graph(kernel: Radial, centroids: Any, mass: Any, radius: float) -> Any:
    """The normed adjacency of the voxels, in CSR."""
    from scipy.sparse import csr_array
    from scipy.spatial import cKDTree

    nodes = len(mass)
    i, j = cKDTree(centroids).query_pairs(radius, output_type="ndarray").T
    squares = ((centroids[i] - centroids[j]) ** 2).sum(1)
    values = kernel(torch.from_numpy(squares)).numpy() * mass[i] * mass[j]
    own = kernel(torch.zeros(1, dtype=torch.float64)).numpy() * mass**2
    diagonal = np.arange(nodes)
    weights = csr_array(
        (
            np.concatenate((values, values, own)),
            (np.concatenate((i, j, diagonal)), np.concatenate((j, i, diagonal))),
        ),
        (nodes, nodes),
    )
    root = np.asarray(weights.sum(1)).ravel() ** -0.5
    weights = weights.tocoo()
    weights.data *= root[weights.coords[0]] * root[weights.coords[1]]
    return weights.tocsr()
