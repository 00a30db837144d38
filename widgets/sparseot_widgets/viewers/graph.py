"""``GraphViewer``: a graph of nearest neighbours, over K, bandwidth and the method of the search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

import sparseot as so
from sparseot.errors import bad_input
from sparseot.graphs.adjacency import Adjacency, KNNAdjacency

from ..base import BaseViewer
from ..clouds import as_points, laid_flat, named, thinned
from ..controls import Choice, Control, Slider, geometric
from ..figures import BLUE, GREY

__all__ = ["GraphViewer"]

LIMIT = 2_000  # points
MOST = 20  # neighbours of a point
SMALL = "forest, one small tree"
METHODS: dict[str, Any] = {
    "brute": "brute",
    "kdtree": "kdtree",
    "forest": "forest",
    SMALL: so.nn.Forest(n_trees=1, leaf_size=32, n_refine=0),
}


class GraphViewer(BaseViewer):
    r"""The graph of the nearest neighbours: sliders for K and bandwidth, a chooser of the search.

    An edge is as dark as its weight :math:`e^{-d^2 / 2 h^2}`, in an adjacency as the weight that it
    has. Point at a node, or walk with the arrow keys, to see its neighbours and their distances.
    With ``labels``, edges between nodes of two labels are dashed and of another colour.

    Args:
        x: ``(N, D)`` points, whose neighbours are searched; or an adjacency of the library.
        places: ``(N, D)`` where nodes are drawn, by default x itself; an adjacency needs them. More
            than two dimensions are laid into their first principal axes.
        k: where the slider of K starts; it ends at 20, or at what the adjacency has.
        bandwidth: where the slider of h starts, in the units of the distances.
        method: "brute", "kdtree", "forest" or "forest, one small tree", of points.
        labels: ``(N,)`` what each node is, as numbers or words.
        unit: the unit of the distances, for the slider.
        title: a line above the picture.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    Above 2,000 points, points are thinned before the search; of an adjacency, those 2,000 nodes
    are shown that are nearest to one of them. The picture says so. The recall is the share of true
    neighbours among the first K, as :func:`sparseot.knn_recall` counts, over all points.

    References:
        Aumüller, Bernhardsson and Faithfull, 2020, "ANN-Benchmarks", section 2.

    Example:
        >>> viewer = GraphViewer(np.random.rand(100, 2), k=4)
        >>> viewer.method = "kdtree"  # or choose it
        >>> viewer.wait(), float(viewer.shown["recall"][3])
        (True, 1.0)
    """

    module = "graph"

    k = traitlets.Int(8).tag(sync=True)
    bandwidth = traitlets.Float(allow_none=True).tag(sync=True)
    method = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        x: Any,
        places: Any = None,
        *,
        k: int = 8,
        bandwidth: float | None = None,
        method: str | None = None,
        labels: Any = None,
        unit: str = "",
        title: str = "",
    ) -> None:
        self._found: dict[str, dict[str, Any]] = {}
        self._space: Tensor | None = None
        self._exact: np.ndarray | None = None
        if isinstance(x, Adjacency):
            places, methods = self._take(x, places, method)
        else:
            space = as_points("x", x)
            if len(space) < 2:
                raise bad_input("x", "1 point", "at least 2, to be neighbours")
            places = space if places is None else as_points("places", places)
            self._rows, self._why = thinned(len(space), LIMIT), "points"
            self._space = space[self._rows]
            self._most = min(MOST, len(self._space) - 1)
            methods = tuple(METHODS)
        self._total = len(places) if self._space is None else len(space)
        if len(places) != self._total:
            raise bad_input("places", f"{len(places)} points", f"{self._total}, one a node")
        start = methods[0] if method is None else str(method)
        if start not in methods:
            raise bad_input("method", repr(method), f"one of {', '.join(map(repr, methods))}")
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise bad_input("k", repr(k), "a positive integer")
        first = self._neighbours(start)
        stops, middle = _bandwidths(first["distances"], "weights" in first)
        if bandwidth is not None and not bandwidth > 0:
            raise bad_input("bandwidth", str(bandwidth), "a positive length")
        scene: dict[str, Any] = {"points": laid_flat(places)[0][self._rows.numpy()]}
        if labels is not None:
            codes, words = named(labels, self._total, self._rows.numpy())
            scene |= {"labels": codes, "names": words}
        controls: list[Control] = [
            Slider("k", "neighbours", tuple(range(1, self._most + 1)), symbol="K", local=True),
            Slider("bandwidth", "bandwidth", stops, symbol="h", unit=unit, none="as given", local=True),
            Choice("method", "search", methods),
        ]  # fmt: skip
        h = middle if bandwidth is None else float(bandwidth)
        super().__init__(scene, controls, title, k=min(k, self._most), bandwidth=h, method=start)

    def _take(
        self, A: Adjacency, places: Any, method: str | None
    ) -> tuple[Tensor, tuple[str, ...]]:
        """The neighbours of an adjacency; returns the places and the name of its search."""
        if places is None:
            fix = "GraphViewer(adjacency, places)."
            raise bad_input("places", "None", "where the nodes are drawn", fix, TypeError)
        if method is not None:
            raise bad_input("method", "one beside an adjacency", "points, or no method")
        nodes = as_points("places", places)
        indices, distances, weights = _table(A, len(nodes))
        rows = torch.arange(len(nodes))
        if len(nodes) > LIMIT:
            centre = nodes[int(thinned(len(nodes), 1)[0])]
            rows = (nodes - centre).square().sum(1).argsort()[:LIMIT].sort().values
        self._rows, self._why, self._most = rows, "nodes, the nearest to one", indices.shape[1]
        kept = rows.numpy()
        new = np.full(len(nodes), -1)
        new[kept] = np.arange(len(kept))
        own = np.arange(len(kept))[:, None]
        indices, distances, weights = new[indices[kept]], distances[kept], weights[kept]
        there = indices >= 0
        found = {
            "indices": np.where(there, indices, own),
            "distances": np.where(there, distances, 0.0),
            "weights": np.where(there, weights, 0.0),
        }
        name = "given"
        words = []
        if isinstance(A, KNNAdjacency):
            name = A.method
            words = [["neighbours", "exact" if A.exact else "approximate"]]
        self._found[name] = {**found, "words": words}
        return nodes, (name,)

    def _neighbours(self, method: str) -> dict[str, Any]:
        """What a search found: indices and distances ``(N, K)``, kept for the next time."""
        if method not in self._found:
            assert self._space is not None
            found = so.knn(self._space, k=self._most, method=METHODS[method])
            share = found.evaluations / (len(self._space) * (len(self._space) - 1))
            words = [["distances computed", f"{100 * share:.3g} % of all"]]
            distances = found.distances.double().numpy()
            self._found[method] = {
                "indices": found.indices.numpy(),  # of an empty slot: the node itself
                "distances": np.where(np.isfinite(distances), distances, 0.0),
                "recall": self._recall(distances),
                "words": words,
            }
        return self._found[method]

    def _recall(self, distances: np.ndarray) -> np.ndarray:
        """For each K, the share of true neighbours among the first K: no farther than the K-th."""
        if self._exact is None:
            assert self._space is not None
            exact = so.knn(self._space, k=self._most, method="brute").distances
            self._exact = exact.double().numpy() * (1 + 1e-6)
        counts = [(distances[:, :k] <= self._exact[:, k - 1 : k]).mean() for k in self._all_k()]
        return np.array(counts)

    def _all_k(self) -> range:
        return range(1, self._most + 1)

    def answer(
        self, state: dict[str, Any], coarse: bool, check: Callable[[], None]
    ) -> dict[str, Any]:
        """Neighbours and distances; weights are computed where they are drawn."""
        found = self._neighbours(state["method"])
        check()
        count = len(self._rows)
        answer: dict[str, Any] = {
            "indices": found["indices"].astype("uint16"),
            "distances": found["distances"],
            "readout": found["words"],
            "summary": f"Graph of the nearest neighbours of {self._total:,} points, "
            f"search {state['method']}",
            "note": f"{count:,} of {self._total:,} {self._why}" if count < self._total else "",
        }
        return answer | {name: found[name] for name in ("weights", "recall") if name in found}

    def default_record(self) -> dict[str, Any]:
        """One exact search and the approximate ones: exact ones find the same."""
        twin = "brute" if self.method == "kdtree" else "kdtree"
        return {"method": [name for name in self.controls["method"].stops if name != twin]}

    def poster_figure(self, figure: Figure) -> None:
        """Edges and nodes, and the histogram of the weights."""
        left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
        points, shown = self._scene["points"], self._answer
        near, apart = shown["indices"][:, : self.k].astype(int), shown["distances"][:, : self.k]
        weights = shown.get("weights", np.empty(0))[:, : self.k] if self.bandwidth is None else None
        if weights is None:
            weights = np.exp(-(apart**2) / (2 * (self.bandwidth or 1.0) ** 2))
        ends = np.stack((np.repeat(points, near.shape[1], 0), points[near.ravel()]), 1)
        shades = (weights / (weights.max() or 1.0)).ravel().clip(0, 1)
        lines = LineCollection(list(ends), colors=GREY, alpha=shades, linewidths=0.8)
        left.add_collection(lines)
        left.scatter(points[:, 0], points[:, 1], s=6, color=BLUE)
        left.set_aspect("equal")
        left.set_axis_off()
        right.hist(weights.sum(1), 24, color=BLUE)
        right.set(xlabel="degree: sum of the weights", ylabel="points")
        figure.suptitle(self.title or f"{self.k} nearest neighbours")


def _table(A: Adjacency, nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices, distances and weights ``(N, K)`` of an adjacency; an empty slot is the node itself."""
    if A.batches != 1 or A.shape[-1] != A.shape[-2]:
        raise bad_input("x", f"an adjacency of shape {A.shape}", "one square adjacency, no batch")
    if A.shape[-1] != nodes:
        raise bad_input("places", f"{nodes} points", f"{A.shape[-1]}, one a node")
    if not A.real()[2].isfinite().all():
        raise bad_input("x", "an adjacency with NaN or infinite weights", "finite weights")
    own = np.arange(nodes)[:, None]
    if isinstance(A, KNNAdjacency):
        parts = [
            part.detach().reshape(nodes, -1).cpu().numpy()
            for part in (A.indices, A.distances, A.weights, A.mask)
        ]
        indices, distances, weights, real = (part[:, :MOST] for part in parts)
        return np.where(real, indices, own), np.where(real, distances, 0), weights * real
    row, col, values = (part.detach().cpu().numpy() for part in A.real())
    order = np.lexsort((-values, row))
    row, col, values = row[order], col[order], values[order]
    slot = np.arange(len(row)) - np.searchsorted(row, row)
    kept = slot < MOST
    width = int(slot[kept].max(initial=0)) + 1
    indices, weights = np.repeat(own, width, 1), np.zeros((nodes, width))
    indices[row[kept], slot[kept]], weights[row[kept], slot[kept]] = col[kept], values[kept]
    return indices, np.zeros_like(weights), weights


def _bandwidths(
    distances: np.ndarray, given: bool
) -> tuple[tuple[float | None, ...], float | None]:
    """Stops of the bandwidth and where it starts; with given weights, None leaves them alone."""
    real = distances[distances > 0]
    if not len(real):
        return ((None,), None) if given else ((1.0,), 1.0)
    stops = geometric(float(np.quantile(real, 0.05)) / 3, float(real.max()), 31)
    if given:
        return (*stops, None), None
    return stops, float(f"{np.median(real) / 2:.3g}")  # some edges dark, some pale
