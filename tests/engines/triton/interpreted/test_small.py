"""The schedule of small clouds in one kernel, against the same steps one by one."""

import pytest
import torch

import sparseot as so
from sparseot.engines.triton import engine, small
from sparseot.engines.triton.card import launches
from sparseot.engines.triton.engine import Triton
from tests.references.clouds import cloud

TOL = {torch.float32: 1e-6, torch.float64: 1e-12}


@pytest.fixture
def runs(monkeypatch):
    """The kernels that are launched."""
    found = []
    launch = launches.launch
    monkeypatch.setattr(
        launches, "launch", lambda k, *rest, **kind: (found.append(k), launch(k, *rest, **kind))
    )  # fmt: skip
    return found


def answer(clouds, p, options):
    x, a, y, b = clouds
    x, a = x.clone().requires_grad_(), a.clone().requires_grad_()
    value = so.SamplesLoss(p=p, blur=0.5, scaling=0.4, backend="triton", **options)(a, x, b, y)
    return value.detach(), *torch.autograd.grad(value.sum(), (x, a))


def both_ways(monkeypatch, runs, run):
    """What one kernel gives, and steps of batches that are not padded."""
    runs.clear()
    found = run()
    assert runs.count(small.schedule) == 1 and len(runs) <= 4
    with monkeypatch.context() as patch:
        patch.setattr(small, "MOST", 0)
        patch.setattr(engine, "FEWEST", 0)
        runs.clear()
        wanted = run()
    assert small.schedule not in runs and len(runs) > 5
    return found, wanted


@pytest.mark.parametrize(
    ("p", "dtype", "options"),
    [
        (2, torch.float32, {"debias": True}),
        (2, torch.float64, {"debias": True, "reach": 0.5}),
        (1, torch.float64, {"debias": False}),
    ],
)
def test_one_kernel_gives_what_steps_give(monkeypatch, runs, p, dtype, options):
    """Two tiles of rows and of columns, both short; self terms are items beside the others."""
    n = 70 if dtype == torch.float32 else 37
    (x, a), (y, b) = (cloud(n, 2, batch=(2,), dtype=dtype) for _ in range(2))
    stretch = torch.tensor([1.0, 3.0], dtype=dtype)[:, None, None]  # of two items: two schedules
    clouds = stretch * x, a, stretch * y, b
    for one, other in zip(
        *both_ways(monkeypatch, runs, lambda: answer(clouds, p, options)), strict=True
    ):
        assert (one - other).abs().max() <= TOL[dtype]


@pytest.mark.parametrize(
    ("p", "sizes"), [pytest.param(1, (41, 20), marks=pytest.mark.slow), (2, (20, 37))]
)
def test_clouds_of_different_sizes(monkeypatch, runs, p, sizes):
    """Are padded to one batch, which leaves out what was filled up."""
    (x, a), (y, b) = (cloud(n, 2, batch=(2,), dtype=torch.float64) for n in sizes)
    stretch = torch.tensor([1.0, 3.0], dtype=torch.float64)[:, None, None]
    clouds = stretch * x, a, stretch * y, b
    found, wanted = both_ways(monkeypatch, runs, lambda: answer(clouds, p, {"debias": True}))
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape and (one - other).abs().max() <= TOL[torch.float64]


@pytest.mark.slow
def test_high_dimensions_multiply_coordinates(monkeypatch, runs):
    """In tiles of more rows than columns, as single steps do."""
    (x, a), (y, b) = (cloud(n, 10, batch=(2,), dtype=torch.float32) for n in (140, 90))
    found, wanted = both_ways(monkeypatch, runs, lambda: answer((x, a, y, b), 2, {"debias": False}))
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= 4e-6


def steps(x, a):
    """Potentials before the last step, of a batch and its mirror image."""
    cost, count = so.formulas.ground_cost(2), len(x) // 2
    partner = torch.arange(2 * count).roll(count)
    eps = torch.tensor([4.0, 1.0, 0.25], dtype=x.dtype)[:, None].expand(3, 2 * count)
    logs = torch.where(a > 0, a.clamp(min=1e-30).log(), -1e30)
    sums = Triton().bind(x.roll(count, 0), x)
    return sums.annealed(
        cost, eps, -eps, torch.zeros(2 * count).int(), logs, partner[count:], partner
    )


def test_padding_is_not_visited_and_holds_copies():
    """Only copies of the last point: other points of weight zero have potentials of their own."""
    torch.manual_seed(0)
    n, real = 70, (33, 70, 5, 64)
    x, a = torch.rand(4, n, 2, dtype=torch.float64), torch.rand(4, n, dtype=torch.float64) + 0.1
    for k, size in enumerate(real):
        x[k, size:], a[k, size:] = x[k, size - 1], 0
    a[3, 60:] = 0  # of points elsewhere
    found = steps(x, a)
    plain = x.clone()
    for k, size in enumerate(real):  # no copies
        plain[k, size:] += 1e-3 * torch.rand_like(plain[k, size:])
    other = steps(plain, a)
    holders = torch.arange(4).roll(2)  # rows of an item are the columns of its partner
    for k in range(4):
        size = real[holders[k]]
        # the common centre moved
        torch.testing.assert_close(found[k, :size], other[k, :size], rtol=1e-12, atol=1e-12)
        assert (found[k, size:] == found[k, size - 1]).all()
        assert size == n or (other[k, size:] != other[k, size - 1]).all()
