"""``PlanViewer``: a transport plan between two clouds, over blur and reach."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Line3DCollection
from torch import Tensor

import sparseot as so
from sparseot.errors import bad_input

from ..base import BaseViewer
from ..clouds import as_points, as_weights, given, laid_flat, main_order, projection, some, thinned
from ..controls import Slider, geometric
from ..figures import BLUE, RED

__all__ = ["PlanViewer"]

LIMIT = 2_000  # points of a cloud that is solved for
SKETCH = 250  # points while a slider moves
LINES = 600  # pairs that are drawn
CELLS = 48  # groups of points on each side of the heat map


class PlanViewer(BaseViewer):
    r"""The entropic transport plan between two clouds: sliders for blur and reach.

    Left, the clouds and the pairs that exchange most mass; right, the whole plan as a matrix, its
    points ordered along the main axis of the clouds, with the marginals beside it (thin: those
    that are asked for). Below, the value with the interval that contains the true one.

    Args:
        x: ``(N, D)`` points, or a :class:`sparseot.Transport`, which brings its own clouds.
        y: ``(M, D)`` points.
        a: ``(N,)`` weights, by default uniform.
        b: ``(M,)`` weights.
        blur: where its slider starts, in the units of the points.
        reach: where its slider starts; None imposes both marginals.
        p: exponent of the cost.
        unit: the unit of the points, for the sliders.
        title: a line above the picture.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    Clouds in space turn with the mouse and the arrow keys; more than three dimensions are laid
    into their first three principal axes. Clouds above 2,000 points are thinned. The picture says so.

    Example:
        >>> viewer = PlanViewer(np.random.rand(50, 2), np.random.rand(60, 2), blur=0.1)
        >>> viewer.blur = 0.05  # or move the slider
        >>> viewer.wait(), viewer.transport.converged
        (True, True)
    """

    module = "plan"

    blur = traitlets.Float().tag(sync=True)
    reach = traitlets.Float(allow_none=True).tag(sync=True)

    def __init__(
        self,
        x: Any,
        y: Any = None,
        a: Any = None,
        b: Any = None,
        *,
        blur: float | None = None,
        reach: float | None = None,
        p: int = 2,
        unit: str = "",
        title: str = "",
    ) -> None:
        self._options: dict[str, Any] = {"p": p}
        if isinstance(x, so.Transport):
            blur = x.solved[0].problem.blur if blur is None else blur
            (x, y, a, b), self._options = given(x, y, a, b)
            there = self._options.pop("reach") or (None, None)
            if there[0] != there[1]:
                raise bad_input("x", f"a Transport of reach {there}", "one reach for both clouds")
            reach = there[0] if reach is None else reach
        elif y is None:
            raise bad_input("y", "None", "the target cloud", "Or give one Transport.", TypeError)
        x, y = as_points("x", x), as_points("y", y)
        x, y = (cloud.to(torch.promote_types(x.dtype, y.dtype)) for cloud in (x, y))
        if x.shape[1] != y.shape[1]:
            raise bad_input("y", f"shape {tuple(y.shape)}", f"(M, {x.shape[1]}), as x has")
        self._sizes, self._dim = (len(x), len(y)), x.shape[1]
        self._options["debias"] = False  # a plan is that of the transport itself
        sides = (x, as_weights("a", a, x)), (y, as_weights("b", b, y))
        self._clouds = [some(*side, thinned(len(side[0]), LIMIT)) for side in sides]
        (x, a), (y, b) = self._clouds
        self._flat = laid_flat(x, y, dim=3)
        diameter = float((np.concatenate((x, y)).max(0) - np.concatenate((x, y)).min(0)).max())
        stops = geometric(diameter / 300, diameter) if diameter else (0.1, 1.0)
        reaches = (*geometric(diameter / 30 or 0.1, 3 * diameter or 1.0, 15), None)
        controls = [
            Slider("blur", "blur", stops, symbol="σ", unit=unit),
            Slider("reach", "reach", reaches, symbol="ρ", unit=unit, none="balanced"),
        ]
        scene = {"x": self._flat[0], "y": self._flat[1]}
        start = stops[len(stops) // 2] if blur is None else float(blur)
        super().__init__(scene, controls, title, blur=start, reach=reach)

    def answer(
        self, state: dict[str, Any], coarse: bool, check: Callable[[], None]
    ) -> dict[str, Any]:
        """The plan at one blur and one reach."""
        kept = [thinned(len(x), SKETCH if coarse else LIMIT) for x, _ in self._clouds]
        clouds = [some(x, a, rows) for (x, a), rows in zip(self._clouds, kept, strict=True)]
        (x, a), (y, b) = clouds
        solver = so.Sinkhorn(
            progress=lambda blur, error, tol: check(), max_sweeps=200 if coarse else 2000
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the readout says it
            tol = 1e-2 if coarse else 1e-3
            found = so.solve_sample(x, y, a, b, **state, tol=tol, solver=solver, **self._options)
        check()
        plan = found.plan.double().numpy()
        orders = main_order(x, y)
        answer = {
            **_lines(plan, kept),
            "heat": _cells(plan, *orders),
            "rows": _cells(np.c_[plan.sum(1), a], orders[0]),
            "columns": _cells(np.c_[plan.sum(0), b], orders[1]),
            "result": None if coarse else found,
        }
        return answer | self._words(found, state, coarse, len(x))

    @property
    def transport(self) -> so.Transport:
        """The Transport that is shown, between the points that were kept."""
        found: so.Transport = self.result
        return found

    def default_record(self) -> dict[str, int]:
        """Enough to see the plan sharpen and give up."""
        return {"blur": 8, "reach": 3}

    def _words(
        self, found: so.Transport, state: dict[str, Any], coarse: bool, drawn: int
    ) -> dict[str, Any]:
        value = float(found.value)
        readout = [["value", f"{value:.5g}"]]
        if not coarse:
            readout = [["value", f"{value:.5g}, between {found.lower:.5g} and {found.upper:.5g}"]]
        readout += [
            ["kept pairs", f"{100 * found.kept_fraction:.3g} %"],
            ["sweeps", str(found.n_iter)],
            [
                "marginals off by",
                f"{found.residual:.1e}" + ("" if found.converged else " (not converged)"),
            ],
        ]
        held = "balanced" if state["reach"] is None else f"reach {state['reach']:.3g}"
        summary = f"Transport plan between {self._sizes[0]:,} and {self._sizes[1]:,} points, blur {state['blur']:.3g}, {held}, value {value:.4g}"
        note = f"sketch: {drawn:,} points" if coarse else ""
        if not coarse and max(self._sizes) > LIMIT:
            note = f"{LIMIT:,} of {max(self._sizes):,} points"
        note = "; ".join(part for part in (note, projection(self._dim)) if part)
        return {"readout": readout, "summary": summary, "note": note}

    def poster_figure(self, figure: Figure) -> None:
        """Clouds, pairs and heat map."""
        x, y = self._flat
        solid = x.shape[1] == 3
        grid = figure.add_gridspec(1, 2, width_ratios=(1.3, 1))
        left: Any = figure.add_subplot(grid[0], projection="3d" if solid else None)
        right = figure.add_subplot(grid[1])
        shown = self._answer
        ends = np.stack((x[shown["from"]], y[shown["to"]]), 1)
        shades = 0.06 + 0.6 * np.sqrt(shown["mass"] / shown["mass"].max())
        kind: Any = Line3DCollection if solid else LineCollection
        left.add_collection(kind(list(ends), colors="black", alpha=shades, linewidths=0.7))
        left.scatter(*x.T, s=9, color=BLUE)
        left.scatter(*y.T, s=9, color=RED)
        left.set_aspect("equal")
        left.set_axis_off()
        heat = np.sqrt(shown["heat"] / shown["heat"].max())
        right.imshow(np.ma.masked_less(heat, 0.03), cmap="viridis_r")
        right.set(xticks=[], yticks=[], xlabel="target", ylabel="source")
        figure.suptitle(self.title or f"blur {self.blur:g}")


def _lines(plan: np.ndarray, kept: list[Tensor]) -> dict[str, np.ndarray]:
    """Pairs as indices into the clouds of the scene, from the largest mass.

    They are chosen among every point's best partner and, if these are few, the largest of all.
    """
    rows, columns = np.arange(plan.shape[0]), np.arange(plan.shape[1])
    best = np.r_[rows * len(columns) + plan.argmax(1), plan.argmax(0) * len(columns) + columns]
    spare = min(max(LINES - len(best), 0), plan.size)
    top = np.argpartition(plan, plan.size - spare - 1, axis=None)[plan.size - spare :]
    chosen = np.unique(np.r_[best, top])
    chosen = chosen[np.argsort(plan.ravel()[chosen])[::-1]][:LINES]
    i, j = np.unravel_index(chosen, plan.shape)
    return {"from": kept[0].numpy()[i], "to": kept[1].numpy()[j], "mass": plan.ravel()[chosen]}


def _cells(matrix: np.ndarray, *orders: np.ndarray) -> np.ndarray:
    """Means over groups of rows (and of columns, with a second order), which count almost alike."""
    for axis, order in enumerate(orders):
        starts = np.unique(np.linspace(0, len(order), CELLS + 1).astype(int)[:-1])
        sizes = np.diff(np.r_[starts, len(order)])
        sums = np.add.reduceat(np.take(matrix, order, axis), starts, axis)
        matrix = sums / np.expand_dims(sizes, tuple(k for k in range(matrix.ndim) if k != axis))
    return matrix
