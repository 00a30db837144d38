"""How results of lazy sums are compared with whole matrices in double precision."""

import numpy as np
import torch


def assert_equals(found, wanted, tolerance=1e-10):
    """One shape, and values within a tolerance of the largest."""
    found, wanted = torch.as_tensor(found).detach(), torch.as_tensor(wanted).detach()
    assert tuple(found.shape) == tuple(wanted.shape)
    if not wanted.is_floating_point():
        assert torch.equal(found.long(), wanted.long())
        return
    scale = wanted.abs().max().clamp_min(1e-300)
    assert (found.double() - wanted.double()).abs().max() <= tolerance * scale


def points(n, d, seed=0, dtype=np.float64):
    """Random points of the unit cube, as an array."""
    return np.random.default_rng(seed).random((n, d)).astype(dtype)


def tensor(n, d, seed=0, dtype=torch.float64):
    """The same as a tensor."""
    return torch.from_numpy(points(n, d, seed)).to(dtype)
