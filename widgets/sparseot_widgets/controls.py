"""What a reader can move: sliders and choosers, each the face of one trait of the viewer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparseot.errors import bad_input

__all__ = ["Choice", "Control", "Slider", "geometric"]


@dataclass(frozen=True)
class Slider:
    """A row of stops for one number.

    Args:
        name: the trait that it moves.
        label: what it is, in words.
        symbol: its letter in formulas.
        stops: the values, in order; None may be the last, shown as ``none``.
        unit: what the value is measured in.
        none: the name of the stop None.
        local: the viewer draws the change by itself, Python computes nothing new.
        play: a button moves through the stops.
    """

    name: str
    label: str
    stops: tuple[float | None, ...]
    symbol: str = ""
    unit: str = ""
    none: str = "none"
    local: bool = False
    play: bool = False

    def nearest(self, value: float | None) -> int:
        """The index of the stop nearest to a value, in ratio where all stops are positive."""
        if value is None:
            return self.stops.index(None) if None in self.stops else len(self.stops) - 1
        stops = np.array([np.inf if stop is None else stop for stop in self.stops], dtype=float)
        finite = np.isfinite(stops)
        if value > 0 and (stops > 0).all():
            distance = np.abs(np.log(np.where(finite, stops, 1.0) / value))
        else:
            distance = np.abs(np.where(finite, stops, 0.0) - value)
        return int(np.where(finite, distance, np.inf).argmin())

    def as_json(self, value: Any) -> dict[str, Any]:
        """What JavaScript needs to draw it; ``value`` is where a double click brings it back."""
        return {"kind": "slider", **vars(self), "stops": list(self.stops), "initial": value}


@dataclass(frozen=True)
class Choice:
    """One of several words.

    Args:
        name: the trait that it sets.
        label: what it is, in words.
        stops: the words.
        local: the viewer draws the change by itself.
    """

    name: str
    label: str
    stops: tuple[str, ...]
    local: bool = False

    def nearest(self, value: str) -> int:
        """The index of a word."""
        if value not in self.stops:
            raise bad_input(self.name, repr(value), f"one of {', '.join(map(repr, self.stops))}")
        return self.stops.index(value)

    def as_json(self, value: Any) -> dict[str, Any]:
        """What JavaScript needs to draw it."""
        return {"kind": "choice", **vars(self), "stops": list(self.stops), "initial": value}


Control = Slider | Choice


def geometric(lo: float, hi: float, count: int = 41) -> tuple[float, ...]:
    """Stops in equal ratios, rounded to three digits.

    Example:
        >>> geometric(0.01, 1.0, 5)
        (0.01, 0.0316, 0.1, 0.316, 1.0)
    """
    return tuple(float(f"{stop:.3g}") for stop in np.geomspace(lo, hi, count))


def subset(control: Control, wanted: int | Sequence[Any], value: Any) -> tuple[Any, ...]:
    """Stops to record: so many of the control's own, evenly, or the values that are named.

    The one nearest to ``value``, that of the control, gives way to it.
    """
    if isinstance(wanted, int):
        count = min(max(wanted, 1), len(control.stops))
        picked = np.unique(np.rint(np.linspace(0, len(control.stops) - 1, count)).astype(int))
        nearest = picked[abs(picked - control.nearest(value)).argmin()]
        return tuple(value if k == nearest else control.stops[k] for k in picked)
    if isinstance(control, Choice):
        return tuple(control.stops[control.nearest(word)] for word in wanted)
    return tuple(None if value is None else float(value) for value in wanted)
