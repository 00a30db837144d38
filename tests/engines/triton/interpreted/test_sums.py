"""Kernels against whole matrices in float64: several tiles, short ones, guesses, precisions."""

import numpy as np
import pytest
import torch

from sparseot import kernels
from sparseot.engines.choose import load
from sparseot.engines.triton import tiled
from sparseot.engines.triton.card import launches
from sparseot.formulas import ground_cost
from sparseot.pairs import Blocks
from tests.references.clouds import cloud
from tests.references.dense import squared_distances

SINGLE, DOUBLE = torch.float32, torch.float64


def softmins(x, y, col, eps, p):
    """In double precision."""
    costs = squared_distances(x.double(), y.double()) ** (p / 2) / p
    return (col.double()[:, None] - costs / eps).logsumexp(-1)


def problem(n, m, dim, dtype):
    (x, _), (y, b) = cloud(n, dim, batch=(1,), dtype=dtype), cloud(m, dim, batch=(1,), dtype=dtype)
    return x, y, b.log()


@pytest.mark.parametrize(
    ("dim", "p", "dtype"),
    [(3, 2, SINGLE), (9, 2, SINGLE), (3, 1, SINGLE), (40, 2, SINGLE), (18, 1, SINGLE), (2, 2, DOUBLE)],
)  # fmt: skip
def test_softmins_of_many_tiles(dim, p, dtype):
    """Short blocks at both ends; the dimension decides how squares are taken."""
    x, y, col = problem(100, 150, dim, dtype)
    eps = torch.full((1,), 0.05, dtype=dtype)
    exact = softmins(x, y, col, 0.05, p)
    found = load("triton").bind(x, y).logsumexp(ground_cost(p), eps, col, exact.to(dtype) + 1)
    assert found.dtype == dtype and found.shape == (1, 100)
    assert (found - exact).abs().max() < {SINGLE: 1e-4, DOUBLE: 1e-12}[dtype]


@pytest.mark.filterwarnings("ignore:overflow encountered in exp2")  # of NumPy, which interprets
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_a_bad_guess_costs_time_and_no_digit(dtype):
    """For some rows of a block, too high and too low; the good ones beside them are not touched."""
    x, y, col = problem(70, 40, 2, dtype)
    eps, exact = torch.full((1,), 0.01, dtype=dtype), softmins(x, y, col, 0.01, 2)
    guess = exact.clone()
    guess[:, ::3] += 1000
    guess[:, 1::3] -= 1000
    found = load("triton").bind(x, y).logsumexp(ground_cost(2), eps, col, guess.to(dtype))
    assert (found - exact).abs().max() < {SINGLE: 2e-5, DOUBLE: 1e-12}[dtype]


def test_columns_without_weight():
    """Are as if they were not there; where no weight is left, the logarithm says so."""
    x, y, col = problem(20, 30, 2, SINGLE)
    eps, cost = torch.full((1,), 0.1), ground_cost(2)
    closed = col.clone()
    closed[:, ::2] = -1e30
    found = load("triton").bind(x, y).logsumexp(cost, eps, closed)
    assert (found - softmins(x, y[:, 1::2], col[:, 1::2], 0.1, 2)).abs().max() < 1e-5
    nothing = load("triton").bind(x, y).logsumexp(cost, eps, torch.full_like(col, -1e30))
    assert (nothing < -9e29).all()


