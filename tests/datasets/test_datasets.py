"""Samples follow the picture they are drawn from, and bad pictures are refused with the fix."""

import doctest

import numpy as np
import pytest
import torch

from sparseot import datasets
from sparseot.datasets import calorimeter, cells, interval, lineages, sample_image


def test_examples_run():
    assert doctest.testmod(datasets).failed == 0
    assert doctest.testmod(datasets).attempted >= 4
    assert doctest.testmod(lineages) == (0, 2)


def picture(height=30, width=40):
    """A picture without symmetry, so that a flipped or transposed axis shows."""
    row, column = np.mgrid[:height, :width]
    return (row / height) ** 2 * np.exp(-column / width)


@pytest.mark.parametrize("shape", [(30, 40), (40, 30), (7, 7)])
def test_moments_are_those_of_the_picture(shape):
    image = picture(*shape)
    height, width = shape
    side = max(shape)
    n = 40_000
    points = sample_image(image, n, dtype=torch.float64).numpy()
    density = image / image.sum()
    row, column = np.mgrid[:height, :width]
    centres = np.stack([(column + 0.5) / side, (height - row - 0.5) / side], axis=-1)
    mean = (density[..., None] * centres).sum((0, 1))
    variance = (density[..., None] * (centres - mean) ** 2).sum((0, 1)) + 1 / (12 * side**2)
    assert np.abs(points.mean(0) - mean).max() < 5 * np.sqrt(variance.max() / n)
    assert np.allclose(points.var(0), variance, rtol=0.05)


def test_every_pixel_receives_its_share():
    image = np.array([[0, 1, 0], [3, 0, 4]], dtype=np.uint8)
    n = 20_000
    points = sample_image(image, n, dtype=torch.float64).numpy() * 3
    column, row = points[:, 0].astype(int), 1 - points[:, 1].astype(int)
    counts = np.zeros((2, 3))
    np.add.at(counts, (row, column), 1)
    assert np.array_equal(counts > 0, image > 0)
    assert np.abs(counts / n - image / 8).max() < 0.02


def test_one_bright_pixel_bounds_every_point():
    image = np.zeros((5, 10))
    image[1, 7] = 0.2
    points = sample_image(image, 500)
    low, high = points.min(0).values, points.max(0).values
    assert low[0] >= 0.7 and high[0] <= 0.8 and low[1] >= 0.3 and high[1] <= 0.4
    assert (high - low > 0.09).all()  # the jitter fills the pixel


def test_seed_decides_the_draw_and_the_global_state_is_left_alone():
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state()
    one, same = sample_image(picture(), 50, seed=1), sample_image(picture(), 50, seed=1)
    assert torch.equal(one, same)
    assert not torch.equal(one, sample_image(picture(), 50, seed=2))
    assert torch.equal(before, torch.get_rng_state())
    double = sample_image(picture(), 50, seed=1, dtype=torch.float64)
    assert double.dtype == torch.float64
    assert torch.equal(double.float(), one)


@pytest.mark.parametrize("scale", [1, 255])
def test_masks_tensors_and_scales_give_the_same_points(scale):
    mask = picture() > 0.3
    reference = sample_image(mask, 20)
    assert reference.dtype == torch.float32 and reference.shape == (20, 2)
    assert torch.equal(reference, sample_image(mask.astype(np.float32) * scale, 20))
    assert torch.equal(reference, sample_image(torch.from_numpy(mask).to(torch.uint8) * scale, 20))


def test_interval_is_even_and_inside():
    points = interval(1000, -0.3, 2.0, dtype=torch.float64)
    assert points.shape == (1000, 1) and points.dtype == torch.float64
    assert torch.allclose(points.diff(dim=0), torch.tensor(2.3e-3, dtype=torch.float64), rtol=1e-9)
    assert points[0].item() == pytest.approx(-0.3 + 1.15e-3)
    assert points.mean().item() == pytest.approx(0.85)
    assert interval(1, 0.0, 1.0).tolist() == [[0.5]]
    assert interval(np.int64(3), 0.0, 1.0).dtype == torch.float32


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.ones((4, 5, 3)), ["(4, 5, 3)", "(H, W)", "mean(axis=-1)"]),
        (np.ones(4), ["(4,)", "(H, W)"]),
        (np.ones((0, 4)), ["(0, 4)"]),
        (np.zeros((4, 4)), ["zeros only", "image.max() - image"]),
        (np.array([[1.0, -2.0]]), ["-2", "image.min()"]),
        (np.array([[1.0, np.nan]]), ["1 values", "nan_to_num"]),
        (np.array([[1.0, np.inf]]), ["finite"]),
        (np.ones((2, 2), dtype=complex), ["complex128", "real"]),
    ],
)
def test_bad_pictures_are_refused(image, words):
    with pytest.raises(ValueError, match="^image: got") as caught:
        sample_image(image, 10)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "call", [lambda n: sample_image(np.ones((2, 2)), n), lambda n: interval(n, 0, 1)]
)
def test_bad_counts_and_types_are_refused(call):
    with pytest.raises(TypeError, match=r"^n: got 2\.5 of type float, wanted an integer"):
        call(2.5)
    with pytest.raises(TypeError, match="^n: got True"):
        call(True)
    with pytest.raises(ValueError, match="^n: got 0, wanted at least 1"):
        call(0)


