"""Formulas in kernels against torch's tiles in double precision: several tiles, short ones, many kinds."""

import pytest
import torch

from sparseot import LazyTensor, Pm, cluster
from sparseot.engines.choose import load_trees
from sparseot.engines.trees.base import Reduction
from sparseot.engines.triton.card import launches
from sparseot.formulas.trees.algebra import mul, sub
from sparseot.formulas.trees.expressions import I, J, P
from sparseot.formulas.trees.slots import slot

SINGLE, DOUBLE = torch.float32, torch.float64
TOLERANCE = {SINGLE: 3e-5, DOUBLE: 1e-12}
N, M = 70, 150


def numbers(*shape):
    return torch.randn(*shape, dtype=DOUBLE, generator=DRAWS)


DRAWS = torch.Generator().manual_seed(0)
DATA = {
    "x": numbers(N, 3) / 3,
    "y": numbers(M, 3) / 3,
    "v": numbers(M, 1),
    "metric": numbers(M, 9),
    "q": numbers(N, 6),
    "k": numbers(M, 6),
    "u": numbers(M, 20),
    "long": numbers(N, 24),
    "longer": numbers(M, 24),
    "p": torch.tensor([0.7], dtype=DOUBLE),
}
ROWS = ("x", "q", "long")


class Given:
    """The variables, in a precision, by an engine."""

    def __init__(self, engine, dtype, gradients=False):
        self.engine = engine
        self.tensors = {
            name: t.to(dtype).clone().requires_grad_(gradients) for name, t in DATA.items()
        }

    def __getattr__(self, name):
        tensor = self.tensors[name]
        if name == "p":
            found = Pm(tensor)
        else:
            found = LazyTensor(tensor[:, None] if name in ROWS else tensor[None])
        found.engine = self.engine
        return found


def squares(a):
    return ((a.x - a.y) ** 2).sum(-1)


def gaussian(a):
    return (-squares(a) / (2 * a.p**2)).exp()


def mahalanobis(a):
    gap = a.x - a.y
    return (-(gap | a.metric.matvecmult(gap)).abs()).exp()


def matern(a):
    scaled = (3 * squares(a)).sqrt() / a.p
    return (1 + scaled) * (-scaled).exp()


def force(a):
    """Of Lennard and Jones, at distances that numbers of single precision bear."""
    inverse = 1 / (squares(a) + 0.3)
    return (inverse**7 - inverse**4) * (a.x - a.y)


FORMULAS = {
    "Gaussian": lambda a: (gaussian(a) * a.v).sum(1),
    "Cauchy": lambda a: (1 / (1 + squares(a) / a.p) * a.v).sum(1),
    "Matern": lambda a: (matern(a) * a.v).sum(1),
    "periodic": lambda a: ((-(((a.x - a.y).abs() * 2.9).sin() ** 2).sum(-1)).exp() * a.v).sum(1),
    "cosine": lambda a: ((a.x.normalize() | a.y.normalize()).acos() * a.v).sum(1),
    "Mahalanobis": lambda a: (mahalanobis(a) * a.v).sum(1),
    "Lennard-Jones force": lambda a: force(a).sum(1),
    "columns": lambda a: (gaussian(a) * a.x).sum(0),
    "logsumexp": lambda a: (-squares(a) / 0.01).logsumexp(1),
    "attention": lambda a: (a.q | a.k).sumsoftmaxweight(a.y, dim=1),
    "twenty columns": lambda a: (gaussian(a) * a.u).sum(1),
    "long vectors": lambda a: ((a.long | a.longer) / 5).exp().sum(1),
    "long attention": lambda a: (a.long | a.longer).sumsoftmaxweight(a.u, dim=1),
    "long columns": lambda a: (-(((a.long | a.longer) / 5).exp() * a.u)).sum(1),
    "step": lambda a: ((a.x - a.y).step() + a.x.atan2(a.y) + (a.x - a.y).round(1)).sum(1),
    "smallest": lambda a: squares(a).min(1),
    "smallest coordinates": lambda a: (a.x - a.y).max(1),
    "smallest five": lambda a: squares(a).Kmin(5, dim=1),
}
QUICK = ("Gaussian", "Lennard-Jones force", "logsumexp", "long attention", "long columns")


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # of NumPy, which interprets
@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in FORMULAS]
)
def test_values(name):
    wanted = FORMULAS[name](Given("tiles", DOUBLE))
    for dtype, tol in TOLERANCE.items():
        found = FORMULAS[name](Given("triton", dtype))
        assert found.dtype == dtype
        error = (found - wanted).abs() / (wanted.abs() + wanted.abs().mean())
        assert error.max() < tol, (name, dtype)


@pytest.mark.parametrize("reduction", ["argmin", pytest.param("argKmin", marks=pytest.mark.slow)])
def test_places(reduction):
    args = (7,) if reduction == "argKmin" else ()
    found, wanted = (
        getattr(squares(Given(engine, DOUBLE)), reduction)(*args, dim=1)
        for engine in ("triton", "tiles")
    )
    assert found.dtype == torch.int64 and torch.equal(found, wanted)


