"""Recordings of a schedule, by a stand-in for CUDA graphs; see stand_in.py."""

import threading
from dataclasses import dataclass

import pytest
import torch

from sparseot.engines.base import Engine, Reductions
from sparseot.engines.choose import load
from sparseot.engines.triton.card import replays
from sparseot.engines.triton.card.replays import AFTER, CHECKED, Recordings
from sparseot.formulas import ground_cost
from sparseot.points import Points
from sparseot.transport.marginals import marginals
from sparseot.transport.problem import Problem
from sparseot.transport.solvers.annealing import AveragedAnnealing, _Steps
from tests.engines.triton.card.stand_in import Stand
from tests.references.clouds import cloud
from tests.references.dense import squared_distances


class Dense(Engine):
    """Whole matrices, without a look at a number."""

    name = "dense"

    def refuses(self, formula, x, pairs=None):
        return None

    def bind(self, x, y, pairs=None):
        return DenseSums(x, y)


class DenseSums(Reductions):
    def __init__(self, x, y):
        self.squares = squared_distances(x, y)

    def sum(self, kernel, v, row=None, col=None):
        raise AssertionError("no sum is taken")

    def logsumexp(self, cost, eps, col, guess=None):
        entries = col[:, None] - cost.factor * self.squares / eps[:, None, None]
        return entries.logsumexp(-1)


STEPS = _Steps(Dense(), ground_cost(2), together=False, own=False)


def task(seed=0, n=12, dtype=torch.float64):
    """The arguments of STEPS, other numbers for each seed: two items and their mirror images."""
    torch.manual_seed(seed)
    x, weights = torch.rand(4, n, 2, dtype=dtype), torch.rand(4, n, dtype=dtype) + 0.1
    eps = torch.rand(5, 4, 1, dtype=dtype).add(0.1).sort(0, descending=True)[0]
    start = torch.randint(0, 3, (4, 1))
    holders = torch.arange(4).roll(2)
    return x.index_select(0, holders), x, weights.log(), eps, -eps, start, holders


@pytest.fixture
def stand():
    return Stand()


@torch.no_grad()
def test_a_schedule_is_recorded_once_and_replayed(stand):
    """With other numbers at each call; what was answered is not written to again."""
    recordings, found = Recordings(stand), []
    for seed in range(7):
        given = task(seed)
        found.append(recordings.run(STEPS, given))
        for t in given:
            t.zero_()  # by whoever owns them
    assert all(answer is None for answer in found[:AFTER])
    for seed, answer in enumerate(found[AFTER:], AFTER):
        assert torch.equal(answer, STEPS(*task(seed)))
    assert stand.recorded == 1 and stand.replayed == 7 - AFTER


@torch.no_grad()
def test_after_the_first_answers_no_step_is_taken_one_by_one(stand):
    calls = []

    def steps(*tensors):
        calls.append(0)
        return STEPS(*tensors)

    recordings = Recordings(stand)
    for seed in range(12):
        recordings.run(steps, task(seed))
    assert len(calls) == 2 + CHECKED  # once to compile, once to be recorded


@torch.no_grad()
def test_each_shape_has_its_own_and_the_oldest_is_left_out(stand):
    """After a wait for whatever still reads its memory."""
    recordings = Recordings(stand, kept=2)

    def often(**kind):
        for seed in range(AFTER + 1):
            found = recordings.run(STEPS, task(seed, **kind))
        assert torch.equal(found, STEPS(*task(seed, **kind)))

    often(n=5)
    often(n=6)
    often(n=5)
    assert stand.recorded == 2 and len(recordings.known) == 2
    assert not any("waits" in line for line in stand.log)
    often(n=6, dtype=torch.float32)  # the one of 6 points was not replayed for longest
    assert stand.recorded == 3 and len(recordings.known) == 2
    assert sum("waits" in line for line in stand.log) == 1
    often(n=5)
    assert stand.recorded == 3
    other = _Steps(STEPS.engine, ground_cost(1), together=False, own=False)
    for seed in range(AFTER + 1):
        recordings.run(other, task(seed, n=5))
    assert stand.recorded == 4


@torch.no_grad()
def test_equal_tasks_are_one(stand):
    """Each loss makes them anew; engines of equal options are equal."""
    assert load("triton") == load("triton") and load("triton") != load(
        "triton", precision="float16"
    )
    assert len({load("triton"), load("triton")}) == 1
    one, other = (_Steps(load("triton"), ground_cost(2), True, False) for _ in range(2))
    assert one == other and hash(one) == hash(other)
    assert one != _Steps(load("triton"), ground_cost(2), False, False)


@torch.no_grad()
def test_large_steps_are_not_recorded_and_none_where_that_is_asked_for(monkeypatch, stand):
    monkeypatch.setattr(replays, "RECORDINGS", Recordings(stand))
    for kind, count, expected in (({}, 8, 1), ({"recorded": False}, 8, 0), ({}, 9000, 0)):
        x = torch.zeros(1, 1, 2).expand(1, count, 2)
        stand.recorded = 0
        replays.RECORDINGS.known.clear()
        for _ in range(AFTER + 2):
            load("triton", **kind).repeated(difference, x, x)
        assert stand.recorded == expected