def test_bad_ends_and_dtypes_are_refused():
    with pytest.raises(ValueError, match="low < high"):
        interval(3, 1.0, 1.0)
    with pytest.raises(ValueError, match="finite"):
        interval(3, 0.0, float("inf"))
    with pytest.raises(ValueError, match=r"^dtype: got torch\.int64"):
        interval(3, 0.0, 1.0, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"^dtype: got torch\.int32"):
        sample_image(np.ones((2, 2)), 3, dtype=torch.int32)


def test_calorimeter_deposits_belong_to_their_particles():
    deposits, particle, energies = calorimeter(500, seed=3)
    again = calorimeter(500, seed=3)
    assert all(
        torch.equal(a, b) for a, b in zip((deposits, particle, energies), again, strict=True)
    )
    assert len(energies) == int(particle.max()) + 1 and (energies > 0).all()
    total = torch.zeros_like(energies).index_add(0, particle, deposits[:, 0])
    assert (energies - total <= 0.5).all()  # a particle stops when less than that is left
    for d in (1, 2):  # deposits of a particle lie within 0.04 of each other
        low = torch.full_like(energies, 2).scatter_reduce(0, particle, deposits[:, d], "amin")
        high = torch.full_like(energies, -2).scatter_reduce(0, particle, deposits[:, d], "amax")
        assert (high - low <= 0.04 + 1e-6).all()
    neighbours = (particle[1:] == particle[:-1]).float().mean()
    assert neighbours < 0.05  # shuffled


@pytest.mark.parametrize("n", [0, 2.5])
def test_calorimeter_refuses_what_is_no_number_of_particles(n):
    with pytest.raises((ValueError, TypeError), match="n_particles"):
        calorimeter(n)


def test_cells_of_types_are_as_far_apart_as_their_branches_are_long():
    """Without noise and cycle: a squared distance is the sum over the branches between two types."""
    points, progress, fate = cells(20_000, stage=1.0, noise=0.0, dtype=torch.float64)
    centres = torch.stack([points[(fate == k) & (progress == 1)].mean(0) for k in range(8)])
    squares = torch.cdist(centres, centres).square()
    for k, apart in ((1, 2 * 4.0), (2, 2 * (4.0 + 9.0)), (4, 2 * (4.0 + 9.0 + 16.0))):
        assert squares[0, k] == pytest.approx(apart, rel=0.05)


def test_cells_are_principal_components_with_noise_in_all():
    points, _, fate = cells(20_000, stage=0.5, noise=0.4, dtype=torch.float64, seed=3)
    rest = points[:, 16:]
    assert rest.std(0) == pytest.approx(torch.full((34,), 0.4).numpy(), rel=0.03)
    assert torch.equal(cells(50, 5, seed=1)[0], cells(50, 5, seed=1)[0])
    assert cells(50, 3)[0].shape == (50, 3)
    shares = torch.bincount(fate, minlength=8) / len(fate)
    assert shares.numpy() == pytest.approx(np.arange(8, 0, -1) / 36, abs=0.01)
    varied = torch.cat([cells(4000, 16, stage=s, seed=1)[0] for s in (0.0, 0.25, 0.5, 0.75, 1.0)])
    assert varied.std(0)[0] == varied.std(0).max()


@pytest.mark.parametrize(
    ("given", "words"),
    [({"stage": 1.5}, "stage"), ({"noise": -1.0}, "noise"), ({"dim": 0}, "dim")],
)
def test_cells_that_cannot_be(given, words):
    with pytest.raises(ValueError, match=words):
        cells(10, **given)
