"""What the engine refuses, when it is chosen, and that it asks its device for nothing."""

import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sparseot as so
from sparseot import kernels
from sparseot.engines import choose
from sparseot.engines.choose import choose_engine, load
from sparseot.engines.triton import engine
from sparseot.formulas import Opaque, ground_cost
from sparseot.graphs.search import methods
from tests.transport.test_synchronisations import moved, softmins, started

THERE = SimpleNamespace(device=torch.device("cuda"), shape=(1, 10, 3), dtype=torch.float32)


@pytest.fixture
def card(monkeypatch):
    """As if there were one, of a capability that a test may set."""
    has = SimpleNamespace(capability=(9, 0), triton=True)
    monkeypatch.setattr(choose, "_said", set())
    monkeypatch.setattr(engine, "find_spec", lambda name: has.triton or None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: has.capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some card")
    return has


def test_auto_takes_it_on_cuda(card):
    found, why = choose_engine("auto", kernels.Gaussian(1.0), THERE)
    assert (found.name, why) == ("triton", "points on cuda")
    assert choose_engine("auto", Opaque(lambda x, y: x), THERE)[0].name == "tiles"


@pytest.mark.parametrize(
    ("triton", "capability", "why"),
    [(False, (9, 0), "Triton is not installed"), (True, (7, 5), "compute capability 7.5, below 8.0")],
)  # fmt: skip
def test_where_it_cannot_run_tiles_do_which_is_said_once(card, triton, capability, why):
    card.triton, card.capability = triton, capability
    with pytest.warns(RuntimeWarning, match=why):
        found, reason = choose_engine("auto", kernels.Gaussian(1.0), THERE)
    assert found.name == "tiles" and why in reason
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choose_engine("auto", kernels.Laplacian(1.0), THERE)
    with pytest.raises(ValueError, match=why):
        choose_engine("triton", kernels.Gaussian(1.0), THERE)


@pytest.mark.parametrize(
    ("triton", "capability"), [(True, (9, 0)), (False, (9, 0)), (True, (7, 5))]
)
def test_kept_pairs_and_neighbours_have_kernels_where_they_run(card, triton, capability):
    """Elsewhere torch has them, on the device; more coordinates or neighbours than registers hold, too."""
    card.triton, card.capability = triton, capability
    usual = "triton" if triton and capability >= (8, 0) else "tiles"
    assert choose.loops_for("auto", THERE.device) == usual
    for dim, k, expected in ((3, 10, usual), (16, 64, usual), (17, 10, "tiles"), (3, 65, "tiles")):
        x = SimpleNamespace(device=THERE.device, shape=(100, dim))
        assert methods._resolve("auto", x, x, k) == expected


def test_refusals_name_another_engine():
    x = torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match='on cpu, .* CUDA devices; use engine="tiles"'):
        choose_engine("triton", kernels.Gaussian(1.0), x)
    with pytest.raises(ValueError, match='know whole powers of the distance; leave engine="auto"'):
        choose_engine("triton", Opaque(lambda x, y: x), x)
    with pytest.raises(ValueError, match='\'bfloat16\', wanted "float32" or "float16"'):
        load("triton", precision="bfloat16")
    assert repr(load("triton", precision="float16")) == "<engine triton, float16>"


def test_kernels_run_on_the_device_of_their_tensors(monkeypatch):
    """Whichever is the current one, which it is again afterwards."""
    pytest.importorskip("triton")
    from sparseot.engines.triton.card import launches

    current, runs = [0], []

    @contextmanager
    def switched(device):
        current.append(device.index)
        yield
        current.pop()

    class Kernel:
        def __getitem__(self, grid):
            return lambda *args, **options: runs.append((grid, current[-1]))

    monkeypatch.setattr(torch.cuda, "device", switched)
    there = SimpleNamespace(device=torch.device("cuda:3"))
    launches.launch(Kernel(), (1, 2), 4, there)
    assert runs == [((1, 2), 3)] and current == [0]


