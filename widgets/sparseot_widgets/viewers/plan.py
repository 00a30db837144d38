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
from sparseot.formulas.ground import GroundCost

from ..base import BaseViewer
from ..clouds import (
    as_points,
    as_weights,
    cells,
    given,
    laid_flat,
    main_order,
    moved,
    projection,
    some,
    thinned,
)
from ..codec import Message, exact
from ..controls import Slider, geometric
from ..figures import BLUE, RED
from ..selection import Indices, drawn, spread_of

__all__ = ["PlanViewer"]

LIMIT = 2_000  # points of a cloud that is solved for
SKETCH = 250  # points while a slider moves
LINES = 600  # pairs that are drawn
WRITTEN = 16  # coordinates from which JavaScript computes where a selection goes


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

    Lasso some points of the source, or set :attr:`selected`, and the target lights up where their mass goes;
    :attr:`image` has the numbers. :attr:`selected_target` and :attr:`preimage` are the other way round.

    Example:
        >>> viewer = PlanViewer(np.random.rand(50, 2), np.random.rand(60, 2), blur=0.1)
        >>> viewer.blur = 0.05  # or move the slider
        >>> viewer.wait(), viewer.transport.converged
        (True, True)
        >>> viewer.selected = [0, 1, 2]  # or draw a lasso
        >>> round(viewer.image["mass"], 3)
        0.06
    """

    module = "plan"
    movable = True

    selected = Indices("source")
    selected_target = Indices("target")
    _image = Message()  # only where JavaScript cannot compute it
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
        self._moved = ""
        if isinstance(x, so.Transport):
            blur = x.solved[0].problem.blur if blur is None else blur
            self._moved = moved(x)
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
        self._rows = [thinned(len(side[0]), LIMIT).numpy() for side in sides]
        self._clouds = [some(*side, rows) for side, rows in zip(sides, self._rows, strict=True)]
        (x, a), (y, b) = self._clouds
        self._flat = laid_flat(x, y, dim=3)
        diameter = float((np.concatenate((x, y)).max(0) - np.concatenate((x, y)).min(0)).max())
        stops = geometric(diameter / 300, diameter) if diameter else (0.1, 1.0)
        reaches = (*geometric(diameter / 30 or 0.1, 3 * diameter or 1.0, 15), None)
        controls = [
            Slider("blur", "blur", stops, symbol="σ", unit=unit),
            Slider("reach", "reach", reaches, symbol="ρ", unit=unit, none="balanced"),
        ]
        scene = {"x": self._flat[0], "y": self._flat[1], **self._problem()}
        for name, rows, size in zip(("x_index", "y_index"), self._rows, self._sizes, strict=True):
            scene |= drawn(rows, size, name)
        start = stops[len(stops) // 2] if blur is None else float(blur)
        counts = dict(zip(("selected", "selected_target"), self._sizes, strict=True))
        super().__init__(scene, controls, title, counts, blur=start, reach=reach)
        if "problem" not in scene:
            self.observe(self._send_image, names=["selected", "selected_target", "_answer"])

    def _problem(self) -> dict[str, Any]:
        """What JavaScript computes the plan from, with the potentials of an answer."""
        p = self._options["p"]
        cost = self._options.get("cost", GroundCost(1 / p, p) if p in (1, 2) else None)
        (x, a), (y, b) = self._clouds
        if not isinstance(cost, GroundCost) or x.shape[1] > WRITTEN:
            return {}
        middle = x.mean(0)  # single precision is finest near zero
        parts = {"x": x - middle, "y": y - middle, "x_mass": a, "y_mass": b}
        numbers = {"dim": x.shape[1], "factor": float(cost.factor), "power": cost.power}
        return {"problem": {name: exact(part) for name, part in parts.items()} | numbers}

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
            "heat": cells(plan, *orders),
            "rows": cells(np.c_[plan.sum(1), a], orders[0]),
            "columns": cells(np.c_[plan.sum(0), b], orders[1]),
            "result": None if coarse else found,
            "masses": {"x": exact(plan.sum(1)), "y": exact(plan.sum(0))},
            "potentials": self._potentials(found, kept),
        }
        return answer | self._words(found, state, coarse, len(x))

    def _potentials(self, found: so.Transport, kept: list[Tensor]) -> dict[str, Any]:
        """Those of the points that were solved for, relative to the weights of all points."""
        eps = found.solved[0].problem.eps
        parts: dict[str, Any] = {"eps": float(eps)}
        both = ("f", "x", found.potential_a), ("g", "y", found.potential_b)
        for (name, cloud, values), rows, (_, mass) in zip(both, kept, self._clouds, strict=True):
            few = float(mass[rows].sum())  # these carried the mass of all
            gain = eps * float(np.log(float(mass.sum()) / few)) if few else 0.0
            parts |= {name: exact(torch.as_tensor(values).detach() + gain)}
            parts |= {cloud: rows.numpy().astype("uint16")}
        return parts

    @property
    def image(self) -> dict[str, Any]:
        """Where the mass of :attr:`selected` goes by the plan that is shown, and how certain that is.

        ``shares`` ``(M,)`` say of each target point's mass what comes from the selection, NaN where the
        point is left out of a thinned cloud; ``mass``, ``certainty``, ``partners`` and ``spread`` are
        numbers, as :func:`sparseot_widgets.selection.spread_of` defines them.
        """
        return self._spread(0)

    @property
    def preimage(self) -> dict[str, Any]:
        """Where the mass of :attr:`selected_target` comes from; entries as those of :attr:`image`."""
        return self._spread(1)

    def _spread(self, side: int) -> dict[str, Any]:
        chosen = self.selected_target if side else self.selected
        plan = torch.as_tensor(self.transport.plan).detach()
        among = np.flatnonzero(np.isin(self._rows[side], chosen))
        found = spread_of(plan.mT if side else plan, among, self._clouds[1 - side][0])
        shares = np.full(self._sizes[1 - side], np.nan)
        shares[self._rows[1 - side]] = found["shares"]
        return found | {"shares": shares}

    def _send_image(self, change: Any) -> None:
        """Where the selection goes, for a cost that JavaScript cannot compute."""
        sent: dict[str, Any] = {}
        for side, name in enumerate(("selected", "selected_target")):
            if len(getattr(self, name)):
                found = self._spread(side)
                sent[name] = found | {"shares": found["shares"][self._rows[1 - side]]}
        self._image = sent

    @property
    def transport(self) -> so.Transport:
        """The Transport that is shown, between the points that were kept."""
        found: so.Transport = self.result
        return found

    def default_record(self) -> dict[str, int]:
        """Enough to see the plan sharpen and give up."""
        return {"blur": 6, "reach": 3}

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
        note = "; ".join(part for part in (note, self._moved, projection(self._dim)) if part)
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
