"""Work in ranges: each done once, by no more threads than allowed, and ended by an error."""

import threading

import pytest
import torch

import sparseot as so
from sparseot.engines import threads
from sparseot.engines.loops import kept_numba, screens
from sparseot.engines.threads import even, share, share_ranges


@pytest.fixture(params=[1, 2, 3])
def workers(request, shared):
    """The number of torch's threads, for one test."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def pause():
    """A moment in which another thread could start; nothing waits for its end or measures it."""
    threading.Event().wait(0.002)


class Watched:
    """Notes its ranges, and how many run at once."""

    def __init__(self, fails_at=None, error=ValueError):
        self.lock, self.now, self.most, self.ranges = threading.Lock(), 0, 0, []
        self.fails_at, self.error = fails_at, error

    def __call__(self, lo, hi):
        with self.lock:
            self.now, self.most = self.now + 1, max(self.most, self.now + 1)
            self.ranges.append((lo, hi))
        pause()
        with self.lock:
            self.now -= 1
        if lo == self.fails_at:
            raise self.error("a range that fails")


def test_every_range_runs_once_and_no_more_at_once_than_threads(workers):
    watched = Watched()
    share(watched, even(40, 12))
    ends = even(40, 12)
    assert sorted(watched.ranges) == list(zip(ends[:-1], ends[1:], strict=True))
    assert watched.most <= workers
    watched = Watched()
    share_ranges(10, watched, 4)
    assert sorted(watched.ranges) == [(0, 4), (4, 8), (8, 10)]


def test_little_work_is_one_range_on_the_callers_thread(workers, monkeypatch):
    monkeypatch.setattr(threads, "WORTH", 1 << 22)
    share_ranges(10, watched := Watched(), 4, 1e6)
    assert watched.ranges == [(0, 10)]
    share_ranges(10, watched := Watched(), 4, 1e7)
    assert sorted(watched.ranges) == [(0, 4), (4, 8), (8, 10)]


def test_the_pool_builds_no_graph_and_takes_tensors_of_inference(workers):
    """Modes of torch belong to a thread; ours have those of the caller."""
    weight, out = torch.ones(30, requires_grad=True), torch.zeros(30)

    def double(lo, hi):
        pause()
        out[lo:hi] = 2 * weight[lo:hi]

    share(double, even(30, 10))
    assert bool((out == 2).all()) and not out.requires_grad
    with torch.inference_mode():
        out = torch.zeros(30)
        share(double, even(30, 10))
    assert bool((out == 2).all())


def test_threads_of_the_pool_let_torch_work_alone(workers):
    seen, main = set(), threading.get_ident()

    def count(lo, hi):
        pause()
        if threading.get_ident() != main:
            seen.add(torch.get_num_threads())

    share(count, even(40, 20))
    assert seen == ({1} if workers > 1 else set())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_the_others_and_reaches_the_caller(workers, error):
    watched = Watched(fails_at=0, error=error)
    with pytest.raises(error, match="a range that fails"):
        share(watched, even(1000, 200))
    assert len(watched.ranges) < 200 and watched.now == 0
    share(watched := Watched(), even(8, 4))  # the pool still works
    assert len(watched.ranges) == 4


def test_a_solve_uses_no_more_threads_than_torch(workers, monkeypatch):
    lock, running, most = threading.Lock(), [0], [0]
    screen = screens.screen_squares

    def watched(*args):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        found = screen(*args)
        pause()
        with lock:
            running[0] -= 1
        return found

    monkeypatch.setattr(screens, "screen_squares", watched)
    monkeypatch.setattr(kept_numba, "BOXES", 1)
    x, y = torch.rand(2, 2000, 2)
    so.solve_sample(x, y, blur=0.02, solver=so.Sinkhorn(multilevel=True))
    assert 0 < most[0] <= workers
