"""Small random problems for the tests."""

import torch


def cloud(n, d, *, shift=0.0, dtype=torch.float64, device="cpu", batch=(), grad=False, zero=None):
    """Uniform points in the unit cube and random weights of mass one; weight ``zero`` vanishes."""
    x = torch.rand(*batch, n, d, dtype=torch.float64) + shift
    a = torch.rand(*batch, n, dtype=torch.float64) + 0.1
    if zero is not None:
        a[..., zero] = 0
    a = a / a.sum(-1, keepdim=True)
    x, a = x.to(device, dtype), a.to(device, dtype)
    return (x.requires_grad_(), a.requires_grad_()) if grad else (x, a)


def wide(n, offset=0.0, stretch=1.0, dtype=torch.float32):
    """A million pairs and more: what an approximate engine is for."""
    points = torch.rand(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (points * torch.tensor([stretch, 1.0, 1.0]).double() + offset).to(dtype)
