"""Averages of volumes: the laws of those of images, in three dimensions."""

import pytest
import torch

import sparseot as so
from tests.transport.grids.images import gaussian, places

SHAPE = (14, 12, 13)


def blob(dtype, *mean, width=(1.5, 1.5, 1.5)):
    return gaussian(SHAPE, (1.0, 1.0, 1.0), mean, width).to(dtype)


def moments(image):
    """The mean along each axis, and the variances."""
    x, w = places(image.shape, (1.0, 1.0, 1.0)), image.double().flatten() / image.double().sum()
    mean = w @ x
    return mean, w @ (x - mean) ** 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_average_of_translates_is_the_mean_translate(dtype):
    images = torch.stack((blob(dtype, 5, 5, 5), blob(dtype, 9, 5, 7)))
    found = so.grid_barycenter(images, torch.tensor([0.5, 0.5]), blur=2.0, tol=1e-4).image
    assert found.dtype == dtype
    expected = blob(dtype, 7, 5, 6)
    assert int(found.argmax()) == int(expected.argmax())
    torch.testing.assert_close(found, expected, rtol=0, atol=0.03 * float(expected.max()))


def test_weights_of_one_image_are_that_image():
    images = torch.stack((blob(torch.float64, 5, 5, 5), blob(torch.float64, 9, 6, 7)))
    for w, wanted in (((1.0, 0.0), images[0]), ((0.0, 1.0), images[1])):
        found = so.grid_barycenter(images, torch.tensor(w), blur=1.5, tol=1e-4).image
        torch.testing.assert_close(found, wanted, rtol=0, atol=0.02 * float(wanted.max()))


def test_gaussians_of_one_shape_keep_it_and_others_lie_between():
    images = torch.stack(
        [
            gaussian((24, 20, 20), (1.0,) * 3, (m, 9.5, 9.5), (s, 1.5, 2.0))
            for m, s in ((9, 1.5), (14, 2.5))
        ]
    )
    mean, spread = moments(so.grid_barycenter(images, blur=1.0, tol=1e-5).image)
    torch.testing.assert_close(mean, torch.tensor([11.5, 9.5, 9.5]).double(), rtol=0, atol=1e-2)
    # deviations are averaged where blur is small; along an axis where they are equal, exactly
    torch.testing.assert_close(spread[1:], torch.tensor([2.25, 4.0]).double(), rtol=5e-3, atol=0)
    assert abs(float(spread[0]) ** 0.5 - 2) < 0.03


def test_batches_are_loops_and_both_precisions_agree():
    """A mirrored set takes the same sweeps, so its item of the batch ends where the set alone does."""
    shape = (8, 9, 8)
    pair = torch.stack(
        [gaussian(shape, (1.0,) * 3, m, (1.5, 1.2, 1.5)) for m in ((3, 3, 3), (5, 3, 4))]
    )
    how = {"blur": 1.5, "tol": 1e-3}
    both = so.grid_barycenter(torch.stack((pair, pair.flip(1))), dim=3, **how)
    assert both.image.shape == (2, *shape) and both.converged
    alone = so.grid_barycenter(pair, **how).image
    torch.testing.assert_close(both.image[0], alone, rtol=0, atol=1e-7)
    torch.testing.assert_close(both.image[1], alone.flip(0), rtol=0, atol=1e-7)
    single = so.grid_barycenter(pair.float(), **how).image
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), alone, rtol=0, atol=1e-5)
