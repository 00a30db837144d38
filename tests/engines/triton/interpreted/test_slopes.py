"""Sums and softmins with what moves them, in one pass: against whole matrices, and counted."""

import pytest
import torch

import sparseot as so
from sparseot import kernels
from sparseot.engines.choose import load
from sparseot.engines.triton import small, tiled
from sparseot.engines.triton.card import launches as running
from sparseot.formulas import ground_cost
from sparseot.pairs import Blocks
from tests.references.clouds import cloud
from tests.references.dense import squared_distances

SINGLE, DOUBLE = torch.float32, torch.float64


@pytest.fixture
def launches(monkeypatch):
    """The kernels that were launched, by their names."""
    names, launch = [], running.launch

    def noted(kernel, *args, **switches):
        names.append(kernel.fn.__name__)
        launch(kernel, *args, **switches)

    monkeypatch.setattr(running, "launch", noted)
    return names


def clouds(dim, dtype, n=70, m=45):
    (x, _), (y, b) = cloud(n, dim, batch=(1,), dtype=dtype), cloud(m, dim, batch=(1,), dtype=dtype)
    y[:, :4] = x[:, :4]  # points that coincide
    return x, y, b.log()


def exact_slopes(cost, x, y, col, eps):
    """By autograd, in double precision."""
    x = x.double().requires_grad_()
    s = squared_distances(x, y.double())
    logs = (col.double()[:, None] - cost(s.where(s > 0, 1)).where(s > 0, 0) / eps).logsumexp(-1)
    (slopes,) = torch.autograd.grad(-eps * logs.sum(), x)
    return logs.detach(), slopes


@pytest.mark.parametrize(
    ("dim", "p", "dtype"),
    [(1, 2, SINGLE), (3, 2, SINGLE), (6, 2, SINGLE), (3, 1, SINGLE), (20, 2, SINGLE), (2, 1, DOUBLE), (5, 2, DOUBLE)],
)  # fmt: skip
def test_softmins_come_with_their_gradients(launches, dim, p, dtype):
    x, y, col = clouds(dim, dtype)
    guess = None if dim == 1 else torch.full_like(x[..., 0], 1e3)  # a bad one
    found, slopes = (
        load("triton")
        .bind(x, y)
        .logsumexp_slopes(ground_cost(p), torch.full((1,), 0.1, dtype=dtype), col, guess)
    )
    logs, exact = exact_slopes(ground_cost(p), x, y, col, 0.1)
    tol = {SINGLE: 2e-5, DOUBLE: 1e-12}[dtype]
    assert (found - logs).abs().max() < tol and launches == ["log_sums"]
    assert slopes.dtype == dtype and (slopes - exact).abs().max() < tol


@pytest.mark.parametrize(
    ("kernel", "dim", "dtype"),
    [
        (kernels.Gaussian(0.4), 3, SINGLE),
        (kernels.Gaussian(0.4), 6, DOUBLE),
        (kernels.Energy(), 6, SINGLE),
        (kernels.Laplacian(0.4), 2, DOUBLE),
        (kernels.InverseMultiquadric(0.4), 1, SINGLE),
        (kernels.Gaussian(2.0), 20, SINGLE),
    ],
)
def test_sums_come_with_their_gradients(launches, kernel, dim, dtype):
    x, y, _ = clouds(dim, dtype)
    v = torch.randn(1, 45, 1, dtype=dtype)
    found, slopes = load("triton").bind(x, y).sum_slopes(kernel, v)
    assert len(launches) == 1
    here = x.double().requires_grad_()
    s = squared_distances(here, y.double())
    values = kernel(s.where(s > 0, 1)).where(s > 0, kernel(torch.zeros_like(s)))
    total = values @ v.double()
    (exact,) = torch.autograd.grad(total.sum(), here)
    tol = {SINGLE: 5e-6, DOUBLE: 1e-13}[dtype] * 45
    assert (found - total).abs().max() < tol and (slopes - exact).abs().max() < tol


def test_sums_over_kept_blocks_with_scalings():
    """The pairs that are kept, and no others."""
    x, y, _ = clouds(2, DOUBLE)
    row, col, v = (
        torch.randn(1, 70).double(),
        torch.randn(1, 45).double(),
        torch.randn(1, 45, 1).double(),
    )
    pairs = Blocks(0.2, 8).between(x[0].numpy(), y[0].numpy())
    kernel, kept = kernels.Gaussian(0.3), pairs.mask(torch.arange(70), torch.arange(45))
    found, slopes = load("triton").bind(x, y, pairs).sum_slopes(kernel, v, row, col)
    entries = torch.from_numpy(kept) * kernel(squared_distances(x, y))
    entries = entries * (row[..., None] + col[:, None]).exp()
    torch.testing.assert_close(found, entries @ v)
    ways = x[:, :, None] - y[:, None]
    exact = -((entries * v[..., 0])[..., None] * ways).sum(2) / 0.3**2
    torch.testing.assert_close(slopes, exact)


