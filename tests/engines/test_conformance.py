"""The conformance table: every engine x formula x dtype against whole matrices in float64."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sparseot import kernels
from sparseot.engines.base import KEPT_BLOCK
from sparseot.engines.choose import ENGINES, TILE_LOOPS, choose_engine, load, tile_loops
from sparseot.engines.kept import KEPT_GROUP, Boxes, TileRows
from sparseot.engines.kept import Blocks as KeptBlocks
from sparseot.engines.tiles import Tiles
from sparseot.formulas import Opaque, Radial, Term, ground_cost
from sparseot.operators.autograd.kernel_sums import kernel_sum
from sparseot.pairs import Blocks
from tests.engines import triton
from tests.references.clouds import cloud
from tests.references.dense import cost_matrix, squared_distances
from tests.references.functions import COSTS, learnt

FORMULAS = {
    "gaussian": kernels.Gaussian(0.3),
    "laplacian": kernels.Laplacian(0.3),
    "energy": kernels.Energy(),
    "inverse multiquadric": kernels.InverseMultiquadric(0.4),
    "gaussian'": kernels.Gaussian(0.3).derivative(),
    "laplacian''": kernels.Laplacian(0.3).derivative().derivative(),
    "constant": Radial((Term(2.0, 0),)),
    "quadratic": Radial((Term(-0.5, 2),)),
    "cubic": Radial((Term(0.5, 3), Term(-1.0, 2)), rate=2.0),
}
DTYPES = {torch.float32: 2e-5, torch.float64: 1e-12}


# KeOps compiles for seconds at each formula and dtype: its part of the table is for make check.
NAMES = [
    *(name for name in ENGINES if name not in ("keops", "triton", "compiled")),
    *triton.HERE,
    pytest.param("keops", marks=pytest.mark.slow),
]


@pytest.fixture(params=NAMES)
def engine(request, device):
    """Each engine that can run here."""
    if request.param == "keops":
        request.getfixturevalue("needs_compiler")
    if request.param == "numba" and device.type != "cpu":
        pytest.skip("Numba loops run on a CPU")
    if request.param == "triton" and device.type == "cpu" and not triton.INTERPRETED:
        pytest.skip("Triton's kernels run on CUDA")
    if request.param == "nufft":
        return load("nufft", tol=1e-12)
    return load(request.param)


def thin_out(engine, wanted):
    """KeOps runs part of the table."""
    if engine.name == "keops" and not wanted:
        pytest.skip("KeOps runs part of the table, one program a formula")


def skip_refused(engine, *task):
    why_not = engine.refuses(*task)
    if why_not:
        pytest.skip(why_not)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_sums_equal_the_dense_product(engine, name, dtype, device):
    """Relative to the sum of absolute values, with and without scalings, one and several columns."""
    thin_out(engine, dtype == torch.float64 or name == "gaussian")
    formula = FORMULAS[name]
    skip_refused(engine, formula, torch.zeros(1, 1, 3, device=device))
    items = 1 if engine.name == "nufft" else 2
    x, row = cloud(130, 3, dtype=dtype, device=device, batch=(items,))
    y, col = cloud(70, 3, dtype=dtype, device=device, batch=(items,), shift=0.2)
    y[:, :5] = x[:, :5]  # points that coincide
    dense = formula(squared_distances(x.double(), y.double()))
    for scaled in (False, True):
        v = torch.randn(items, 70, 2, dtype=dtype, device=device)
        matrix = dense * (row[..., None] + col[:, None]).double().exp() if scaled else dense
        scalings = (row, col) if scaled else (None, None)
        found = engine.bind(x, y).sum(formula, v, *scalings)
        assert found.dtype == dtype and found.shape == (items, 130, 2)
        error = (found - matrix @ v.double()).abs() / (matrix.abs() @ v.double().abs())
        assert error.max() < DTYPES[dtype]


@pytest.fixture(params=["programs", "torch"])
def traced(request, monkeypatch):
    """The engine of functions that are traced: by programs, however few the pairs, and by torch."""
    if request.param == "programs":
        monkeypatch.setattr("sparseot.engines.choose.WORTH_A_PROGRAM", 0)
    return load("compiled")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["mahalanobis", "cosine", "huber", "uneven", "gaussian", "cubic"])
def test_traced_functions_equal_the_dense_product(traced, name, dtype, device):
    """Sums with and without scalings, softmins from good guesses and bad ones, and smallest values."""
    held = [t.to(device, dtype) for t in learnt()]
    cost = Opaque(FORMULAS[name].matrix if name in FORMULAS else lambda *z: COSTS[name](*z, *held))
    x, row = cloud(30, 3, dtype=dtype, device=device, batch=(2,))
    y, col = cloud(20, 3, dtype=dtype, device=device, batch=(2,), shift=0.2)
    dense, v = cost(x, y).double(), torch.randn(2, 20, 2, dtype=dtype, device=device)
    sums, tol = traced.bind(x, y), 20 * DTYPES[dtype]
    for scalings in ((None, None), (row, col), (None, col)):
        matrix = dense.clone()
        for scaling, axis in zip(scalings, (2, 1), strict=True):
            matrix = matrix if scaling is None else matrix * scaling.exp().unsqueeze(axis)
        error = (sums.sum(cost, v, *scalings) - matrix @ v.double()).abs()
        assert (error <= tol * (matrix.abs() @ v.double().abs())).all()
    eps = torch.tensor([0.01, 3.0], dtype=dtype, device=device)
    exponents = col[:, None] - dense / eps[:, None, None]
    exact = exponents.logsumexp(-1)
    for guess in (None, exact.to(dtype) + 3, torch.full_like(exact, 1e4).to(dtype)):
        found = sums.logsumexp(cost, eps, col, guess)
        assert (found - exact).abs().max() < tol * max(1, exponents.abs().max())
    for heights in (None, col):
        values = dense if heights is None else dense - heights[:, None].double()
        low, where = sums.least(cost, heights)
        size = values.abs().max()
        assert (low - values.amin(2)).abs().max() <= tol * size
        assert (values.gather(2, where[..., None])[..., 0] - low).abs().max() <= tol * size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("eps", [1e-4, 1e-2, 10.0])
def test_logsumexp_equals_the_dense_one(engine, p, eps, dtype, device):
    """At temperatures where exponents underflow, for good guesses, bad guesses and none."""
    thin_out(engine, dtype == torch.float64)
    skip_refused(engine, ground_cost(p), torch.zeros(1, 1, 2, device=device))
    x, _ = cloud(60, 2, dtype=dtype, device=device, batch=(2,))
    y, b = cloud(90, 2, dtype=dtype, device=device, batch=(2,), shift=0.3)
    temperature = torch.tensor([eps, eps / 2], dtype=dtype, device=device)
    exponent = squared_distances(x.double(), y.double()) ** (p / 2) / p
    exponent = b.double().log()[:, None] - exponent / temperature[:, None, None].double()
    exact = exponent.logsumexp(-1)
    size = exponent.abs().amax()
    for guess in (None, exact.to(dtype) + 3, torch.full_like(exact, 1e4).to(dtype)):
        found = engine.bind(x, y).logsumexp(ground_cost(p), temperature, b.log(), guess)
        assert (found - exact).abs().max() < max(size, 1) * DTYPES[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("columns", [1, 700])
def test_minima_equal_the_dense_ones(engine, p, columns, dtype, device):
    """And their columns, of which some are not there, and some points of which coincide."""
    thin_out(engine, dtype == torch.float64)
    skip_refused(engine, ground_cost(p), torch.zeros(1, 1, 3, device=device))
    x, _ = cloud(60, 3, dtype=dtype, device=device, batch=(2,))
    y, col = cloud(columns, 3, dtype=dtype, device=device, batch=(2,), shift=0.3)
    if columns > 5:
        y[:, :5], col[:, 5:300] = x[:, :5], -1e30
    costs = squared_distances(x.double(), y.double()) ** (p / 2) / p
    for heights in (None, col):
        values = costs if heights is None else costs - heights[:, None].double()
        low, where = engine.bind(x, y).least(ground_cost(p), heights)
        assert low.dtype == dtype and where.dtype == torch.int64 and where.shape == (2, 60)
        assert (low - values.amin(2)).abs().max() < DTYPES[dtype]
        assert (values.gather(2, where[..., None])[..., 0] - low).abs().max() < DTYPES[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_sums_come_with_what_moves_them_or_not_at_all(engine, name, dtype, device):
    """In one pass, where an engine has one that gives both; points that coincide move nothing."""
    thin_out(engine, dtype == torch.float64 and name == "gaussian")
    formula = FORMULAS[name]
    skip_refused(engine, formula, torch.zeros(1, 1, 3, device=device))
    x, row = cloud(70, 3, dtype=dtype, device=device, batch=(1,))
    y, col = cloud(50, 3, dtype=dtype, device=device, batch=(1,), shift=0.2)
    y[:, :5] = x[:, :5]
    v = torch.randn(1, 50, 1, dtype=dtype, device=device)
    for scalings in ((None, None), (row, col)):
        both = engine.bind(x, y).sum_slopes(formula, v, *scalings)
        if both is None:
            assert not engine.sloped or name in ("laplacian''", "cubic", "quadratic", "constant")
            return
        scaled = scalings[0] is not None
        factors = (row[..., None] + col[:, None]).double().exp() if scaled else 1.0
        ways = x.double()[:, :, None] - y.double()[:, None]
        for found, kernel, times in zip(both, (formula, formula.derivative()), (1, 2), strict=True):
            entries = times * factors * kernel(ways.square().sum(-1)) * v.double()[:, None, :, 0]
            parts = entries[..., None] * (ways if times == 2 else 1)
            error = (found - parts.sum(2)).abs() / parts.abs().sum(2).clamp(min=1e-30)
            assert found.dtype == dtype and error.max() < DTYPES[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1, 2])
def test_softmins_come_with_what_moves_them_or_not_at_all(engine, p, dtype, device):
    """For good guesses and bad ones, of two temperatures."""
    thin_out(engine, False)
    skip_refused(engine, ground_cost(p), torch.zeros(1, 1, 2, device=device))
    x, _ = cloud(60, 2, dtype=dtype, device=device, batch=(2,))
    y, b = cloud(90, 2, dtype=dtype, device=device, batch=(2,), shift=0.3)
    y[:, :5] = x[:, :5]
    temperature = torch.tensor([0.1, 0.05], dtype=dtype, device=device)
    ways = x.double()[:, :, None] - y.double()[:, None]
    costs = ways.square().sum(-1) ** (p / 2) / p
    exponent = b.double().log()[:, None] - costs / temperature[:, None, None].double()
    slopes = ways if p == 2 else ways / costs.where(costs > 0, 1)[..., None]
    exact = (exponent.softmax(-1)[..., None] * slopes).sum(2)
    for guess in (None, torch.full_like(x[..., 0], 1e4)):
        both = engine.bind(x, y).logsumexp_slopes(ground_cost(p), temperature, b.log(), guess)
        if both is None:
            assert not engine.sloped
            return
        assert (both[0] - exponent.logsumexp(-1)).abs().max() < 100 * DTYPES[dtype]
        assert (both[1] - exact).abs().max() < 10 * DTYPES[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_block_pairs_equal_the_dense_product_of_what_is_kept(engine, name, dtype, device):
    """Ragged last blocks, rows that meet nothing, a point far away, points that coincide."""
    thin_out(engine, dtype == torch.float64 and name == "gaussian")
    formula = FORMULAS[name]
    x, row = cloud(133, 3, dtype=dtype, device=device, batch=(1,))
    y, col = cloud(71, 3, dtype=dtype, device=device, batch=(1,), shift=0.2)
    x[:, :9], y[:, :5] = 50.0, x[:, 10:15]
    pairs = Blocks(0.1, 8).between(x[0].cpu().numpy(), y[0].cpu().numpy())
    skip_refused(engine, formula, x, pairs)
    kept = torch.from_numpy(pairs.mask(np.arange(133), np.arange(71))).to(device)
    dense = kept * formula(squared_distances(x.double(), y.double()))
    for scaled in (False, True):
        v = torch.randn(1, 71, 3, dtype=dtype, device=device)
        matrix = dense * (row[..., None] + col[:, None]).double().exp() if scaled else dense
        found = engine.bind(x, y, pairs).sum(formula, v, *((row, col) if scaled else ()))
        size = matrix.abs() @ v.double().abs()
        assert found.dtype == dtype and found.shape == (1, 133, 3)
        assert ((found - matrix @ v.double()).abs() <= DTYPES[dtype] * size + 1e-30).all()
    assert 0.02 < kept.double().mean() < 0.5 and not kept.any(1).all()


def test_derivatives_over_block_pairs(engine, device):
    """The transposed sums of a backward pass visit the transposed pairs."""
    x, row = cloud(5, 2, grad=True, device=device, batch=(1,))
    y, col = cloud(7, 2, grad=True, device=device, batch=(1,), shift=0.4)
    v = torch.randn(1, 7, 1, dtype=torch.float64, device=device, requires_grad=True)
    pairs = Blocks(0.2, 2).between(*(z[0].detach().cpu().numpy() for z in (x, y)))
    skip_refused(engine, FORMULAS["gaussian"], x, pairs)
    assert 0 < pairs.kept_fraction < 1

    def sums(*args):
        return kernel_sum(FORMULAS["gaussian"], *args, engine=engine, pairs=pairs)

    assert gradcheck(sums, (x, y, v, row, col))
    assert gradgradcheck(sums, (x, y, v, row, col))


@pytest.mark.parametrize("name", ["gaussian", "laplacian", "energy", "inverse multiquadric"])
def test_derivatives_of_kernel_sums(engine, name, device):
    """gradcheck and gradgradcheck in every argument, points of x and y apart."""
    thin_out(engine, name in ("gaussian", "laplacian"))
    skip_refused(engine, FORMULAS[name].derivative(), torch.zeros(1, 1, 2, device=device))
    x, row = cloud(3, 2, grad=True, device=device, batch=(1,))
    y, col = cloud(4, 2, grad=True, device=device, batch=(1,), shift=0.4)
    v = torch.randn(1, 4, 1, dtype=torch.float64, device=device, requires_grad=True)

    def sums(*args):
        return kernel_sum(FORMULAS[name], *args, engine=engine)

    assert gradcheck(sums, (x, y, v, row, col))
    assert gradgradcheck(sums, (x, y, v, row, col))


def test_tiles_smaller_than_the_problem(device):
    """Ragged tiles of a few rows, columns and batch items give the same sums."""
    x, a = cloud(37, 3, batch=(5,), device=device)
    y, b = cloud(23, 3, batch=(5,), device=device)
    for formula in (kernels.Gaussian(0.3), kernels.Energy()):
        exact = formula(squared_distances(x, y)) @ b[..., None]
        for entries in (1, 7, 100, 900, 2000):
            found = Tiles(entries).bind(x, y).sum(formula, b[..., None])
            torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)
    eps = torch.full((5,), 1e-3, dtype=x.dtype, device=device)
    exact = Tiles().bind(x, y).logsumexp(ground_cost(2), eps, b.log())
    for entries in (1, 7, 100, 900, 2000):
        found = Tiles(entries).bind(x, y).logsumexp(ground_cost(2), eps, b.log())
        torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)


def test_tiles_never_hold_the_matrix():
    """Counted in numbers: tiles ask for buffers of at most the entries they were given."""
    x, a = cloud(400, 3, batch=(1,))
    bound = Tiles(1000).bind(x, x)
    assert all(math.prod(tiling) <= 1000 for tiling in bound.tilings.values())
    bound.sum(kernels.Energy(), a[..., None])
    bound.logsumexp(ground_cost(2), torch.ones(1).to(x), a)
    assert not bound.kept and 0 < bound.room.buffer.numel() <= 1000


def test_auto_chooses_by_dimension_formula_and_device():
    """Numba in low dimension and for distances; tiles for the rest; named engines may refuse."""
    low, high = torch.zeros(1, 2, 3), torch.zeros(1, 2, 64)
    assert choose_engine("auto", kernels.Gaussian(1.0), low)[0].name == "numba"
    assert choose_engine("auto", kernels.Gaussian(1.0), high)[0].name == "tiles"
    assert choose_engine("auto", kernels.Laplacian(1.0), high)[0].name == "numba"
    with pytest.raises(ValueError, match='"auto", "tiles", "numba", "nufft", "keops"'):
        choose_engine("gpu", kernels.Gaussian(1.0), low)


# --- kept pairs of blocks ---------------------------------------------------------------------


@pytest.fixture(params=[name for name in TILE_LOOPS if name != "triton" or triton.HERE])
def kept_engine(request, device):
    """Each implementation that can run here."""
    if request.param == "numba" and device.type != "cpu":
        pytest.skip("Numba loops run on a CPU")
    if request.param == "triton" and device.type == "cpu" and not triton.INTERPRETED:
        pytest.skip("Triton's kernels run on CUDA")
    return request.param


@pytest.fixture(params=[1, 2])
def power(request):
    """Of the distance that is the cost."""
    return request.param


@pytest.fixture
def loops(kept_engine, power):
    return tile_loops(kept_engine, power)


class Framed:
    """Blocks of points about random centres, with a potential of which each block knows a bound."""

    def __init__(self, count, dim, device, power, spread=3.0):
        self.centres = spread * torch.rand(count, dim, device=device).double()
        self.dx = torch.rand(count, dim, KEPT_BLOCK, device=device).double() - 0.5
        self.slopes = torch.randn(count, dim, device=device).double()
        self.heights = 3 * torch.randn(count, device=device).double()
        below = -torch.rand(count, KEPT_BLOCK, device=device).double()  # the bound
        self.weights = torch.rand(count, KEPT_BLOCK, device=device).double()
        self.bias = below - self.dx.square().sum(1) / 2 if power == 2 else below
        self.points = (self.centres[:, :, None] + self.dx).mT.reshape(-1, dim)
        along = (self.slopes[:, :, None] * self.dx).sum(1)
        self.potential = (self.heights[:, None] + along + below).view(-1)

    def blocks(self, dtype):
        pad = (0, max(0, 3 - self.centres.shape[1]))
        centres, slopes = (torch.nn.functional.pad(t, pad) for t in (self.centres, self.slopes))
        offsets = torch.nn.functional.pad(self.dx, (0, 0, *pad))
        return KeptBlocks(centres, slopes, self.heights, offsets.to(dtype))

    def boxes(self):
        masses = self.weights.sum(1).log2()
        sides = torch.full_like(self.centres, 0.5)
        lengths = (t.T.contiguous() for t in (self.centres, sides, self.slopes))
        return Boxes(*lengths, self.heights, masses - 1, masses)


def entries(rows, cols, power):
    """Those of the plan in float64, block after block, ``(C, B, C, B)``."""
    exponents = rows.potential[:, None] + cols.potential
    exponents = exponents - cost_matrix(rows.points, cols.points, power)
    shape = len(rows.centres), KEPT_BLOCK, len(cols.centres), KEPT_BLOCK
    return exponents.exp2().view(shape)


def random_tiles(rows, cols, device):
    """A third of the pairs of blocks; the second row meets none."""
    kept = torch.rand(rows, cols, device=device) < 1 / 3
    kept[1] = False
    return kept, TileRows.of(kept.sum(1), kept.nonzero()[:, 1].int())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_sums_over_tiles_equal_the_dense_ones(loops, power, dim, dtype, device):
    """Row sums, the largest of each tile, and products with two columns; rows that meet nothing."""
    rows, cols = (Framed(count, dim, device, power) for count in (9, 7))
    kept, tiles = random_tiles(9, 7, device)
    parts = entries(rows, cols, power) * kept[:, None, :, None]
    biases = rows.bias.to(dtype), cols.bias.to(dtype)
    given = tiles, rows.blocks(dtype), cols.blocks(dtype), biases
    sums, peaks = loops.sums(*given)
    v = torch.randn(7, 2, KEPT_BLOCK, dtype=dtype, device=device)
    products = loops.products(*given, v)
    assert sums.dtype == products.dtype == torch.float64 and peaks.dtype == dtype
    tol = {"rtol": 10 * DTYPES[dtype], "atol": 1e-30}
    torch.testing.assert_close(sums, parts.sum((2, 3)), **tol)
    torch.testing.assert_close(peaks.double(), parts.sum(3).amax(1)[kept], **tol)
    exact = torch.einsum("ibjc,jrc->irb", parts, v.double())
    size = torch.einsum("ibjc,jrc->irb", parts, v.double().abs())
    assert ((products - exact).abs() <= 10 * DTYPES[dtype] * size).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_largest_exponents_over_tiles_equal_the_dense_ones(loops, power, dim, dtype, device):
    """With their columns; rows that meet nothing are told."""
    rows, cols = (Framed(count, dim, device, power) for count in (9, 7))
    kept, tiles = random_tiles(9, 7, device)
    exponents = entries(rows, cols, power).log2()
    exponents = exponents.where(kept[:, None, :, None], -1e30).flatten(2)
    biases = rows.bias.to(dtype), cols.bias.to(dtype)
    top, where = loops.largest(tiles, rows.blocks(dtype), cols.blocks(dtype), biases)
    assert top.dtype == torch.float64 and where.dtype == torch.int64
    none = ~kept.any(1)
    assert none.any() and (top[none] == -1e30).all() and (where[none] == -1).all()
    tol = 100 * DTYPES[dtype]
    assert (top - exponents.amax(2))[~none].abs().max() < tol
    found = exponents.gather(2, where.clamp(min=0)[..., None])[..., 0]
    assert (found - top)[~none].abs().max() < tol


def test_tiles_are_the_same_from_both_sides(loops, device):
    kept, tiles = random_tiles(9, 7, device)
    turned, places = loops.transpose(tiles, 7)
    assert torch.equal(turned.starts.diff(), kept.sum(0))
    assert torch.equal(turned.blocks.long(), kept.T.nonzero()[:, 1])
    assert torch.equal(tiles.owners[places], turned.blocks)
    assert torch.equal(tiles.blocks[places], turned.owners)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_a_screen_keeps_what_matters_and_bounds_the_rest(loops, power, dim, device):
    """Also by groups: those that are looked into, and no others."""
    rows, cols = (Framed(n * KEPT_GROUP, dim, device, power, spread=12.0) for n in (3, 2))
    boxes, threshold = (rows.boxes(), cols.boxes()), -8.0
    exact = entries(rows, cols, power)
    shares = torch.maximum(boxes[0].shares[:, None], boxes[1].shares)
    matters = exact.amax((1, 3)).log2() + shares >= threshold
    whole = torch.ones(3, 2, dtype=torch.bool, device=device)
    some = torch.tensor([[True, False], [False, False], [True, True]], device=device)
    for near in (None, whole, some):
        looked = whole if near is None else near
        groups = near if near is None else TileRows.of(near.sum(1), near.nonzero()[:, 1].int())
        tiles, omitted = loops.screen(*boxes, threshold, groups)
        kept = torch.zeros_like(matters)
        kept[tiles.owners.long(), tiles.blocks.long()] = True
        looked = looked.repeat_interleave(KEPT_GROUP, 0).repeat_interleave(KEPT_GROUP, 1)
        assert (kept >= matters & looked).all() and not (kept & ~looked).any()
        assert torch.equal(kept.nonzero()[:, 1], tiles.blocks.long())  # ascending in each row
        missed = (exact * cols.weights * (looked & ~kept)[:, None, :, None]).sum((2, 3))
        assert (missed <= omitted[:, None] * (1 + 1e-12)).all()
        assert matters.any() and not kept.all() and omitted.isfinite().all()
