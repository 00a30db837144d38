"""What the processes of one group tell each other, and how all hear of what went wrong in one.

There are three exchanges: rows of all ranks are put together, each rank sends each other some rows, and all
tell each other a few numbers. A decision is taken from what all have heard, and so it is the same everywhere.

Before rows go out each rank tells how many it has. A rank that fails tells so instead, wherever it
was; then all exchange their sentences and raise, and nobody waits.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...errors import bad_input

__all__ = ["Ranks", "alive", "traffic", "weak"]

DONE, FAILED = -1, -2  # told in the place of a number of rows
NUMBERS = 3  # told beside it, at most
_counters: list[Counter[str]] = []


class _Errors:
    """Whether the error of this moment is known to all ranks, inside of how many blocks that tell errors."""

    known, depth = False, 0


_errors = _Errors()


@contextmanager
def traffic() -> Iterator[Counter[str]]:
    """Bytes that this process sends to others meanwhile, by what they are."""
    counter: Counter[str] = Counter()
    _counters.append(counter)
    try:
        yield counter
    finally:
        _counters.remove(counter)


def weak(group: Any) -> Any:
    """What stands for a group of processes without keeping it alive; anything else as it is."""
    kind = getattr(torch.distributed, "ProcessGroup", ())
    return weakref.ref(group) if isinstance(group, kind) else group


def alive(held: Any, what: str) -> Any:
    """What :func:`weak` was told, unless that was destroyed."""
    if not isinstance(held, weakref.ref):
        return held
    found = held()
    if found is None or not torch.distributed.is_initialized():
        fix = "Take what you need of a result before torch.distributed.destroy_process_group()."
        got, wanted = "one that was destroyed", "one that is alive"
        raise bad_input(f"{what}: group", got, wanted, fix, RuntimeError)
    return found


class Ranks:
    """The processes of a group of ``torch.distributed``, seen from one of them.

    Args:
        group: a ``torch.distributed.ProcessGroup`` that holds this process.
        what: the name of the function that they call, for errors.

    Raises:
        ValueError, TypeError: if there is no such group, or this process is not in it.
    """

    def __init__(self, group: Any, what: str) -> None:
        # Weakly, for its threads end with it: a result would keep them until Python ends, where they may crash it.
        self._group, self.what = weak(_checked(group)), what
        self.lost = False  # the others
        distributed = torch.distributed
        self.rank, self.size = distributed.get_rank(group), distributed.get_world_size(group)
        kind = str(distributed.get_backend(group))
        self.device = torch.device("cuda" if kind == "nccl" else "cpu")  # of what is told

    @property
    def group(self) -> Any:
        """The group, until it is destroyed."""
        return alive(self._group, self.what)

    def part(self, count: int) -> slice:
        """The share of this rank in so many rows."""
        return slice(*self.ends(count)[self.rank : self.rank + 2])

    def ends(self, count: int) -> list[int]:
        """Where the shares of all ranks in so many rows end, with a zero in front."""
        return [count * k // self.size for k in range(self.size + 1)]

    def rows(self, mine: Tensor, dim: int = 0, what: str = "rows") -> Tensor:
        """The rows of all ranks along an axis, one after the other; each may have any number."""
        return self._joined(mine, dim, what, self.told(mine.shape[dim]))

    def _joined(self, mine: Tensor, dim: int, what: str, counts: list[int]) -> Tensor:
        if mine.dtype == torch.bool:  # which not every backend sends
            return self._joined(mine.view(torch.uint8), dim, what, counts).view(torch.bool)
        most, t = max(counts), mine.detach().movedim(dim, 0).contiguous()
        if not most or self.size == 1:
            return mine.detach()
        if len(t) < most:
            t = torch.cat((t, t.new_zeros(most - len(t), *t.shape[1:])))
        parts = self._gathered(t, what)
        whole = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
        return whole.movedim(0, dim).contiguous()

    def exchange(self, parts: list[Tensor], what: str) -> list[Tensor]:
        """``parts[s]`` goes to rank s; what came from each."""
        sizes = torch.tensor([[len(part) for part in parts]], device=self.device)
        table = self.rows(sizes, what="numbers").tolist()
        coming = [row[self.rank] for row in table]
        if not any(map(sum, table)):
            return [part[:0] for part in parts]
        counts = sizes[0].tolist()
        return list(self.sent(torch.cat(parts), counts, coming, what).split(coming))

    def sent(self, going: Tensor, counts: list[int], coming: list[int], what: str) -> Tensor:
        """Rows for each rank, one after the other, go to these; what comes from each, in numbers that all know."""
        with self.telling():  # where there is no room all hear of it before they wait
            going, found = going.contiguous(), going.new_empty(sum(coming), *going.shape[1:])
        self.told(0)
        self._send(going, found, counts, coming, what)
        return found

    def _send(
        self, going: Tensor, found: Tensor, counts: list[int], coming: list[int], what: str
    ) -> None:
        sent = going.nbytes // max(1, len(going)) * (len(going) - counts[self.rank])
        run = torch.distributed.all_to_all_single
        self._run(lambda: run(found, going, coming, counts, self.group), what, sent)

    def sums(self, *mine: float) -> tuple[float, ...]:
        """The sums over all ranks of some numbers of each, with the same bits on all."""
        return tuple(map(sum, zip(*self.numbers(*mine), strict=True)))

    def largest(self, mine: float) -> float:
        """The largest number of all ranks; NaN if one is."""
        return float(torch.tensor(self.numbers(mine), dtype=torch.float64).amax())

    def numbers(self, *mine: float) -> list[list[float]]:
        """At most three numbers of each rank."""
        return [told[: len(mine)] for told in self._told(0, *mine)[1]]

    def every(self, mine: Any) -> list[Any]:
        """A small object of each rank."""
        self.told(0)
        return self._objects(mine)

    def told(self, number: int) -> list[int]:
        """A number of each rank; raises where one of them has failed, or does something else."""
        return self._told(number)[0]

    def _told(self, number: int, *more: float) -> tuple[list[int], list[list[float]]]:
        table = self._numbers(number, *more)
        numbers = [int(first) for first, *_ in table]
        if FAILED in numbers:
            self._raise_of_others(self._objects(None))
        if DONE in numbers and {*numbers} != {DONE}:
            _errors.known = True
            raise RuntimeError(
                f"{self.what}: the ranks of the group do not do the same, some are done while others go on. "
                "All must call the same functions and properties, with the same options, in one order."
            )
        return numbers, [others for _, *others in table]

    @contextmanager
    def together(self) -> Iterator[None]:
        """All ranks do what is inside, and leave it together; an error in one is one in all."""
        with self.telling():
            yield
        self.told(DONE)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """An error inside is told to the others, who wait for what it was to be."""
        _errors.known &= _errors.depth > 0
        _errors.depth += 1
        try:
            yield
        except BaseException as error:
            if not (self.lost or _errors.known):
                _errors.known = True
                self._numbers(FAILED)
                self._objects((type(error).__name__, str(error)))
            raise
        finally:
            _errors.depth -= 1

    def _raise_of_others(self, said: list[Any]) -> None:
        """Raises the error of the first rank that has one."""
        rank = next(k for k, error in enumerate(said) if error is not None)
        kind, text = said[rank]
        _errors.known = True
        sentence = f"{self.what}: rank {rank} of {self.size} failed, {kind}: {text}"
        if kind == "ValueError":
            raise ValueError(sentence)
        if kind == "TypeError":
            raise TypeError(sentence)
        raise RuntimeError(sentence)

    # --- torch.distributed ---

    def _numbers(self, *some: float) -> list[list[float]]:
        """A number of each rank, and those beside it: always as many, for no rank knows what others are about to tell."""
        mine = torch.zeros(1 + NUMBERS, dtype=torch.float64)
        mine[: len(some)] = torch.tensor(some, dtype=torch.float64)
        told: list[list[float]] = torch.stack(
            self._gathered(mine.to(self.device), "numbers")
        ).tolist()
        return told

    def _gathered(self, mine: Tensor, what: str) -> list[Tensor]:
        found = [torch.empty_like(mine) for _ in range(self.size)]
        run, sent = torch.distributed.all_gather, mine.nbytes * (self.size - 1)
        self._run(lambda: run(found, mine, group=self.group), what, sent)
        return found

    def _objects(self, mine: Any) -> list[Any]:
        found: list[Any] = [None] * self.size
        run = torch.distributed.all_gather_object
        self._run(lambda: run(found, mine, group=self.group), "words", 0)
        return found

    def _run(self, exchange: Callable[[], Any], what: str, sent: int) -> None:
        for counter in _counters:
            counter[what] += sent
        try:
            exchange()
        except RuntimeError as error:
            from .silence import WAIT, silent_ranks  # here, for a light import of the library

            self.lost = True
            silent = ", ".join(map(str, silent_ranks(self.group)))
            heard = (
                f"nothing was heard within {WAIT} s from rank {silent}"
                if silent
                else "one of them failed"
            )
            raise RuntimeError(
                f"{self.what}: rank {self.rank} of {self.size} lost the others while it exchanged {what}: {heard}; it "
                f"has ended, is held up, or has not called the same. torch.distributed says: {error}"
            ) from error


def _checked(group: Any) -> Any:
    """The group, if this process can use it."""
    if not torch.distributed.is_available():
        fix = "Leave group out, or install a torch that has it."
        raise bad_input("group", "a torch without torch.distributed", "one that has it", fix)
    if not torch.distributed.is_initialized():
        fix = (
            "Call torch.distributed.init_process_group() first, in processes that torchrun started."
        )
        raise bad_input("group", "no process group yet", "torch.distributed to be initialised", fix)
    if group is torch.distributed.GroupMember.NON_GROUP_MEMBER:
        fix = "Only the ranks of a group call functions with it."
        raise bad_input("group", "a group without this process", "one that holds it", fix)
    if not isinstance(group, torch.distributed.ProcessGroup):
        fix = "torch.distributed.group.WORLD is that of all processes."
        got, wanted = type(group).__name__, "a torch.distributed.ProcessGroup"
        raise bad_input("group", got, wanted, fix, TypeError)
    return group
