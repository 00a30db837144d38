"""Which engine: the only file that knows them all. Each is loaded at its first use."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from torch import Tensor

from ..errors import bad_input
from ..formulas import Opaque, Symbolic
from .base import Engine, Formula

__all__ = ["ENGINES", "choose_engine", "reason", "tile_loops"]

ENGINES = {
    "tiles": ("tiles", "Tiles"),
    "numba": ("blocks", "Loops"),
    "keops": ("keops", "KeOps"),
}
LOW_DIMENSION = 20  # below it differences of coordinates beat matrix products (docs/performance)


def load(name: str) -> Engine:
    """The engine of that name, with its default options."""
    module, cls = ENGINES[name]
    engine: Engine = getattr(import_module(f"{__package__}.{module}"), cls)()
    return engine


def tile_loops() -> ModuleType:
    """The compiled loops over kept pairs of blocks."""
    return import_module(f"{__package__}.sparse_simd")


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
        return load(_best(formula, x)[0])
    if isinstance(engine, str):
        if engine not in ENGINES:
            known = ", ".join(f'"{name}"' for name in ("auto", *ENGINES))
            raise bad_input("engine", repr(engine), f"one of {known}")
        engine = load(engine)
    why_not = engine.refuses(formula, x)
    if why_not:
        raise bad_input("engine", repr(engine.name), "an engine for this sum", why_not)
    return engine


def reason(engine: str | Engine, formula: Formula, x: Tensor) -> str:
    """Why :func:`choose_engine` takes the engine that it takes, for a ``repr``."""
    return _best(formula, x)[1] if engine == "auto" else "as asked"


def _best(formula: Formula, x: Tensor) -> tuple[str, str]:
    """Numba in low dimension and for distances, on a CPU; torch tiles for all the rest."""
    if isinstance(formula, Symbolic):
        return "keops", "a KeOps formula"
    if isinstance(formula, Opaque):
        return "tiles", "a Python function"
    if x.device.type != "cpu":
        return "tiles", f"points on {x.device.type}"
    if x.shape[-1] <= LOW_DIMENSION:
        return "numba", f"dimension {x.shape[-1]} on a CPU"
    if formula.singular:
        return "numba", "a formula of the distance, on a CPU"
    return "tiles", f"a smooth formula in dimension {x.shape[-1]}"
