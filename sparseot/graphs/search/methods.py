"""Which search: the only file that knows them all. Each is loaded at its first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

import torch
from torch import Tensor

from ...engines.choose import no_kernels
from ...errors import bad_input, warn_user
from ...optional import optional
from ...points import check_integer
from .clouds import Clouds

__all__ = [
    "EXACT",
    "METHODS",
    "Forest",
    "Found",
    "Options",
    "check_method",
    "search",
]

# name: (module, function, package that must be installed)
METHODS = {
    "brute": ("brute", "brute", "numba"),
    "tiles": ("dense", "tiles", "torch"),
    "kdtree": ("kdtree", "kdtree", "scipy"),
    "forest": ("forest", "forest", "numba"),
    "keops": ("keops", "keops", "pykeops"),
    "triton": ("triton", "triton", "triton"),
    "faiss": ("peers", "faiss", "faiss"),
    "pynndescent": ("peers", "pynndescent", "pynndescent"),
}
EXACT = ("brute", "tiles", "kdtree", "keops", "triton", "faiss")
REGISTERS = 64  # neighbours of a point that a kernel keeps there,
LOW_DIMENSION = 16  # and dimension above which products of matrices are faster
KDTREE_DIMENSION = 8
BRUTE_PAIRS = 1.6e9  # where the forest becomes faster in more dimensions (docs/performance)
_warned: set[str] = set()


@dataclass(frozen=True)
class Forest:
    """The approximate search by a forest of random trees, with its options.

    Recall grows with each of them: 14 trees and one pass are meant for data of some structure, 32
    and two for noise in many dimensions. The defaults find more than 99 % in clusters.

    Args:
        n_trees: how many random trees; a tree costs about a tenth of a pass.
        leaf_size: points in a leaf, all pairs of which are met.
        n_refine: passes over the neighbours of the neighbours.

    Raises:
        ValueError, TypeError: if an argument is not a positive integer (``n_refine`` may be 0).

    References:
        Dong, Moses and Li, 2011, "Efficient k-nearest neighbor graph construction for generic
        similarity measures"; Dasgupta and Freund, 2008, "Random projection trees and low
        dimensional manifolds".

    Example:
        >>> from sparseot import knn
        >>> knn(torch.rand(1000, 20), k=5, method=Forest(n_trees=32, n_refine=2)).method
        'forest'
    """

    n_trees: int = 14
    leaf_size: int = 256
    n_refine: int = 1

    def __post_init__(self) -> None:
        check_integer("n_trees", self.n_trees)
        check_integer("leaf_size", self.leaf_size)
        check_integer("n_refine", self.n_refine, 0)


@dataclass(frozen=True)
class Options:
    """What a search is told."""

    k: int
    loop: bool = False
    seed: int = 0
    forest: Forest = Forest()


@dataclass(frozen=True)
class Found:
    """Neighbours of all real queries, and how they were found.

    ``squares`` (m, k) of the distances, infinite where there is none; ``indices`` (m, k) into the
    real points, -1 where there is none; ``evaluations`` counts the distances that were computed.
    """

    squares: Tensor
    indices: Tensor
    evaluations: int
    methods: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether all methods that were used are exact."""
        return all(method in EXACT for method in self.methods)


def search(clouds: Clouds, method: str, options: Options) -> Found:
    """The neighbours of every sample, each by the method that its own size calls for."""
    device = clouds.x.points.device
    by_method: dict[str, list[int]] = {}
    for s in range(len(clouds)):
        x, y = clouds.of(s)
        if len(x) and len(y):
            by_method.setdefault(_resolve(method, x, y, options.k), []).append(s)
    if method == "auto" and "forest" in by_method:
        _warn_once(max(len(clouds.of(s)[1]) for s in by_method["forest"]))
    if len(by_method) == 1 and len(next(iter(by_method.values()))) == len(clouds):
        (name,) = by_method
        return replace(_load(name)(clouds, options), methods=(name,))
    m = clouds.x.ends[-1]
    squares = torch.full((m, options.k), torch.inf, dtype=torch.float64, device=device)
    indices = torch.full((m, options.k), -1, device=device)
    evaluations = 0
    for name, samples in by_method.items():
        part, rows, columns = _only(clouds, samples)
        found = _load(name)(part, options)
        squares[rows] = found.squares
        indices[rows] = torch.where(found.indices < 0, -1, columns[found.indices])
        evaluations += found.evaluations
    return Found(squares, indices, evaluations, tuple(sorted(by_method)))


def check_method(method: str | Forest) -> tuple[str, Forest]:
    """The name of a method and the options of the forest.

    Raises:
        ValueError, ImportError: if there is no such method, or its package is missing.
    """
    if isinstance(method, Forest):
        return "forest", method
    if method == "auto":
        return method, Forest()
    if not isinstance(method, str) or method not in METHODS:
        known = ", ".join(f'"{name}"' for name in ("auto", *METHODS))
        raise bad_input("method", repr(method), f"one of {known}")
    optional(METHODS[method][2], "method", repr(method))
    return method, Forest()


def _resolve(method: str, x: Tensor, y: Tensor, k: int) -> str:
    """The method for one sample: it depends on nothing but that sample."""
    if x.device.type != "cpu" and method in ("auto", "brute"):
        fits = x.shape[1] <= LOW_DIMENSION and k <= REGISTERS
        return "triton" if fits and no_kernels(x.device) is None else "tiles"
    if method != "auto":
        return method
    dimension, points = x.shape[1], len(y)
    if dimension <= KDTREE_DIMENSION and points > 500 * 2.3**dimension:
        return "kdtree"
    if dimension <= KDTREE_DIMENSION or len(x) * points <= BRUTE_PAIRS:
        return "brute"
    return "forest"


def _load(name: str) -> Callable[[Clouds, Options], Found]:
    module, function, _ = METHODS[name]
    loaded: Callable[[Clouds, Options], Found] = getattr(
        import_module(f"{__package__}.{module}"), function
    )
    return loaded


def _only(clouds: Clouds, samples: list[int]) -> tuple[Clouds, Tensor, Tensor]:
    """Some of the samples, with the rows of their queries and of their points."""
    sides = []
    for rows in (clouds.x,) if clouds.same else (clouds.x, clouds.y):
        here = [torch.arange(rows.ends[s], rows.ends[s + 1]) for s in samples]
        index = torch.cat(here).to(rows.points.device)
        ends = [0, *torch.tensor([len(h) for h in here]).cumsum(0).tolist()]
        local = [rows.local[s] for s in samples]
        kept = replace(
            rows, points=rows.points[index], ends=ends, where=rows.where[index], local=local
        )
        sides.append((kept, index))
    (x, rows_x), (y, rows_y) = sides[0], sides[-1]
    return Clouds(x, y), rows_x, rows_y


def _warn_once(points: int) -> None:
    if "forest" in _warned:
        return
    _warned.add("forest")
    warn_user(
        f'method="auto" takes the approximate "forest" for {points:,} points: measure it with '
        'sparseot.knn_recall, or ask for method="brute", which is exact. (Said once.)',
        UserWarning,
    )