INFINITE = {  # exponents of some columns, and those of all others
    "nothing": ({}, -torch.inf),
    "one that is infinite": ({0: torch.inf}, 0.5),
    "infinite ones in several tiles": ({3: torch.inf, 67: torch.inf, 149: torch.inf}, 0.5),
    "both signs": ({1: -torch.inf, 140: torch.inf}, 0.5),
    "what is not there": ({0: -torch.inf, 64: -torch.inf}, 0.5),
    "one that is there": ({149: 2.0}, -torch.inf),
    "no number": ({70: torch.nan}, 0.5),
    "no number, and nothing": ({0: torch.nan}, -torch.inf),
    "no number, and infinity": ({0: torch.inf, 64: torch.nan}, 0.5),
    "infinity, and no number": ({0: torch.nan, 64: torch.inf}, 0.5),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, which interprets
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_infinite_exponents(dtype):
    """Each case is an item of a batch; with products on matrix units and without."""
    y = torch.stack([torch.full((M,), rest, dtype=dtype) for _, rest in INFINITE.values()])
    for row, (some, _) in zip(y, INFINITE.values(), strict=True):
        for place, value in some.items():
            row[place] = value
    long = y[..., None].expand(-1, -1, 16) / 16
    found = []
    for engine in ("triton", "tiles"):
        one, many = (
            LazyTensor(torch.ones(1, 5, 1, dim, dtype=dtype)) | LazyTensor(t[:, None])
            for dim, t in ((1, y[..., None]), (16, long))
        )
        one.engine = many.engine = engine
        weights = [LazyTensor(DATA[name].to(dtype)[None, None]) for name in ("y", "u")]
        found.append(
            [one.logsumexp(2), many.logsumexp(2)]
            + [F.sumsoftmaxweight(w, dim=2) for F in (one, many) for w in weights]
        )
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, equal_nan=True)
    log = found[0][0][:, 0, 0]
    assert log[[0, 1, 2, 3]].tolist() == [-torch.inf, torch.inf, torch.inf, torch.inf]
    assert log[6:].isnan().all() and log[[4, 5]].isfinite().all()


@pytest.mark.parametrize("count", [1, 4])
def test_equal_values_are_ordered_by_their_columns(count):
    x, y = slot(0, 1, I), slot(1, 1, J)
    reduction = Reduction("least", (sub(y, mul(x, y)),), (x, y), count=count)
    tensors = [torch.zeros(1, 5, 1), torch.tensor([3.0, 2, 1, 2, 1, 1]).repeat(30)[None, :, None]]
    found, wanted = (load_trees(e).least(reduction, tensors, None) for e in ("triton", "tiles"))
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


@pytest.mark.slow
def test_columns_shared_among_programs(monkeypatch):
    """The same results whatever a device runs at once; a part may be far from some rows."""
    kinds = [
        lambda a: (gaussian(a) * a.v).sum(1),
        lambda a: (-squares(a) / 1e-3).logsumexp(1),
        lambda a: squares(a).argmin(dim=1),
        lambda a: squares(a).argKmin(3, dim=1),
    ]
    monkeypatch.setattr("sparseot.engines.trees.triton.engine.WORTH", 1)
    given = Given("triton", DOUBLE)
    for kind in kinds:
        found = []
        for count in (1, 100):
            monkeypatch.setitem(launches.PROGRAMS, "cpu", count)
            found.append(kind(given))
        torch.testing.assert_close(*found, rtol=1e-13, atol=1e-13)


def test_many_tiles_of_columns_lose_no_digits():
    """Sums of a chunk are added in double precision."""
    x, y, p = slot(0, 1, I), slot(1, 1, J), slot(2, 1, P)
    tensors = [torch.zeros(1, 2, 1), torch.rand(1, 20_000, 1), torch.ones(1, 1, 1)]
    reduction = Reduction("sum", (mul(p, sub(y, x)),), (x, y, p), (I,))
    (found,) = load_trees("triton").sums(reduction, tensors, None)
    assert (found / tensors[1].double().sum() - 1).abs().max() < 2e-7


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("name", ["Gaussian", "Matern"])
def test_gradients_and_their_derivatives(name):
    """In points, weights and a parameter; rows and columns in passes of their own."""
    found = []
    for engine in ("triton", "tiles"):
        given = Given(engine, DOUBLE, gradients=True)
        variables = [given.tensors[k] for k in ("x", "y", "v", "p")]
        value = FORMULAS[name](given)
        first = torch.autograd.grad(value.square().sum(), variables, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), variables[:2])
        found.append((*first, *second))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp2")  # of columns that are masked
@pytest.mark.parametrize(
    ("ranges", "scale"), [(False, 1), pytest.param(True, 40, marks=pytest.mark.slow)]
)
def test_attention_of_matrix_units(monkeypatch, ranges, scale):
    """More coordinates and columns than one product takes, exponents far apart, and parts of columns."""
    q, k = (numbers(n, 70)[:, :66] * scale / 8 for n in (40, 75))
    v, found = numbers(75, 70), []
    monkeypatch.setattr("sparseot.engines.trees.triton.engine.WORTH", 1)
    monkeypatch.setitem(launches.PROGRAMS, "cpu", 6)
    for engine, dtype in (("triton", SINGLE), ("tiles", DOUBLE)):
        rows, keys, values = (t.to(dtype).requires_grad_() for t in (q, k, v))
        K = LazyTensor(rows[:, None]) | LazyTensor(keys[None])
        K.engine = engine
        if ranges:
            cuts = torch.tensor([[0, 33], [33, 40]]), torch.tensor([[0, 35], [35, 75]])
            K.ranges = cluster.from_matrix(*cuts, torch.tensor([[True, True], [False, True]]))
        mean = K.sumsoftmaxweight(LazyTensor(values[None]), dim=1)
        found.append((mean, *torch.autograd.grad(mean.square().sum(), (rows, keys, values))))
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() < 3e-5 * scale * other.abs().max()
