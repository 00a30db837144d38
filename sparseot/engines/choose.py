"""Which engine: the only file that knows them all. Each is loaded at its first use."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ..errors import bad_input, warn_user
from ..formulas import Opaque, Radial, Symbolic
from ..optional import optional
from ..pairs import BlockPairs
from .base import Engine, Formula
from .kept import TileLoops
from .ranks.rows import SharedRows
from .spectrum import MOST_MODES, Grid, is_gaussian

if TYPE_CHECKING:
    from .trees.base import Reduction, TreeEngine

__all__ = [
    "ENGINES",
    "choose_engine",
    "choose_trees",
    "load",
    "load_trees",
    "loops_for",
    "matrix_loops",
    "neighbour_kernels",
    "no_kernels",
    "stored_loops",
    "tile_loops",
]

ENGINES = {
    "tiles": ("tiles", "Tiles"),
    "numba": ("numba_pairs", "Numba"),
    "nufft": ("nufft", "Fourier"),
    "keops": ("keops", "KeOps"),
    "triton": ("triton.engine", "Triton"),
    "compiled": ("trees.functions", "TracedFunctions"),
}
TILE_LOOPS: dict[
    str, tuple[str, dict[float, str]]
] = {  # by engine, and by the power of the distance that is the cost
    "numba": ("loops.kept_numba", {1: "NumbaDistances", 2: "NumbaSquares"}),
    "tiles": ("loops.kept_torch", {1: "TorchDistances", 2: "TorchSquares"}),
    "triton": ("triton.kept", {1: "TritonDistances", 2: "TritonSquares"}),
}
TOLD_LOOPS = {  # of a power between, or of arcs; on a CUDA device torch has them
    "numba": ("kept_numba", "Numba"),
    "tiles": ("kept_torch", "Torch"),
    "triton": ("kept_torch", "Torch"),
}
TREE_ENGINES = {
    "compiled": ("compiled", "Compiled"),
    "tiles": ("torch_tiles", "TorchTiles"),
    "triton": ("triton.engine", "TritonTrees"),
}
PROGRAMS = {"cpu": "compiled", "cuda": "triton"}  # engines that compile trees, by device
WORTH_A_PROGRAM = 1 << 14  # pairs, below which torch is done before a compiler is
WORTH_TRACING = 1 << 12  # pairs, below which a function is done before it is traced
LOW_DIMENSION = 20  # below it differences of coordinates beat matrix products (docs/performance)
PAIRS_PER_SECOND = {torch.float32: 8e9, torch.float64: 3e9}  # of loops, docs/performance
WORTH_A_SERIES = 0.1  # seconds of exact sums below which nothing is approximated
_said: set[str] = set()  # why kernels did not run


def load(name: str, **options: Any) -> Engine:
    """The engine of that name."""
    module, cls = ENGINES[name]
    engine: Engine = getattr(import_module(f"{__package__}.{module}"), cls)(**options)
    return engine


def tile_loops(name: str | Engine, rule: float | tuple[int, float] = 2) -> TileLoops:
    """The loops over kept pairs of the engine of that name.

    The cost is that power of the distance; or a power of arcs on a sphere, of that radius.
    """
    if isinstance(name, SharedRows):
        from .ranks.tiles import SharedTiles  # here, for a light import of the library

        return SharedTiles(tile_loops(name.asked, rule), name.ranks)
    assert isinstance(name, str)
    module, classes = TILE_LOOPS[name]
    if not isinstance(rule, tuple) and rule in classes:
        return cast(TileLoops, getattr(import_module(f"{__package__}.{module}"), classes[rule])())
    told, (module, kind) = rule if isinstance(rule, tuple) else (rule,), TOLD_LOOPS[name]
    cost = "Arcs" if isinstance(rule, tuple) else "Powers"
    loops = import_module(f"{__package__}.loops.{cost.lower()}.{module}")
    return cast(TileLoops, getattr(loops, kind + cost)(*told))


def loops_for(engine: str | Engine, device: torch.device) -> str | None:
    """The engine whose loops over kept pairs stand for the one that was asked for, if there are any."""
    if isinstance(engine, SharedRows):
        return loops_for(engine.asked, device)
    name = engine if isinstance(engine, str) else engine.name
    if name == "auto" and device.type == "cuda":
        return "tiles" if no_kernels(device) else "triton"
    if name == "auto":
        name = "numba" if device.type == "cpu" else "tiles"
    return name if name in TILE_LOOPS else None


def load_trees(name: str) -> TreeEngine:
    """The engine of trees of that name."""
    module, cls = TREE_ENGINES[name]
    engine: TreeEngine = getattr(import_module(f"{__package__}.trees.{module}"), cls)()
    return engine


def choose_trees(
    engine: str | TreeEngine, reduction: Reduction, like: Tensor, pairs: int
) -> tuple[TreeEngine, str]:
    """The engine that reduces a tree, and why it is taken.

    Where a formula cannot be compiled, on a CPU or a CUDA device, a warning says so, once.

    Args:
        engine: "auto", the name of an engine, or an engine.
        reduction: what will be reduced.
        like: one of its tensors, for their dtype and device.
        pairs: how many pairs there are.

    Raises:
        ValueError: if there is no such engine, or if the one that was named refuses.
    """
    if engine == "auto":
        device = like.device.type
        if device not in PROGRAMS:
            return load_trees("tiles"), f"points on {device}"
        if pairs < WORTH_A_PROGRAM:
            return load_trees("tiles"), f"{pairs:,} pairs on {device}"
        engine = load_trees(PROGRAMS[device])
        why_not = engine.refuses(reduction, like)
        if why_not is None:
            return engine, f"on {device}"
        _say_once(why_not)
        return load_trees("tiles"), why_not
    if isinstance(engine, str):
        if engine not in TREE_ENGINES:
            known = ", ".join(f'"{name}"' for name in ("auto", *TREE_ENGINES))
            raise bad_input("engine", repr(engine), f"one of {known}")
        engine = load_trees(engine)
    why_not = engine.refuses(reduction, like)
    if why_not:
        raise bad_input("engine", repr(engine.name), "an engine for this formula", why_not)
    return engine, "as asked"


@cache
def _say_once(why_not: str | None) -> None:
    if why_not:
        fix = 'Torch computes it by tiles, more slowly; engine="tiles" says that it is meant.'
        warn_user(f"LazyTensor: {why_not} {fix}")


def matrix_loops() -> ModuleType:
    """The compiled products and factors of small matrices."""
    return import_module(f"{__package__}.loops.algebra")


def stored_loops() -> ModuleType:
    """The compiled loops over a matrix that is stored."""
    return import_module(f"{__package__}.loops.descent")


def neighbour_kernels() -> ModuleType:
    """The search for nearest points on CUDA devices."""
    return import_module(f"{__package__}.triton.nearest")


def no_kernels(device: torch.device) -> str | None:
    """None, or why Triton's kernels cannot run on a device."""
    why: str | None = import_module(f"{__package__}.triton.engine").unfit(device)
    return why


