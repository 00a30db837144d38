"""The schedule of small clouds in one kernel, against the same steps one by one."""

import pytest
import torch

import sparseot as so
from sparseot.engines.triton import small
from tests.references.clouds import cloud


def answer(clouds, p, options):
    x, a, y, b = clouds
    x = x.clone().requires_grad_()
    value = so.SamplesLoss(p=p, blur=0.5, scaling=0.4, backend="triton", **options)(a, x, b, y)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


@pytest.mark.parametrize(
    ("p", "dtype", "options"),
    [
        (2, torch.float32, {"debias": True}),
        (2, torch.float64, {"debias": True, "reach": 0.5}),
        (1, torch.float64, {"debias": False}),
    ],
)
def test_one_kernel_gives_what_steps_give(monkeypatch, p, dtype, options):
    """Two tiles of rows and of columns, both short; self terms are items beside the others."""
    runs = []
    launch = small.reductions.launch
    monkeypatch.setattr(
        small.reductions, "launch", lambda k, *rest, **kind: (runs.append(k), launch(k, *rest, **kind))
    )  # fmt: skip
    n = 70 if dtype == torch.float32 else 37
    (x, a), (y, b) = (cloud(n, 2, batch=(2,), dtype=dtype) for _ in range(2))
    stretch = torch.tensor([1.0, 3.0], dtype=dtype)[:, None, None]  # of two items: two schedules
    clouds = stretch * x, a, stretch * y, b
    found = answer(clouds, p, options)
    assert runs.count(small.schedule) == 1 and len(runs) <= 4
    monkeypatch.setattr(small, "SMALL", 0)
    runs.clear()
    wanted = answer(clouds, p, options)
    assert small.schedule not in runs and len(runs) > 5
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= {torch.float32: 1e-6, torch.float64: 1e-12}[dtype]
