r"""Rows of which each process gave its part: put together at a door, and given back to whom they are.

Between both, all ranks compute the same whole and share its pairs (:mod:`...engines.ranks`). So each finds
the whole gradient, of which its rows are its own, and a number that all have is differentiated as if there
were one process: :class:`_Whole` and :class:`_Own` are each other's derivative, to every order. Of what has
rows, each rank differentiates a function of its own; then the gradient is that of their sum.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from ...engines.ranks.group import Ranks
from ...errors import bad_input
from ..arrays import Array, tensor_of

__all__ = ["Spread", "agreed", "gathered", "group_of", "local_rows", "mesh_of", "put_together"]


class Spread:
    """How the rows of an array are spread over the ranks of a group.

    Args:
        ranks: who has them.
        counts: how many each has.
        mesh: that of the ``DTensor`` that they came in, which answers come in too; or None.
        moving: whether a rank's have a graph.
    """

    def __init__(
        self, ranks: Ranks, counts: list[int], mesh: Any = None, moving: bool = False
    ) -> None:
        self.ranks, self.counts, self.mesh, self.moving = ranks, counts, mesh, moving
        self.local = torch.empty(0)  # the rows of this rank as they came, with their graph
        self.ends = ends = [0, *accumulate(counts)]
        self.mine, self.total = slice(ends[ranks.rank], ends[ranks.rank + 1]), ends[-1]

    @property
    def like(self) -> Tensor:
        """A tensor of the shape of all rows, of their dtype and device, that takes no memory."""
        local = self.local.detach()
        return local.new_zeros(()).expand(self.total, *local.shape[1:])

    def all_rows(self) -> Tensor:
        """The rows of all ranks of what came, with their graph."""
        found: Tensor = _Whole.apply(self.local, self, 0)
        return found

    def sum(self, mine: Tensor) -> Tensor:
        """The sum over all ranks of a number that each found of its rows, with their graph."""
        found: Tensor = _Total.apply(mine, self.ranks)
        return found

    def whole(self, name: str, array: Array) -> Array:
        """The rows of all ranks of an array that is spread in this way, with their graph."""
        with self.ranks.telling():
            local, count = local_rows(array, name), self.mine.stop - self.mine.start
            if not local.ndim or len(local) != count:
                fix = "Each rank gives its own rows."
                raise bad_input(name, f"shape {tuple(local.shape)}", f"({count}, ...)", fix)
        return self.beside(name, local)[0]

    def beside(self, name: str, array: Array) -> tuple[Array, Spread]:
        """The rows of all ranks of another array, and how these are spread."""
        local = local_rows(array, name)
        found, spreads = put_together(self.ranks, {name: tensor_of(local, name)}, {}, self.mesh)
        whole = found[name]
        assert whole is not None
        return whole if isinstance(local, Tensor) else whole.numpy(), spreads[name]

    def own(self, array: Array, axis: int = 0) -> Array:
        """The rows of this rank, along that axis."""
        if not isinstance(array, Tensor):
            return array[(slice(None),) * axis + (self.mine,)]
        return self.shown(_Own.apply(array, self, axis))

    def home(self, found: Tensor, numbers: Tensor) -> Tensor:
        """What ranks found for some rows of all, ``(k, ...)``, put where they are: the rows of this rank.

        ``numbers`` ``(k,)`` say which rows; each is found by one rank.
        """
        numbers, order = numbers.sort()
        places = torch.searchsorted(numbers, numbers.new_tensor(self.ends)).diff().tolist()
        exchange = self.ranks.exchange
        told = torch.cat(exchange([*numbers.int().split(places)], "numbers of rows"))
        parts = torch.cat(exchange([*found[order].split(places)], "gradients"))
        mine = parts.new_empty(self.mine.stop - self.mine.start, *parts.shape[1:])
        mine[told.long() - self.mine.start] = parts
        return mine

    def like_all(self, mine: Tensor) -> Tensor:
        """The rows of this rank; with a graph where those of others have one: all go through it."""
        return mine.detach().requires_grad_() if self.moving and not mine.requires_grad else mine

    def gathered(self, mine: Tensor) -> Tensor:
        """The rows of all ranks; gradients are what all ranks find for them together."""
        found: Tensor = _Gathered.apply(self.like_all(mine), self)
        return found

    def shown(self, found: Tensor) -> Tensor:
        """Rows of this rank, in a DTensor if they came in one."""
        if self.mesh is None:
            return found
        from torch.distributed.tensor import DTensor, Shard  # here, for a light import

        shape = (self.total, *found.shape[1:])
        strides = torch.empty(shape, device="meta").stride()
        how: dict[str, Any] = {"shape": torch.Size(shape), "stride": strides}
        return DTensor.from_local(found.contiguous(), self.mesh, [Shard(0)], **how)


class _Whole(Function):
    """The rows of all ranks, of those of each."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, spread: Spread, axis: int) -> Tensor:
        ctx.spread, ctx.axis = spread, axis
        found = spread.ranks.rows(mine, axis, "points")
        return found.clone() if found.data_ptr() == mine.data_ptr() else found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        return _Own.apply(g, ctx.spread, ctx.axis), None, None