def choose_engine(
    engine: str | Engine,
    formula: Formula,
    x: Tensor,
    y: Tensor | None = None,
    pairs: BlockPairs | None = None,
    tol: float = 0.0,
) -> tuple[Engine, str]:
    """The engine for sums of a formula, and why it is taken, over ``(B, N, D)`` and ``(B, M, D)`` points.

    Args:
        engine: "auto", the name of an engine, or an engine with its options.
        formula: what will be summed.
        x: the points, for their number, dimension, dtype and device.
        y: the other points; None stands for x.
        pairs: the block pairs to visit, or None for all pairs.
        tol: the error that an entry of the result may have, relative to the formula's largest
            value times the sum of the absolute weights; 0 asks for exact sums.

    Raises:
        ValueError: if there is no such engine, or if the one that was named refuses.
        ImportError: if its package is not installed.
    """
    if isinstance(engine, SharedRows) and isinstance(engine.asked, str):
        inner, why = choose_engine(engine.asked, formula, x, y, pairs, tol)
        engine = engine.by(inner)
    else:
        why = "as asked"
    if engine == "auto":
        engine, why = _best(formula, x, y, pairs, tol)
    if isinstance(engine, str):
        if engine not in ENGINES:
            known = ", ".join(f'"{name}"' for name in ("auto", *ENGINES))
            raise bad_input("engine", repr(engine), f"one of {known}")
        if engine == "keops":
            optional("pykeops", "engine", f'"keops" ({why})')
        engine = load(engine, **({"tol": tol} if engine == "nufft" and tol else {}))
    why_not = engine.refuses(formula, x, pairs)
    if why_not:
        raise bad_input("engine", repr(engine.name), "an engine for this sum", why_not)
    if engine.name == "nufft" and x.device.type != "cpu":
        optional("cufinufft", "engine", f'"nufft" for points on {x.device}')
    return engine, why


