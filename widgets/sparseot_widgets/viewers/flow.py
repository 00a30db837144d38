"""``FlowViewer``: particles that roll down a loss towards a target."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

import sparseot as so
from sparseot.errors import bad_input
from sparseot.points import check_positive

from ..base import BaseViewer
from ..clouds import as_points, main_plane, projection, thinned
from ..controls import Choice, Control, Slider, geometric
from ..euler import gradient_flow
from ..figures import BLUE, GREY, density_1d, place, scatter
from ..figures.style import PLACE_MAP

__all__ = ["FlowViewer"]

LIMIT = 500  # particles that flow
SKETCH = 100  # particles while a slider moves
SKETCHED = 12  # times at which a sketch is computed; between them it is drawn straight
NAMES = ("sinkhorn", "energy", "gaussian", "laplacian", "hausdorff")
FLOOR = 1e-6  # of the first value of a loss; below, a curve shows rounding

Loss = Callable[..., Tensor]


class FlowViewer(BaseViewer):
    r"""A gradient flow as particles that move to a target: choosers for loss and blur, and time.

    .. math:: \dot x_i(t) = - N \, \nabla_{x_i} L(\alpha_t, \beta),
        \qquad \alpha_t = \frac1N \sum_i \delta_{x_i(t)}

    by explicit Euler steps. Left, the particles in the colour of their place at t = 0 and the target
    (grey), as discs in the plane or in space, which turns, or as densities on the line; right, the
    loss. Time needs no kernel: all times of a flow come with it.

    Args:
        x: ``(N, D)`` points, where the particles start.
        y: ``(M, D)`` points, the target.
        losses: names of losses of :class:`sparseot.SamplesLoss`, or a dict from the reader's names
            to such a name or to a function ``loss(x, y)`` or ``loss(x, y, blur=...)``.
        blurs: the stops of the slider blur, in the units of the points.
        loss: where its chooser starts; by default with the first.
        blur: where its slider starts.
        until: the last time.
        step: the longest Euler step; it is cut where a particle would jump far.
        frames: how many times are shown, evenly from 0 on.
        bandwidth: of the densities, in the units of the points (D = 1 only).
        unit: the unit of the points, for the slider.
        title: a line above the picture.

    Raises:
        ValueError, TypeError: if an argument is not as described.

    Above 500 particles clouds are thinned, and more than three dimensions are laid into their first
    three principal axes; the picture says so.

    References:
        Santambrogio, 2017, "{Euclidean, metric, and Wasserstein} gradient flows: an overview".

    Example:
        >>> x, y = torch.rand(30, 2), torch.rand(40, 2) + 1.0
        >>> viewer = FlowViewer(x, y, losses=["sinkhorn", "energy"], frames=6)
        >>> viewer.shown["path"].shape  # times, particles, coordinates
        (6, 30, 2)
    """

    module = "flow"

    time = traitlets.Float(0.0).tag(sync=True)
    loss = traitlets.Unicode().tag(sync=True)
    blur = traitlets.Float().tag(sync=True)
    draw = traitlets.Unicode("particles").tag(sync=True)

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        losses: Sequence[str] | Mapping[str, str | Loss] = ("sinkhorn", "energy"),
        blurs: Sequence[float] | None = None,
        loss: str | None = None,
        blur: float | None = None,
        until: float = 5.0,
        step: float = 0.05,
        frames: int = 51,
        bandwidth: float | None = None,
        unit: str = "",
        title: str = "",
    ) -> None:
        x = as_points("x", x)
        y = as_points("y", y).to(x.dtype)
        if x.shape[1] != y.shape[1]:
            raise bad_input("y", f"shape {tuple(y.shape)}", f"(M, {x.shape[1]}), as x has")
        check_positive(until=until, step=step, bandwidth=bandwidth, blur=blur)
        if not isinstance(frames, int) or frames < 2:
            raise bad_input("frames", repr(frames), "a number of times, at least 2")
        self._losses, self._size, self._step = _checked(losses), len(x), step
        self._clouds = x[thinned(len(x), LIMIT)], y[thinned(len(y), LIMIT)]
        self._times = tuple(float(f"{t:.6g}") for t in np.linspace(0.0, until, frames))
        centre, axes = main_plane(*self._clouds, dim=3)
        self._plane = centre, axes[:, : min(x.shape[1], 3)]
        self._target = self._seen(self._clouds[1])
        shown = np.concatenate((self._seen(self._clouds[0]), self._target))
        self._diameter = float(np.ptp(shown, 0).max()) or 1.0
        margin = 0.08 * self._diameter
        self._window = np.stack((shown.min(0) - margin, shown.max(0) + margin))
        self._bandwidth = self._diameter / 150 if bandwidth is None else bandwidth
        stops, names = _stops(blurs, self._diameter), tuple(self._losses)
        chooser = Choice("loss", "loss", names)
        controls: list[Control] = [
            Slider("time", "time", self._times, symbol="t", local=True, play=True),
            chooser,
            Slider("blur", "blur", stops, symbol="σ", unit=unit),
        ]
        if x.shape[1] > 1:
            controls.append(
                Choice("draw", "draw", ("particles", "paths", "velocities"), local=True)
            )
        scene = {
            "target": self._target,
            "window": self._window,
            "times": np.array(self._times),
            "bandwidth": float(self._bandwidth),
        }
        loss = names[0] if loss is None else names[chooser.nearest(loss)]
        blur = stops[len(stops) // 2] if blur is None else float(blur)
        super().__init__(scene, controls, title, loss=loss, blur=blur)

    def answer(
        self, state: dict[str, Any], coarse: bool, check: Callable[[], None]
    ) -> dict[str, Any]:
        """All times of the flow of one loss."""
        chosen = self._losses[state["loss"]]
        loss, blurred = _made(chosen, state["blur"])
        x, y = (cloud[thinned(len(cloud), SKETCH)] if coarse else cloud for cloud in self._clouds)
        times = self._times[:: -(-len(self._times) // SKETCHED)] if coarse else self._times
        times = (*times[:-1], self._times[-1])
        step, jump = (6 * self._step, 0.25) if coarse else (self._step, 0.05)
        jump *= self._diameter
        try:
            flow = gradient_flow(loss, x, y, times, step=step, jump=jump, check=check)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"losses[{state['loss']!r}]: {error}") from error
        path, values = torch.stack(list(flow.clouds.values())), np.array(flow.losses)
        weights = _between(np.array(times), np.array(self._times))
        seen = self._seen(path.reshape(-1, path.shape[2])).reshape(*path.shape[:2], -1)
        share = values[-1] / values[0] if values[0] else 0.0
        setting = f"blur {state['blur']:.3g}" if blurred else "no blur in it"
        summary = (
            f"{self._size:,} particles flow down the loss {state['loss']}, {setting}, from "
            f"{values[0]:.3g} to {values[-1]:.3g}"
        )
        note = f"sketch: {len(x)} particles" if coarse else ""
        if not coarse and self._size > len(x):
            note = f"{len(x):,} of {self._size:,} particles"
        note = "; ".join(part for part in (note, projection(x.shape[1])) if part)
        shown = np.einsum("st,tnd->snd", weights, seen)
        low, high = self._window
        return {
            "path": shown.astype(np.float32),
            "outside": ((shown < low) | (shown > high)).any(2).mean(1),
            "place": np.rint(255 * place(x)).astype(np.uint8),
            "curve": weights @ np.log10(np.maximum(values, FLOOR * max(values.max(), 1e-30))),
            "readout": [["at the end", f"{100 * share:.2g} % of the loss is left"],
                        ["in this loss", setting], ["Euler steps", f"{flow.steps:,}"]],
            "summary": summary,
            "note": note,
        }  # fmt: skip

    def _seen(self, points: Tensor) -> np.ndarray:
        """Points in space, in the plane or on the line of the picture."""
        centre, axes = self._plane
        seen: np.ndarray = (points.double().numpy() - centre) @ axes
        return seen

    def default_record(self) -> dict[str, int]:
        """All losses, at three blurs; at two in space, where clouds are larger."""
        return {"loss": len(self._losses), "blur": 2 if len(self._window[0]) == 3 else 3}

    def poster_figure(self, figure: Figure) -> None:
        """The particles at three times, and the loss."""
        solid, flat = (self.shown["path"].shape[2] == dim for dim in (3, 1))
        kinds = ["3d" if solid else None] * 3 + [None]
        panels: Any = [figure.add_subplot(2, 2, k + 1, projection=p) for k, p in enumerate(kinds)]
        path, colour = self.shown["path"], self.shown["place"] / 255
        times = np.array(self._times)
        window = list(zip(*self._window, strict=True))
        for panel, share in zip(panels, (0.0, 0.2, 1.0), strict=False):
            k = round(share * (len(times) - 1))
            if flat:
                options: Any = {"bandwidth": self._bandwidth, "window": window[0]}
                top = density_1d(panel, self._target, GREY, **options)
                density_1d(panel, path[k], colour, **options)
                panel.set(ylim=(0, 2 * top), yticks=[])
            elif solid:
                panel.scatter(*self._target.T, s=4, color=GREY, alpha=0.35)
                panel.scatter(*path[k].T, s=4, c=colour, cmap=PLACE_MAP)
                panel.set(**dict(zip(("xlim", "ylim", "zlim"), window, strict=True)))
                panel.set_axis_off()
            else:
                scatter(panel, self._target, GREY, alpha=0.35)
                scatter(panel, path[k], colour)
                panel.set(xlim=window[0], ylim=window[1], xticks=[], yticks=[])
            panel.set_title(f"t = {times[k]:.2g}", loc="left")
        panels[3].semilogy(times, 10.0 ** self.shown["curve"], color=BLUE)
        panels[3].set(xlabel="time t", title=self.loss)
        figure.suptitle(self.title)


def _checked(losses: Any) -> dict[str, str | Loss]:
    """The losses under the names that readers see."""
    if isinstance(losses, str):
        losses = [losses]
    found = dict(losses) if isinstance(losses, Mapping) else {name: name for name in losses}
    for loss in found.values():
        if loss not in NAMES and not callable(loss):
            wanted = "functions, or some of " + ", ".join(f'"{name}"' for name in NAMES)
            raise bad_input("losses", repr(loss), wanted)
    if not found:
        raise bad_input("losses", "none", "at least one loss")
    return found


def _made(loss: str | Loss, blur: float) -> tuple[Loss, bool]:
    """A loss at some blur, and whether it has one."""
    if isinstance(loss, str):
        return so.SamplesLoss(loss, blur=blur), loss != "energy"
    if "blur" in inspect.signature(loss).parameters:
        return partial(loss, blur=blur), True
    return loss, False


def _stops(blurs: Sequence[float] | None, diameter: float) -> tuple[float, ...]:
    if blurs is None:
        return geometric(diameter / 100, diameter, 21)
    stops = tuple(float(blur) for blur in blurs)
    if not stops or not all(0 < stop < float("inf") for stop in stops):
        raise bad_input("blurs", repr(blurs), "lengths above zero, at least one")
    return tuple(sorted(stops))


def _between(times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Weights ``(S, T)`` that lay lines between what is known at some of the times."""
    return np.stack([np.interp(wanted, times, row) for row in np.eye(len(times))], axis=1)
