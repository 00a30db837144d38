"""``torch.func`` and vectorised ``torch.autograd.functional``: the same derivatives, other doors."""

import pytest
import torch
from torch.autograd.functional import hessian, jacobian
from torch.func import grad, jacfwd, jacrev, jvp, vmap
from torch.func import hessian as func_hessian

import sparseot as so
from sparseot.transport.derivatives import curvature
from sparseot.transport.derivatives import linear as products
from tests.references.clouds import cloud

# torch's own: its forward mode still compiles by torch.jit
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
CLOSE = {"rtol": 1e-10, "atol": 1e-12}
REACHES = [None, 0.5]


def problem(reach=None):
    (x, a), (y, b) = cloud(6, 2), cloud(5, 2, shift=0.2)

    def value(x, a=a):
        return so.sinkhorn_divergence(x, y, a, b, blur=0.4, reach=reach, tol=1e-13)

    return value, x, a


@pytest.mark.parametrize("reach", REACHES)
def test_first_and_second_derivatives(reach):
    value, x, a = problem(reach)
    for z, loss in ((x, value), (a, lambda a: value(x, a))):
        wanted, first = hessian(loss, z), jacobian(loss, z)
        torch.testing.assert_close(grad(loss)(z), first, **CLOSE)
        torch.testing.assert_close(jacfwd(loss)(z), first, **CLOSE)
        torch.testing.assert_close(func_hessian(loss)(z), wanted, **CLOSE)
        torch.testing.assert_close(jacrev(jacrev(loss))(z), wanted, **CLOSE)
        along = jvp(grad(loss), (z,), (torch.ones_like(z),))[1]
        inner = tuple(range(z.dim(), 2 * z.dim()))
        torch.testing.assert_close(along, wanted.sum(inner), **CLOSE)


def test_mixed_derivatives():
    """In points and weights at once, beside a loss that is not ours."""
    value, x, a = problem()

    def loss(x, a):
        return value(x, a).square() + (x * a[:, None]).sum()

    found = func_hessian(loss, argnums=(0, 1))(x, a)
    wanted = hessian(loss, (x, a))
    for row, exact in zip(found, wanted, strict=True):
        for block, other in zip(row, exact, strict=True):
            torch.testing.assert_close(block, other, **CLOSE)


def test_potentials():
    (x, a), (y, b) = cloud(6, 2), cloud(5, 2)

    def potential(x):
        return so.solve_sample(x, y, a, b, blur=0.4, debias=True, tol=1e-13).dual_potentials[0]

    wanted = jacobian(potential, x)
    torch.testing.assert_close(jacrev(potential)(x), wanted, **CLOSE)
    torch.testing.assert_close(jacfwd(potential)(x), wanted, **CLOSE)
    with pytest.raises(RuntimeError, match="no third derivative"):
        func_hessian(lambda x: potential(x).sum())(x)


@pytest.mark.parametrize("stored", [True, False])
def test_directions_share_one_factor_and_one_product(stored, monkeypatch):
    """By autograd one product a row, of one factor; by ``torch.func`` one product for all."""
    monkeypatch.setattr(curvature, "STORED", 2**22 if stored else 0)
    monkeypatch.setattr(curvature, "STORED_PAIRS", 2**16 if stored else 0)
    columns, made, each, true = [], [], products._each, curvature.curvature

    def watched(like, need, directions, product):
        columns.append(next(v for v in directions if v is not None).shape[-1])
        return each(like, need, directions, product)

    def counted(*args, **options):
        made.append(args)
        return true(*args, **options)

    monkeypatch.setattr(products, "_each", watched)
    monkeypatch.setattr("sparseot.transport.derivatives.curvatures.curvature", counted)
    value, x, _ = problem()
    wanted = hessian(value, x)
    assert columns == [1] * 24 and len(made) == 2  # of x and y, and of x with itself
    columns.clear()
    for found in (func_hessian(value)(x), jacrev(jacrev(value))(x)):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-8)
    assert columns == [12] * 4 and len(made) == 6


def test_many_rows_come_from_one_block(monkeypatch):
    """Who asks for row after row pays for a few of them, and for one product with all directions."""
    (x, a), (y, b) = cloud(30, 2), cloud(25, 2, shift=0.2)
    options = {"blur": 0.4, "tol": 1e-13}
    columns, true = [], curvature.Curvature._product

    def counted(self, tangents, wanted):
        columns.append(next(t for t in tangents if t is not None).shape[-1])
        return true(self, tangents, wanted)

    direct = so.hessian(so.solve_sample(x, y, a, b, debias=True, **options), "x").to_dense()
    monkeypatch.setattr(curvature.Curvature, "_product", counted)
    rows = hessian(lambda x: so.sinkhorn_divergence(x, y, a, b, **options), x)
    assert columns.count(60) == 2 and columns.count(1) == 6  # of x and y, and of x with itself
    torch.testing.assert_close(rows, direct, rtol=1e-9, atol=1e-12)


def test_vectorised_autograd(monkeypatch):
    """Where the plan is stored; its batches are older than those of ``torch.func``."""
    value, x, a = problem()
    torch.testing.assert_close(hessian(value, x, vectorize=True), hessian(value, x), **CLOSE)
    monkeypatch.setattr(curvature, "STORED", 0)
    monkeypatch.setattr(curvature, "STORED_PAIRS", 0)
    with pytest.raises(ValueError, match="vectorize: got True.*torch.func.hessian"):
        hessian(value, x, vectorize=True)


def test_single_precision():
    (x, a), (y, b) = (cloud(n, 2, dtype=torch.float32) for n in (8, 7))

    def loss(x):
        return so.SamplesLoss("sinkhorn", blur=0.3, tol=1e-5)(a, x, b, y)

    found = func_hessian(loss)(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, hessian(loss, x), rtol=1e-4, atol=1e-5)


def test_what_torch_func_cannot_do():
    (x, _), (y, _) = cloud(6, 2), cloud(5, 2, shift=0.2)
    with pytest.raises(ValueError, match=r"torch.vmap: got a map over clouds.*\(B, N, D\)"):
        vmap(lambda x: so.solve_sample(x, y, blur=0.4).value)(torch.stack([x, x]))
    for loss in (so.SamplesLoss("sinkhorn", blur=0.4), so.SamplesLoss("hausdorff", blur=0.4)):
        with pytest.raises(ValueError, match="torch.func: got a loss that is not.*tol=1e-3"):
            grad(lambda x, loss=loss: loss(x, x.detach() + 1))(x)
