"""How often a sweep waits for its device, and that it stays there: told without one at hand."""

import copy
import threading

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sparseot as so
from sparseot.engines.choose import load
from sparseot.formulas import ground_cost
from sparseot.points import Points
from sparseot.transport.marginals import marginals
from sparseot.transport.problem import Problem
from sparseot.transport.pruned.blocks.clouds import BlockCloud
from sparseot.transport.pruned.softmins import PrunedSoftmins
from sparseot.transport.softmins import Softmins
from sparseot.transport.solvers import relaxation
from sparseot.transport.solvers.all_pairs import DenseSoftmins
from tests.references.clouds import cloud

REACHES = [None, 0.4]
KINDS = ["all pairs", "kept pairs"]
WAITS = {  # operators whose result, or whose shape, is a number that the host must know
    "_local_scalar_dense", "nonzero", "masked_select", "bincount", "equal", "is_nonzero",
    "unique_dim", "_unique2", "repeat_interleave",
}  # fmt: skip


class Reads(TorchDispatchMode):
    """Counts what would wait for a device, whatever the device is."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.count = 0
        for name in ("tolist", "numpy", "cpu"):
            monkeypatch.setattr(torch.Tensor, name, self.counted(getattr(torch.Tensor, name)))

    def counted(self, method):
        def read(*args, **kwargs):
            self.count += 1
            return method(*args, **kwargs)

        return read

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        known = name == "repeat_interleave" and kwargs.get("output_size") is not None
        by_truth = name in ("index", "index_put", "index_put_") and any(
            t is not None and t.dtype == torch.bool for t in args[1]
        )
        self.count += (name in WAITS and not known) or by_truth
        return func(*args, **kwargs)


def softmins(kind, reach, n=300):
    torch.manual_seed(0)
    (x, a), (y, b) = cloud(n, 2), cloud(n - 50, 2, shift=0.3)
    penalty = marginals(reach, 2)
    if kind == "kept pairs":
        clouds = BlockCloud(x, a), BlockCloud(y, b)
        rest = 0.1**2, 1e-3, torch.float64, "tiles"
        return PrunedSoftmins(*clouds, ground_cost(2), penalty, *rest)
    source, target = Points(x[None], a[None]), Points(y[None], b[None])
    return DenseSoftmins(Problem(source, target, ground_cost(2), penalty, 2, 0.1, load("tiles")))


def started(given):
    return [torch.zeros_like(given.a), torch.zeros_like(given.b)]


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_synchronises_once(monkeypatch, kind, reach):
    """And so does a trial pair; while tiles are chosen and trimmed there is more to know."""
    monkeypatch.setattr(Softmins, "ahead", True)
    given, told = softmins(kind, reach), []
    state = started(given)
    assert given.masses  # are read once

    def watch(error):
        told.append((reads.count, getattr(given, "builds", 0)))

    with Reads(monkeypatch) as reads:
        relaxation.relaxed_sweeps(given, state, 1e-14, 30, 0.9, watch)
        counts, builds = torch.tensor(told).T
        settled = builds[5:] == builds[:-5]  # some half-steps after they were chosen
        assert settled.sum() > 8 and (counts.diff()[4:][settled] == 1).all()
        before = reads.count
        relaxation.close(given, *state, 0.0, pair=True)
    assert reads.count == before + 1


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("kind", KINDS)
def test_half_steps_that_were_not_sound_are_taken_again(monkeypatch, kind, reach):
    """From potentials that rise by hundreds of temperatures: the same numbers, and not by chance."""
    found, looks = [], []
    step = DenseSoftmins.step if kind == "all pairs" else PrunedSoftmins.step

    def watched(self, *args, look=True):
        looks.append(look)
        return step(self, *args, look=look)

    owner = DenseSoftmins if kind == "all pairs" else PrunedSoftmins
    monkeypatch.setattr(owner, "step", watched)
    for ahead in (False, True):
        monkeypatch.setattr(Softmins, "ahead", ahead)
        given = softmins(kind, reach)
        given.eps = given.eps if kind == "kept pairs" else 1e-4
        state = [h - 3.0 for h in started(given)]
        found.append(relaxation.alternate(given, *state, tol=1e-3, budget=60, rho2=0.9))
    assert True in looks[looks.index(False) :] and False in looks
    one, other = found
    assert one.sweeps == other.sweeps and one.error == pytest.approx(other.error, rel=1e-3)
    torch.testing.assert_close(one.f, other.f, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(one.g, other.g, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("engine", ["tiles", "numba"])
def test_a_solve_that_runs_ahead_gives_the_same(monkeypatch, engine):
    """Divergences too, with their clouds and themselves."""
    (x, a), (y, b) = cloud(500, 2), cloud(400, 2, shift=0.3)
    solver, values = so.Sinkhorn(multilevel=True, engine=engine), []
    for ahead in (False, True):
        monkeypatch.setattr(Softmins, "ahead", ahead)
        values.append(so.sinkhorn_divergence(x, y, a, b, blur=0.05, tol=1e-4, solver=solver))
    torch.testing.assert_close(*values, rtol=1e-6, atol=0)


def moved(what, known=None):
    """A copy of an object whose tensors are on a device where no number can be read."""
    known = {} if known is None else known
    if id(what) in known:
        return known[id(what)]
    if isinstance(what, torch.Tensor):
        new = torch.empty(what.shape, dtype=what.dtype, device="meta")
    elif isinstance(what, list | tuple) and not hasattr(what, "_fields"):
        new = type(what)(moved(t, known) for t in what)
    elif isinstance(what, threading.local):
        new = threading.local()  # room for tiles
    elif isinstance(what, dict):
        new = {key: moved(value, known) for key, value in what.items()}
    elif hasattr(what, "_fields"):
        new = type(what)(*(moved(t, known) for t in what))
    elif hasattr(what, "__dict__") and type(what).__module__.startswith("sparseot"):
        new = known[id(what)] = copy.copy(what)
        for name, value in vars(what).items():
            object.__setattr__(new, name, moved(value, known))
    else:
        new = what
    known[id(what)] = new
    return new


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_stays_on_its_device(kind, reach):
    """No tensor of the host enters, and nothing is read, before what the sweep tells."""
    given = softmins(kind, reach)
    state = started(given)
    found = relaxation.alternate(given, *state, tol=1e-3, budget=20, rho2=0.9)
    given.step(1, found.g, found.f)
    with torch.no_grad():
        there = moved(given)
        f, g = (torch.empty(len(h), dtype=h.dtype, device="meta") for h in (found.f, found.g))
        numbers = []

        def told(run):
            result, some = run(lambda *args: there.step(*args, look=False))
            numbers.extend(some)
            return result, [1.0] * len(some)

        there.told = told
        (g, f), _ = relaxation._sweep(there, f, g, 1.5)
        outcome = relaxation.close(there, f, g, 0.0, pair=True)
        move = there.shift(f, g)
        assert (move is None) == (reach is None)
        for t in (outcome.f, outcome.g, *numbers):
            assert t.device.type == "meta"
        with pytest.raises(RuntimeError):
            numbers[0].item()


@pytest.mark.parametrize(
    ("engine", "multilevel", "why"),
    [
        ("tiles", True, None),
        ("auto", True, None),
        ("auto", None, "points on meta"),
        ("tiles", None, "points on meta"),
    ],
)
def test_where_kept_pairs_are_visited_on_other_devices(engine, multilevel, why):
    """By torch, for whoever asks; compiled loops are refused."""
    points = Points(torch.empty(1, 5000, 3, device="meta"), torch.empty(1, 5000, device="meta"))
    task = Problem(points, points, ground_cost(2), marginals(None, 2), 2, 0.1, load("tiles"))
    assert so.Sinkhorn(engine=engine, multilevel=multilevel).all_pairs(task) == why
    with pytest.raises(ValueError, match="points on meta"):
        so.Sinkhorn(engine="numba", multilevel=True).all_pairs(task)


@pytest.mark.gpu
def test_kept_pairs_on_a_cuda_device():
    """Values, gradients, maps and intervals of the CPU."""
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        (x, a), (y, b) = cloud(3000, 3, device=device), cloud(2500, 3, device=device, shift=0.2)
        x.requires_grad_()
        solver = so.Sinkhorn(multilevel=True, engine="tiles")
        one = so.solve_sample(x, y, a, b, blur=0.05, debias=True, solver=solver)
        (gradient,) = torch.autograd.grad(one.value, x)
        found.append((one.value.detach(), gradient, one.map(), one.map(x.detach() + 0.01)))
        assert one.lower <= one.value <= one.upper
        assert one.sparse_plan(3).nnz == 9000
    for here, there in zip(*found, strict=True):
        assert there.device.type == "cuda"
        torch.testing.assert_close(here, there.cpu(), rtol=1e-4, atol=1e-8)
