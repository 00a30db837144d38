"""``BaseViewer``: what all viewers share, in Python."""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import anywidget
import traitlets
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from sparseot.errors import bad_input

from . import pages
from .codec import Message, quantised, to_text, to_wire
from .controls import Control, subset
from .worker import Worker

__all__ = ["BaseViewer"]


class BaseViewer(anywidget.AnyWidget):
    """A picture with sliders: live beside a kernel, or playing recorded answers in a page.

    A viewer shows one ``answer``: a dict of arrays, numbers and strings that depends on the values
    of its controls. Moving a control asks Python for the answer, on a thread of its own, first for
    a sketch on fewer points, then for the whole; :meth:`record` computes them beforehand, and the
    same JavaScript then takes what was recorded.

    A kind of viewer is this class with :meth:`answer`, :meth:`poster_figure`, one trait for each
    control, and a module in ``js/`` that draws. The entries of an answer that every viewer shows:
    ``readout``, pairs of words, is the table below the picture; ``note``, a sentence, is written on
    it; ``summary``, a sentence, is what a screen reader says. ``result`` is not sent: it is what the
    answer was made of, and is found as :attr:`result`.

    Args:
        scene: what no control changes, as a dict of arrays, numbers and strings.
        controls: the sliders and choosers; each has a trait of its name.
        title: the line above the picture.
    """

    module: ClassVar[str] = ""  # the file in js/ without its ending
    heavy: ClassVar[int] = 1_000_000  # bytes that it should not put into a page
    in_page = False  # whether a page that is being built shows it already

    title = traitlets.Unicode().tag(sync=True)
    _controls: Any = traitlets.List().tag(sync=True)
    _scene = Message()
    _answer = Message()
    _recorded = Message()
    _status = traitlets.Dict().tag(sync=True)

    def __init_subclass__(cls, **options: Any) -> None:
        if "module" in cls.__dict__:  # not in the classes that ipywidgets derives
            cls._esm, cls._css = pages.bundle(cls.module), pages.style()
            # Traits hide the arguments from help(), Shift-Tab and the documentation.
            own = list(inspect.signature(cls.__init__).parameters.values())[1:]
            cls.__signature__ = inspect.Signature(own)
        super().__init_subclass__(**options)

    def __init__(
        self, scene: dict[str, Any], controls: Sequence[Control], title: str = "", **values: Any
    ) -> None:
        self.controls = {control.name: control for control in controls}
        if unknown := sorted(set(values) - set(self.controls)):
            kind = type(self).__name__
            raise bad_input(
                kind, ", ".join(unknown), f"some of {', '.join(self.controls)}", "", TypeError
            )
        super().__init__(title=title, **values)
        self._worker = Worker(self._work, self._idle)
        self._asked_for = 0
        self.result: Any = None
        self._scene = scene
        self._controls = self._told()
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the answer itself will warn, or fail
            self.answer(self.state, True, _never)  # compiles what the first drag will run
        self._publish(self.answer(self.state, False, _never), False, 0)
        if self.state:  # no names would mean all of them
            self.observe(self._ask, names=list(self.state))
        self.on_msg(self._message)

    # --- what a kind of viewer has to say ----------------------------------------------------

    def answer(
        self, state: dict[str, Any], coarse: bool, check: Callable[[], None]
    ) -> dict[str, Any]:
        """What is seen at these values of the controls.

        Args:
            state: the values of the controls that are not local.
            coarse: a sketch in a tenth of the time is wanted.
            check: call it now and then; it raises when nobody waits any more.
        """
        raise NotImplementedError

    def poster_figure(self, figure: Figure) -> None:
        """Draw what is seen now with matplotlib, for those who have no JavaScript."""
        raise NotImplementedError

    # --- what users do -----------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """The values of the controls that Python answers to."""
        return {name: getattr(self, name) for name, c in self.controls.items() if not c.local}

    @property
    def shown(self) -> dict[str, Any]:
        """The answer that is seen now."""
        return dict(self._answer)

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait for the answer to what was asked last; False if that takes too long."""
        return self._worker.join(timeout)

    def record(self, **stops: int | Sequence[Any]) -> BaseViewer:
        """Compute answers beforehand, for a page without a kernel; its sliders stop at these.

        Args:
            **stops: for a control, the values to record, or how many of its own. A control that is
                not named keeps the value that it has.

        Returns:
            The viewer itself.

        Raises:
            TypeError: for a name that is no control of this viewer.
        """
        self._controls, self._recorded = self._answers(stops)
        return self

    def _answers(self, stops: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The controls with stops that are recorded, and the answers there."""
        asked = [name for name, control in self.controls.items() if not control.local]
        if unknown := sorted(set(stops) - set(asked)):
            raise bad_input(
                "record", ", ".join(unknown), f"some of {', '.join(asked)}", "", TypeError
            )
        self.wait()
        grid = {
            name: subset(self.controls[name], stops[name], value) if name in stops else (value,)
            for name, value in self.state.items()
        }
        answers: dict[str, Any] = {}
        cells = list(itertools.product(*(enumerate(values) for values in grid.values())))
        for cell in tqdm(cells, unit=" answers", leave=False, disable=None):
            state = dict(zip(grid, (value for _, value in cell), strict=True))
            key = "/".join(str(k) for k, _ in cell)
            answer = self.answer(state, False, _never)
            answer.pop("result", None)
            answers[key] = quantised(answer)
        return self._told(grid), answers

    def to_html(self, path: str | Path) -> Path:
        """Write a page of its own that needs no kernel and no network.

        Records a dozen stops of the first control, if nothing was recorded.
        """
        path = Path(path)
        page = pages.page(self.title or type(self).__name__, self.markup())
        path.write_text(page, encoding="utf-8")
        return path

    def poster(self, path: str | Path) -> Path:
        """Write a picture (PNG) of what is seen now."""
        path = Path(path)
        path.write_bytes(self._picture("png", dpi=150))
        return path

    def markup(self) -> str:
        """The viewer as a piece of HTML, for a page that has :func:`pages.scripts`.

        A small poster is inside, for readers without JavaScript.
        """
        controls, recorded = self._controls, self._recorded
        if not recorded:  # the live viewer keeps all its stops
            controls, recorded = self._answers(self.default_record())
        state: dict[str, Any] = {}
        for told in controls:  # a slider stands on what was recorded, not beside it
            name, stops = told["name"], cast(Any, tuple(told["stops"]))
            value, there = getattr(self, name), replace(self.controls[name], stops=stops)
            absent = isinstance(value, str) and value not in stops
            state[name] = stops[0] if absent else stops[there.nearest(value)]
        state |= {"title": self.title, "_controls": controls, "_status": {}}
        for name, part in (("_scene", self.page_scene()), ("_recorded", recorded)):
            state[name] = to_text(to_wire(quantised(part)))
        text = json.dumps(state, separators=(",", ":"), allow_nan=False)
        if len(text) > self.heavy:
            message = (
                f"{type(self).__name__} puts {len(text) / 1e6:.1f} MB into the page; record fewer "
                f"stops or give fewer points to stay below {self.heavy // 1_000_000} MB."
            )
            warnings.warn(message, UserWarning, stacklevel=3)
        summary = str(self._answer.get("summary", self.title))
        return pages.holder(self.module, text, self._picture("webp", dpi=80), summary)

    def default_record(self) -> dict[str, Any]:
        """The stops that a page gets when its author recorded none."""
        asked = [c for c in self.controls.values() if not c.local]
        return {c.name: (12 if k == 0 else 3) for k, c in enumerate(asked)}

    def page_scene(self) -> dict[str, Any]:
        """What a page has of the scene; a viewer of very many points gives fewer."""
        scene: dict[str, Any] = self._scene
        return scene

    # --- how it works ------------------------------------------------------------------------

    def _picture(self, kind: str, dpi: int) -> bytes:
        figure = Figure(figsize=(8.0, 4.5), dpi=dpi, layout="constrained", facecolor="white")
        self.poster_figure(figure)
        file = io.BytesIO()
        figure.savefig(file, format=kind)
        return file.getvalue()

    def _told(self, grid: dict[str, tuple[Any, ...]] | None = None) -> list[dict[str, Any]]:
        """What JavaScript is told of the controls, with all their stops or with those recorded."""
        shown = []
        for name, control in self.controls.items():
            told = control.as_json(getattr(self, name))
            if grid and name in grid:
                told["stops"] = list(grid[name])
            shown.append(told)
        return shown

    def _ask(self, change: Any) -> None:
        self._asked_for += 1
        self._worker.ask((self._asked_for, self.state))

    def _message(self, viewer: Any, content: Any, buffers: Any) -> None:
        if content == {"do": "stop"}:
            self._worker.stop()

    def _work(
        self, question: tuple[int, dict[str, Any]], coarse: bool, check: Callable[[], None]
    ) -> None:
        """Answer on the worker's thread; an error is shown, never raised there."""
        number, state = question
        self._status = {"busy": True}
        try:
            answer = self.answer(state, coarse, check)
            check()
            self._publish(answer, coarse, number)
        except Exception as error:
            if not coarse:  # where only a sketch fails, the answer may not
                self._status = {"busy": True, "error": f"{type(error).__name__}: {error}"}

    def _publish(self, answer: dict[str, Any], coarse: bool, number: int) -> None:
        result = answer.pop("result", None)
        self.result = self.result if result is None else result
        self._answer = {**answer, "coarse": coarse, "number": number}

    def _idle(self) -> None:
        self._status = {**self._status, "busy": False}


def _never() -> None:
    """The check of an answer that somebody always waits for."""
