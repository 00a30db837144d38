"""The helpers draw what they are given: panels, labels, colours by initial place."""

import matplotlib

matplotlib.use("Agg")

import doctest

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from sparseot_widgets.figures import (
    BLUE,
    arrows,
    clouds,
    curves,
    densities,
    density,
    density_1d,
    flow_panels,
    pictures,
    place,
    scatter,
    style,
    use_style,
)
from sparseot_widgets.figures.style import PLACE_MAP


@pytest.fixture(autouse=True)
def own_settings():
    """Each test starts from matplotlib's own settings and leaves no figure open."""
    with matplotlib.rc_context():
        plt.rcdefaults()
        plt.switch_backend("Agg")
        yield
        plt.close("all")


@pytest.fixture
def cloud():
    return torch.rand(60, 2, generator=torch.Generator().manual_seed(0))


def test_examples_run():
    results = [doctest.testmod(part) for part in (clouds, densities, style)]
    assert all(result.failed == 0 and result.attempted for result in results)


def test_style_reaches_later_figures():
    before = plt.rcParams["axes.spines.top"]
    use_style()
    assert before and not plt.rcParams["axes.spines.top"]
    assert plt.rcParams["font.size"] >= 11


def test_place_is_the_rank_along_the_longest_axis():
    rng = np.random.default_rng(1)
    along = rng.permutation(50) / 10.0
    direction = np.array([0.6, 0.8])
    x = along[:, None] * direction + 0.01 * rng.standard_normal((50, 1)) * [-0.8, 0.6] + 7.0
    assert np.array_equal(place(x).argsort(), along.argsort())
    assert np.allclose(np.sort(place(torch.from_numpy(x))), np.linspace(0, 1, 50))
    assert np.array_equal(place(np.array([[3.0], [1.0], [2.0]])), [1.0, 0.0, 0.5])
    assert place(np.zeros((1, 2))).tolist() == [0.0]


def test_scatter_shows_the_points_in_their_colours(cloud):
    ax = plt.figure().add_subplot()
    discs = scatter(ax, cloud.requires_grad_(), place(cloud), label="cloud")
    assert np.allclose(discs.get_offsets(), cloud.detach())
    assert np.allclose(discs.get_facecolor()[:, :3], PLACE_MAP(place(cloud))[:, :3])
    assert ax.get_aspect() == 1 and discs.get_label() == "cloud"
    plain = scatter(ax, cloud, BLUE, alpha=1.0)
    assert np.allclose(plain.get_facecolor(), matplotlib.colors.to_rgba(BLUE))
    few, many = (scatter(ax, torch.rand(k, 2)).get_sizes()[0] for k in (10, 10_000))
    assert few > many


def test_arrows_end_where_they_should(cloud):
    ax = plt.figure().add_subplot()
    step = 0.3 * torch.randn(60, 2)
    quiver = arrows(ax, cloud, step)
    assert np.allclose(np.stack([quiver.U, quiver.V], axis=1), step)
    assert quiver.angles == "xy" and quiver.scale == 1 and quiver.scale_units == "xy"


def test_pictures_keep_their_order_their_scale_and_their_shape():
    grey = torch.tensor([[0.2, -1.0, 3.0], [0.8, 0.5, torch.nan]])
    fig = pictures({"a": grey, "b": np.full((2, 3, 3), 0.5), "c": grey / 2}, columns=2)
    assert [ax.get_title() for ax in fig.axes] == ["a", "b", "c", ""]
    assert not any(ax.axison for ax in fig.axes)
    image = fig.axes[0].images[0]
    expected = [[0.2, 0.0, 1.0], [0.8, 0.5, np.nan]]
    assert np.allclose(image.get_array().filled(np.nan), expected, equal_nan=True)
    assert image.get_clim() == (0, 1) == fig.axes[2].images[0].get_clim()
    assert fig.axes[1].images[0].get_array().shape == (2, 3, 3)
    width, height = fig.get_size_inches()
    assert height / 2 - 0.3 == pytest.approx(width / 2 * 2 / 3)  # two rows of images of 2 x 3
    assert len(pictures({"a": grey, "b": grey}).axes) == 2


def test_density_is_a_mixture_of_gaussians_of_mass_one():
    grid = np.linspace(-1, 2, 6001)
    x = np.array([0.1, 0.1, 0.9])
    values = density(x, grid, bandwidth=0.02)
    assert np.trapezoid(values, grid) == pytest.approx(1.0, abs=1e-9)
    peak = np.interp(0.1, grid, values)
    assert peak == pytest.approx(2 / 3 / (0.02 * np.sqrt(2 * np.pi)), rel=1e-4)
    assert peak == pytest.approx(2 * np.interp(0.9, grid, values), rel=1e-4)


def test_stacked_bands_add_up_to_the_density_and_follow_the_initial_place():
    ax = plt.figure().add_subplot()
    x = torch.rand(100, 1, generator=torch.Generator().manual_seed(0))
    start = place(1 - x)  # as if the order had been reversed on the way
    peak = density_1d(ax, x, start, bandwidth=0.05, window=(0.0, 1.0), bands=4)
    outline = density(x, np.linspace(0, 1, 600), 0.05)
    assert np.allclose(ax.lines[0].get_ydata(), outline)
    assert peak == pytest.approx(outline.max())
    assert len(ax.collections) == 4
    lowest = ax.collections[0].get_paths()[0].vertices[:, 1].max()
    rightmost = x.flatten().sort().values[75:]  # they came from the left: first colour, lowest band
    assert lowest == pytest.approx(0.25 * density(rightmost, np.linspace(0, 1, 600), 0.05).max())
    for k, band in enumerate(ax.collections):
        assert np.allclose(band.get_facecolor()[0], PLACE_MAP(np.sort(start)[25 * k :][:25].mean()))


