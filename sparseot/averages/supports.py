"""Where an average starts from: points that were given, or those of the heaviest cloud, moved to the mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import bad_input
from ..operators.arrays import Array, as_tensor, listed, of_one_kind
from ..points import check_integer
from .ground import Ground
from .objective import Support

__all__ = ["as_support"]

SEED = 0  # of the shifts that separate equal points
EQUAL = 1e-5  # relative difference of masses
NOTHING = 1e-6  # of a blur, that is no length

Clouds = list[tuple[Tensor, Tensor]]


def as_support(
    support: Any,
    support_weights: Any,
    clouds: Clouds,
    shares: Tensor,
    *,
    ground: Ground,
    balanced: bool,
    kind: Array,
    like: Tensor,
) -> tuple[Support, Tensor]:
    """The support to start from, checked, as the cost moves it, and its points as they came.

    Without weights, points have equal ones and the mean mass. ``clouds`` were moved, and ``like`` is one
    that was not.
    """
    masses = torch.stack([b.double().sum() for _, b in clouds])
    mass = float(shares @ masses)
    if isinstance(support, (Tensor, list, tuple)) or hasattr(support, "shape") and support.ndim:
        came = _given(support, like, kind)
        a = _weights(support_weights, came, kind, mass, balanced)
        return Support(ground.moved(came, a, "support"), a), came
    n = check_integer("support", support)
    x = ground.settled(_chosen(clouds, shares, n, ground))
    came = ground.restored(x)
    return Support(x, _weights(support_weights, came, kind, mass, balanced)), came


def _weights(given: Any, x: Tensor, kind: Array, mass: float, balanced: bool) -> Tensor:
    """Those of the points of the support, in float64."""
    if given is None:
        return x.new_full((len(x),), mass / len(x))
    of_one_kind(clouds=kind, support_weights=given)
    a = as_tensor(listed(given, "support_weights"), x, "support_weights")
    a = a.detach().double()
    if a.shape != (len(x),):
        raise bad_input(
            "support_weights", f"shape {tuple(a.shape)}", f"({len(x)},), one for each point"
        )
    total = float(a.sum())
    if not bool((a.isfinite() & (a >= 0)).all()) or not total > 0:
        got = "negative, infinite or only zero weights"
        raise bad_input("support_weights", got, "finite numbers >= 0, and one above")
    if balanced and abs(total - mass) > EQUAL * mass:
        fix = "Rescale them, or allow mass to vary with reach=..."
        raise bad_input(
            "support_weights", f"a mass of {total:.6g}", f"{mass:.6g}, as clouds have", fix
        )
    return a * (mass / total) if balanced else a


def _given(support: Any, like: Tensor, kind: Array) -> Tensor:
    """Points as they came."""
    of_one_kind(clouds=kind, support=support)
    x = as_tensor(listed(support, "support"), like, "support").detach().double()
    if x.dim() != 2 or not len(x) or x.shape[1] != like.shape[1]:
        wanted = f"(n, {like.shape[1]}) points, of the dimension of clouds, or how many"
        raise bad_input("support", f"shape {tuple(x.shape)}", wanted)
    if not bool(x.isfinite().all()):
        raise bad_input("support", "NaN or infinite coordinates", "finite numbers")
    return x


def _chosen(clouds: Clouds, shares: Tensor, n: int, ground: Ground) -> Tensor:
    """Quantiles of the cloud that counts most, in the order of its points, about the mean of means.

    Of n points that weigh the same, that is all of them. Points that are taken more than once are moved
    apart by half a blur, for equal points would stay together.
    """
    means = [b.double() @ y.double() / b.double().sum() for y, b in clouds]
    most = int(shares.argmax())
    y, b = (t.double() for t in clouds[most])
    ends = b.cumsum(0)
    middles = (torch.arange(n).to(y) + 0.5) * (float(ends[-1]) / n)
    taken = torch.searchsorted(ends, middles).clamp(max=len(y) - 1)
    x = y[taken] + (shares @ torch.stack(means) - means[most])
    if ground.mover is not None:  # zero has no direction
        x = x.where(x.norm(dim=1, keepdim=True) > NOTHING * ground.blur, y[taken])
    if len(taken.unique()) < n:
        drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(SEED))
        x = x + ground.blur / 2 * drawn.to(x)
    return x
