"""Averages of images: closed forms, optimality, batches."""

import numpy as np
import pytest
import torch

import sparseot as so
from tests.transport.grids.images import gaussian, noise


def test_the_average_of_translates_is_the_mean_translate():
    a = gaussian((26, 24), (1.0, 1.0), (9, 10), (2.0, 2.0))
    images = torch.stack((a, a.roll((8, 4), (0, 1))))
    for blur in (1.5, 4.0):
        found = so.grid_barycenter(images, torch.tensor([0.75, 0.25]), blur=blur, tol=1e-3)
        assert found.converged
        torch.testing.assert_close(
            found.image, a.roll((2, 1), (0, 1)), rtol=0, atol=0.03 * float(a.max())
        )


def test_the_average_of_one_image_is_that_image():
    a = gaussian((20, 24), (1.0, 1.0), (9, 12), (2.0, 3.0))
    found = so.grid_barycenter(a[None], blur=1.0, tol=1e-4)
    torch.testing.assert_close(found.image, a, rtol=0, atol=1e-5)


def test_the_average_of_gaussians_is_the_known_one():
    """The variance s of a debiased one solves sum w sqrt(4 s t^2 + eps^2) = sqrt(4 s^2 + eps^2) (Janati et al., 2020)."""
    widths = (4.0, 8.0)
    images = torch.stack(
        [gaussian((200,), (1.0,), (m,), (s,)) for m, s in zip((70, 120), widths, strict=True)]
    )
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
    torch.testing.assert_close(
        found @ (x - mean) ** 2, torch.tensor(low).double(), rtol=1e-3, atol=0
    )


def test_the_biased_average_is_wider():
    images = torch.stack([gaussian((60,), (1.0,), (m,), (3.0,)) for m in (20, 40)])
    sharp, wide = (
        so.grid_barycenter(images, blur=4.0, debias=flag, tol=1e-6).image for flag in (True, False)
    )
    x = torch.arange(60.0).double()
    spread = [float(t @ (x - t @ x) ** 2) for t in (sharp, wide)]
    assert abs(spread[0] - 9) < 0.05 and spread[1] > 15


@pytest.mark.parametrize("debias", [True, False])
def test_it_is_where_the_objective_is_least(debias):
    """The gradient of the objective is constant where the average has mass, and not smaller elsewhere."""
    means, widths = ((6, 6), (11, 8), (8, 12)), ((2.0, 2.0), (1.5, 3.0), (3.0, 2.0))
    images = torch.stack(
        [gaussian((18, 20), (1.0, 1.0), *pair) for pair in zip(means, widths, strict=True)]
    )
    w = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    found = so.grid_barycenter(images, w, blur=1.5, debias=debias, tol=1e-4)
    average = (found.image / found.image.sum()).requires_grad_()
    how = {"dim": 2, "blur": 1.5, "debias": debias, "tol": 1e-8}
    objective = (w * so.solve_grid(images, average, **how).value).sum()
    (gradient,) = torch.autograd.grad(objective, average)
    if not debias:  # entropy of the average, to whose weights the plan is relative
        gradient = gradient + 1.5**2 * average.detach().log()
    mean = (found.image * gradient).sum()
    assert float((found.image * (gradient - mean).abs()).sum()) < 1e-3 * float(objective.detach())


def test_batches_are_loops():
    images = torch.stack([noise(7, 8, seed=s) for s in range(6)]).view(2, 3, 7, 8)
    how = {"blur": 1.5, "debias": False, "tol": 1e-9}
    found = so.grid_barycenter(images, dim=2, **how)
    assert found.image.shape == (2, 7, 8)
    for k in range(2):
        torch.testing.assert_close(
            found.image[k], so.grid_barycenter(images[k], **how).image, rtol=0, atol=1e-8
        )
    ways = torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]])
    several = so.grid_barycenter(images[0], ways, **how)
    assert several.image.shape == (2, 7, 8)
    alone = so.grid_barycenter(images[0], ways[1], **how)
    torch.testing.assert_close(several.image[1], alone.image, rtol=0, atol=1e-8)


def test_kinds_masses_and_spacings():
    images = 3 * torch.stack([noise(6, 5, seed=s, empty=0.0) for s in range(2)])
    how = {"blur": 1.0, "spacing": (0.5, 1.0), "tol": 1e-2}
    found = so.grid_barycenter(images, **how)
    assert abs(found.image.sum() - 3) < 0.05
    array = so.grid_barycenter(images.numpy().astype(np.float32), **how)
    assert isinstance(array.image, np.ndarray) and array.image.dtype == np.float32
    np.testing.assert_allclose(array.image, found.image, atol=1e-5)
    assert "debiased" in repr(found) and "converged" in repr(found)
    volume = so.grid_barycenter(
        torch.stack([noise(4, 5, 6, seed=s) for s in range(2)]), blur=1.0, tol=1e-2
    )
    assert volume.image.shape == (4, 5, 6) and volume.converged


@pytest.mark.parametrize(
    ("images", "weights", "message"),
    [
        (torch.ones(2, 4) * torch.tensor([[1.0], [2.0]]), None, "images: got masses from 4 to 8"),
        (torch.ones(2, 4), torch.zeros(2), "none above zero"),
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
