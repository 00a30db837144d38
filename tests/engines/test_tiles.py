"""Strips of rows, shared among threads: the same sums as on one, and torch's own threads asleep."""

import itertools
import threading

import pytest
import torch

from sparseot import kernels
from sparseot.engines import openmp, tiles
from sparseot.engines import threads as pool
from sparseot.formulas import Opaque, ground_cost

SIZES = [(1, 50, 40), (1, 7, 90), (5, 12, 9), (2, 30, 30)]


@pytest.fixture(autouse=True)
def three(monkeypatch):
    """Three threads for work of any size, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setattr(openmp, "available_cpus", lambda: 8)
    monkeypatch.setattr(pool, "PAIRS", 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def strips(monkeypatch):
    """Of each strip its thread, and how many torch had there."""
    seen, share = [], tiles.share

    def watched(loop, ends):
        ready = threading.Barrier(min(3, len(ends) - 1))

        def noted(lo, hi):
            if lo < ready.parties:
                ready.wait(60)  # so that no thread takes the work of the others
            seen.append((threading.get_ident(), torch.get_num_threads()))
            loop(lo, hi)

        share(noted, ends)

    monkeypatch.setattr(tiles, "share", watched)
    return seen


def clouds(items, rows, cols):
    x, y = torch.randn(items, rows, 25).double(), torch.randn(items, cols, 25).double()
    return x, y, torch.randn(items, cols, 3).double(), torch.randn(items, cols).double()


def sums_of(sums, x, v, col):
    eps = torch.linspace(1, 2, len(x)).double()
    row = -torch.ones(x.shape[:2]).double()
    return (
        sums.sum(kernels.Gaussian(3.0), v),
        sums.sum(kernels.Laplacian(3.0), v, row, col),
        sums.logsumexp(ground_cost(2), eps, col),
        sums.logsumexp(ground_cost(1), eps, col, 300 + row),  # a guess so bad that maxima are taken
    )


@pytest.mark.parametrize("entries", [None, 200])
@pytest.mark.parametrize("sizes", SIZES)
def test_strips_of_several_threads_are_those_of_one(strips, sizes, entries):
    x, y, v, col = clouds(*sizes)
    shared = sums_of(tiles.Tiles(entries).bind(x, y), x, v, col)
    assert len({thread for thread, _ in strips}) == 3
    assert {count for _, count in strips} == {1}
    torch.set_num_threads(1)
    alone = sums_of(tiles.Tiles(entries).bind(x, y), x, v, col)
    for one, other in zip(shared, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_small_problems_are_one_tile(strips, monkeypatch):
    monkeypatch.setattr(pool, "PAIRS", 1 << 18)
    x, y, v, col = clouds(2, 30, 30)
    sums_of(tiles.Tiles().bind(x, y), x, v, col)
    assert {thread for thread, _ in strips} == {threading.get_ident()}


def test_strips_of_other_threads_build_no_graph(strips):
    x, y, v, col = clouds(1, 50, 40)
    x.requires_grad_()
    with torch.no_grad():  # as in the forward pass of a function
        found = sums_of(tiles.Tiles().bind(x, y), x, v, col)
    assert not any(t.requires_grad for t in found)
    with torch.inference_mode():
        inferred = sums_of(tiles.Tiles().bind(x, y), x, v, col)
    assert len({thread for thread, _ in strips}) == 3
    for one, other in zip(found, inferred, strict=True):
        assert torch.equal(one, other)


def test_python_functions_are_called_by_the_callers_thread():
    seen = []

    def cost(x, y):
        seen.append(threading.get_ident())
        return torch.cdist(x, y)

    x, y, _, col = clouds(1, 50, 40)
    tiles.Tiles(200).bind(x, y).logsumexp(Opaque(cost), torch.ones(1).double(), col)
    assert len(seen) > 1 and set(seen) == {threading.get_ident()}


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_a_tiling_is_within_its_room_and_gives_each_thread_as_much(threads):
    numbers = (1, 3, 64, 1000)
    for items, rows, cols, entries in itertools.product(numbers, numbers, numbers, (100, 2**20)):
        together, height, width = pool.tiling(items, rows, cols, entries, threads)
        assert 1 <= together <= items and 1 <= height <= rows and 1 <= width <= cols
        assert together * height * width <= max(entries, together)
        strips = -(-items // together) * -(-rows // height)
        assert strips >= min(threads, max(items, rows))
