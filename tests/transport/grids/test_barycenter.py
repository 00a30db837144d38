"""Averages of images: closed forms, optimality, batches."""

import numpy as np
import pytest
import torch

import sparseot as so
from tests.transport.grids.images import gaussian, noise


def test_the_average_of_translates_is_the_mean_translate():
    a = gaussian((48, 40), (1.0, 1.0), (15, 12), (3.0, 2.0))
    images = torch.stack((a, a.roll((12, 4), (0, 1))))
    for blur in (1.0, 5.0):
        found = so.grid_barycenter(images, torch.tensor([0.75, 0.25]), blur=blur, tol=1e-6)
        assert found.converged
        torch.testing.assert_close(found.image, a.roll((3, 1), (0, 1)), rtol=0, atol=2e-5)


def test_the_average_of_one_image_is_that_image():
    a = noise(12, 14) + 1e-3
    found = so.grid_barycenter(a[None], blur=0.8, tol=1e-9)
    torch.testing.assert_close(found.image, a, rtol=0, atol=1e-7)


def test_the_average_of_gaussians_is_the_known_one():
    """The variance s of a debiased one solves sum w sqrt(4 s t^2 + eps^2) = sqrt(4 s^2 + eps^2) (Janati et al., 2020)."""
    widths = (4.0, 8.0)
    images = torch.stack([gaussian((200,), (1.0,), (m,), (s,)) for m, s in zip((70, 120), widths, strict=True)])
    found = so.grid_barycenter(images, blur=3.0, tol=1e-7).image
    x = torch.arange(200.0).double()
    mean = found @ x
    assert abs(mean - 95) < 1e-3
    eps = 9.0

    def slope(s):
        return sum((eps**2 + 4 * s * t**2) ** 0.5 / 2 for t in widths) - (eps**2 + 4 * s**2) ** 0.5

    low, high = 1.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    torch.testing.assert_close(found @ (x - mean) ** 2, torch.tensor(low).double(), rtol=1e-3, atol=0)


def test_the_biased_average_is_wider():
    images = torch.stack([gaussian((60,), (1.0,), (m,), (3.0,)) for m in (20, 40)])
    sharp, wide = (
        so.grid_barycenter(images, blur=4.0, debias=flag, tol=1e-6).image for flag in (True, False)
    )
    x = torch.arange(60.0).double()
    spread = [float(t @ (x - t @ x) ** 2) for t in (sharp, wide)]
    assert abs(spread[0] - 9) < 0.05 and spread[1] > 15


def test_it_is_where_the_objective_is_least():
    """The gradient of the sum of divergences is constant where the average has mass."""
    images = torch.stack([noise(8, 9, seed=s, empty=0.0) for s in range(3)])
    w = torch.tensor([0.5, 0.3, 0.2])
    found = so.grid_barycenter(images, w, blur=1.5, tol=1e-9)
    average = found.image.clone().requires_grad_()
    objective = (w * so.solve_grid(images, average, dim=2, blur=1.5, debias=True, tol=1e-10).value).sum()
    (gradient,) = torch.autograd.grad(objective, average)
    weights = found.image
    mean = (weights * gradient).sum()
    assert float((weights * (gradient - mean).abs()).sum()) < 1e-6
    assert float(gradient.min() - mean) > -1e-4


def test_batches_are_loops():
    images = torch.stack([noise(7, 8, seed=s) for s in range(6)]).view(2, 3, 7, 8)
    how = {"blur": 1.0, "tol": 1e-8}
    found = so.grid_barycenter(images, dim=2, **how)
    assert found.image.shape == (2, 7, 8)
    for k in range(2):
        torch.testing.assert_close(found.image[k], so.grid_barycenter(images[k], **how).image, rtol=0, atol=1e-8)
    ways = torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]])
    several = so.grid_barycenter(images[0], ways, **how)
    assert several.image.shape == (2, 7, 8)
    alone = so.grid_barycenter(images[0], ways[1], **how)
    torch.testing.assert_close(several.image[1], alone.image, rtol=0, atol=1e-8)


def test_kinds_masses_and_spacings():
    images = 3 * torch.stack([noise(6, 5, seed=s, empty=0.0) for s in range(2)])
    found = so.grid_barycenter(images, blur=0.5, spacing=(0.5, 1.0))
    assert abs(found.image.sum() - 3) < 0.01
    array = so.grid_barycenter(images.numpy().astype(np.float32), blur=0.5, spacing=(0.5, 1.0))
    assert isinstance(array.image, np.ndarray) and array.image.dtype == np.float32
    np.testing.assert_allclose(array.image, found.image, atol=1e-5)
    assert "debiased" in repr(found) and "converged" in repr(found)
    volume = so.grid_barycenter(torch.stack([noise(4, 5, 6, seed=s) for s in range(2)]), blur=1.0)
    assert volume.image.shape == (4, 5, 6) and volume.converged


@pytest.mark.parametrize(
    ("images", "weights", "message"),
    [
        (torch.ones(2, 4) * torch.tensor([[1.0], [2.0]]), None, "images: got masses from 4 to 8"),
        (torch.ones(2, 4), torch.tensor([0.7, 0.7]), "weights: got a sum of 1.4"),
        (torch.ones(2, 4), torch.tensor([1.5, -0.5]), "weights: got negative"),
        (torch.ones(2, 4), torch.tensor([1.0]), r"weights: got shape \(1,\)"),
        (-torch.ones(2, 4), None, "images: got a negative weight"),
        (torch.ones(4), None, "dim: got"),
    ],
)
def test_bad_input_gets_a_sentence(images, weights, message):
    with pytest.raises(ValueError, match=message):
        so.grid_barycenter(images, weights, blur=1.0)


def test_not_converging_is_a_warning():
    images = torch.stack([noise(10, 10, seed=s) for s in range(2)])
    with pytest.warns(RuntimeWarning, match="marginals of the average"):
        found = so.grid_barycenter(images, blur=0.5, tol=1e-9, max_sweeps=2)
    assert not found.converged and "NOT CONVERGED" in repr(found)