def _best(
    formula: Formula, x: Tensor, y: Tensor | None, pairs: BlockPairs | None, tol: float
) -> tuple[str, str]:
    """Numba in low dimension and for distances, on a CPU; Triton on CUDA; torch tiles for all the rest.

    A Gaussian of very many pairs is summed as a Fourier series where that is faster.
    """
    if isinstance(formula, Symbolic):
        return "keops", "a KeOps formula"
    if isinstance(formula, Opaque):
        return _of_function(formula, x, x if y is None else y, pairs)
    if formula.between:
        what = "a power of the distance"
        return _of_function(formula, x, x if y is None else y, pairs, what)
    if x.device.type != "cpu":
        return _on_a_device(x)
    series = _series(formula, x, x if y is None else y, tol) if pairs is None and tol else None
    if series is not None:
        return "nufft", series
    if x.shape[-1] <= LOW_DIMENSION:
        return "numba", f"dimension {x.shape[-1]} on a CPU"
    if formula.singular:
        return "numba", "a formula of the distance, on a CPU"
    return "tiles", f"a smooth formula in dimension {x.shape[-1]}"


def _of_function(
    formula: Opaque | Radial,
    x: Tensor,
    y: Tensor,
    pairs: BlockPairs | None,
    what: str = "a Python function",
) -> tuple[str, str]:
    """Traced, of many pairs on a CPU, where that can be; the reason says why not."""
    if pairs is not None or x.device.type != "cpu":
        return "tiles", what
    if len(x) * x.shape[1] * y.shape[1] < WORTH_TRACING:
        return "tiles", what
    why_not = load("compiled").refuses(formula, x)
    return ("tiles", f"{what}. {why_not}") if why_not else ("compiled", f"{what}, traced")


def _on_a_device(x: Tensor) -> tuple[str, str]:
    """Triton where it runs; that it does not is told with the result, and said once on CUDA."""
    where = f"points on {x.device.type}"
    if x.device.type != "cuda":
        return "tiles", where
    why_not = no_kernels(x.device)
    if why_not is None:
        return "triton", where
    if why_not not in _said:
        _said.add(why_not)
        warn_user(f"Sums are taken by torch's tiles, which are far slower. {why_not}. (Said once.)")
    return "tiles", f"{where}; {why_not}"


def _series(formula: Radial, x: Tensor, y: Tensor, tol: float) -> str | None:
    """Why a Fourier series is the faster way, or None if it is not."""
    items, rows, dim = x.shape
    if not is_gaussian(formula) or items > 1 or dim > 3:
        return None
    exact = rows * y.shape[1] / PAIRS_PER_SECOND[x.dtype]
    if exact < WORTH_A_SERIES:
        return None
    grid = Grid.around(formula, x[0].detach(), y[0].detach(), 0.1 * tol)
    precision = x.dtype if tol >= 5e-6 else torch.float64
    if grid.size > MOST_MODES or 1.5 * grid.seconds(rows + y.shape[1], precision) > exact:
        return None
    return f"{grid.size:,} Fourier modes for {rows * y.shape[1]:.1e} pairs"
