"""What an average is given: clouds with their masses, and how much each counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import bad_input
from ..operators.arrays import Array, listed, of_one_kind, tensor_of
from ..points import Points, lacks_digits, unwrap
from ..precision import at_least_single
from ..ragged.forms import Sets, as_sets, is_ragged, weights_of
from ..ragged.vectors import count_of, integers
from .ground import Ground
from .objective import Support

__all__ = ["as_clouds", "as_shares", "with_digits"]

EQUAL = {torch.float32: 1e-5, torch.float64: 1e-9}  # relative difference of masses
SHARE = 0.01  # of an entry of a plan, that rounding may be


def as_clouds(
    clouds: Any, masses: Any, batch: Any, balanced: bool
) -> tuple[list[tuple[Tensor, Tensor]], Array]:
    """Points ``(N_k, D)`` and weights ``(N_k,)`` of each cloud, and an array of their kind and dtype."""
    for t in clouds if isinstance(clouds, (list, tuple)) else [clouds]:
        if isinstance(t, Tensor) and unwrap(t.detach()).dim() != t.dim():
            raise bad_input("torch.vmap", "a map over clouds", "one average", "Loop over averages.")
    sets = _sets(clouds, batch)
    first = masses[0] if isinstance(masses, (list, tuple)) and len(masses) else masses
    of_one_kind(clouds=sets.first, masses=first)
    given = weights_of("masses", _listed(masses), sets, "clouds")
    points, given = at_least_single(sets.points.detach(), given)
    if points.dtype not in EQUAL:
        raise bad_input("clouds", f"dtype {points.dtype}", "float32 or float64", kind=TypeError)
    parts = points.split(sets.sizes)
    if given is None:
        return [(x, x.new_full((len(x),), 1 / len(x))) for x in parts], sets.first
    if given.dtype != points.dtype or given.device != points.device:
        got = f"dtype {given.dtype} on {given.device}"
        wanted = f"{points.dtype} on {points.device}, as clouds have"
        raise bad_input("masses", got, wanted, "Use .to(...).", TypeError)
    found = list(zip(parts, given.detach().split(sets.sizes), strict=True))
    _check_masses([a for _, a in found], balanced)
    return found, sets.first


def as_shares(weights: Any, count: int, like: Tensor) -> Tensor:
    """How much each cloud counts, ``(K,)`` in float64; they add up to one."""
    if weights is None:
        return like.new_full((count,), 1 / count, dtype=torch.float64)
    parts = weights if isinstance(weights, (list, tuple)) else ()
    if any(isinstance(part, (Tensor, np.ndarray)) and part.ndim for part in parts):
        fix = "Weights of points are masses=."
        raise bad_input("weights", "a list of arrays", "one number for each cloud", fix)
    shares = tensor_of(listed(weights, "weights"), "weights").detach()
    if shares.shape != (count,):
        raise bad_input(
            "weights", f"shape {tuple(shares.shape)}", f"({count},), one for each cloud"
        )
    shares = shares.to(like.device, torch.float64)
    if not bool((shares.isfinite() & (shares >= 0)).all()) or not float(shares.sum()) > 0:
        got = str([round(share, 6) for share in shares[:8].tolist()])
        raise bad_input("weights", got, "finite numbers >= 0, and one above")
    return shares / shares.sum()


def with_digits(
    clouds: list[tuple[Tensor, Tensor]], start: Support, ground: Ground, balanced: bool
) -> list[tuple[Tensor, Tensor]]:
    """The moved clouds; in float64, of the mass of the start, where single precision would lose the exponents.

    The mass too, for a rounding of it is multiplied by whatever costs have in common.
    """
    x = Points(start.points[None], start.weights[None])
    sides = [Points(y[None], b[None]) for y, b in clouds]
    if not any(lacks_digits(y, x, ground.p, ground.blur, SHARE, ground.beyond) for y in sides):
        return clouds
    exact = [(y.double(), b.double()) for y, b in clouds]
    if not balanced:
        return exact
    mass = start.weights.sum()
    return [(y, b * (mass / b.sum())) for y, b in exact]


def _sets(clouds: Any, batch: Any) -> Sets:
    """Several clouds in any form."""
    if isinstance(clouds, (list, tuple)) and not len(clouds):
        raise bad_input("clouds", "an empty list", "at least one cloud (N, D)")
    labels = integers(batch)
    clouds = clouds if is_ragged(clouds) else listed(clouds, "clouds")
    if labels is None and not is_ragged(clouds) and tensor_of(clouds, "clouds").dim() != 3:
        got = f"shape {tuple(clouds.shape)}"
        fix = "Several clouds are a list of (N_k, D), a batch (K, N, D), or (n, D) with batch=."
        raise bad_input("clouds", got, "several clouds", fix)
    return as_sets("clouds", clouds, labels, 0 if labels is None else count_of((labels, None)))


def _listed(masses: Any) -> Any:
    """Lists of numbers as arrays; lists of arrays as they are."""
    parts = masses if isinstance(masses, (list, tuple)) else ()
    if any(isinstance(part, (Tensor, np.ndarray)) for part in parts):
        return masses
    return listed(masses, "masses")


def _check_masses(masses: list[Tensor], balanced: bool) -> None:
    """Numbers that are not negative; balanced, of equal sums."""
    for k, a in enumerate(masses):
        if not bool((a.isfinite() & (a >= 0)).all()):
            raise bad_input(f"item {k} of masses", "a negative or infinite weight", "numbers >= 0")
        if not float(a.sum()) > 0:
            raise bad_input(f"item {k} of masses", "weights that are all zero", "a positive mass")
    totals = torch.stack([a.double().sum() for a in masses])
    least, most = totals.aminmax()
    if balanced and float(most - least) > EQUAL[masses[0].dtype] * float(most):
        raise bad_input(
            "masses",
            f"totals from {float(least):.6g} to {float(most):.6g}",
            "clouds of equal mass",
            "Divide each by its sum, or allow mass to vary with reach=...",
        )
