"""The conformance table: every engine x formula x dtype against whole matrices in float64."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sparseot import kernels
from sparseot.engines.choose import ENGINES, choose_engine, load
from sparseot.engines.tiles import Tiles
from sparseot.formulas import Radial, Term, ground_cost
from sparseot.operators.autograd import kernel_sum

from .clouds import cloud
from .dense import squared_distances

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


@pytest.fixture(params=list(ENGINES))
def engine(request, device):
    """Each engine that can run here."""
    if request.param == "keops":
        request.getfixturevalue("needs_compiler")
    if request.param == "numba" and device.type != "cpu":
        pytest.skip("Numba loops run on a CPU")
    return load(request.param)


def thin_out(engine, wanted):
    """KeOps compiles for seconds at each formula and dtype: it runs part of the table."""
    if engine.name == "keops" and not wanted:
        pytest.skip("KeOps runs part of the table, one program a formula")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_sums_equal_the_dense_product(engine, name, dtype, device):
    """Relative to the sum of absolute values, with and without scalings, one and several columns."""
    thin_out(engine, dtype == torch.float64 or name == "gaussian")
    formula = FORMULAS[name]
    x, row = cloud(130, 3, dtype=dtype, device=device, batch=(2,))
    y, col = cloud(70, 3, dtype=dtype, device=device, batch=(2,), shift=0.2)
    y[:, :5] = x[:, :5]  # points that coincide
    dense = formula(squared_distances(x.double(), y.double()))
    for scaled in (False, True):
        v = torch.randn(2, 70, 2, dtype=dtype, device=device)
        matrix = dense * (row[..., None] + col[:, None]).double().exp() if scaled else dense
        scalings = (row, col) if scaled else (None, None)
        found = engine.bind(x, y).sum(formula, v, *scalings)
        assert found.dtype == dtype and found.shape == (2, 130, 2)
        error = (found - matrix @ v.double()).abs() / (matrix.abs() @ v.double().abs())
        assert error.max() < DTYPES[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("eps", [1e-4, 1e-2, 10.0])
def test_logsumexp_equals_the_dense_one(engine, p, eps, dtype, device):
    """At temperatures where exponents underflow, for good guesses, bad guesses and none."""
    thin_out(engine, dtype == torch.float64)
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


@pytest.mark.parametrize("name", ["gaussian", "laplacian", "energy", "inverse multiquadric"])
def test_derivatives_of_kernel_sums(engine, name, device):
    """gradcheck and gradgradcheck in every argument, points of x and y apart."""
    thin_out(engine, name in ("gaussian", "laplacian"))
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
    assert bound.buffer.numel() <= 1000
    bound.sum(kernels.Energy(), a[..., None])
    assert bound.cache is None


def test_auto_chooses_by_dimension_formula_and_device():
    """Numba in low dimension and for distances; tiles for the rest; named engines may refuse."""
    low, high = torch.zeros(1, 2, 3), torch.zeros(1, 2, 64)
    assert choose_engine("auto", kernels.Gaussian(1.0), low).name == "numba"
    assert choose_engine("auto", kernels.Gaussian(1.0), high).name == "tiles"
    assert choose_engine("auto", kernels.Laplacian(1.0), high).name == "numba"
    with pytest.raises(ValueError, match='"auto", "tiles", "numba", "keops"'):
        choose_engine("gpu", kernels.Gaussian(1.0), low)
