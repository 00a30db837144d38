r"""Spectral coordinates of a cloud: the smoothest functions on its graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from ...engines.base import Engine
from ...engines.openmp import own_settings
from ...engines.ranks.rows import SharedRows
from ...errors import bad_input, warn_user
from ...formulas import Gaussian
from ...pairs import Blocks
from ...points import refuse_tensor
from ..arrays import Array, as_tensor, like
from ..autograd.spread import gathered, group_of
from ..kernel_matrix import KernelMatrix
from .eigen import eigsh
from .laplacian import graph_laplacian

__all__ = ["SpectralEmbedding", "spectral_embedding"]


@dataclass(frozen=True)
class SpectralEmbedding:
    """What :func:`spectral_embedding` returns.

    Attributes:
        coordinates: ``(N, n_components)``.
        values: ``(n_components,)`` eigenvalues of the normed Laplacian, increasing.
        residuals: ``(n_components,)`` of its eigenvectors: how far an eigenvalue may lie.
        isolated: numbers of points without neighbours.
        products: how many vectors were multiplied by the kernel matrix.
        converged: whether all residuals are below the tolerance.

    Example:
        >>> import torch
        >>> import sparseot as so
        >>> found = so.spectral_embedding(so.datasets.spiral(500), 2, 0.1)
        >>> found.coordinates.shape, found.converged
        (torch.Size([500, 2]), True)
    """

    coordinates: Array
    values: Array
    residuals: Array
    isolated: Array
    products: int
    converged: bool


@own_settings
def spectral_embedding(
    x: Array,
    n_components: int = 2,
    sigma: float = 1.0,
    *,
    drop_first: bool = True,
    pairs: Blocks | None = None,
    engine: str | Engine = "auto",
    tol: float | None = None,
    progress: bool = False,
    group: Any = None,
) -> SpectralEmbedding:
    r"""Spectral coordinates of points, by a Gaussian graph that is never stored.

    The coordinates are the eigenvectors u of the smallest eigenvalues of the normed Laplacian
    :math:`I - D^{-1/2} K D^{-1/2}`, divided by the roots of the degrees:
    :math:`f = D^{-1/2} u` solves :math:`(D - K) f = \lambda D f`. Each is signed so that its
    largest entry is positive.

    Args:
        x: ``(N, D)`` points.
        n_components: how many coordinates.
        sigma: width of the Gaussian, in the units of the points.
        drop_first: leave out the first one, which is constant on a connected graph.
        pairs, engine: how the kernel matrix is summed, see :class:`KernelMatrix`.
        tol: residuals to reach; None means 1e-5 in single precision, 1e-9 in double.
        progress: show a bar that counts products.
        group: processes of ``torch.distributed``, each of which gives its rows of x and gets those of the
            coordinates; numbers of isolated points are of the whole (see "On many machines" in the guide).

    Returns:
        :class:`SpectralEmbedding`, of the kind, dtype and device of x, without gradients.

    Raises:
        ValueError, TypeError: if an argument is not as described. Points without neighbours are a warning.

    References:
        Belkin and Niyogi, 2003, "Laplacian eigenmaps for dimensionality reduction and data
        representation", section 2.

    Example:
        >>> import torch
        >>> x = torch.cat((torch.zeros(20, 2), torch.ones(20, 2)))
        >>> signs = spectral_embedding(x, 1, sigma=0.4).coordinates[:, 0] > 0
        >>> len(set(signs[:20].tolist())), len(set(signs[20:].tolist()))
        (1, 1)
    """
    if (group := group_of(group, x)) is not None:
        x, spread = gathered("spectral_embedding", group, "x", x)
        how: dict[str, Any] = {"drop_first": drop_first, "pairs": pairs, "tol": tol}
        how |= {"engine": SharedRows(engine, spread.ranks), "progress": progress}
        with spread.ranks.together():
            whole = spectral_embedding(x, n_components, sigma, **how)
            return replace(whole, coordinates=spread.own(whole.coordinates))
    most = len(x) - 1 - int(drop_first)
    if isinstance(n_components, bool) or not isinstance(n_components, int | np.integer):
        raise bad_input("n_components", repr(n_components), "an integer", kind=TypeError)
    if not 1 <= n_components <= most:
        raise bad_input("n_components", str(n_components), f"1 to {most} for {len(x)} points")
    refuse_tensor("sigma", sigma)
    plain = x.detach() if isinstance(x, Tensor) else x
    K = KernelMatrix(Gaussian(sigma), plain, pairs=pairs, engine=engine)
    L = graph_laplacian(K, normed=True)
    first = int(drop_first)
    found = eigsh(L, n_components + first, which="SA", tol=tol, progress=progress)
    isolated = L.isolated(min(max(float(found.values[-1]), 1e-3), 0.5))
    if len(isolated):
        warn_user(
            f"{len(isolated)} of {K.shape[0]} points have no neighbours within reach of "
            f"sigma={float(sigma):g}; each is a component of its own and takes a coordinate. "
            "Raise sigma, or leave out the points that .isolated lists.",
        )
    u = as_tensor(found.vectors, K.reference)[:, first:]
    f = u / as_tensor(L.degrees, K.reference).sqrt()[:, None]
    largest = f.gather(0, f.abs().argmax(0, keepdim=True))
    return SpectralEmbedding(
        like(f * largest.sign(), x),
        found.values[first:],
        found.residuals[first:],
        isolated,
        found.products,
        found.converged,
    )
