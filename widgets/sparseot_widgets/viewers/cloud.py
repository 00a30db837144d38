"""``CloudViewer``: a cloud as it is, before anything is computed with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure

from sparseot.errors import bad_input
from sparseot.points import check_positive

from ..base import BaseViewer
from ..clouds import laid_flat, named, projection, thinned
from ..codec import blocked, quantised
from ..controls import Choice, Control, Slider
from ..figures.style import CLASSES, PLACE_MAP
from ..selection import Indices
from ..tables import Table, as_table

__all__ = ["CloudViewer"]

DRAWN = 1_000_000  # points at most
WHOLE = 100_000  # points of a page with 16 bits a coordinate and the numbers of their rows
FAR = 1_000  # times its size that a cloud, or values, may be away from zero
LARGEST = 1e38  # of values: single precision holds a range of twice it
PRINTED = 20_000  # points of a poster
SIZES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # factors of the size that suits so many


class CloudViewer(BaseViewer):
    r"""A cloud of points in the plane or in space, coloured by a value, a class or a coordinate.

    It pans, zooms and turns: drag, wheel, two fingers, arrow keys, + and -, Home.

    Args:
        x: ``(N, D)`` points, torch or NumPy; a data frame; or what the library returned: a
            ``Transport`` (both clouds), a ``KernelMatrix``, a ``Barycenter``. One coordinate makes a
            line; more than three are laid into their first three principal axes, and the picture
            says so. Rows with NaN or infinity are left out, which it says too.
        values: ``(N,)`` numbers for the colour, or the name of a column of the data frame. Far from zero
            their colour bar has an origin of its own, which it says.
        labels: ``(N,)`` words or numbers, a class for each point, or the name of a column.
        names: what the coordinates are called. Of a data frame: which columns they are, by default all
            that hold numbers, but for the two above.
        size: where the slider of the size starts, a factor of the one that suits so many points.
        unit: the unit of the points.
        title: a line above the picture.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    Above a million points, a million of them, drawn at random, is shown, and the picture says so. A
    page of so many takes four to seven megabytes, and five more where its selection is linked.

    Example:
        >>> x = np.random.rand(500, 3)
        >>> viewer = CloudViewer(x, values=x[:, 2], unit="m")
        >>> viewer.colour = "along x₁"  # or choose it
        >>> viewer.shown["readout"][0]
        ['points', '500']
    """

    module = "cloud"
    movable = True

    selected = Indices("points")
    heavy = 8_000_000

    colour = traitlets.Unicode().tag(sync=True)
    size = traitlets.Float().tag(sync=True)

    def __init__(
        self,
        x: Any,
        *,
        values: Any = None,
        labels: Any = None,
        names: Sequence[str] | None = None,
        size: float | None = None,
        unit: str = "",
        title: str = "",
    ) -> None:
        check_positive(size=size)
        table = as_table(x, values, labels, names)
        kept = thinned(len(table.points), DRAWN).numpy()
        self._said = _told(table, len(kept))
        points, axes = _placed(table, kept)
        scene: dict[str, Any] = {"points": points, "names": axes, "total": table.total}
        if len(kept) < table.total:
            scene["index"] = table.rows[kept]
        if table.values is not None:
            scene |= _shaded(table.values[kept], table.of)
        if table.labels is not None:
            codes, words = named(table.labels, len(table.labels), kept)
            scene |= {"labels": codes.astype(_least(len(words))), "classes": words}
        if unit:
            scene["unit"] = unit
        paints = ["class"] * ("labels" in scene) + ["value"] * ("values" in scene)
        dim = table.points.shape[1]
        paints += [f"along {name}" for name in axes[: max(1, min(dim, 3))]]
        controls: list[Control] = [
            Choice("colour", "colour by", tuple(paints), local=True),
            Slider("size", "point size", SIZES, local=True),
        ]
        self._cloud = scene
        start = 1.0 if size is None else float(size)
        super().__init__(
            quantised(scene),
            controls,
            title,
            {"selected": table.total},
            colour=paints[0],
            size=start,
        )

    def answer(
        self, state: dict[str, Any], coarse: bool, check: Callable[[], None]
    ) -> dict[str, Any]:
        """The words: nothing is computed."""
        return dict(self._said)

    def page_scene(self) -> dict[str, Any]:
        """The scene; of very many points in bytes, block by block.

        Without the numbers of rows, unless a link needs them.
        """
        scene = dict(self._cloud)
        if len(scene["points"]) > WHOLE:
            rows = scene.pop("index", np.arange(len(scene["points"])))
            scene["points"], order = blocked(scene["points"])
            self._page_rows = rows[order]
            if self._shared.get("selected"):  # another viewer has another order
                scene["index"] = self._page_rows.astype("int32")
            else:
                scene["shuffled"] = True
            for name in {"values", "labels"} & set(scene):
                scene[name] = quantised(scene[name][order], bits=8)
        return scene

    def page_selection(self, name: str) -> Any:
        """The places of what is selected, where a page forgot the rows."""
        if len(self._cloud["points"]) <= WHOLE or self._shared.get("selected"):
            return self.selected
        return np.flatnonzero(np.isin(self._page_rows, self.selected))

    def poster_figure(self, figure: Figure) -> None:
        """The cloud, or some thousands of its points."""
        scene = self._cloud
        rows = thinned(len(scene["points"]), PRINTED).numpy()
        points = scene["points"][rows]
        solid = points.shape[1] == 3
        panel: Any = figure.add_subplot(projection="3d" if solid else None)
        area = float(np.clip(6_000 / len(points), 0.5, 24.0)) * self.size
        if self.colour == "class":
            paint: Any = {"c": [CLASSES[code % len(CLASSES)] for code in scene["labels"][rows]]}
        else:
            axis = scene["names"].index(self.colour[6:]) if self.colour != "value" else None
            shades = scene["values"][rows] if axis is None else points[:, axis]
            paint = {"c": shades, "cmap": PLACE_MAP}
        drawn = panel.scatter(*points.T, s=area, linewidths=0, **paint)
        panel.set_aspect("equal", adjustable=None if solid else "datalim")
        names = [
            f"{name} ({scene['unit']})" if "unit" in scene else name for name in scene["names"]
        ]
        panel.set(xlabel=names[0], ylabel=names[1], **({"zlabel": names[2]} if solid else {}))
        if self.colour != "class":
            name = scene.get("of") or "value" if self.colour == "value" else self.colour[6:]
            figure.colorbar(drawn, ax=panel, label=name, shrink=0.8)
        figure.suptitle(self.title or self._said["summary"])


def _least(count: int) -> str:
    """The smallest type of whole numbers that names so many."""
    return "uint8" if count <= 256 else "uint16" if count <= 65_536 else "int32"


def _placed(table: Table, kept: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Where some points are drawn, and what these two or three coordinates are called."""
    few = table.points if len(kept) == len(table.points) else table.points[torch.from_numpy(kept)]
    (points,) = laid_flat(few, dim=3)
    dim = table.points.shape[1]
    if dim > 3:
        return points, [f"axis {k + 1}" for k in range(3)]
    names = [*table.names, ""][: max(dim, 2)]
    lows = [float(column.min()) for column in points.T]
    size = max(float(column.max()) - low for column, low in zip(points.T, lows, strict=True))
    for k, low in enumerate(lows):
        start, told = _origin(low, size)
        points[:, k] -= start
        names[k] += told
    return points, names


