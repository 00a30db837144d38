"""``link``: two viewers that share a selection, a camera, or a control."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from sparseot.errors import bad_input

from .base import BaseViewer

__all__ = ["link"]

Pair = tuple[str, str]
CHANNELS = count()  # a number for each link, by which pages without a kernel know it


def link(a: BaseViewer, b: BaseViewer, *what: str | Pair) -> Callable[[], None]:
    """Let two viewers share what is selected, where they are looked at from, or a control.

    What one of them is set to, by hand or in Python, the other takes; first, b takes what a has. It works live
    and, for viewers that stand in one page, without a kernel.

    Args:
        a: a viewer.
        b: another viewer.
        *what: "selection" (the default): points of the same row are selected together, in clouds of as many
            points; "camera": pan, zoom and turn, from which a page opens too; the name of a control of both, such as "blur"; or a pair of
            traits, first that of a: ``("selected_target", "selected")``.

    Returns:
        A function without arguments that ends the link.

    Raises:
        TypeError: if a or b is no viewer.
        ValueError: for what the two cannot share.

    Example:
        >>> import numpy as np
        >>> from sparseot_widgets import GraphViewer, KernelViewer
        >>> x = np.random.rand(60, 2)
        >>> graph, kernel = GraphViewer(x), KernelViewer(x)
        >>> unlink = link(graph, kernel)
        >>> graph.selected = [3, 5]
        >>> kernel.selected.tolist()
        [3, 5]
        >>> unlink()
    """
    for name, viewer in (("a", a), ("b", b)):
        if not isinstance(viewer, BaseViewer):
            raise bad_input(name, type(viewer).__name__, "a viewer", "", TypeError)
    if a is b:
        raise bad_input("b", "the viewer a itself", "another one")
    pairs = [pair for one in what or ("selection",) for pair in _pairs(a, b, one)]
    ends = [_join(a, b, *pair) for pair in pairs]

    def unlink() -> None:
        while ends:
            ends.pop()()

    return unlink


def _pairs(a: BaseViewer, b: BaseViewer, what: str | Pair) -> list[Pair]:
    """Which traits of a and b become one."""
    if isinstance(what, (tuple, list)):
        if len(what) != 2 or not all(isinstance(name, str) for name in what):
            raise bad_input("what", repr(what), "a pair of names, first that of a")
        for name, viewer in zip(what, (a, b), strict=True):
            if name not in viewer.controls and name not in viewer._selects:
                raise bad_input(
                    "what", f"{name!r} of a {_kind(viewer)}", f"one of {_names(viewer)}"
                )
        pairs = [(what[0], what[1])]
    elif what == "camera":
        for viewer in (a, b):
            if not viewer.movable:
                raise bad_input("what", f"the camera of a {_kind(viewer)}", "viewers that have one")
        return [("_camera", "_camera")]
    elif what == "selection":
        pairs = [(name, name) for name in a._selects if name in b._selects]
        if not pairs:
            kinds = f"a selection of a {_kind(a)} and a {_kind(b)}"
            raise bad_input("what", kinds, "viewers in which points can be selected")
        # One cloud beside two: the first of the two.
    elif what in a.controls and what in b.controls:
        return [(what, what)]
    else:
        both = [name for name in a.controls if name in b.controls]
        wanted = ", ".join(map(repr, ["selection", "camera", *both]))
        raise bad_input("what", repr(what), f"some of {wanted}, or a pair of traits")
    for first, second in pairs:
        _check_counts(a, b, first, second)
    return pairs


def _check_counts(a: BaseViewer, b: BaseViewer, first: str, second: str) -> None:
    """Two selections are of as many points; a selection is no control."""
    if (first in a._selects) != (second in b._selects):
        raise bad_input("what", f"{first!r} and {second!r}", "two selections, or two controls")
    if first in a._selects:
        sizes = [v._selects[name]["count"] for v, name in ((a, first), (b, second))]
        if sizes[0] != sizes[1]:
            got = f"clouds of {sizes[0]:,} and {sizes[1]:,} points"
            raise bad_input("what", got, "clouds whose rows are the same points")


def _join(a: BaseViewer, b: BaseViewer, first: str, second: str) -> Callable[[], None]:
    """Make a trait of a and one of b take what the other is set to."""
    busy = False

    def pass_to(other: BaseViewer, name: str) -> Callable[[Any], None]:
        def take(change: Any) -> None:
            nonlocal busy
            if not busy:
                busy = True
                try:
                    setattr(other, name, change.new)
                finally:
                    busy = False

        return take

    setattr(b, second, getattr(a, first))
    ends = ((a, first, pass_to(b, second)), (b, second, pass_to(a, first)))
    channel = next(CHANNELS)
    for viewer, name, take in ends:
        viewer.observe(take, names=name)
        viewer._shared = viewer._shared | {name: [*viewer._shared.get(name, ()), channel]}

    def end() -> None:
        for viewer, name, take in ends:
            viewer.unobserve(take, names=name)
            left = [one for one in viewer._shared[name] if one != channel]
            viewer._shared = viewer._shared | {name: left}

    return end


def _kind(viewer: BaseViewer) -> str:
    return type(viewer).__name__


def _names(viewer: BaseViewer) -> str:
    return ", ".join(map(repr, [*viewer._selects, *viewer.controls]))
