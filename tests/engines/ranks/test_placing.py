"""Points that ranks share are cut into blocks: by processes, and by threads that tell each other the same."""

from functools import cache
from itertools import pairwise
from threading import Barrier, Thread

import pytest
import torch

from sparseot.engines.ranks import selection, shared_cuts
from sparseot.engines.ranks.group import Ranks
from sparseot.engines.ranks.placing import Placing
from tests.engines.ranks.placings import (
    GROUP,
    SIZE,
    brings,
    distinct,
    is_that_of_one_process,
)
from tests.references import processes
from tests.references.elsewhere import Elsewhere, There

MODULE = "tests.engines.ranks.placings"
outcomes = cache(processes.outcomes)


@pytest.mark.timeout(processes.LONGEST + 300)
@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", processes.checks(MODULE))
def test_processes(name, size):
    said = outcomes(MODULE, size)[name]
    assert not said, said


class Told(Ranks):
    """One rank of several that are threads of this process."""

    def __init__(self, rank, size, board, barrier):
        self.rank, self.size, self.what, self.lost = rank, size, "test", False
        self.device, self.board, self.barrier = torch.device("cpu"), board, barrier

    def _everyone(self, mine):
        self.board[self.rank] = mine
        self.barrier.wait()
        found = [*self.board]
        self.barrier.wait()
        return found

    longest = 0  # of what one of them tells at once

    def _gathered(self, mine, what):
        if what == "points":
            Told.longest = max(Told.longest, len(mine))
        every = self._everyone(mine.clone())
        assert {(t.shape, t.dtype) for t in every} == {(mine.shape, mine.dtype)}
        return every

    def _send(self, going, found, counts, coming, what):
        parts = [some[self.rank] for some in self._everyone(going.split(counts))]
        assert [len(part) for part in parts] == coming
        found.copy_(torch.cat(parts))


def on_threads(size, function):
    """``function(ranks)`` of so many ranks, all of which end."""
    board, barrier, failed, done = [None] * size, Barrier(size, timeout=60), [], []

    def run(rank):
        try:
            done.append(function(Told(rank, size, board, barrier)))
        except BaseException as error:
            barrier.abort()
            failed.append(error)

    threads = [Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in sorted(failed, key=lambda error: isinstance(error, RuntimeError)):
        raise error  # the first, rather than those that heard of it
    assert len(done) == size


SHARES = {1: [1], 3: [5, 0, 1], 8: [0, 3, 0, 1, 1, 40, 0, 7], 13: range(13)}


def shares(whole, ranks):
    """The rows of a rank, and the first of them."""
    parts = SHARES[ranks.size]
    first, last = (sum(parts[:k]) * len(whole) // sum(parts) for k in (ranks.rank, ranks.rank + 1))
    return whole[first:last], first


@pytest.mark.parametrize("size", SHARES)
@pytest.mark.parametrize("n", [0, 1, 33, 513, 2049, 6007])
def test_few_points_and_many_ranks(n, size):
    """Some ranks have no points, and some get none."""
    for dim, dtype in ((1, torch.float32), (3, torch.float64)):
        whole = distinct(n, dim, dtype)

        def check(ranks, whole=whole):
            mine, first = shares(whole, ranks)
            found = is_that_of_one_process(whole, mine, ranks)
            brings(found, whole, mine, first)

        on_threads(size, check)


@pytest.mark.parametrize("size", SHARES)
def test_points_of_all_magnitudes(size, monkeypatch):
    """Of both signs, in many rounds, down to single bits of the floats."""
    for name, number in (("FEW", 0), ("BUCKETS", 3)):
        monkeypatch.setattr(selection, name, number)
    monkeypatch.setattr(shared_cuts, "FEW", 0)
    whole = distinct(4001, 2, torch.float64)
    whole = whole.sign() * 1e-300 ** (whole.abs() / whole.abs().amax())
    on_threads(size, lambda r: is_that_of_one_process(whole, shares(whole, r)[0], r))


def test_few_points_are_told_at_once_by_many_ranks(monkeypatch):
    """Also where one rank has all, of which each border between two others is a list to search."""
    monkeypatch.setattr(Told, "longest", 0)
    monkeypatch.setattr(shared_cuts, "FEW", 0)
    whole = distinct(30_000, 3, torch.float32)
    on_threads(16, lambda r: Placing(whole if r.rank == 15 else whole[:0], r, SIZE, GROUP))
    assert 0 < Told.longest <= 2 * selection.FEW


@pytest.mark.parametrize("few", [0, 4096])
def test_sides_are_compared_as_one_process_does(few, monkeypatch):
    """In double precision on a CPU: in single precision these two are as long."""
    monkeypatch.setattr(shared_cuts, "FEW", few)
    whole = distinct(2000, 2, torch.float32)
    whole = whole - whole.amin(0) + torch.tensor([1.0, 0.0])
    whole[whole.argmax(0), [0, 1]] = 2.0**25
    sides = whole.amax(0) - whole.amin(0)
    assert sides[0] == sides[1] and whole.amin(0).tolist() == [1, 0]
    on_threads(3, lambda r: is_that_of_one_process(whole, shares(whole, r)[0], r))


@pytest.mark.parametrize("few", [0, 4096])
@pytest.mark.parametrize("size", SHARES)
def test_ties_go_by_rank_and_row(size, few, monkeypatch):
    """On a line, where zeros of both signs are equal: from block to block values do not fall, nor numbers of equal ones
    from rank to rank."""
    monkeypatch.setattr(shared_cuts, "FEW", few)
    random = torch.randint(-2, 3, (6007, 1), generator=torch.Generator().manual_seed(0)) / 2
    whole = torch.where(random.abs() < 1, random * 0, random).float()
    assert whole.signbit().logical_and(whole == 0).any()

    def check(ranks):
        found = Placing(shares(whole, ranks)[0], ranks, SIZE, GROUP)
        numbers = ranks.rows(found.numbers)
        assert torch.equal(numbers.sort()[0], torch.arange(6007))
        blocks = whole[numbers, 0].split(SIZE)
        for lower, upper in pairwise(blocks):
            assert lower.amax() <= upper.amin()
        owners = torch.arange(ranks.size).repeat_interleave(
            torch.tensor(ranks.told(len(found.numbers)))
        )
        for value in (-1, 0, 1):
            equal = whole[numbers, 0] == value
            by_number = owners[equal][numbers[equal].argsort()]
            assert (by_number.diff() >= 0).all()

    on_threads(size, check)


@pytest.mark.parametrize("size", [1, 3])
def test_on_a_device(size):
    """By torch alone, where no numbers of single points come to the host."""
    whole = distinct(7001, 3, torch.float32)

    def check(ranks):
        mine, _ = shares(whole, ranks)
        here = Placing(mine, ranks, SIZE, GROUP)
        with Elsewhere():
            there = Placing(There(mine), ranks, SIZE, GROUP)
            brought = there.bring(There(mine))
        assert isinstance(there.points, There) and torch.equal(there.points.inner, here.points)
        assert torch.equal(there.numbers.inner, here.numbers)
        assert torch.equal(brought.inner, here.points)

    on_threads(size, check)
