"""Which tile is the fastest, by a clock that says what it is told."""

import json
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from sparseot import kernels
from sparseot.engines.triton import engine
from sparseot.engines.triton.engine import Triton
from sparseot.formulas import ground_cost
from sparseot.pairs import Blocks

pytest.importorskip("triton")

from triton.runtime.errors import OutOfResources

from sparseot.engines.triton import nearest, small
from sparseot.engines.triton.card import launches, tuning
from sparseot.engines.triton.card.tuning import CardClock, Choices, strides
from sparseot.engines.triton.shapes import Shape, candidates, shape_of

SHAPES = [Shape(64, 64, warps, 3, 3) for warps in (8, 4, 2)]
CPU = torch.device("cpu")


class Clock:
    """Instead of a card: how long each shape takes, and which were timed."""

    def __init__(self, *times):
        self.times, self.name, self.free = dict(zip(SHAPES, times, strict=True)), "a card", True
        self.timed = []

    def card(self, device):
        return self.name

    def ready(self, device):
        return self.free

    def milliseconds(self, run, device):
        shape = run()
        self.timed.append(shape)
        if self.times[shape] is None:
            raise OutOfResources(300_000, 232_448, "shared memory")
        if isinstance(self.times[shape], Exception):
            raise self.times[shape]
        return self.times[shape]


@pytest.fixture(autouse=True)
def _told_nothing(monkeypatch):
    monkeypatch.delenv("SPARSEOT_TUNED", raising=False)


def best(clock, place, kind=("sums", 2), shapes=SHAPES):
    return Choices(clock, lambda: place).best(kind, shapes, lambda s: lambda: s, CPU)


def test_the_fastest_is_taken_and_kept(tmp_path):
    """In a file, which says what was timed, and which another process reads."""
    clock = Clock(3.0, 1.0, 2.0)
    choices = Choices(clock, lambda: tmp_path / "tuned")
    for _ in range(3):
        assert choices.best(("sums", 2), SHAPES, lambda s: lambda: s, CPU) == SHAPES[1]
    assert clock.timed == SHAPES
    (path,) = (tmp_path / "tuned").iterdir()
    saved = json.loads(path.read_text())
    assert path.name.startswith("sums_") and saved["milliseconds"] == [3, 1, 2]
    assert "a card" in saved["key"] and tuning.sources() in saved["key"]
    other = Clock(0.0, 9.0, 9.0)
    assert best(other, tmp_path / "tuned") == SHAPES[1] and not other.timed


@pytest.mark.parametrize("what", ["card", "kind", "candidates", "version"])
def test_another_task_is_timed_anew(monkeypatch, tmp_path, what):
    best(Clock(3.0, 1.0, 2.0), tmp_path)
    clock, more = Clock(3.0, 2.0, 1.0), {}
    if what == "card":
        clock.name = "another card"
    elif what == "version":
        monkeypatch.setattr(tuning, "sources", lambda: "another")
    else:
        more = {"kind": ("sums", 1)} if what == "kind" else {"shapes": SHAPES[::-1]}
    assert best(clock, tmp_path, **more) == SHAPES[2] and len(clock.timed) == 3
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("text", ["", '{"key"', "[]", '{"best": [1], "key": KEY}', '{"best": [1, 2, 3, 4, 5], "key": KEY}', '{"best": BEST, "key": ""}'])  # fmt: skip
def test_files_of_no_use_are_written_anew(tmp_path, text):
    best(Clock(3.0, 1.0, 2.0), tmp_path)
    (path,) = tmp_path.iterdir()
    good = path.read_text()
    path.write_text(
        text.replace("KEY", json.dumps(json.loads(good)["key"])).replace(
            "BEST", "[64, 64, 8, 3, 3]"
        )
    )
    clock = Clock(3.0, 1.0, 2.0)
    assert best(clock, tmp_path) == SHAPES[1] and len(clock.timed) == 3
    assert path.read_text() == good


def test_a_folder_that_cannot_be_written_costs_each_process_its_times(tmp_path):
    (tmp_path / "tuned").write_text("a file in the place of the folder")
    clock = Clock(3.0, 1.0, 2.0)
    choices = Choices(clock, lambda: tmp_path / "tuned")
    for _ in range(2):
        assert choices.best(("sums",), SHAPES, lambda s: lambda: s, CPU) == SHAPES[1]
    assert len(clock.timed) == 3


def test_what_a_card_cannot_run_is_not_taken(tmp_path):
    assert best(Clock(3.0, None, 2.0), tmp_path) == SHAPES[2]
    assert '"milliseconds": [3.0, null, 2.0]' in next(tmp_path.iterdir()).read_text()
    assert best(Clock(None, None, None), tmp_path / "other") == SHAPES[0]


