"""Losses of two clouds whose rows several processes have: what all of these doors do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from hashlib import sha256
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from torch import Tensor

from ...engines.ranks.group import Ranks
from ...engines.ranks.rows import SharedRows
from ...errors import bad_input
from ...formulas import is_object
from ...points import unwrap
from ..arrays import Array, like, of_one_kind
from .spread import Spread, agreed, group_of, local_rows, mesh_of

__all__ = ["on_ranks", "over_ranks"]

P = ParamSpec("P")
R = TypeVar("R")
KEYWORD = Parameter.KEYWORD_ONLY
FREE = ("progress", "verbose")  # options that ranks may have of their own


def on_ranks(
    what: str,
    group: Any,
    clouds: dict[str, Any],
    options: dict[str, Any],
    run: Callable[[dict[str, Any], dict[str, Spread], Ranks], R],
    apart: Callable[[dict[str, Spread], Array, Ranks], R | None] | None = None,
) -> R:
    """What ``run`` answers for two clouds of which each rank gave its part.

    Args:
        what: the name of the function that was called.
        group: of ``torch.distributed``.
        clouds: x and y, and what is given of a and b.
        options: the other arguments, which must be the same everywhere.
        run: is called with the whole clouds, of the kind that came, with how x and y are spread, and
            with the ranks.
        apart: is called before, with how they are spread and one array of the kind that came; what it answers
            took no rank all points, and None says that they are wanted.
    """
    ranks = Ranks(group, what)
    with ranks.together():
        mesh = mesh_of(clouds.values())
        local = {name: local_rows(clouds.get(name), name) for name in "xyab" if name in clouds}
        tensors, first = of_one_kind(**local)
        given = dict(zip(local, tensors, strict=True))
        for name, t in given.items():
            _check(name, t, given["x" if name in "xa" else "y"])
            if t is not None and name in "ab":
                given[name] = t.reshape(len(t))
        if options.get("batch") is not None:
            fix = "Sets of different sizes are compared on one machine."
            raise bad_input("batch", "a batch vector, with group", "batch=None", fix)
        spreads = agreed(ranks, given, _said(options), mesh)
        found = None if apart is None else apart(spreads, first, ranks)
        if found is not None:
            return found
        every = {name: spreads[name].all_rows() if name in spreads else None for name in given}
        whole = {name: t if t is None else like(t, first) for name, t in every.items()}
        return run(whole, spreads, ranks)


def over_ranks(
    rows_apart: Callable[..., Any] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The function of two clouds ``(x, y, a, b, **options)``, for clouds whose rows several processes have.

    They are those of ``group=``, or of the mesh of DTensors. Answers with an axis of points are of those of
    this rank. ``rows_apart`` answers before, as ``apart`` of :func:`on_ranks`, told all options of the function too.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known = signature(function).parameters.values()
        usual = {option.name: option.default for option in known if option.kind is KEYWORD}
        usual.pop("group", None)

        @wraps(function)
        def run(*args: Any, group: Any = None, **options: Any) -> Any:
            clouds = dict(zip("xyab", args, strict=False))
            clouds |= {name: options[name] for name in "xyab" if name in options}
            group = group_of(group, *clouds.values())
            if group is None or len(args) > 4 or not {"x", "y"} <= {*clouds}:
                return function(*args, **options)
            rest = {name: value for name, value in options.items() if name not in "xyab"}

            def solve(whole: dict[str, Any], spreads: dict[str, Spread], ranks: Ranks) -> Any:
                found: Any = cast(Any, function)(**whole, **rest | {"engine": _shared(rest, ranks)})
                if isinstance(found, tuple):
                    return tuple(spreads[s].own(part) for s, part in zip("xy", found, strict=True))
                return found

            def apart(spreads: dict[str, Spread], kind: Array, ranks: Ranks) -> Any:
                assert rows_apart is not None
                how = usual | rest | {"engine": _shared(rest, ranks)}
                return rows_apart(spreads, kind, **how)

            first = None if rows_apart is None or rest.keys() - usual.keys() else apart
            return on_ranks(function.__name__, group, clouds, rest, solve, first)

        return cast(Callable[P, R], run)

    return decorate


def _shared(options: dict[str, Any], ranks: Ranks) -> SharedRows:
    """The engine that was asked for, on all ranks."""
    engine = options.get("engine", "auto")
    if isinstance(engine, str) and engine == "auto":
        engine = getattr(options.get("solver"), "engine", "auto")
    return SharedRows(engine, ranks)


def _check(name: str, t: Any, points: Any) -> None:
    """Refuses what is no part of a cloud, or of its weights, before the others are waited for."""
    if t is None and name in "ab":
        return
    if not isinstance(t, Tensor):
        raise bad_input(name, type(t).__name__, "a tensor or an array", kind=TypeError)
    if unwrap(t) is not t:
        fix = "Use torch.autograd: backward() and grad() go through the group."
        raise bad_input("torch.func", "clouds on several ranks", "clouds of one process", fix)
    if name in "xy" and t.dim() != 2:
        fix = "Batches are computed on one machine each."
        raise bad_input(
            name, f"shape {tuple(t.shape)}, with group", "(n, D), points of this rank", fix
        )
    if name in "ab" and t.shape not in ((len(points),), (len(points), 1)):
        fix = "One weight for each point of this rank."
        raise bad_input(name, f"shape {tuple(t.shape)}", f"({len(points)},)", fix)
    if t.is_floating_point() and not bool(t.isfinite().all()):
        count = int((~t.isfinite()).sum())
        raise bad_input(name, f"{count} NaN or infinite numbers", "finite numbers")


def _said(options: dict[str, Any]) -> dict[str, str]:
    """Options that can be compared, as they are said."""
    said = {}
    for name, value in options.items():
        if name in FREE:
            continue
        if isinstance(value, (bool, int, float, str, tuple, np.generic, type(None))):
            said[name] = repr(value)
        elif is_dataclass(value):
            inner = _said({field.name: getattr(value, field.name) for field in fields(value)})
            said[name] = f"{type(value).__name__}({inner})"
        elif is_object(value):
            said[name] = f"{type(value).__name__} with the numbers {_digest(value)}"
        else:
            said[name] = type(value).__name__
    return said


def _digest(cost: Any) -> str:
    """A word for all numbers that a cost object holds, the same for the same numbers only."""
    own = {name: v for name, v in vars(cost).items() if isinstance(v, (bool, int, float, str))}
    del own["training"]  # a mode of modules, which changes no cost
    digest = sha256(repr(_said(own)).encode())
    for t in cost.held:
        digest.update(f"{tuple(t.shape)}".encode() + t.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:8]