def test_columns_shared_among_programs(monkeypatch, launches):
    """Parts are joined by what each holds of a row; some are far from it."""
    x, y, col = clouds(2, SINGLE, 33, 300)
    y = y[:, y[0, :, 0].argsort()]
    monkeypatch.setattr(tiled, "WORTH", 1)
    monkeypatch.setitem(running.PROGRAMS, "cpu", 7)
    eps = torch.full((1,), 0.003)
    found, slopes = load("triton").bind(x, y).logsumexp_slopes(ground_cost(2), eps, col)
    logs, exact = exact_slopes(ground_cost(2), x, y, col, 0.003)
    assert launches == ["log_sums", "joined"]
    assert (found - logs).abs().max() < 1e-4 and (slopes - exact).abs().max() < 1e-4
    sums = load("triton").bind(x, y).sum_slopes(kernels.Gaussian(0.3), torch.ones(1, 300, 1))
    alone = squared_distances(x.double(), y.double())
    assert (sums[0] - kernels.Gaussian(0.3)(alone).sum(-1, keepdim=True)).abs().max() < 1e-4


@pytest.mark.parametrize(("m", "most"), [(20, 0), (15, small.MOST), (20, small.MOST)])
@pytest.mark.parametrize("p", [1, 2])
def test_a_loss_and_its_gradient_are_one_pass_more_than_its_schedule(
    monkeypatch, launches, m, most, p
):
    """The last softmins bring the gradient, after small clouds too; backward() launches nothing."""
    n, at_once = 20, {"schedule"} if most else set()
    monkeypatch.setattr(small, "MOST", most)
    (x, _), (y, _) = cloud(n, 2), cloud(m, 2, shift=0.2)
    found = []
    for backend in ("triton", "tiles"):
        x, y = (t.clone().requires_grad_() for t in (x, y))
        loss = so.SamplesLoss("sinkhorn", p=p, blur=0.3, diameter=1.0, reach=0.8, backend=backend)
        value = loss(x, y)
        before = list(launches)
        gradients = torch.autograd.grad(value, (x, y))
        found.append((value.detach(), *gradients))
        assert launches == before
    assert set(launches) == {"log_sums"} | at_once
    with torch.no_grad():
        so.SamplesLoss(p=p, blur=0.3, diameter=1.0, reach=0.8, backend="triton")(x, y)
    assert len(launches) == 2 * len(before)  # as many as without
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)
    with pytest.raises(RuntimeError, match="no second derivative"):
        x.grad = None
        value = so.SamplesLoss(p=p, blur=0.3, diameter=1.0, backend="triton")(x, y)
        torch.autograd.grad(torch.autograd.grad(value, x, create_graph=True)[0].sum(), x)


@pytest.mark.parametrize("name", ["gaussian", "energy"])
def test_a_kernel_norm_and_its_gradient_are_four_passes(launches, name):
    """One for each cloud and itself, two across, one of them seen from y; weights cost none."""
    (x, a), (y, b) = cloud(20, 2), cloud(15, 2, shift=0.2)
    found = []
    for backend in ("triton", "tiles"):
        tensors = [t.clone().requires_grad_() for t in (a, x, b, y)]
        value = so.SamplesLoss(name, blur=0.5, backend=backend)(*tensors)
        found.append((value.detach(), *torch.autograd.grad(value, tensors)))
    assert launches == 4 * ["moved_sums"]
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


def test_second_derivatives_of_a_kernel_norm():
    """What one pass gave has no derivative: it is taken as before."""
    (x, a), (y, b) = cloud(4, 2, grad=True), cloud(3, 2, shift=0.2)

    def gradient(backend):
        value = so.SamplesLoss("gaussian", blur=0.5, backend=backend)(a, x, b, y)
        (first,) = torch.autograd.grad(value, x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    torch.testing.assert_close(gradient("triton"), gradient("tiles"))


def test_inference_mode():
    """Tensors of it are packed, and cached, as all others."""
    (x, _), (y, _) = cloud(12, 2), cloud(12, 2, shift=0.2)
    loss = so.SamplesLoss(blur=0.3, diameter=1.0, backend="triton")
    with torch.inference_mode():
        found = loss(x + 0, y + 0)
    assert found.is_inference() and torch.equal(found.clone(), loss(x, y))


def test_many_coordinates_in_double_precision_are_a_pass_of_their_own(launches):
    """A program takes three of them, so that many would take the entries as often."""
    x, y, col = clouds(12, DOUBLE)
    sums, eps = load("triton").bind(x, y), torch.ones(1, dtype=DOUBLE)
    assert sums.logsumexp_slopes(ground_cost(2), eps, col) is None
    assert sums.sum_slopes(kernels.Gaussian(0.4), col[..., None]) is None and not launches