@pytest.mark.parametrize("dimension", [1, 2])
def test_one_panel_for_each_time_with_shared_axes(dimension):
    times = [0.0, 0.25, 1.0, 5.0]
    x = torch.rand(40, dimension)
    fig = flow_panels({t: x + 0.01 * t for t in times}, x, title="a flow", unit="metres")
    assert [ax.get_title(loc="left") for ax in fig.axes if ax.axison] == [
        "$t = 0$",
        "$t = 0.25$",
        "$t = 1$",
        "$t = 5$",
    ]
    assert len({ax.get_xlim() + ax.get_ylim() for ax in fig.axes}) == 1
    assert fig.get_suptitle() == "a flow"
    assert "metres" in fig.get_supxlabel()
    assert fig.get_supylabel() == ("density" if dimension == 1 else "$x_2$ (metres)")


def test_panels_colour_points_by_their_first_place():
    x = torch.rand(30, 2)
    fig = flow_panels({0.0: x, 1.0: x.flip(0)}, torch.rand(20, 2))
    expected = PLACE_MAP(place(x))[:, :3]
    for ax in fig.axes[:2]:
        assert np.allclose(ax.collections[1].get_facecolor()[:, :3], expected)


def test_panels_tell_what_they_cannot_show():
    x = torch.linspace(0.01, 0.99, 100)[:, None]
    fig = flow_panels({0.0: x, 1.0: 0.5 + 0.001 * x, 2.0: x + 0.5}, x)
    notes = [ax.get_title(loc="right") for ax in fig.axes[:3]]
    assert notes[0] == "" and notes[1].startswith("peak ") and notes[2] == "50% outside"
    plane = torch.cat([x, x], dim=1)
    fig = flow_panels({0.0: plane, 1.0: plane + 0.25}, plane)
    assert fig.axes[1].get_title(loc="right") == "25% outside"


def test_a_single_panel_carries_its_own_labels():
    fig = flow_panels({0.0: torch.rand(9, 2)}, torch.rand(9, 2), columns=1)
    assert len(fig.axes) == 1
    assert fig.axes[0].get_xlabel() == "$x_1$ (side of the square = 1)"
    assert fig.axes[0].get_ylabel() == "$x_2$ (side of the square = 1)"


@pytest.mark.parametrize(
    ("snapshots", "target", "kind", "message"),
    [
        ({0.0: torch.rand(5, 3)}, torch.rand(5, 3), ValueError, r"target: got shape \(5, 3\)"),
        ({0.0: torch.rand(5, 1)}, torch.rand(5), ValueError, r"target: got .* y\[:, None\]"),
        ({}, torch.rand(5, 2), ValueError, "snapshots: got none, wanted a cloud"),
        ([torch.rand(5, 2)], torch.rand(5, 2), TypeError, "snapshots: got a list, wanted a dict"),
        ({0.0: torch.rand(5, 1)}, torch.rand(6, 2), ValueError, r"got shape \(5, 1\), .* \(N, 2\)"),
        ({0.5: torch.rand(5)}, torch.rand(6, 1), ValueError, r"snapshots\[0.5\]: .* x\[:, None\]"),
        ({0.0: torch.rand(0, 2)}, torch.rand(6, 2), ValueError, r"got shape \(0, 2\)"),
    ],
)
def test_panels_refuse_what_they_cannot_draw(snapshots, target, kind, message):
    with pytest.raises(kind, match=message):
        flow_panels(snapshots, target)
    assert not plt.get_fignums()


BYTES = np.arange(6, dtype=np.uint8).reshape(2, 3) * 50


@pytest.mark.parametrize(
    ("images", "kind", "message"),
    [
        ({}, ValueError, "images: got none, wanted at least one"),
        ([np.zeros((2, 3))], TypeError, "images: got a list, wanted a dict"),
        ({"a": np.zeros(6)}, ValueError, r"images\['a'\]: got shape \(6,\), .* Reshape"),
        ({"a": np.zeros((2, 3, 2))}, ValueError, r"got shape \(2, 3, 2\), wanted \(H, W\)"),
        ({"a": np.zeros((0, 3))}, ValueError, r"got shape \(0, 3\)"),
        ({"a": BYTES}, ValueError, "got uint8 values up to 250, .* by 255"),
        ({"a": torch.from_numpy(BYTES)}, ValueError, "uint8 values up to 250, .* by 255"),
    ],
)
def test_pictures_refuse_what_they_cannot_draw(images, kind, message):
    with pytest.raises(kind, match=message):
        pictures(images)
    assert not plt.get_fignums()


def test_pictures_take_masks():
    mask = BYTES > 100
    for image in (mask, mask.astype(np.uint8), torch.from_numpy(mask)):
        assert np.array_equal(pictures({"mask": image}).axes[0].images[0].get_array(), mask)


def test_curves_are_told_apart_without_colour():
    ax = plt.figure().add_subplot()
    series = {f"loss {k}": np.exp(-np.arange(20) * (k + 1) / 20) for k in range(8)}
    curves(ax, range(20), series, xlabel="time", ylabel="loss")
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.lines}
    assert len(looks) == 8
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(series)
    assert ax.get_yscale() == "log" and ax.get_xlabel() == "time"
    few = plt.figure().add_subplot()
    curves(few, [0, 1], {"a": [1, 2]}, xlabel="t", ylabel="v", log=False)
    assert few.lines[0].get_marker() == "o" and ax.lines[0].get_marker() == "None"
    assert few.get_yscale() == "linear"
