r"""Weighted point clouds, checked once, and the conventions that the whole library keeps.

* Points are ``(N, D)`` or batches ``(B, N, D)``; weights ``(N,)`` or ``(B, N)``, by default
  uniform, ``1/N``. Points ``(N, D)`` with weights ``(B, N)`` are a batch on one support. Zero
  weights are allowed; nothing is ever normalised silently.
* The ground cost is :math:`C(x, y) = |x - y|^p / p` with p = 1 or 2. ``blur`` is a length in the
  units of the points, the temperature is :math:`\varepsilon = \text{blur}^p`. ``reach`` is a
  length too: :math:`\rho = \text{reach}^p` weighs the Kullback-Leibler penalty on the marginals
  (None: the marginals are imposed).
* The plan is :math:`P_{ij} = a_i b_j \exp((f_i + g_j - C_{ij}) / \varepsilon)`: the potentials
  ``f``, ``g`` are relative to the product of the weights.
* Kernels: Gaussian :math:`e^{-|x-y|^2 / 2\sigma^2}`, Laplacian :math:`e^{-|x-y| / \sigma}`,
  Energy :math:`-|x-y|`. The square root has derivative zero at zero, on every engine.

Below this door a batch axis always exists: an unbatched cloud is a batch of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import bad_input

__all__ = [
    "CLOSED",
    "Points",
    "bounding_diameter",
    "bounding_sides",
    "check_balanced",
    "check_integer",
    "check_positive",
    "enough_digits",
    "lacks_digits",
    "log_weights",
    "not_mapped",
    "numbers",
    "padded",
    "refuse_map",
    "refuse_tensor",
    "refuse_transforms",
    "shared",
    "transformed",
]

CLOSED = -1e30  # the logarithm of zero: finite, as fast arithmetic wants, and beyond all exponents

# torch.func has had it since 2.7; without it, its transforms say that they cannot read numbers
unwrap: Callable[[Tensor], Tensor] = getattr(torch.func, "debug_unwrap", lambda t: t)


@dataclass(frozen=True)
class Points:
    """A batch of weighted clouds: positions ``(B, N, D)``, weights ``(B, N)``.

    ``rounding`` is the relative error of masses whose weights came in half precision, else 0. It is
    that of the caller's clouds; those made of them have a mass that is known. Of a copy ``moves`` says
    whether a gradient in the positions may be wanted.
    """

    positions: Tensor
    weights: Tensor
    rounding: float = 0.0
    moves: bool = False

    @property
    def log_weights(self) -> Tensor:
        """Logarithms of the weights, ``(B, N)``; -1e30 stands for the logarithm of zero."""
        return log_weights(self.weights.detach())

    @cached_property
    def sizes(self) -> list[int]:
        """How many points each cloud has, without padding: copies of its last one, of weight zero."""
        x, a = self.positions.detach(), self.weights.detach()
        items, count = a.shape
        if count == 1 or not bool((a[:, -1] == 0).any()):
            return [count] * items
        copies = (a[:, 1:] == 0) & (x[:, 1:] == x[:, :-1]).all(-1)
        sizes: list[int] = (count - copies.flip(1).int().cumprod(1).sum(1)).tolist()
        return sizes

    @cached_property
    def items(self) -> list[Points]:
        """Each cloud as a batch of one, without its graph; the same objects whenever asked."""
        pairs = zip(self.positions.detach().split(1), self.weights.detach().split(1), strict=True)
        return [Points(*pair) for pair in pairs]

    @cached_property
    def real(self) -> list[Points]:
        """The items without their padding, likewise."""
        return [
            item
            if n == item.weights.shape[1]
            else Points(item.positions[:, :n], item.weights[:, :n])
            for item, n in zip(self.items, self.sizes, strict=True)
        ]

    def part(self, k: int, size: int) -> Points:
        """The first points of one cloud, as a batch of one, with their graph."""
        return Points(self.positions[k : k + 1, :size], self.weights[k : k + 1, :size])

    @property
    def held(self) -> Points:
        """The cloud as it is in memory."""
        return self

    @property
    def like(self) -> Tensor:
        """A tensor of the shape, dtype and device of the positions."""
        return self.positions

    @property
    def here(self) -> tuple[Tensor, Tensor]:
        """Positions ``(n, D)`` and weights ``(n,)`` of a batch of one; of ranks that share it, what this one has."""
        return self.positions.detach()[0], self.weights.detach()[0]

    def total(self, found: Tensor) -> Tensor:
        """The sum over all ranks of what was found of the points here."""
        return found

    def in_blocks(self) -> Any:
        """The points of this rank in blocks, where ranks have the cloud apart; else None."""
        return None

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Opposite corners of the box around each cloud, ``(B, D)`` in float64."""
        x = self.positions.detach()
        if x.device.type != "cpu":
            low, high = x.double().aminmax(dim=1)
            return low, high
        # By NumPy: torch would wake OpenMP's threads, which then spin beside our own.
        ends = (end(x.numpy(), 1).astype(np.float64) for end in (np.min, np.max))
        first, last = map(torch.from_numpy, ends)
        return first, last

    def equals(self, other: Points) -> bool:
        """Whether these are the same numbers."""
        pairs = ((self.positions, other.positions), (self.weights, other.weights))
        return self is other or all(s.shape == t.shape and torch.equal(s, t) for s, t in pairs)

    def copy(self, own: bool = False) -> Points:
        """The same numbers in memory of their own: nothing changes them. ``own`` says that positions are so already."""
        moves = torch.is_grad_enabled() and self.positions.requires_grad
        positions = numbers(self.positions)
        positions = positions if own else _copy(positions)
        return Points(positions, _copy(numbers(self.weights)), moves=moves)

    def double(self) -> Points:
        """The same clouds in float64; gradients come back in the caller's dtype."""
        return Points(self.positions.double(), self.weights.double())

    def of_mass(self, other: Points) -> Points:
        """The cloud with the mass of another, from which it differs by the rounding of weights."""
        ratio = (other.mass / self.mass).detach()
        return Points(self.positions, self.weights * ratio[:, None])

    @property
    def mass(self) -> Tensor:
        """Total weight of each cloud, ``(B,)``."""
        return self.weights.sum(-1)