def difference(x, y):
    return x - y


@torch.no_grad()
def test_tasks_that_rarely_come_are_forgotten(monkeypatch, stand):
    monkeypatch.setattr(replays, "COUNTED", 3)
    recordings = Recordings(stand)
    for _ in range(4):
        for n in range(2, 7):
            assert recordings.run(STEPS, task(n=n)) is None
    assert len(recordings.calls) == 3


def failing(stand, kind):
    """Steps of which no recording may be used, and what is said of them."""
    if kind == "refused":
        stand.record = lambda run, device: 1 / 0
        return STEPS, "ZeroDivisionError"
    if kind == "read":
        return lambda *given: STEPS(*given) * given[0].sum().item(), "not permitted when stream"
    outside = []

    def stale(*given):  # a number that is not in a tensor of the task
        outside.append(0)
        return STEPS(*given) + len(outside)

    return stale, "other numbers"


@torch.no_grad()
@pytest.mark.parametrize("kind", ["refused", "read", "stale"])
def test_what_cannot_be_recorded_is_taken_step_by_step(stand, kind):
    """Which is said once, and nothing is recorded from then on."""
    steps, why = failing(stand, kind)
    recordings = Recordings(stand)
    for seed in range(AFTER):
        assert recordings.run(steps, task(seed)) is None
    with pytest.warns(RuntimeWarning, match=f"not recorded as CUDA graphs, .*{why}"):
        assert recordings.run(steps, task(9)) is None
    for seed in range(5):
        assert recordings.run(steps, task(seed)) is None
        assert recordings.run(STEPS, task(seed)) is None
    assert not recordings.known and stand.recorded <= 1


@torch.no_grad()
def test_nothing_is_recorded_within_another_recording(stand):
    recordings = Recordings(stand)
    for seed in range(4):
        recordings.run(STEPS, task(seed))
    stand.free, replayed = False, stand.replayed
    assert recordings.run(STEPS, task()) is None and stand.replayed == replayed
    stand.free = True
    assert recordings.run(STEPS, task()) is not None


@torch.no_grad()
def test_streams_wait_for_the_call_before(stand):
    """All calls share the tensors of a graph, whichever the stream."""
    recordings = Recordings(stand)
    for seed in range(AFTER + 2):
        recordings.run(STEPS, task(seed))
    assert stand.log == ["mark", "after 1", "replay", "mark", "after 4", "replay", "mark"]


@pytest.mark.parametrize("first", [torch.inference_mode, torch.no_grad])
def test_inference_mode(stand, first):
    """A recording made there serves outside, and the other way round."""
    recordings = Recordings(stand)
    other = torch.no_grad if first is torch.inference_mode else torch.inference_mode
    for seed, mode in enumerate([first] * (AFTER + 2) + [other, first, other]):
        with mode():
            found = recordings.run(STEPS, task(seed))
            assert found is None or torch.equal(found, STEPS(*task(seed)))
            assert found is None or found.is_inference() == (mode is torch.inference_mode)
    assert stand.recorded == 1 and recordings.why_not is None


def test_threads_take_turns(stand):
    recordings, wrong = Recordings(stand), []
    tasks = [task(seed) for seed in range(5)]

    @torch.no_grad()
    def work(first):
        for seed in range(first, first + 8):
            found = recordings.run(STEPS, tasks[seed % 5])
            if found is not None and not torch.equal(found, STEPS(*tasks[seed % 5])):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and stand.recorded == 1 and stand.replayed == 4 * 8 - AFTER


@dataclass
class Recorded(Dense):
    """The engine whose schedules are recorded."""

    recordings: Recordings

    def repeated(self, steps, x, y, *tensors):
        return self.recordings.run(steps, (x, y, *tensors))

    def __hash__(self):
        return id(self)


@torch.no_grad()
@pytest.mark.parametrize("reach", [None, 0.5])
def test_the_solver_takes_what_was_recorded(stand, reach):
    """Two problems that change from step to step, as in training; the cloud with itself among them."""
    solver, recorded = AveragedAnnealing(diameter=1.5), Recorded(Recordings(stand))
    for seed in range(6):
        torch.manual_seed(seed)
        (x, a), (y, b) = cloud(15, 2), cloud(15, 2, shift=0.1 * seed)
        source, target = Points(x[None], a[None]), Points(y[None], b[None])
        answers = []
        for engine in (Dense(), recorded):
            rest = ground_cost(2), marginals(reach, 2), 2, 0.1, engine
            both = Problem(source, target, *rest)
            found = solver.solve_all([both, both.own(source)], [None, None])
            answers.append([t for one in found for t in (one.f, one.g, one.f_prev, one.g_prev)])
        for one, other in zip(*answers, strict=True):
            assert torch.equal(one, other)
    assert stand.recorded == 1 and stand.replayed == 6 - AFTER
