"""``KernelViewer``: a kernel matrix and its spectral coordinates, over the width of the kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
import traitlets
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

import sparseot as so
from sparseot.errors import bad_input
from sparseot.operators.base import Operator

from ..base import BaseViewer
from ..clouds import as_points, laid_flat, main_order, thinned
from ..controls import Choice, Control, Slider, geometric
from ..selection import Indices, drawn

__all__ = ["KernelViewer"]

LIMIT = 2_000  # points that are solved for
SKETCH = 400  # points while a slider moves
DRAWN = 100_000  # points on the screen, and
PAGE = 10_000  # in a page
ROWS = 128  # of the matrix that is shown
KERNELS = {"gaussian": so.kernels.Gaussian, "laplacian": so.kernels.Laplacian}
LAYOUTS = ("space", "spectral coordinates")
POLES = LinearSegmentedColormap.from_list(
    "poles", ["#8c3b00", "#D55E00", "#b4b8bd", "#0072B2", "#004166"]
)
ORDERS = ("main axis", "the eigenvector")


class KernelViewer(BaseViewer):
    r"""A kernel matrix and the eigenvectors of its graph: sliders for width and eigenvector.

    The cloud is coloured by an eigenvector f of the smallest eigenvalues :math:`\lambda` of

    .. math:: (D - K) f = \lambda D f, \qquad D = K 1 ,

    in space or in the first of these *spectral coordinates*; in three dimensions it rotates with
    the mouse and the arrow keys. Beside it, the entries of K between some points, and the
    eigenvalues: click one to see its eigenvector.

    Args:
        x: ``(N, D)`` points, or a :class:`sparseot.KernelMatrix` with a Gaussian or a Laplacian
            kernel. More than three dimensions are laid into their first principal axes.
        kernel: "gaussian" or "laplacian", of points.
        sigma: where its slider starts, in the units of the points.
        k: how many eigenvectors.
        unit: the unit of the points, for the slider.
        title: a line above the picture.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    Above 2,000 points, eigenvectors are those of 2,000 of them, drawn at random, and interpolated
    on up to 100,000; the picture says so.

    References:
        Belkin and Niyogi, 2003, "Laplacian eigenmaps for dimensionality reduction and data
        representation", section 2.

    Example:
        >>> viewer = KernelViewer(np.random.rand(200, 2), sigma=0.1)
        >>> viewer.sigma = 0.2  # or move the slider
        >>> viewer.wait(), viewer.eigenpairs.converged
        (True, True)
    """

    module = "kernel"
    movable = True

    selected = Indices("points")

    sigma = traitlets.Float().tag(sync=True)
    vector = traitlets.Int(1).tag(sync=True)
    coordinates = traitlets.Unicode(LAYOUTS[0]).tag(sync=True)
    order = traitlets.Unicode(ORDERS[0]).tag(sync=True)

    def __init__(
        self,
        x: Any,
        *,
        kernel: str | None = None,
        sigma: float | None = None,
        k: int = 8,
        unit: str = "",
        title: str = "",
    ) -> None:
        if isinstance(x, so.KernelMatrix):
            if kernel is not None:
                raise bad_input("kernel", "one beside a KernelMatrix", "one of the two")
            kernel, width = _kernel_of(x)
            x, sigma = x.x[0], sigma or width
        self._kernel = _chosen(kernel or "gaussian")
        x = as_points("x", x)
        if len(x) < 4:
            raise bad_input("x", f"{len(x)} points", "at least 4, for a few eigenvectors")
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise bad_input("k", repr(k), "a positive integer")
        self._k = min(k, len(x) - 2)
        self._total = len(x)
        self._solved = thinned(len(x), LIMIT)
        self._points = x[self._solved]
        self._sketch = thinned(len(self._points), SKETCH)
        self._to_sketch = torch.cdist(self._points, self._points[self._sketch])
        self._seen: Tensor | None = None
        nearest = float(torch.as_tensor(so.knn(self._points, k=1).distances).median())
        size = float((x.amax(0) - x.amin(0)).max()) or 1.0
        stops = geometric(min(max(2 * nearest, size / 300), size / 4), size / 2, 31)
        start = min(3 * stops[0], stops[-1] / 2) if sigma is None else float(sigma)
        if not start > 0:
            raise bad_input("sigma", str(sigma), "a positive length in the units of the points")
        controls: list[Control] = [
            Slider("sigma", "width", stops, symbol="σ", unit=unit),
            Slider("vector", "eigenvector", tuple(range(1, self._k + 1)), local=True),
            Choice("coordinates", "points in", LAYOUTS, local=True),
            Choice("order", "matrix along", ORDERS, local=True),
        ]
        super().__init__(self._scene_of(x), controls, title, {"selected": len(x)}, sigma=start)

    def _scene_of(self, x: Tensor) -> dict[str, Any]:
        """The points that are drawn, how they hang on those solved for, and some distances."""
        shown = thinned(len(x), DRAWN)
        scene: dict[str, Any] = {"total": len(x), "gaussian": self._kernel is KERNELS["gaussian"]}
        scene["points"] = laid_flat(x, dim=3)[0][shown.numpy()]
        scene |= drawn(shown, len(x))
        if len(x) > len(self._points):
            near = so.knn(x[shown], self._points, k=3)
            share = 1 / (near.distances.double() ** 2 + torch.finfo(torch.float32).tiny)
            share = (255 * share / share.sum(1, keepdim=True)).round()
            scene |= {"near": near.indices.numpy().astype("uint16")}
            scene |= {"share": share.numpy().astype("uint8")}
        rows = thinned(len(self._points), ROWS)
        some = self._points[rows]
        apart = torch.cdist(some, some, compute_mode="donot_use_mm_for_euclid_dist").numpy()
        along = main_order(some)[0].astype("uint16")
        return {**scene, "rows": rows.numpy().astype("uint16"), "apart": apart, "along": along}

    def page_scene(self) -> dict[str, Any]:
        """The scene with fewer points."""
        rows = thinned(len(self._scene["points"]), PAGE).numpy()
        of_points = ("points", "near", "share", "index")
        scene = {n: part[rows] if n in of_points else part for n, part in self._scene.items()}
        return drawn(rows, self._total) | scene

    def answer(
        self, state: dict[str, Any], coarse: bool, check: Callable[[], None]
    ) -> dict[str, Any]:
        """Eigenvalues, and eigenvectors on the points that are solved for."""
        points = self._points[self._sketch] if coarse else self._points
        kernel = self._kernel(state["sigma"])
        L = so.graph_laplacian(so.KernelMatrix(kernel, points), normed=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the readout says it
            found = so.eigsh(
                _Watched(L, check), self._k + 1, "SA",
                tol=1e-4 if coarse else 1e-5, max_products=300 if coarse else 1000,
            )  # fmt: skip
        degrees = torch.as_tensor(L.degrees)
        vectors = torch.as_tensor(found.vectors)[:, 1:] / degrees.sqrt()[:, None]
        if coarse:
            vectors = _extended(vectors, kernel, self._to_sketch)
        answer = {
            "result": None if coarse else found,
            "vectors": self._aligned(vectors).numpy(),
            "values": torch.as_tensor(found.values).clamp_min(0).numpy(),
            "residuals": torch.as_tensor(found.residuals).numpy(),
            "sigma": state["sigma"],
        }
        return answer | self._words(state["sigma"], found, degrees, L, coarse)

    @property
    def eigenpairs(self) -> so.EigenPairs:
        """The eigenpairs that are shown, of the points that are solved for."""
        found: so.EigenPairs = self.result
        return found

    def _aligned(self, vectors: Tensor) -> Tensor:
        """Scaled to largest value one, with the signs of what was seen before."""
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        vectors = vectors / largest.where(largest != 0, 1)
        if self._seen is not None:
            vectors = vectors * torch.where((vectors * self._seen).sum(0) < 0, -1.0, 1.0)
        self._seen = vectors
        return vectors

    def _words(
        self, sigma: float, found: so.EigenPairs, degrees: Tensor, L: Any, coarse: bool
    ) -> dict[str, Any]:
        solved = len(degrees)
        alone = len(L.isolated())
        degree = float(degrees.mean()) * self._total / solved  # as if all points were there
        readout = [
            ["mean degree", f"{degree:,.0f}" if degree > 100 else f"{degree:.3g}"],
            ["points alone", f"{100 * alone / solved:.3g} %"],
            ["products", f"{found.products:,}" + ("" if found.converged else " (not converged)")],
        ]
        many = f"eigenvectors of {solved:,}" if solved < self._total else ""
        summary = (
            f"Cloud of {self._total:,} points and the spectrum of its graph at width {sigma:.3g}, "
            f"first eigenvalues {', '.join(f'{float(v):.2g}' for v in found.values[:4])}"
        )
        return {"readout": readout, "summary": summary, "note": "sketch: " * coarse + many}

    def poster_figure(self, figure: Figure) -> None:
        """Cloud, matrix and eigenvalues."""
        shown, scene = self._answer, self.page_scene()
        grid = figure.add_gridspec(1, 3, width_ratios=(1.5, 1, 0.9))
        points = scene["points"]
        solid = points.shape[1] == 3
        cloud: Any = figure.add_subplot(grid[0], projection="3d" if solid else None)
        vectors = shown["vectors"][:, self.vector - 1]
        if "near" in scene:
            vectors = (vectors[scene["near"]] * (scene["share"] / 255)).sum(1)
        cloud.scatter(*points.T, c=vectors, s=4, cmap=POLES, vmin=-1, vmax=1)
        cloud.set_aspect("equal")
        cloud.set_axis_off()
        along = np.ix_(scene["along"], scene["along"])
        entries = self._kernel(self.sigma)(torch.as_tensor(scene["apart"][along] ** 2))
        matrix = figure.add_subplot(grid[1])
        matrix.imshow(np.ma.masked_less(entries.numpy(), 0.02), cmap="viridis_r", vmin=0, vmax=1)
        matrix.set(xticks=[], yticks=[], xlabel="kernel matrix")
        spectrum = figure.add_subplot(grid[2])
        spectrum.plot(shown["values"], "o")
        spectrum.plot(self.vector, shown["values"][self.vector], "o", ms=11)
        spectrum.set(xlabel="number", ylabel="eigenvalue")
        figure.suptitle(self.title or f"width {self.sigma:g}")


class _Watched(Operator):
    """An operator whose products end when nobody waits for them."""

    def __init__(self, operator: Operator, check: Callable[[], None]) -> None:
        self.operator, self.check = operator, check
        self.shape, self.reference = operator.shape, operator.reference

    def product(self, v: Tensor) -> Tensor:
        self.check()
        return self.operator.product(v)

    def transpose(self) -> Operator:
        return self

    def diagonal(self) -> Any:
        return self.operator.diagonal()


def _extended(values: Tensor, kernel: Any, distances: Tensor) -> Tensor:
    """Functions on a few points, on all: averages by the kernel (Nyström's extension).

    The logarithm of the kernel is what softmax wants, and where the kernel is narrow the nearest
    point decides instead of an underflow.
    """
    return (-kernel.rate * distances**kernel.decay).softmax(1) @ values


def _chosen(kernel: str) -> Any:
    if kernel not in KERNELS:
        raise bad_input("kernel", repr(kernel), f"one of {', '.join(map(repr, KERNELS))}")
    return KERNELS[kernel]


def _kernel_of(K: so.KernelMatrix) -> tuple[str, float]:
    """The name of its kernel, and the width."""
    if K.batched or not K.symmetric:
        raise bad_input("x", repr(K), "the matrix of one cloud with itself")
    name = next((n for n, kind in KERNELS.items() if isinstance(K.kernel, kind)), None)
    if name is None:
        fix = "Give the points, and kernel='gaussian' or 'laplacian'."
        raise bad_input("x", repr(K), "a Gaussian or a Laplacian kernel", fix)
    rate: float = cast(Any, K.kernel).rate
    return name, (2 * rate) ** -0.5 if name == "gaussian" else 1 / rate