class _Own(Function):
    """The rows of this rank, of those of all."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, spread: Spread, axis: int) -> Tensor:
        ctx.spread, ctx.axis = spread, axis
        mine = spread.mine
        return whole.narrow(axis, mine.start, mine.stop - mine.start).clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        return _Whole.apply(g, ctx.spread, ctx.axis), None, None


class _Total(Function):
    """The sum over the ranks of a number of each, from which all compute the same."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return mine.new_tensor(ranks.sums(float(mine))[0])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return _Same.apply(g, ctx.ranks), None


class _Same(Function):
    """A number that all have, in what each of them computes of its rows: the other one's derivative."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return g.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return _Total.apply(g, ctx.ranks), None


class _Gathered(Function):
    """The rows of all ranks, of those of each, where every rank computes something else from them."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, spread: Spread) -> Tensor:
        ctx.spread = spread
        return spread.ranks.rows(mine, what="points").clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return _Collected.apply(g, ctx.spread), None


class _Collected(Function):
    """The sum over the ranks of what each has for all rows: those of this rank."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, spread: Spread) -> Tensor:
        ctx.spread = spread
        coming = spread.ranks.exchange([*parts.split(spread.counts)], "gradients")
        return torch.stack(coming).sum(0)  # in the order of ranks

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return _Gathered.apply(g, ctx.spread), None


def put_together(
    ranks: Ranks, given: dict[str, Tensor | None], words: dict[str, str], mesh: Any = None
) -> tuple[dict[str, Tensor | None], dict[str, Spread]]:
    """The rows of all ranks of some tensors, with their graphs, and how each of them is spread."""
    spreads = agreed(ranks, given, words, mesh)
    return {name: spreads[name].all_rows() if name in spreads else None for name in given}, spreads


def agreed(
    ranks: Ranks, given: dict[str, Tensor | None], words: dict[str, str], mesh: Any = None
) -> dict[str, Spread]:
    """How some tensors are spread, which fit together on all ranks.

    Args:
        ranks: who has them.
        given: tensors ``(n, ...)`` by their names, or None.
        words: options that must be the same everywhere, as they are said.
        mesh: see :class:`Spread`.

    Raises:
        ValueError: on all ranks, where they gave what does not fit together.
    """
    graph = torch.is_grad_enabled()
    words = words | {name: _described(t) for name, t in given.items()}
    mine = {name: (len(t), graph and t.requires_grad) for name, t in given.items() if t is not None}
    said = ranks.every((words | {"torch.is_grad_enabled()": str(graph)}, mine))
    _refuse_others([theirs for theirs, _ in said])
    spreads = {}
    for name in mine:
        counts, moving = zip(*(rows[name] for _, rows in said), strict=True)
        spreads[name], t = Spread(ranks, [*counts], mesh, any(moving)), given[name]
        assert t is not None
        spreads[name].local = spreads[name].like_all(t)
    return spreads


def _described(t: Tensor | None) -> str:
    if t is None:
        return "None"
    rows = ", ".join(("n", *map(str, t.shape[1:])))
    return f"{t.dtype} of shape ({rows}) on {t.device.type}"


def _refuse_others(said: list[dict[str, str]]) -> None:
    """Raises where a rank says something else than the first one."""
    for rank, theirs in enumerate(said):
        for name, first in said[0].items():
            if theirs.get(name) != first:
                got, wanted = f"{theirs.get(name)} on rank {rank}", f"{first}, as on rank 0"
                raise bad_input(name, got, wanted, "All ranks call with the same options.")


def gathered(what: str, group: Any, name: str, array: Array) -> tuple[Array, Spread]:
    """The rows that all ranks of a group have of an array, whole, and how they are spread."""
    ranks = Ranks(group, what)
    with ranks.together():
        return Spread(ranks, [0] * ranks.size, mesh_of([array])).beside(name, array)


def group_of(group: Any, *arrays: Any) -> Any:
    """The group that was given, or that of the first DTensor; None for a process by itself."""
    mesh = None if group is not None else mesh_of(arrays)
    return group if mesh is None else mesh.get_group()


def mesh_of(arrays: Any) -> Any:
    return next((array.device_mesh for array in arrays if type(array).__name__ == "DTensor"), None)


def local_rows(array: Any, name: str = "v") -> Any:
    """The rows of this rank of a DTensor; anything else as it is."""
    if type(array).__name__ != "DTensor":
        return array
    if [place.is_shard(0) for place in array.placements] != [True]:
        got, fix = f"placements {tuple(array.placements)}", "Use .redistribute(mesh, [Shard(0)])."
        raise bad_input(name, got, "(Shard(0),), rows on a mesh of one axis", fix)
    return array.to_local()
