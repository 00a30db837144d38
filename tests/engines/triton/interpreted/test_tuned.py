"""Every tile that a clock may choose gives the same sums, and what it times are sums of parts of both clouds."""

import pytest
import torch

from sparseot import kernels
from sparseot.engines.choose import load
from sparseot.engines.triton import nearest
from sparseot.engines.triton.card import tuning
from sparseot.engines.triton.card.tuning import Choices
from sparseot.formulas import ground_cost
from tests.references.clouds import cloud
from tests.references.dense import squared_distances

N, M, PARTS = 70, 90, 1000  # pairs that are timed
SINGLE, DOUBLE = torch.float32, torch.float64


class Nth:
    """Takes one of the candidates, and the sum of parts that would be timed."""

    def __init__(self, place):
        self.place, self.count, self.trials = place, 1, []

    def best(self, kind, shapes, run, device):
        self.count = len(shapes)
        self.trials.append(run(shapes[self.place])())
        return shapes[self.place]


def answers(monkeypatch, run):
    """What each candidate gives, and what its trial did."""
    monkeypatch.setattr(tuning, "ENOUGH", PARTS)
    monkeypatch.setattr(tuning, "TRIED", PARTS)
    found, place, count = [], 0, 1
    while place < count:
        choices = Nth(place)
        monkeypatch.setattr(tuning, "CHOICES", choices)
        found.append((run(), choices.trials[0]))
        place, count = place + 1, choices.count
    return found


def problem(dim, dtype):
    (x, a), (y, b) = cloud(N, dim, batch=(2,), dtype=dtype), cloud(M, dim, batch=(2,), dtype=dtype)
    return x, y, a.log(), b.log()


def exact(x, y, row, col, v):
    """Sums over a plan, in double precision."""
    e = row.double()[..., None] + col.double()[..., None, :] - squared_distances(x, y) / 2
    return e.exp() @ v.double()


@pytest.mark.parametrize(("dim", "columns", "dtype"), [
    (3, 1, SINGLE), (2, 3, DOUBLE),
    pytest.param(3, 20, SINGLE, marks=pytest.mark.slow),
    pytest.param(20, 1, SINGLE, marks=pytest.mark.slow),
    pytest.param(20, 20, SINGLE, marks=pytest.mark.slow),
])  # fmt: skip
def test_sums(monkeypatch, dim, columns, dtype):
    x, y, row, col = problem(dim, dtype)
    v, sizes = torch.rand(2, M, columns, dtype=dtype), tuning.strides(2, N, M, PARTS)
    items, high, wide = sizes
    whole = exact(x.double(), y.double(), row, col, v)
    part = exact(
        x[items, high].double(), y[items, wide].double(), row[items, high], col[items, wide], v[items, wide]
    )  # fmt: skip
    assert part.shape[:2] != whole.shape[:2]
    given = answers(
        monkeypatch, lambda: load("triton").bind(x, y).sum(kernels.Gaussian(1.0), v, row, col)
    )
    assert len(given) > 1
    for found, trial in given:
        for one, other in ((found, whole), (trial, part)):
            error = ((one - other) / other.abs().amax()).abs().max()
            assert error < {SINGLE: 5e-6, DOUBLE: 1e-13}[dtype]


@pytest.mark.parametrize(("dim", "p", "dtype", "sloped"), [
    (3, 2, SINGLE, False), (20, 2, SINGLE, False),
    pytest.param(3, 1, DOUBLE, False, marks=pytest.mark.slow),
    pytest.param(3, 2, SINGLE, True, marks=pytest.mark.slow),
    pytest.param(3, 1, SINGLE, True, marks=pytest.mark.slow),
    pytest.param(20, 2, SINGLE, True, marks=pytest.mark.slow),
    pytest.param(5, 2, DOUBLE, True, marks=pytest.mark.slow),
])  # fmt: skip
def test_softmins(monkeypatch, dim, p, dtype, sloped):
    """Of two items at two temperatures, from a guess."""
    x, y, _, col = problem(dim, dtype)
    eps = torch.tensor([0.5, 1.0], dtype=dtype)
    squares = squared_distances(x.double(), y.double())
    entries = col.double()[:, None] - squares ** (p / 2) / p / eps.double()[:, None, None]
    whole = entries.logsumexp(-1)
    items, high, wide = tuning.strides(2, N, M, PARTS)
    part = entries[items, high][..., wide].logsumexp(-1)
    name = "logsumexp_slopes" if sloped else "logsumexp"
    task = ground_cost(p), eps, col, whole.to(dtype)
    found = answers(monkeypatch, lambda: getattr(load("triton").bind(x, y), name)(*task))
    assert len(found) == (1 if sloped and dtype == DOUBLE else 2 if sloped and dim == 20 else 3)
    for one, trial in found:
        assert ((one[0] if sloped else one) - whole).abs().max() < {SINGLE: 1e-4, DOUBLE: 1e-12}[
            dtype
        ]
        assert (trial[0] - part).abs().max() < {SINGLE: 1e-4, DOUBLE: 1e-12}[dtype]
        if sloped:
            torch.testing.assert_close(one[1], found[0][0][1], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "dtype"), [
    (kernels.Gaussian(1.0), SINGLE), (kernels.Energy(), SINGLE), (kernels.Laplacian(1.0), DOUBLE),
])  # fmt: skip
def test_sums_with_slopes(monkeypatch, kernel, dtype):
    x, y, _, _ = problem(3, dtype)
    v = torch.rand(2, M, 1, dtype=dtype)
    whole = kernel(squared_distances(x.double(), y.double())) @ v.double()
    found = answers(monkeypatch, lambda: load("triton").bind(x, y).sum_slopes(kernel, v))
    for (total, slopes), _ in found:
        assert ((total - whole) / whole.abs().amax()).abs().max() < {SINGLE: 5e-6, DOUBLE: 1e-13}[
            dtype
        ]
        torch.testing.assert_close(slopes, found[0][0][1], rtol=1e-4, atol=1e-5)


def test_neighbours(monkeypatch):
    x, y = (cloud(n, 2, dtype=SINGLE)[0] for n in (N, M))
    wanted = squared_distances(x.double()[None], y.double()[None])[0].topk(5, largest=False).indices
    for found, _ in answers(monkeypatch, lambda: nearest.nearest(x, y, 5)):
        assert torch.equal(found, wanted)


def test_a_clock_sees_each_candidate_once(monkeypatch, tmp_path):
    """Through the engine, as a card would: the fastest is kept for a second engine."""

    class Clock:
        def __init__(self):
            self.count = 0

        def card(self, device):
            return "interpreter"

        def ready(self, device):
            return True

        def milliseconds(self, run, device):
            run()
            self.count += 1
            return 10.0 - self.count

    x, y, row, col = problem(2, SINGLE)
    v = torch.rand(2, M, 1)
    plain = load("triton").bind(x, y).sum(kernels.Gaussian(1.0), v)
    monkeypatch.setattr(tuning, "ENOUGH", PARTS)
    monkeypatch.setattr(tuning, "TRIED", PARTS)
    found = []
    for expected in (3, 0):  # another process
        clock = Clock()
        monkeypatch.setattr(tuning, "CHOICES", Choices(clock, lambda: tmp_path))
        for _ in range(2):
            found.append(load("triton").bind(x, y).sum(kernels.Gaussian(1.0), v))
        assert clock.count == expected
    assert all(torch.equal(one, found[0]) for one in found)
    torch.testing.assert_close(found[0], plain)
    untuned = load("triton", tuned=False).bind(x, y).sum(kernels.Gaussian(1.0), v)
    assert torch.equal(untuned, plain)
