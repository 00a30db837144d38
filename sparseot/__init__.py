"""Kernel matrices, neighbour graphs and transport plans between point clouds, never stored."""

from importlib import import_module as _import_module
from importlib import metadata as _metadata
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import kernels
from .losses.hausdorff import hausdorff_divergence
from .losses.kernel_norms import kernel_norm
from .losses.samples import SamplesLoss
from .losses.sinkhorn import sinkhorn_divergence
from .operators.base import Diagonal
from .operators.cg import LinearSolution, conjugate_gradient
from .operators.kernel_matrix import KernelMatrix
from .pairs import Blocks
from .transport.result import Transport
from .transport.solve import solve_sample
from .transport.solvers.sinkhorn import Sinkhorn
from .transport.transports import Transports

if _TYPE_CHECKING:
    from .averages.barycenters import Barycenter, barycenter
    from .graphs.knn import knn, knn_graph
    from .graphs.radius.doors import radius, radius_graph
    from .graphs.recall import knn_recall
    from .lazy.tensor import LazyTensor, Pm, Vi, Vj
    from .operators.nystrom import nystrom
    from .operators.spectral.eigen import EigenPairs, eigsh
    from .operators.spectral.embedding import SpectralEmbedding, spectral_embedding
    from .operators.spectral.laplacian import graph_laplacian
    from .transport.grids.barycenter import GridBarycenter, grid_barycenter
    from .transport.grids.result import GridTransport
    from .transport.grids.solve import solve_grid
    from .transport.hessian import hessian
    from .transport.matrices.solve import MatrixTransport, solve
    from .transport.suggest import suggest_blur
    from .transport.wasserstein import WassersteinDistance, wasserstein_distance

try:  # pyproject.toml has the version, the installed package knows it
    __version__ = _metadata.version("sparseot")
except _metadata.PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Barycenter",
    "Blocks",
    "Diagonal",
    "EigenPairs",
    "GridBarycenter",
    "GridTransport",
    "KernelMatrix",
    "LazyTensor",
    "LinearSolution",
    "MatrixTransport",
    "Pm",
    "SamplesLoss",
    "SpectralEmbedding",
    "conjugate_gradient",
    "costs",
    "Sinkhorn",
    "Transport",
    "Transports",
    "Vi",
    "Vj",
    "WassersteinDistance",
    "barycenter",
    "datasets",
    "eigsh",
    "graph_laplacian",
    "grid_barycenter",
    "hausdorff_divergence",
    "hessian",
    "kernel_norm",
    "kernels",
    "nystrom",
    "knn",
    "knn_graph",
    "knn_recall",
    "nn",
    "radius",
    "radius_graph",
    "sinkhorn_divergence",
    "spectral_embedding",
    "solve",
    "solve_grid",
    "solve_sample",
    "suggest_blur",
    "wasserstein_distance",
]


_AT_FIRST_USE = {
    "averages.barycenters": ("Barycenter", "barycenter"),
    "graphs.knn": ("knn", "knn_graph"),
    "graphs.radius.doors": ("radius", "radius_graph"),
    "graphs.recall": ("knn_recall",),
    "lazy.tensor": ("LazyTensor", "Pm", "Vi", "Vj"),
    "operators.nystrom": ("nystrom",),
    "operators.spectral.eigen": ("EigenPairs", "eigsh"),
    "operators.spectral.embedding": ("SpectralEmbedding", "spectral_embedding"),
    "operators.spectral.laplacian": ("graph_laplacian",),
    "transport.grids.barycenter": ("GridBarycenter", "grid_barycenter"),
    "transport.grids.result": ("GridTransport",),
    "transport.grids.solve": ("solve_grid",),
    "transport.hessian": ("hessian",),
    "transport.matrices.solve": ("MatrixTransport", "solve"),
    "transport.suggest": ("suggest_blur",),
    "transport.wasserstein": ("WassersteinDistance", "wasserstein_distance"),
}


def __getattr__(name: str) -> _Any:
    """Layers, data and what is rarer are loaded when they are asked for: an import stays light."""
    if name in ("costs", "datasets", "nn"):
        return _import_module(f"{__name__}.{name}")
    for module, names in _AT_FIRST_USE.items():
        if name in names:
            found = getattr(_import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