def numbers(t: Tensor) -> Tensor:
    """A tensor without its graph, and without what the transforms of ``torch.func`` wrap it in."""
    plain = unwrap(t.detach())
    if plain.dim() != t.dim():
        fix = "Give the batch itself: (B, N, D) points and (B, N) weights."
        raise bad_input("torch.vmap", "a map over clouds", "clouds that hold numbers", fix)
    return plain


def refuse_map(t: Tensor, what: str) -> None:
    """Raises ValueError where ``torch.vmap`` is over a tensor that is no cloud and no weights."""
    if unwrap(t.detach()).dim() != t.dim():
        raise not_mapped(what)


def not_mapped(what: str) -> Exception:
    """What says that ``torch.vmap`` is over something else than clouds and weights."""
    wanted = "a map over points (N, D), over weights (N,), or over both"
    return bad_input("torch.vmap", f"a map over {what}", wanted, "Loop over all else.")


def padded(parts: Sequence[Tensor], size: int) -> Tensor:
    """Numbers ``(n, ...)`` of the points of some clouds with those of their padding, ``(B, size, ...)``."""
    sizes = [part.shape[0] for part in parts]
    if all(count == size for count in sizes):
        return torch.stack(list(parts))
    counts = torch.tensor(sizes)[:, None]
    places = torch.arange(size).minimum(counts - 1) + counts.cumsum(0) - counts
    flat = torch.cat(list(parts))
    return flat.index_select(0, places.flatten().to(flat.device)).unflatten(0, places.shape)


def shared(t: Tensor) -> bool:
    """Whether the items of a batch are one in memory, as points of many weights are."""
    return len(t) > 1 and t.stride(0) == 0


def _copy(t: Tensor) -> Tensor:
    """A copy, whose items stay one in memory."""
    return t[:1].clone().expand_as(t) if shared(t) else t.clone()


def transformed(*tensors: Any) -> bool:
    """Whether one of them is inside of a transform of ``torch.func``."""
    return any(isinstance(t, Tensor) and unwrap(t) is not t for t in tensors)