def _origin(low: float, size: float) -> tuple[float, str]:
    """A round number near those from ``low`` on, where they are far from zero, and what is said of it."""
    if not size or abs(low) <= FAR * size:
        return 0.0, ""
    step = 10.0 ** np.ceil(np.log10(size))  # single precision would see steps
    start = float(np.floor(low / step) * step)
    return start, f" {'−' if start > 0 else '+'} {abs(start):,.12g}"


def _shaded(values: np.ndarray, name: str) -> dict[str, Any]:
    """Values as they travel, near zero, and what they are called."""
    values = values.astype(np.float64)
    most = float(abs(values).max())
    if most > LARGEST:
        raise bad_input(
            "values", f"numbers up to {most:.2g}", f"at most {LARGEST:.1g}", "Scale them."
        )
    low = float(values.min())
    start, told = _origin(low, float(values.max()) - low)
    return {"values": values - start, "of": (name or "value") + told if told else name}


def _told(table: Table, drawn: int) -> dict[str, Any]:
    """The words of a cloud."""
    count, dim = table.points.shape
    notes = [f"{drawn:,} of {count:,} points"] if drawn < count else []
    if count < table.total:
        notes.append(f"{table.total - count:,} rows with NaN or infinity left out")
    if dim > 3:
        notes.append(projection(dim))
    readout = [["points", f"{table.total:,}"], ["coordinates", str(dim)]]
    lo, hi = table.points.amin(0).tolist(), table.points.amax(0).tolist()
    if dim <= 3:
        readout += [[n, f"{a:.4g} to {b:.4g}"] for n, a, b in zip(table.names, lo, hi, strict=True)]
    summary = f"Cloud of {table.total:,} points in {dim} dimension" + "s" * (dim > 1)
    return {"readout": readout, "summary": summary, "note": "; ".join(notes)}