def test_what_went_wrong_at_this_moment_is_not_kept(tmp_path):
    """As where another process has the memory: the usual tile is taken, and all are timed later."""
    gone = torch.cuda.OutOfMemoryError("CUDA out of memory")
    clock = Clock(gone, 1.0, 2.0)
    choices = Choices(clock, lambda: tmp_path)
    task = ("sums",), SHAPES, lambda s: lambda: s, CPU
    assert choices.best(*task) == SHAPES[0] and not list(tmp_path.iterdir())
    clock.times[SHAPES[0]] = 3.0
    assert choices.best(*task) == SHAPES[1]


def test_of_processes_that_time_at_once_the_first_decides(tmp_path):
    """So that all of a machine have the same bits."""
    other = Choices(Clock(3.0, 2.0, 1.0), lambda: tmp_path)

    class Slow(Clock):
        def milliseconds(self, run, device):
            other.best(("sums",), SHAPES, lambda s: lambda: s, CPU)
            return super().milliseconds(run, device)

    choices = Choices(Slow(3.0, 1.0, 2.0), lambda: tmp_path)
    for _ in range(2):
        assert choices.best(("sums",), SHAPES, lambda s: lambda: s, CPU) == SHAPES[2]
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_is_timed_while_somebody_records(tmp_path):
    """Or compiles: the usual tile is taken, and what is known; later it is timed."""
    clock = Clock(3.0, 1.0, 2.0)
    choices = Choices(clock, lambda: tmp_path)
    task = ("sums",), SHAPES, lambda s: lambda: s, CPU
    clock.free = False
    assert choices.best(*task) == SHAPES[0] and not clock.timed and not list(tmp_path.iterdir())
    clock.free = True
    assert choices.best(*task) == SHAPES[1]
    clock.free = False
    assert choices.best(*task) == SHAPES[1] == best(clock, tmp_path, ("sums",))
    assert len(clock.timed) == 3


def test_it_can_be_turned_off_for_a_process(monkeypatch, tmp_path):
    monkeypatch.setenv("SPARSEOT_TUNED", "0")
    clock = Clock(3.0, 1.0, 2.0)
    assert best(clock, tmp_path) == SHAPES[0] and not clock.timed