@pytest.mark.parametrize("dim", [2, 20])
def test_columns_shared_among_programs(monkeypatch, dim):
    """The same results, whatever a device runs at once; a part may be far from some rows."""
    x, y, col = problem(33, 150, dim, SINGLE)
    y = y[:, y[0, :, 0].argsort()]
    eps, v = torch.full((1,), 0.003), torch.randn(1, 150, 3)
    found = []
    monkeypatch.setattr(tiled, "WORTH", 1)
    for count in (1, 7):
        monkeypatch.setitem(launches.PROGRAMS, "cpu", count)
        sums = load("triton").bind(x, y)
        assert sums._parts(sums._packed(0, sums._usual(0, False)), 1) == (1 if count == 1 else 3)
        softmin = sums.logsumexp(ground_cost(2), eps, col)
        found.append((softmin, sums.sum(kernels.Gaussian(0.3), v)))
    torch.testing.assert_close(*found, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("dim", "columns", "dtype"),
    [(3, 4, SINGLE), (3, 37, SINGLE), (20, 2, SINGLE), (12, 5, SINGLE), (2, 6, DOUBLE)],
)
def test_sums_with_many_right_hand_sides(dim, columns, dtype):
    """As multiples of the entries, or by products of matrices."""
    x, y, _ = problem(140, 90, dim, dtype)
    v = torch.randn(1, 90, columns, dtype=dtype)
    for kernel in (kernels.Gaussian(0.5), kernels.Laplacian(0.5)):
        matrix = kernel(squared_distances(x.double(), y.double()))
        error = (load("triton").bind(x, y).sum(kernel, v) - matrix @ v.double()).abs()
        assert (error / (matrix @ v.double().abs())).max() < {SINGLE: 2e-6, DOUBLE: 1e-14}[dtype]


def test_a_narrow_gaussian_in_high_dimension_is_not_expanded():
    """Squares from products would lose what decides; far from the origin, too."""
    x, y, _ = problem(40, 30, 24, SINGLE)
    x, y = x + 100, x[:, :30] + 100 + 1e-3 * y
    kernel, v = kernels.Gaussian(0.002), torch.ones(1, 30, 1)
    matrix = kernel(squared_distances(x.double(), y.double()))
    found = load("triton").bind(x, y).sum(kernel, v)
    assert matrix.max() > 0.1
    torch.testing.assert_close(found[..., 0].double(), matrix.sum(-1), rtol=1e-4, atol=1e-6)


def test_precisions_keep_their_bounds():
    """The error of an inner product, in units of both lengths, is that of its name."""
    x, y, _ = problem(130, 32, 64, SINGLE)
    here, there = (z.double() - (x.mean(1) + y.mean(1)).double()[:, None] / 2 for z in (x, y))
    lengths = here.norm(dim=-1)[..., None] * there.norm(dim=-1)[:, None]
    v = torch.eye(32)[None]
    exact = squared_distances(x.double(), y.double())
    errors = []
    for precision in ("float32", "float16"):
        found = load("triton", precision=precision).bind(x, y).sum(ground_cost(2).scaled(2.0), v)
        errors.append(((found.double() - exact) / 2).abs() / lengths)
    assert errors[0].max() < 2**-20 < errors[1].max() < 2**-10


@pytest.mark.slow
@pytest.mark.parametrize("size", [20, 100])
def test_blocks_of_any_size(size):
    """Smaller and larger than a tile, and no power of two."""
    x, y, _ = problem(230, 130, 2, DOUBLE)
    pairs = Blocks(0.1, size).between(x[0].numpy(), y[0].numpy())
    kept = torch.from_numpy(pairs.mask(np.arange(230), np.arange(130)))
    v, kernel = torch.randn(1, 130, 2, dtype=DOUBLE), kernels.Gaussian(0.3)
    exact = (kept * kernel(squared_distances(x, y))) @ v
    assert 0.1 < pairs.kept_fraction < 1
    torch.testing.assert_close(load("triton").bind(x, y, pairs).sum(kernel, v), exact)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 7, 16, 33, 130])
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_every_way_to_take_squares(dim, dtype):
    """In one and in several steps of coordinates."""
    x, y, col = problem(45, 60, dim, dtype)
    y[:, :5], v = x[:, :5], torch.randn(1, 60, 6, dtype=dtype)
    sums, tol = load("triton").bind(x, y), {SINGLE: 2e-5, DOUBLE: 1e-12}[dtype]
    squares = squared_distances(x.double(), y.double())
    for kernel in (kernels.Gaussian(dim**0.5), kernels.Energy(), kernels.InverseMultiquadric(0.4)):
        matrix = kernel(squares)
        error = (sums.sum(kernel, v) - matrix @ v.double()).abs()
        assert (error / (matrix.abs() @ v.double().abs())).max() < tol
    for p in (1, 2):
        exact = softmins(x, y, col, 0.5, p)
        found = sums.logsumexp(ground_cost(p), torch.full((1,), 0.5, dtype=dtype), col)
        assert (found - exact).abs().max() < 5 * tol
