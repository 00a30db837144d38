"""Which engine: the only file that knows them all. Each is loaded at its first use."""

from __future__ import annotations

from importlib import import_module

from torch import Tensor

from ..errors import bad_input
from .base import Engine, Formula

__all__ = ["ENGINES", "choose_engine"]

ENGINES = {"tiles": ("tiles", "Tiles")}


def load(name: str) -> Engine:
    """The engine of that name, with its default options."""
    module, cls = ENGINES[name]
    engine: Engine = getattr(import_module(f"{__package__}.{module}"), cls)()
    return engine


def choose_engine(engine: str | Engine, formula: Formula, x: Tensor) -> Engine:
    """The engine for a formula on points like ``x``, ``(B, N, D)``.

    Args:
        engine: "auto", the name of an engine, or an engine with its options.
        formula: what will be summed.
        x: the points, for their dimension, dtype and device.

    Raises:
        ValueError: if there is no such engine, or if the one that was named refuses.
    """
    if engine == "auto":
        return load("tiles")
    if isinstance(engine, str):
        if engine not in ENGINES:
            known = ", ".join(f'"{name}"' for name in ("auto", *ENGINES))
            raise bad_input("engine", repr(engine), f"one of {known}")
        engine = load(engine)
    why_not = engine.refuses(formula, x)
    if why_not:
        raise bad_input("engine", repr(engine.name), "an engine for this sum", why_not)
    return engine