def test_threads_time_once(tmp_path):
    clock = Clock(3.0, 1.0, 2.0)
    choices, found = Choices(clock, lambda: tmp_path), []
    task = ("sums",), SHAPES, lambda s: lambda: s, CPU
    threads = [threading.Thread(target=lambda: found.append(choices.best(*task))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == 8 * [SHAPES[1]] and len(clock.timed) == 3


@pytest.mark.parametrize("busy", [None, "compiles", "records", "elsewhere"])
def test_when_a_card_has_time(monkeypatch, busy):
    """And that it runs on the device of the sum."""
    log = []

    @contextmanager
    def device(which):
        log.append(which.index)
        yield
        log.append("back")

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some card")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: busy == "records")
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: busy == "compiles")
    monkeypatch.setattr(tuning, "do_bench", lambda run, **kind: log.append(run()) or 0.5)
    where = torch.device("cpu" if busy == "elsewhere" else "cuda:3")
    assert CardClock().ready(where) == (busy is None)
    if busy is None:
        assert CardClock().card(where) == "Some card"
        assert CardClock().milliseconds(lambda: "run", where) == 0.5
        assert log == [3, "back", 3, "run", "back"]


def test_triton_has_the_clock():
    """Its own, by the names that are used here; it would need a card."""
    import inspect

    names = inspect.signature(tuning.do_bench).parameters
    assert {"warmup", "rep", "return_mode"} <= set(names)


@pytest.mark.parametrize(
    ("size", "most"),
    [
        ((1, 1 << 20, 1 << 20), 1 << 32),
        ((1, 1 << 27, 100), 1 << 32),
        ((64, 10_000, 10_000), 1 << 32),
        ((3, 70_000, 10), 1 << 20),
        ((1, 100, 60), 1),
    ],
)
def test_parts_of_clouds(size, most):
    """About as many pairs as were asked for, and never more, but one."""
    items, rows, columns = (
        len(range(n)[part]) for n, part in zip(size, strides(*size, most), strict=True)
    )
    assert most / 5 <= items * rows * columns <= max(1, most)


def test_candidates_are_few_and_begin_with_the_usual_one():
    for dtype in (torch.float32, torch.float64):
        for dim in (1, 3, 6, 16, 64):
            for products in {False, dim > 6 and dtype == torch.float32}:
                for wide in (False, True):
                    usual = shape_of(dtype, dim, products, wide, False)
                    found = candidates(usual, held=products and wide)
                    assert found[0] == usual and 2 <= len(found) == len(set(found)) <= 3
                    assert candidates(usual, full=True) == [usual]
                    assert all(s.rows >= 16 and s.columns >= 16 and s.warps >= 2 for s in found)


@pytest.fixture
def sums(monkeypatch):
    """What was launched, and for which kinds a tile was chosen: always the second one."""
    log = SimpleNamespace(runs=[], kinds=[], trials=[])

    class Second:
        def best(self, kind, shapes, run, device):
            log.kinds.append(kind[0])
            log.trials.append(run(shapes[1]))
            return shapes[1]

    def note(kernel, grid, warps, *rest, **switches):
        log.runs.append((kernel.fn.__name__, switches.get("BM"), switches.get("BN"), warps))

    monkeypatch.setattr(launches, "launch", note)
    monkeypatch.setattr(tuning, "CHOICES", Second())
    monkeypatch.setitem(launches.PROGRAMS, "meta", 264)
    monkeypatch.setattr(engine, "unfit", lambda device: None)
    return log


def all_kinds(x, **options):
    bound = Triton(**options).bind(x, x)
    one, eps = x[..., 0], x[:, 0, 0]
    bound.logsumexp(ground_cost(2), eps, one)
    bound.logsumexp_slopes(ground_cost(2), eps, one, one)
    bound.sum(kernels.Gaussian(1.0), x, one, one)
    bound.sum_slopes(kernels.Gaussian(1.0), one[..., None])


def test_large_sums_take_the_tile_that_was_chosen(sums):
    """In which clouds are packed, and which is launched; a trial is of fewer pairs, and chooses nothing."""
    all_kinds(torch.empty(1, 1 << 17, 3, device="meta"))
    names = ["log_sums", "log_sums", "sums", "moved_sums"]
    assert sums.kinds == names
    assert [run[0] for run in sums.runs] == names
    assert {run[1:] for run in sums.runs} == {(32, 64, 4)}
    sums.runs.clear()
    for trial in sums.trials:
        trial()
    assert sums.kinds == names and [run[0] for run in sums.runs] == names
    assert {run[1:] for run in sums.runs} == {(32, 64, 4)}


@pytest.mark.parametrize("kind", ["small", "untuned", "of blocks"])
def test_other_sums_take_the_usual_one(sums, kind):
    """Small ones have the same bits on all cards of one kind; recorded ones are small."""
    assert engine.RECORDED < tuning.ENOUGH and small.MOST**2 < tuning.ENOUGH
    if kind == "of blocks":
        x = torch.rand(100, 3)
        pairs = Blocks(0.1, 20).between(x.numpy(), x.numpy())
        Triton().bind(x[None], x[None], pairs).sum(kernels.Gaussian(1.0), x[None])
    else:
        side = (1 << 16) - (kind == "small")
        all_kinds(torch.empty(1, side, 3, device="meta"), tuned=kind != "untuned")
    assert not sums.kinds and {run[3] for run in sums.runs} <= {8, 2}


def test_options_of_the_engine():
    assert Triton(tuned=False) != Triton() == Triton(tuned=True)


@pytest.mark.parametrize("told", ["0", "1"])
def test_the_environment_is_for_what_is_handed_no_options(monkeypatch, sums, tmp_path, told):
    """A search for neighbours asks the same clock as sums over all pairs."""
    monkeypatch.setenv("SPARSEOT_TUNED", told)
    clock = Clock(3.0, 2.0, 1.0)
    clock.milliseconds = lambda run, device: clock.timed.append(run()) or -len(clock.timed)
    monkeypatch.setattr(tuning, "CHOICES", Choices(clock, lambda: tmp_path))
    x = torch.empty(1, 1 << 17, 3, device="meta")
    Triton().bind(x, x).sum(kernels.Gaussian(1.0), x)
    nearest.nearest(x[0], x[0], 7)
    assert len(clock.timed) == {"0": 0, "1": 3 + 2}[told]
    assert sums.runs[-1][3] == {"0": 1, "1": 2}[told]  # warps: the usual number, or the last


def test_searches_of_neighbours_are_shared_by_warps(monkeypatch, sums):
    x = torch.empty(1 << 16, 3, device="meta")
    nearest.nearest(x, x, 7)
    nearest.nearest(x[:100], x, 7)
    assert sums.kinds == ["nearest"]
    assert [run[3] for run in sums.runs] == [2, 1]
    sums.trials[0]()
    assert sums.runs[-1][3] == 2