def refuse_transforms(*tensors: Any) -> None:
    """Raises ValueError inside of ``torch.func``, for losses that it cannot see through."""
    if transformed(*tensors):
        raise bad_input(
            "torch.func",
            "a loss that is not solved to a tolerance",
            "Sinkhorn divergences that are",
            "Give tol=1e-3, or use torch.autograd.",
        )


def log_weights(a: Tensor) -> Tensor:
    """Logarithms; ``CLOSED``, -1e30, for zero."""
    # Not .log(): it wakes OpenMP's threads, which then spin for milliseconds beside our own.
    return torch.xlogy(torch.ones_like(a), torch.where(a > 0, a, 1)).where(a > 0, CLOSED)


def bounding_diameter(source: Points, target: Points) -> Tensor:
    """Diagonal of the box around both clouds, ``(B,)`` in float64, in the units of the points."""
    return bounding_sides(source, target).norm(dim=-1)


def bounding_sides(source: Points, target: Points) -> Tensor:
    """Sides of the box around both clouds, ``(B, D)`` in float64."""
    (low, high), (below, above) = source.ends, target.ends
    return torch.maximum(high, above) - torch.minimum(low, below)


def enough_digits(
    source: Points, target: Points, p: float, blur: float, share: float = 0.01, beyond: float = 0.0
) -> tuple[Points, Points]:
    """The clouds, in float64 where single precision would lose the exponents."""
    if lacks_digits(source, target, p, blur, share, beyond):
        return source.double(), target.double()
    return source, target


def lacks_digits(
    source: Points, target: Points, p: float, blur: float, share: float, beyond: float = 0.0
) -> bool:
    """Whether single precision would lose the exponents.

    The exponent ``C / eps`` of the farthest pair loses 6e-8 of its size to rounding: is that more
    than a ``share`` of an entry of the plan? ``beyond`` is the size of costs that are no distances.
    """
    if source.like.dtype == torch.float64:
        return False
    diameter = float(bounding_diameter(source, target).max())
    return ((diameter / blur) ** p / p + beyond / blur**p) * 6e-8 > share


def check_balanced(source: Points, target: Points, freed: str = "reach") -> None:
    """Refuses two clouds of unequal mass (relative 1e-5 in float32, 1e-9 in float64).

    Of weights that came in half precision, masses may differ by three units of its rounding. ``freed`` is the
    argument that allows them to.
    """
    mass, other = source.mass.detach(), target.mass.detach()
    tolerance = 1e-9 if mass.dtype == torch.float64 else 1e-5
    tolerance = max(tolerance, source.rounding, target.rounding)
    if bool(((mass - other).abs() > tolerance * torch.maximum(mass, other)).any()):
        worst = int((mass - other).abs().argmax())
        raise bad_input(
            "a, b",
            f"total masses {mass[worst].item():.11g} and {other[worst].item():.11g}",
            "equal masses for balanced transport",
            f"Divide each by its sum, or allow mass to vary with {freed}=...",
        )


def check_positive(**values: float | None) -> None:
    """Refuses what is not a finite, positive number (Python's or NumPy's); None passes.

    A tensor is none: no derivative in it would be taken.
    """
    for name, value in values.items():
        if value is None:
            continue
        refuse_tensor(name, value, "a positive number")
        if isinstance(value, bool) or not isinstance(value, Real):
            raise bad_input(name, repr(value), "a positive number", kind=TypeError)
        if not (math.isfinite(value) and value > 0):
            raise bad_input(name, f"{value:g}", "a positive, finite number")


def check_integer(name: str, value: Any, least: int = 1) -> int:
    """An integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise bad_input(name, repr(value), "an integer", kind=TypeError)
    if value < least:
        raise bad_input(name, str(value), f"an integer of at least {least}")
    return int(value)


def refuse_tensor(name: str, value: Any, wanted: str = "a number") -> None:
    """Raises TypeError for a tensor in the place of a number: its gradient would be lost."""
    if not isinstance(value, Tensor):
        return
    got, fix = f"a tensor of shape {tuple(value.shape)}", f"Give {name}.item()."
    if value.requires_grad:
        got += " that requires a gradient"
        fix = f"No derivative in {name} is taken: give {name}.item()."
    raise bad_input(name, got, wanted, fix, TypeError)