class Launches(TorchDispatchMode):
    """What a card would be asked to run: operators that compute, not those that look at memory anew."""

    FREE = {
        "detach",
        "alias",
        "empty",
        "empty_like",
        "new_empty",
        "empty_strided",
        "new_empty_strided",
    }

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if not (func.is_view or name in self.FREE or name.startswith("_unsafe_view")):
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def test_a_step_of_a_schedule_is_a_handful_of_launches(monkeypatch):
    """Clouds of equal size are one batch: a kernel and five operators for all four potentials, unless they are small."""
    pytest.importorskip("triton")
    from sparseot.engines.triton import small
    from sparseot.engines.triton.card import launches

    runs, counts = [], []

    def note(kernel, grid, warps, out, *rest, **switches):
        runs.append(kernel)
        out.zero_()

    monkeypatch.setattr(launches, "launch", note)
    monkeypatch.setattr(engine, "unfit", lambda device: None)
    x, y = torch.rand(2, 30, 3), torch.rand(2, 30, 3)
    monkeypatch.setattr(small, "MOST", 0)
    for scaling in (0.5, 0.25):
        runs.clear()
        with Launches() as launches:
            so.SamplesLoss(blur=0.01, diameter=1.0, scaling=scaling, backend="triton")(x, y)
        counts.append((len(runs), len(launches.names)))
    (many, all_many), (few, all_few) = counts
    assert (many, few) == (11, 8)
    assert all_many - all_few <= 6 * (many - few)  # zero_ of the stand-in stands for the kernel


def test_the_schedule_of_small_clouds_is_two_launches(monkeypatch):
    """However many steps it has: all but the last, and that one, which brings the gradient."""
    pytest.importorskip("triton")
    from sparseot.engines.triton import reductions, small
    from sparseot.engines.triton.card import launches

    runs, counts = [], []

    def note(kernel, grid, warps, out, *rest, **switches):
        runs.append((kernel, grid))
        out.zero_()

    monkeypatch.setattr(launches, "launch", note)
    monkeypatch.setattr(engine, "unfit", lambda device: None)
    x, y = torch.rand(2, 30, 3), torch.rand(2, 30, 3)
    for scaling in (0.5, 0.25):
        runs.clear()
        with Launches() as launches:
            so.SamplesLoss(blur=0.01, diameter=1.0, scaling=scaling, backend="triton")(x, y)
        assert [kernel for kernel, _ in runs] == [small.schedule, reductions.kernels.log_sums]
        assert runs[0][1] == (6,)  # a program for each of three problems of two items
        counts.append(len(launches.names))
    assert counts[0] == counts[1]


def test_a_small_schedule_reads_no_number(monkeypatch):
    """On tensors that have none; large clouds go step by step."""
    pytest.importorskip("triton")
    from sparseot.engines.triton.card import launches

    runs = []
    monkeypatch.setattr(launches, "launch", lambda kernel, grid, *rest, **kind: runs.append(grid))
    monkeypatch.setitem(launches.PROGRAMS, "meta", 264)
    for count, dim, power, expected in (
        (500, 3, 2, 1),
        (500, 64, 1, 1),
        (500, 64, 2, 1),
        (600, 3, 2, 0),
    ):
        x = torch.empty(2, count, dim, device="meta")
        times, places = torch.empty(5, 2, device="meta"), torch.empty(2, device="meta").long()
        sums = load("triton").bind(x, x)
        task = times, times, places, x[..., 0], places[:1], places
        found = sums.annealed(ground_cost(power), *task)
        assert len(runs) == expected and (found is not None) == bool(expected)
        runs.clear()


