"""``hessian`` and ``Transport.hvp``: one matrix by four ways, its null spaces, and what it costs."""

import math

import pytest
import scipy
import torch
from torch.autograd.functional import hessian

import sparseot as so
from sparseot.transport.derivatives import curvature
from sparseot.transport.derivatives.sums.coupling import Summed
from tests.references.clouds import cloud

from .derivatives.test_implicit import NAMES

FEW = so.Sinkhorn(multilevel=True)


def solved(reach=None, p=2, n=7, m=9, d=3, **options):
    (x, a), (y, b) = cloud(n, d), cloud(m, d, shift=0.1)
    options = {"debias": not isinstance(reach, tuple), "tol": 1e-13, "blur": 0.5} | options
    return so.solve_sample(x, y, a, b, p=p, reach=reach, **options)


@pytest.mark.parametrize("sizes", [(7, 9), (9, 6)])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.5, (None, 0.4)])
def test_one_matrix_by_three_ways(reach, p, sizes):
    """Assembled, by products, and through the unrolled loop."""
    found = solved(reach, p, *sizes)
    for wrt in NAMES:
        H = so.hessian(found, wrt)
        eye = torch.eye(H.shape[0]).double()
        dense = H.to_dense().reshape(H.shape)
        torch.testing.assert_close(H @ eye, dense, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(dense, dense.T, rtol=0, atol=1e-12)
        loop, v = so.hessian(found, wrt, method="unrolled", n_iter=60), eye.sum(0).cumsum(0)
        torch.testing.assert_close(loop @ v, dense @ v, rtol=1e-6, atol=1e-7)


def test_it_is_the_hessian_of_autograd():
    (x, a), (y, b) = cloud(7, 2), cloud(5, 2, shift=0.1)
    found = so.solve_sample(x, y, a, b, blur=0.3, debias=True, tol=1e-13)
    loss = so.SamplesLoss("sinkhorn", blur=0.3, tol=1e-13)
    inputs = {"x": x, "y": y, "a": a, "b": b}
    for wrt, value in inputs.items():

        def moved(z, wrt=wrt):
            now = inputs | {wrt: z}
            return loss(now["a"], now["x"], now["b"], now["y"])

        torch.testing.assert_close(so.hessian(found, wrt).to_dense(), hessian(moved, value))


@pytest.mark.parametrize("stored", [True, False])
def test_null_spaces(stored, monkeypatch):
    """``H (1 (x) v) = a (x) v``, to rounding, before convergence too; constants in the weights."""
    monkeypatch.setattr(curvature, "STORED", 2**22 if stored else 0)
    (x, a), (y, b) = cloud(40, 3), cloud(30, 3)
    found = so.solve_sample(x, y, a, b, blur=0.1, tol=1e-3)
    v = torch.randn(3).double()
    moved = so.hessian(found) @ v.expand(40, 3).reshape(-1)
    close = {"rtol": 0, "atol": 1e-14 if stored else 1e-7}
    torch.testing.assert_close(moved.view(40, 3), a[:, None] * v, **close)
    H, w = so.hessian(found, "a"), torch.randn(40).double()
    torch.testing.assert_close(H @ (w + 5), H @ w, rtol=0, atol=1e-13)
    assert abs((H @ w).sum()) < 1e-13
    if stored:
        assert torch.linalg.eigvalsh(H.to_dense()).min() > -1e-13


def test_several_vectors_share_their_passes(monkeypatch):
    monkeypatch.setattr(curvature, "STORED", 0)
    passes = counted(monkeypatch)
    found = solved(blur=0.2)
    v = torch.randn(7, 3, 5).double()
    block = found.hvp(v)
    together = len(passes)
    for k in range(5):
        torch.testing.assert_close(found.hvp(v[..., k]), block[..., k], rtol=1e-6, atol=1e-9)
    assert len(passes) - together > 4 * 0.6 * together


def test_batches_and_dtypes():
    (x, a), (y, b) = (cloud(n, 2, batch=(3,)) for n in (6, 5))
    found = so.solve_sample(x, y, a, b, blur=0.3, debias=True, tol=1e-12)
    v, w = torch.randn(3, 6, 2).double(), torch.randn(3, 5).double()
    products = found.hvp(v), found.hvp(w, "b")
    for k in range(3):
        one = so.solve_sample(x[k], y[k], a[k], b[k], blur=0.3, debias=True, tol=1e-12)
        torch.testing.assert_close(products[0][k], one.hvp(v[k]), rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(products[1][k], one.hvp(w[k], "b"), rtol=1e-9, atol=1e-11)
    single = so.solve_sample(*(t[0].float() for t in (x, y, a, b)), blur=0.3)
    H = so.hessian(single)
    assert (
        H.to_dense().dtype == torch.float32 and (H @ v[0].float().view(-1)).dtype == torch.float32
    )


def test_a_rough_solve_has_the_exact_hessian():
    """The factored system is also Newton's: it takes the potentials to rounding."""
    (x, a), (y, b) = cloud(30, 3), cloud(25, 3)
    for reach in (None, 0.5):
        rough, fine = (
            so.solve_sample(x, y, a, b, blur=0.1, reach=reach, debias=True, tol=tol)
            for tol in (1e-2, 1e-12)
        )
        for wrt in NAMES:
            found, wanted = (so.hessian(r, wrt).to_dense() for r in (rough, fine))
            assert (found - wanted).norm() < 1e-10 * wanted.norm()


def test_scipy_takes_it():
    found = solved()
    H = so.hessian(found)
    dense = H.to_dense().reshape(21, 21).numpy()
    linear = H.aslinearoperator()
    assert linear.shape == (21, 21)
    largest = scipy.sparse.linalg.eigsh(H, 1, which="LA")[0][0]
    assert largest == pytest.approx(scipy.linalg.eigvalsh(dense)[-1], rel=1e-8)


def counted(monkeypatch):
    """Every pass over all pairs of a matrix that is not stored."""
    passes, true = [], Summed._pass

    def watched(self, v, row, col):
        passes.append(v.shape[1])
        return true(self, v, row, col)

    monkeypatch.setattr(Summed, "_pass", watched)
    return passes


def test_a_large_product_takes_few_passes_and_stores_nothing(monkeypatch):
    """One HVP of the divergence of 5,000 points at blur .1: at most 80 passes, the first one too."""
    passes = counted(monkeypatch)
    (x, _), (y, _) = cloud(5000, 3), cloud(5000, 3)
    found = so.solve_sample(x, 0.5 * y + 0.4, blur=0.1, debias=True, tol=1e-3)
    H = so.hessian(found)
    v = torch.randn(15_000).double()
    H @ v
    assert 20 < len(passes) <= 80 and H.residual < 1e-6
    assert "% of the pairs, conjugate gradients, residual" in repr(H)
    assert not any(hasattr(part.here.e, "matrix") for part in H.parts)
    before = len(passes)
    H @ v
    assert len(passes) < 2 * before


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("wrt", ["x", "a"])
@pytest.mark.parametrize("blur", [0.1, 0.03])
def test_kept_pairs_are_off_by_the_residual_times_the_condition_at_most(p, blur, wrt, monkeypatch):
    """Against all pairs, factored, with exact potentials: what the guide says of large problems."""
    (x, a), (y, b) = cloud(1100, 2), cloud(1000, 2, shift=0.1)
    blur = blur if p == 2 else blur / 3
    for tol in (1e-3, 1e-5):
        found, again = (
            so.solve_sample(x, y, a, b, p=p, blur=blur, debias=True, tol=tol, solver=FEW)
            for _ in "12"
        )
        v = torch.randn_like(x if wrt == "x" else a)
        exact, factored = found.hvp(v, wrt), so.hessian(found, wrt)
        assert "all pairs, factored" in repr(factored) and found.kept_fraction < 1
        with monkeypatch.context() as context:
            context.setattr(curvature, "STORED", 0)
            product, kept = again.hvp(v, wrt), so.hessian(again, wrt)
        assert f"{100 * again.kept_fraction:.2g} % of the pairs, conjugate" in repr(kept)
        bound = again.residual * (1.1 / (math.pi * blur)) ** 2
        assert 0 < (product - exact).norm() <= bound * exact.norm()


def test_newton_converges_where_gradient_descent_crawls():
    """The divergence of a moved copy: some steps of trust-ncg, with our products."""
    (x, _), _ = cloud(20, 2), None
    y = x * torch.tensor([1.2, 0.8]).double() + 0.3
    counts = {"newton": 0}

    def solve(flat):
        z = torch.from_numpy(flat).view(20, 2).requires_grad_()
        return z, so.solve_sample(z, y, blur=0.2, debias=True, tol=1e-9)

    def fun(flat):
        z, found = solve(flat)
        counts["newton"] += 1
        return found.value.item(), torch.autograd.grad(found.value, z)[0].reshape(-1).numpy()

    def hessp(flat, v):
        return (so.hessian(solve(flat)[1]) @ torch.from_numpy(v.copy())).numpy()

    start = x.reshape(-1).numpy()
    result = scipy.optimize.minimize(
        fun, start, jac=True, hessp=hessp, method="trust-ncg", options={"gtol": 1e-9}
    )
    assert result.fun < 1e-12 and counts["newton"] < 60


def test_bad_input():
    found = solved()
    with pytest.raises(TypeError, match="transport: got Tensor"):
        so.hessian(torch.zeros(3))
    with pytest.raises(ValueError, match="wrt: got 'z', wanted one of \"x\""):
        so.hessian(found, "z")
    with pytest.raises(ValueError, match="wrt: got 'xy'"):
        found.hvp(torch.zeros(7, 3), "xy")
    with pytest.raises(ValueError, match="method: got 'cg'"):
        so.hessian(found, method="cg")
    with pytest.raises(ValueError, match="n_iter: got 3, wanted None"):
        so.hessian(found, n_iter=3)
    with pytest.raises(ValueError, match="n_iter: got 0"):
        so.hessian(found, method="unrolled", n_iter=0)
    with pytest.raises(ValueError, match=r"v: got shape \(3, 7\), wanted \(7, 3\), as x has"):
        found.hvp(torch.zeros(3, 7))
    (x, a), (y, b) = (cloud(4, 2, batch=(2,)) for _ in range(2))
    with pytest.raises(ValueError, match=r"transport.hvp\(v\) multiplies all items"):
        so.hessian(so.solve_sample(x, y, a, b, blur=0.3))


def test_a_dense_hessian_that_would_not_fit_is_refused():
    x = torch.rand(6000, 3)
    found = so.solve_sample(x, x[:20] + 0.1, blur=0.5)
    with pytest.raises(
        ValueError, match=r"18,000 x 18,000 numbers, 2 GiB.*hessian\(transport\) @ v"
    ):
        so.hessian(found).to_dense()


def test_it_says_so_where_the_solve_has_not_converged():
    (x, a), (y, b) = cloud(30, 2), cloud(30, 2, shift=0.4)
    with pytest.warns(RuntimeWarning, match="max_sweeps"):
        found = so.solve_sample(x, y, a, b, blur=0.03, tol=1e-9, solver=so.Sinkhorn(max_sweeps=3))
    with pytest.warns(RuntimeWarning, match="off by about as much"):
        H = so.hessian(found)
    assert "NOT CONVERGED, marginals off by" in repr(H)
    assert "all pairs, factored, marginals off" in repr(so.hessian(solved()))
    loop = so.hessian(solved(), "a", method="unrolled", n_iter=20)
    assert "20 updates" in repr(loop) and loop.to_dense().shape == (7, 7)
