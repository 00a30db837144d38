"""Doors that take sets refuse what others refuse, and show what they found."""

import numpy as np
import pytest
import torch

import sparseot as so

from .clouds import NX, NY, clouds

X, Y = clouds(NX, 0), clouds(NY, 1, shift=0.1)
A = torch.full((20,), 1 / 20, dtype=torch.float64)
P = torch.rand(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("door", [so.sinkhorn_divergence, so.hausdorff_divergence, so.kernel_norm])
def test_places_and_names_are_checked(door):
    """p is a keyword: by place it would be lost."""
    with pytest.raises(TypeError, match="positional"):
        door(P, P + 1, A, A, 1)
    with pytest.raises(TypeError, match="multiple values"):
        door(P, P + 1, x=P)
    with pytest.raises(TypeError, match="positional"):
        torch.vmap(lambda x: door(x, P + 1, A, A, 1))(P[None])


@pytest.mark.parametrize("of", [list, torch.nested.as_nested_tensor, "arrays", "one"])
def test_neighbours_of_sets_are_shown(of):
    sets = {
        list: lambda: X,
        "arrays": lambda: [x.numpy() for x in X],
        "one": lambda: X[0],
    }.get(of, lambda: torch.nested.nested_tensor(X, layout=torch.jagged))()
    found = so.knn(sets, k=2)
    shown = repr(found)
    assert shown.startswith("Neighbours((") and "distances computed" in shown
    if isinstance(found.indices, (list, tuple)):
        assert f"{len(X)} sets" in shown


def test_half_precision_beside_double():
    half, double = [x.half() for x in X], [y.double() for y in Y]
    found = so.sinkhorn_divergence(half, double, blur=0.3)
    single = [so.sinkhorn_divergence(x, y, blur=0.3) for x, y in zip(half, double, strict=True)]
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, torch.stack(single), rtol=1e-9)