@pytest.mark.parametrize(
    ("count", "items", "programs", "expected"),
    [
        (512, 2, 1, True),  # as long as launches
        (513, 2, 1, False),
        (724, 1, 1, True),  # a cloud and itself takes half of that
        (2000, 256, 192, True),  # 64 debiased pairs: two softmins for each of 132 multiprocessors
        (2049, 256, 192, False),
        (2000, 128, 64, False),  # 64 pairs leave half of them idle
        (2000, 264, 132, True),
        (2000, 266, 133, False),  # one pair is left for a second turn
    ],
)
def test_which_schedules_are_one_kernel(monkeypatch, count, items, programs, expected):
    """Where it takes no longer than kernels of one step, by the pairs of each multiprocessor."""
    pytest.importorskip("triton")
    from sparseot.engines.triton import small
    from sparseot.engines.triton.card import launches

    monkeypatch.setitem(launches.PROGRAMS, "meta", 264)
    device = torch.device("meta")
    assert small.fits(count, items, programs, device) == expected
    assert load("triton").pads(count, items, programs, device) == (
        expected or items * count**2 <= 1 << 25
    )


@pytest.mark.parametrize(("small_ones", "many"), [(True, 2), (False, 11)])
def test_clouds_of_different_sizes_are_one_batch(monkeypatch, small_ones, many):
    """In one kernel, or step by step; with the shapes that were given."""
    pytest.importorskip("triton")
    from sparseot.engines.triton import small
    from sparseot.engines.triton.card import launches

    runs = []

    def note(kernel, grid, warps, out, *rest, **switches):
        runs.append(kernel)
        out.zero_()

    monkeypatch.setattr(launches, "launch", note)
    monkeypatch.setattr(engine, "unfit", lambda device: None)
    monkeypatch.setattr(small, "MOST", 2048 if small_ones else 0)
    loss = so.SamplesLoss(blur=0.01, diameter=1.0, potentials=True, backend="triton")
    f, g = loss(torch.rand(2, 30, 3), torch.rand(2, 20, 3))
    assert f.shape == (2, 30) and g.shape == (2, 20)
    assert len(runs) == many


@pytest.mark.parametrize("dim", [3, 64])
def test_no_number_is_read_from_the_device(monkeypatch, dim):
    """On tensors that have none: clouds, scalings and results stay where they are."""
    pytest.importorskip("triton")
    from sparseot.engines.triton.card import launches

    runs = []
    monkeypatch.setattr(launches, "launch", lambda kernel, grid, *rest, **kind: runs.append(grid))
    monkeypatch.setitem(launches.PROGRAMS, "meta", 264)
    x, y = (torch.empty(2, n, dim, device="meta") for n in (100, 70))
    row, col = x[..., 0], y[..., 0]
    sums = load("triton").bind(x, y)
    for p in (1, 2):
        found, sound = sums.guessed(ground_cost(p), x[:, 0, 0], col, row)
        assert found.shape == (2, 100) and sound is None
    found = sums.sum(kernels.Gaussian(1.0), y, row, col)
    assert found.shape == (2, 100, dim) and found.device.type == "meta"
    assert len(runs) == 3


@pytest.mark.parametrize("young", [True, False])
def test_half_steps_over_kept_pairs_read_no_number(monkeypatch, young):
    """Neither the first ones, which look for the largest sum of each tile, nor those after."""
    pytest.importorskip("triton")
    from sparseot.engines.triton.card import launches

    runs = []
    monkeypatch.setattr(launches, "launch", lambda kernel, grid, *rest, **kind: runs.append(kind))
    given = softmins("kept pairs", None)
    f, g = started(given)
    assert given.masses  # are read once
    given.build(f, g)
    given.loops, given.age = choose.tile_loops("triton"), 2 if young else 9
    with torch.no_grad():
        there = moved(given)
        f, g = (torch.empty(len(h), dtype=h.dtype, device="meta") for h in (f, g))
        for side in (0, 1, 0):
            step = there.step(side, *((g, f) if side else (f, g)), look=False)
            assert all(t.device.type == "meta" for t in (step.value, step.error, step.sound))
    last = [False, False, young]  # a trim reads those of the two half-steps before it
    assert [run["PEAKS"] for run in runs] == last
    assert len(there.loops.known) == 2
