"""``Transports``: the results of :func:`solve_sample` for pairs of clouds of different sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, overload

import torch
from torch import Tensor

from ..errors import bad_input
from ..operators.arrays import Array, as_tensor, like, shown
from ..ragged.batches import Batches
from ..ragged.forms import as_sets
from .result import Transport

__all__ = ["Transports", "of_groups"]


class Transports(Sequence[Transport]):
    """The results of :func:`solve_sample` for sets of different sizes: a sequence of :class:`Transport`.

    ``result[k]`` is that of item k, with all that a :class:`Transport` can do: its plan, its map, its
    Hessians. What is asked of the whole has a number ``(B,)`` for each item, or numbers of all points in
    the form in which the points came: a list, a nested tensor, or ``(n, ...)`` for a batch vector.

    Attributes:
        converged: whether all items met the tolerance.
        n_iter: sweeps over all temperatures, the largest of the items.
        residual: the largest L1 error of the marginals of a plan, relative to its mass.
        tol: the tolerance that was asked for.

    Example:
        >>> import torch
        >>> from sparseot import solve_sample
        >>> one, two = torch.zeros(1, 2), torch.zeros(2, 2)
        >>> found = solve_sample([one, two], [one + 1, two + 2], blur=0.1)
        >>> len(found), [round(value, 2) for value in found.value.tolist()]
        (2, [1.0, 4.0])
    """

    def __init__(self, sets: Batches, parts: list[Transport]) -> None:
        self.sets, self.parts = sets, parts
        self.places = {
            k: (part, place)
            for group, part in zip(sets.groups, parts, strict=True)
            for place, k in enumerate(group.items)
        }
        self.converged = all(part.converged for part in parts)
        self.residual = max(part.residual for part in parts)
        self.n_iter = max(part.n_iter for part in parts)
        self.tol = parts[0].tol

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, k: int) -> Transport: ...
    @overload
    def __getitem__(self, k: slice) -> list[Transport]: ...
    def __getitem__(self, k: int | slice) -> Transport | list[Transport]:
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        count = len(self)
        if not -count <= k < count:
            raise IndexError(f"item {k} of {count}")
        part, place = self.places[k % count]
        n, m = (sizes[k % count] for sizes in self.sets.sizes)
        solved = part.solved
        if part.batched:
            sizes = (n, m), (n, n), (m, m)
            solved = [one.item(place, *pair) for one, pair in zip(solved, sizes, strict=False)]
        reference = like(torch.as_tensor(part.reference), self.sets.reference)
        return Transport(solved, False, reference, part.solver)

    @cached_property
    def value(self) -> Array:
        """The values ``(B,)`` with their derivatives, see :attr:`Transport.value`."""
        return self._numbers("value")

    @cached_property
    def value_linear(self) -> Array:
        r"""The costs :math:`\\langle P, C \\rangle` of the plans, ``(B,)``."""
        return self._numbers("value_linear")

    @cached_property
    def lower(self) -> Array:
        """Lower bounds ``(B,)`` of the true values, float64."""
        return self._numbers("lower")

    @cached_property
    def upper(self) -> Array:
        """Upper bounds ``(B,)`` of the true values, float64."""
        return self._numbers("upper")

    @property
    def potential_a(self) -> Array:
        """The potentials f of the points x, with their derivatives."""
        return self._of_points("potential_a", 0)

    @property
    def potential_b(self) -> Array:
        """The potentials g of the points y."""
        return self._of_points("potential_b", 1)

    @property
    def potential_aa(self) -> Array:
        """The potentials of the transport of x to itself (debiased only)."""
        return self._of_points("potential_aa", 0)

    @property
    def potential_bb(self) -> Array:
        """The potentials of the transport of y to itself (debiased only)."""
        return self._of_points("potential_bb", 1)

    @cached_property
    def marginal_a(self) -> Array:
        """The row sums of the plans."""
        return self._of_points("marginal_a", 0)

    @cached_property
    def marginal_b(self) -> Array:
        """The column sums of the plans."""
        return self._of_points("marginal_b", 1)

    @property
    def plan(self) -> list[Array]:
        """The plans ``(N_k, M_k)``, a list."""
        return [item.plan for item in self]

    def gradient_error(self, wrt: str = "x") -> Array:
        """Bounds ``(B,)`` on the errors of the gradients, see :meth:`Transport.gradient_error`."""
        return self._shown([part.gradient_error(wrt) for part in self.parts])

    def map(self, points: Any = None, *, inverse: bool = False) -> Any:
        """Where the points of x go, or new ones: several sets as well, one for each item.

        Args:
            points: new points, in any form but that of a vector of samples; None for x itself.
            inverse: map from y to x instead.

        Returns:
            Of the form of the points. See :meth:`Transport.map`.
        """
        if points is None:
            return self._of_points("map", int(inverse), inverse=inverse)
        new = as_sets("points", points)
        if len(new) != len(self):
            raise bad_input("points", f"{len(new)} sets", f"{len(self)}, one for each item")
        found = [
            as_tensor(item.map(like(here, points[0]), inverse=inverse), here)
            for item, here in zip(self, new.points.split(new.sizes), strict=True)
        ]
        return new.back(torch.cat(found))

    def __repr__(self) -> str:
        state = "converged" if self.converged else "NOT CONVERGED"
        return (
            f"Transports: {len(self)} items of different sizes, {state}: marginals off by "
            f"{self.residual:.1e} of the mass at most (tol {self.tol:g}) after {self.n_iter} sweeps"
        )

    def _numbers(self, name: str) -> Array:
        return self._shown([getattr(part, name) for part in self.parts])

    def _shown(self, found: list[Any]) -> Array:
        """Numbers of the groups, for each item, of the kind of the points."""
        return shown(self.sets.numbers([torch.as_tensor(t) for t in found]), self.sets.reference)

    def _of_points(self, name: str, side: int, **options: Any) -> Any:
        """What the groups have for the points of one side."""
        found: list[Tensor] = []
        for part in self.parts:
            own = getattr(part, name)
            found.append(torch.as_tensor(own(**options) if callable(own) else own))
        return self.sets.of_points(found, side)


def of_groups(sets: Batches, solve: Callable[..., Transport], init: Any) -> Transports:
    """``solve(x, y, a, b, init)`` of all groups, each from what an earlier result has for it."""
    if init is None:
        return Transports(sets, sets.each(solve, [None] * len(sets.groups)))
    if not isinstance(init, Transports):
        raise bad_input("init", type(init).__name__, "earlier Transports", kind=TypeError)
    if init.sets.sizes != sets.sizes:
        raise bad_input("init", "clouds of other sizes", "a result for clouds of the same sizes")
    return Transports(sets, sets.each(solve, init.parts))
