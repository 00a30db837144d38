"""``HessianViewer``: the second derivatives of a transport cost, implicit beside unrolled."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import traitlets
from matplotlib.figure import Figure

import sparseot as so
from sparseot.errors import bad_input

from ..base import BaseViewer
from ..clouds import (
    as_points,
    as_weights,
    given,
    laid_flat,
    main_order,
    main_plane,
    moved,
    some,
    thinned,
)
from ..controls import Choice, Control, Slider, geometric

__all__ = ["HessianViewer"]

LIMIT = 40  # points of a cloud whose Hessian is made
SKETCH = 10  # points while a slider moves
UPDATES = (1, 2, 5, 10, 20, 50, 100)  # of the loop that is differentiated
SKETCHED = 5  # of these, in a sketch
ARGUMENTS = {"x": "points x", "y": "points y", "a": "weights a", "b": "weights b"}
LEAST = 18  # a difference below ten to the minus so many is none


class HessianViewer(BaseViewer):
    r"""The Hessian of a transport cost as a matrix: implicit, unrolled, and their difference.

    Above, the two Hessians in one scale of colours, zero in the middle, and the logarithm of their
    difference. Below, the row under the pointer on the cloud: an arrow says how the gradient at
    its point changes when the point of the row moves (a disc, for weights), and how the largest
    difference falls with the updates that are unrolled. That slider needs no kernel.

    Args:
        x: ``(N, D)`` points, or a :class:`sparseot.Transport`, which brings clouds, cost and reach.
        y: ``(M, D)`` points.
        a: ``(N,)`` weights, by default uniform.
        b: ``(M,)`` weights.
        wrt: where the chooser of the argument starts, "x", "y", "a" or "b".
        blur: where its slider starts, in the units of the points.
        debias: the Hessian of the Sinkhorn divergence; False: of the entropic cost.
        unit: the unit of the points, for the slider.
        title: a line above the picture.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    Where the cost of a Transport moves its points, derivatives are those in the weights alone.

    Clouds above 40 points are thinned, and the picture says so. Points are shown in their order
    along the main axis of both clouds.

    References:
        Cuturi et al., 2022, "Optimal transport tools (OTT)".

    Example:
        >>> viewer = HessianViewer(np.random.rand(12, 2), np.random.rand(15, 2), blur=0.2)
        >>> first, *_, last = viewer.shown["errors"].tolist()  # of the unrolled ones
        >>> last < first
        True
    """

    module = "hessian"

    updates = traitlets.Int(10).tag(sync=True)
    blur = traitlets.Float().tag(sync=True)
    wrt = traitlets.Unicode().tag(sync=True)
    row = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        x: Any,
        y: Any = None,
        a: Any = None,
        b: Any = None,
        *,
        wrt: str = "x",
        blur: float | None = None,
        debias: bool = False,
        unit: str = "",
        title: str = "",
    ) -> None:
        self._options: dict[str, Any] = {"debias": debias}
        arguments, self._moved = tuple(ARGUMENTS), ""
        if isinstance(x, so.Transport):
            blur = x.solved[0].problem.blur if blur is None else blur
            self._moved = moved(x)
            if self._moved:
                x.refuse_moved(wrt)
                arguments = ("a", "b")
            (x, y, a, b), self._options = given(x, y, a, b)
        elif y is None:
            raise bad_input("y", "None", "the target cloud", "Or give one Transport.", TypeError)
        x, y = as_points("x", x).double(), as_points("y", y).double()
        if x.shape[1] != y.shape[1]:
            raise bad_input("y", f"shape {tuple(y.shape)}", f"(M, {x.shape[1]}), as x has")
        self._sizes = {"x": len(x), "y": len(y), "a": len(x), "b": len(y)}
        a, b = as_weights("a", a, x), as_weights("b", b, y)
        if self._options.get("reach") is None and abs(b.sum() / a.sum() - 1) < 1e-5:
            b = b * (a.sum() / b.sum())  # masses that were equal in single precision
        sides = (x, a), (y, b)
        self._clouds = [some(*side, thinned(len(side[0]), LIMIT)) for side in sides]
        orders = main_order(*(points for points, _ in self._clouds))
        self._clouds = [
            some(*side, order.copy()) for side, order in zip(self._clouds, orders, strict=True)
        ]
        (x, _), (y, _) = self._clouds
        flat = laid_flat(x, y)
        diameter = float(np.ptp(np.concatenate(flat), 0).max()) or 1.0
        stops = geometric(diameter / 50, diameter, 25)
        chooser = Choice("wrt", "derivatives in", arguments)
        chooser.nearest(wrt)
        rows = tuple(float(k) for k in range(max(len(x), len(y)) * x.shape[1]))
        controls: list[Control] = [
            Slider("updates", "updates", UPDATES, local=True, play=True),
            Slider("blur", "blur", stops, symbol="σ", unit=unit),
            chooser,
            Slider("row", "row", rows, local=True),
        ]
        scene = {"x": flat[0], "y": flat[1], "axes": main_plane(x, y)[1], "updates": [*UPDATES]}
        start = stops[len(stops) // 2] if blur is None else float(blur)
        super().__init__(scene, controls, title, blur=start, wrt=wrt)

    def answer(
        self, state: dict[str, Any], coarse: bool, check: Callable[[], None]
    ) -> dict[str, Any]:
        """The Hessian in one argument at one blur, and what loops of some lengths have for it."""
        kept = [thinned(len(x), SKETCH if coarse else LIMIT) for x, _ in self._clouds]
        (x, a), (y, b) = (some(*side, k) for side, k in zip(self._clouds, kept, strict=True))
        wrt = state["wrt"]
        solver = so.Sinkhorn(progress=lambda blur, error, tol: check(), max_sweeps=2000)
        tol = 1e-3 if coarse else 1e-6
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the readout says it
            found = so.solve_sample(
                x, y, a, b, blur=state["blur"], tol=tol, solver=solver, **self._options
            )
            check()  # a solve that was ended has no Hessian
            exact = _square(so.hessian(found, wrt).to_dense())
        gaps = []
        for n in UPDATES[: SKETCHED if coarse else None]:
            check()
            loop = so.hessian(found, wrt, method="unrolled", n_iter=n)
            gaps.append(_square(loop.to_dense()) - exact)
        size = np.abs(exact).max() or 1.0
        upper = np.triu_indices(len(exact))
        errors = np.array([np.abs(gap).max() / size for gap in gaps])
        answer = {
            "matrix": exact[upper],
            "gaps": [_encoded(gap[upper] / size) for gap in gaps],
            "rows": len(exact),
            "kept": kept[wrt in "yb"],
            "cloud": "x" if wrt in "xa" else "y",
            "each": x.shape[1] if wrt in "xy" else 1,
            "weights": wrt in "ab",
            "largest": float(size),
            "shade": float(np.quantile(np.abs(exact), 0.98)) or float(size),
            "errors": np.log10(np.maximum(errors, 1e-17)),
        }
        return answer | self._words(found, state, coarse, len(kept[wrt in "yb"]))

    def _words(
        self, found: so.Transport, state: dict[str, Any], coarse: bool, count: int
    ) -> dict[str, Any]:
        what = "Sinkhorn divergence" if found.debias else "entropic transport cost"
        where = ARGUMENTS[state["wrt"]]
        ready = f"{found.residual:.1e}" + ("" if found.converged else " (not converged)")
        readout = [["of the", f"{what}, in {where}"], ["marginals off by", ready]]
        size = self._sizes[state["wrt"]]
        note = f"sketch: {count} points" if coarse else ""
        if not coarse and size > LIMIT:
            note = f"{count} of {size:,} points"
        note = "; ".join(part for part in (note, self._moved) if part)
        summary = f"Hessian of the {what} in {where}, {count} points, blur {state['blur']:.3g}"
        return {"readout": readout, "summary": summary, "note": note}

    def default_record(self) -> dict[str, int]:
        """Five blurs, in the argument that is shown."""
        return {"blur": 5}

    def poster_figure(self, figure: Figure) -> None:
        """The three matrices."""
        shown, slider = self.shown, self.controls["updates"]
        assert isinstance(slider, Slider)
        gap = shown["largest"] * _decoded(shown["gaps"][slider.nearest(self.updates)])
        shade = {"cmap": "RdBu", "vmin": -shown["shade"], "vmax": shown["shade"]}
        exact, gap = (_whole(entries, shown["rows"]) for entries in (shown["matrix"], gap))
        panels = figure.subplots(1, 3)
        panels[0].imshow(exact, **shade)
        panels[1].imshow(exact + gap, **shade)
        logs = np.log10(np.maximum(np.abs(gap) / shown["largest"], 1e-10))
        image = panels[2].imshow(logs, cmap="viridis_r", vmin=-10, vmax=0)
        figure.colorbar(image, ax=panels[2], shrink=0.6)
        titles = ("implicit", f"unrolled, {self.updates} updates", "log10 |difference|")
        for panel, title in zip(panels, titles, strict=True):
            panel.set(xticks=[], yticks=[], title=title)
        figure.suptitle(self.title)


def _square(block: Any) -> np.ndarray:
    matrix: np.ndarray = block.detach().numpy()
    side = math.isqrt(matrix.size)
    return matrix.reshape(side, side)


def _whole(upper: np.ndarray, rows: int) -> np.ndarray:
    """The symmetric matrix of an upper triangle."""
    found = np.zeros((rows, rows))
    found[np.triu_indices(rows)] = upper
    return found + np.triu(found, 1).T


def _encoded(gap: np.ndarray) -> np.ndarray:
    """Signed logarithms, so that what is small survives being sent in 16 bits."""
    size = np.maximum(np.abs(gap), 10.0**-LEAST)
    return np.sign(gap) * (np.log10(size) + LEAST)


def _decoded(code: np.ndarray) -> np.ndarray:
    """What :func:`_encoded` took."""
    return np.sign(code) * 10.0 ** (np.abs(code) - LEAST)
