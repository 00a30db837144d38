"""Derivatives for p = 1 where points nearly meet: beside them, sums that cancel are huge."""

import pytest
import torch

import sparseot as so
from sparseot.transport.derivatives import curvature
from tests.references.clouds import cloud

BLUR, NEAR = 0.2, 1e-9
WAYS = {
    "stored": (None, None),
    "all pairs": (0, False),
    "kept": (0, True),
    "kept, torch": (0, "tiles"),
}


def dual(x, y, a, b, f, g):
    """The dual value, with entries of the plan and distances one by one."""
    squares = (x[:, None] - y).square().sum(-1)
    far = torch.where(squares > 0, squares, 1).sqrt() * (squares > 0)
    plan = a[:, None] * b * torch.exp((f[:, None] + g - far) / BLUR)
    return a @ f + b @ g - BLUR * (plan.sum() - a.sum() * b.sum())


def dense(x, y, a, b, f, g):
    """The whole Hessian in x, with both clouds moved where y is None, ``(N D, N D)``."""

    def value(x, f, g):
        return dual(x, x if y is None else y, a, b, f, g)

    rows = torch.autograd.functional.hessian(value, (x, f, g))
    sizes = x.numel(), len(f), len(g)
    blocks = [
        torch.cat([h.reshape(n, m) for h, m in zip(row, sizes, strict=True)], 1)
        for row, n in zip(rows, sizes, strict=True)
    ]
    (xx, xz), (zx, zz) = (
        t.split((sizes[0], sizes[1] + sizes[2]), 1) for t in (blocks[0], torch.cat(blocks[1:]))
    )
    null = torch.cat((torch.ones_like(f), -torch.ones_like(g)))[:, None]
    weighs = torch.cat((a, b)) > 0  # no potential of the others matters, nor is determined
    zz, zx, xz = (zz - null @ null.T)[weighs][:, weighs], zx[weighs], xz[:, weighs]
    return xx - xz @ torch.linalg.solve(zz, zx)


def near(n, d):
    """Clouds of which some points nearly meet, with a point without weight among them."""
    (x, a), (y, b) = cloud(n, d, zero=2), cloud(n - 3, d, zero=1)
    x[:5] = y[:5] + NEAR * torch.randn(5, d).double()
    x[-1] = x[-2] + NEAR
    return x, y, a, b


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("way", WAYS)
def test_they_are_those_of_sums_of_one_pair_at_a_time(way, d, monkeypatch):
    limit, kept = WAYS[way]
    if limit is not None:
        monkeypatch.setattr(curvature, "STORED", limit)
    x, y, a, b = near(20, d)
    engine = {"engine": "tiles"} if kept == "tiles" else {}
    solver = so.Sinkhorn(multilevel=bool(kept), **engine)
    found = so.solve_sample(x, y, a, b, p=1, blur=BLUR, tol=1e-13, debias=True, solver=solver)
    both, own = (part.solution for part in found.solved[:2])
    wanted = dense(x, y, a, b, both.f[0], both.g_prev[0])
    wanted -= dense(x, None, a, a, own.f[0], own.f[0]) / 2
    H, size = so.hessian(found), wanted.norm(dim=1)  # rows of points that are near none are small
    assert size.max() > (1e3 * size.median() if d > 1 else 0)
    v = torch.randn(len(wanted), 2).double()
    for error in (H.to_dense().view(wanted.shape) - wanted, H @ v - wanted @ v):
        assert (error.norm(dim=1) <= 1e-6 * size).all()


LOSSES = {
    "schedule": {"loss": "sinkhorn", "p": 1, "blur": 0.02},
    "tolerance": {"loss": "sinkhorn", "p": 1, "blur": 0.02, "tol": 1e-4},
    "raw": {"loss": "sinkhorn", "p": 1, "blur": 0.02, "debias": False},
    "hausdorff": {"loss": "hausdorff", "p": 1, "blur": 0.02},
    "energy": {"loss": "energy"},
    "laplacian": {"loss": "laplacian", "blur": 0.1},
}


@pytest.mark.parametrize("engine", ["numba", "tiles"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_in_single_precision_have_its_digits(name, engine):
    """Points at 2e-7 and 1e-5: what is 1 for each pair was lost to the rounding of 1e5 to 1e7."""
    x, y = torch.rand(40, 2), torch.rand(40, 2)
    y[:10] = x[:10] + 2e-7 * torch.randn(10, 2).sign()
    y[10:20] = x[10:20] + 1e-5 * torch.randn(10, 2)
    loss, gradients = so.SamplesLoss(**LOSSES[name], backend=engine), []
    for dtype in (torch.float32, torch.float64):
        z = x.to(dtype).requires_grad_()
        gradients.append(torch.autograd.grad(loss(z, y.to(dtype)), z)[0].double())
    one, exact = gradients
    assert (one - exact).norm(dim=1).max() < 1e-5 * exact.norm(dim=1).max()
