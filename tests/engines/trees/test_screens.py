"""Products on ranges that leave out what is lost in rounding, against whole matrices with masks."""

import numpy as np
import pytest
import torch

from sparseot import Blocks, LazyTensor, Pm, Vj
from sparseot.cluster import cluster_ranges_centroids, from_matrix, grid_cluster, sort_clusters
from sparseot.engines.trees import screens

SCALE = 0.02
FORMULAS = {
    "Gaussian": lambda d2: (-d2 / 2).exp(),
    "Laplacian": lambda d2: (-(d2.sqrt())).exp(),
    "Cauchy": lambda d2: 1 / (1 + d2),
}


@pytest.fixture(autouse=True)
def _small_sums_are_worth_it(monkeypatch):
    monkeypatch.setattr(screens, "WORTH", 0)
    monkeypatch.setattr(screens, "FEWEST", 1)


def clouds(n, m, dtype):
    """Two clouds in the order of their cells, KeOps's ranges of neighbouring cells, and their mask."""
    generator = np.random.default_rng(0)
    sides, labels = [], []
    for size in (n, m):
        x = generator.random((size, 2)).astype(dtype)
        label = grid_cluster(x, 0.25)
        sides.append((*cluster_ranges_centroids(x, label)[:2], *sort_clusters(x, label)))
        labels.append(np.sort(label))
    (ranges_i, c_i, x, _), (ranges_j, c_j, y, _) = sides
    keep = np.abs(c_i[:, None] - c_j[None]).max(-1) < 0.4
    mask = keep[labels[0]][:, labels[1]]
    return x, y, from_matrix(ranges_i, ranges_j, keep), mask


def lazy(formula, x, y):
    x_i, y_j = LazyTensor(x[:, None, :] / SCALE), LazyTensor(y[None, :, :] / SCALE)
    return FORMULAS[formula](((x_i - y_j) ** 2).sum(2))


def whole(formula, x, y):
    x, y = torch.from_numpy(x / SCALE).double(), torch.from_numpy(y / SCALE).double()
    return FORMULAS[formula]((x[:, None] - y[None]).square().sum(2)).numpy()


def vectors(m, dtype):
    generator = np.random.default_rng(1)
    signs = generator.standard_normal((m, 3))
    unit = np.zeros((m, 1))
    unit[m // 2] = 1
    huge = np.exp(20 * generator.standard_normal((m, 1)))
    return [v.astype(dtype) for v in (np.ones((m, 1)), signs, unit, huge)]


@pytest.fixture
def visited(monkeypatch):
    """The pairs of each product that is screened."""
    found = []
    original = screens.Weighed.tiles

    def noted(*args):
        tiles = original(*args)
        lengths = np.concatenate(([0], np.cumsum(np.diff(tiles.runs.numpy())[:, 0])))
        met = lengths[tiles.table[:, 1]] - lengths[tiles.table[:, 0]]
        found.append(int((tiles.true.sum(1).numpy() * met).sum()))
        return tiles

    monkeypatch.setattr(screens.Weighed, "tiles", noted)
    return found


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("budget", [2.0**-24, 1e-3])
def test_what_is_left_out_is_within_the_budget(formula, budget, visited, monkeypatch):
    """In double precision, in which rounding is nothing beside it; from the second product on."""
    monkeypatch.setitem(screens.BUDGET, torch.float64, budget)
    x, y, ranges, mask = clouds(3000, 2000, "float64")
    K, dense = lazy(formula, x, y), whole(formula, x, y) * mask
    K.ranges = ranges
    for k, v in enumerate(vectors(len(y), "float64")):
        found, wanted, most = K @ v, dense @ v, dense @ np.abs(v)
        error = np.abs(found - wanted)
        assert (error <= (budget if k else 0) * most + 1e-11 * most.max()).all()
    assert len(visited) == 3
    if formula == "Gaussian":
        assert max(visited) < 0.8 * mask.sum()
        assert (error > 0).any()
    assert max(visited) <= mask.sum()


def test_single_precision_loses_no_more_than_its_rounding(visited):
    """Beside first products, which visit all kept pairs."""
    x, y, ranges, mask = clouds(3000, 2000, "float32")
    K, magnitudes = lazy("Gaussian", x, y), whole("Gaussian", x, y) * mask
    K.ranges = ranges
    for v in vectors(len(y), "float32"):
        first = lazy("Gaussian", x, y)
        first.ranges = ranges
        u = np.ones(len(x), "float32")
        for one, other, vector, entries in (
            (K, first, v, magnitudes),
            (K.T, first.T, u, magnitudes.T),
        ):
            error = np.abs(one @ vector - other @ vector)
            assert (error <= 1e-6 * (entries @ np.abs(vector)) + 1e-37).all()
    assert len(visited) == 6 and max(visited) < 0.8 * mask.sum()


def test_block_pairs_and_derivatives(visited):
    """A backward pass sums other formulas; it knows nothing of what was left out."""
    x, y = (torch.rand(n, 2, dtype=torch.float64) for n in (900, 800))
    v = torch.ones(800, 1, dtype=torch.float64)
    pairs = Blocks(0.3).between(x.numpy(), y.numpy())
    mask = torch.from_numpy(pairs.mask(np.arange(900), np.arange(800)))
    x.requires_grad_()
    K = lazy("Gaussian", x, y)
    K.ranges = pairs
    dense = (-((x[:, None] - y[None]) / SCALE).square().sum(2) / 2).exp() * mask
    (wanted,) = torch.autograd.grad((dense @ v).square().sum(), x)
    for _ in range(3):
        (found,) = torch.autograd.grad((K @ v).square().sum(), x, retain_graph=True)
        torch.testing.assert_close(found, wanted)
    assert visited


def test_points_that_moved_in_place_count(visited):
    x, y, ranges, mask = clouds(900, 800, "float64")
    v = np.ones(800)
    scaled = x / SCALE
    x_i, y_j = LazyTensor(scaled[:, None, :]), LazyTensor(y[None, :, :] / SCALE)
    K = FORMULAS["Gaussian"](((x_i - y_j) ** 2).sum(2))
    K.ranges = ranges
    for move in (0, 0, 5, 0):
        scaled += move
        x += move * SCALE
        np.testing.assert_allclose(
            K @ v, (whole("Gaussian", x, y) * mask) @ v, rtol=1e-9, atol=1e-12
        )
    assert len(visited) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_met_by_all_its_rows(bad):
    x, y, ranges, mask = clouds(900, 800, "float64")
    K = lazy("Cauchy", x, y)
    K.ranges = ranges
    v = np.ones(800)
    v[17] = bad
    for _ in range(3):
        assert (np.isfinite(K @ v) == ~mask[:, 17]).all()


def test_formulas_without_bounds_visit_all_their_pairs(visited):
    x, y, ranges, mask = clouds(900, 800, "float64")
    x_i, y_j = LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :])
    K = (x_i - y_j).sin().sum(2)
    K.ranges = ranges
    dense = np.sin(x[:, None] - y[None]).sum(2) * mask
    for _ in range(3):
        np.testing.assert_allclose(K @ np.ones(800), dense.sum(1), atol=1e-10)
    assert not visited


def test_entries_beyond_single_precision_are_not_taken_for_nothing():
    """Their bounds are as large as bounds can be."""
    x, y, ranges, _ = clouds(300, 300, np.float64)
    x_i, y_j = LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :])
    K = ((x_i | y_j) + 300).exp()
    K.ranges = ranges
    for v in (np.ones((300, 1)), 1e170 * np.ones((300, 1))):
        first = K @ v
        np.testing.assert_allclose(K @ v, first, rtol=1e-13)
        assert (first > 1e100).any()


def test_roots_of_negative_numbers_stay_no_numbers():
    x = np.linspace(-1, 1, 256)[:, None]
    K = (LazyTensor(x[:, None, :]) * LazyTensor(x[None, :, :])).sqrt()
    K.ranges = from_matrix(np.array([[0, 256]]), np.array([[0, 256]]), np.ones((1, 1), bool))
    first, v = K @ np.ones((256, 1)), np.ones((256, 1))
    assert np.isnan(first).all() and np.isnan(K @ v).all()


def test_formulas_are_added_after_their_products():
    x, y, ranges, mask = clouds(300, 200, np.float64)
    kernels = [lazy(name, x, y) for name in ("Gaussian", "Cauchy")]
    v = np.ones((200, 1))
    for K in kernels * 3:
        K.ranges = ranges
        K @ v
    wanted = sum(whole(name, x, y) * mask for name in ("Gaussian", "Cauchy")) @ v
    np.testing.assert_allclose((kernels[0] + kernels[1]) @ v, wanted, rtol=1e-12)


def test_screens_go_with_their_ranges(visited):
    """And those of two formulas over them stand side by side."""
    x, y, ranges, _ = clouds(300, 200, np.float32)
    pairs = lazy("Gaussian", x, y)
    pairs.ranges = ranges
    other, v = pairs * pairs + pairs, np.ones((200, 1), np.float32)
    for _ in range(2):
        pairs @ v, other @ v
    (known,) = [met for key, met in screens._met.items() if key is pairs._pairs.ranges]
    assert len(known) == 2 and all(screen for _, screen in known.values())
    before, known = len(screens._met), None
    del pairs, other
    assert len(screens._met) < before


LIKE = np.array([2.37, -1.0, 0.5])
HEIGHTS = {  # that all pairs share, and sums over pairs of a formula and a vector
    "a plain number": (3, lambda g, v: (3 * g) @ v),
    "any number": (2.37, lambda g, v: (2.37 * g) @ v),
    "on the right": (-0.123, lambda g, v: (g * -0.123) @ v),
    "a divisor": (1 / 2.37, lambda g, v: (g / 2.37) @ v),
    "a parameter": (2.37, lambda g, v: (Pm(LIKE[:1]) * g) @ v),
    "a parameter that divides": (1 / 2.37, lambda g, v: (g / Pm(LIKE[:1])) @ v),
    "before both": (2.37, lambda g, v: (2.37 * (g * Vj(v))).sum(1)),
    "below both": (1 / 2.37, lambda g, v: ((g * Vj(v)) / Pm(LIKE[:1])).sum(1)),
    "one for each output": (LIKE, lambda g, v: (Pm(LIKE) * (g * Vj(v))).sum(1)),
}


@pytest.mark.parametrize("height", HEIGHTS)
def test_heights_that_all_pairs_share_change_nothing(height, visited, monkeypatch):
    """The vector changes from product to product, and bounds stay."""
    monkeypatch.setitem(screens.BUDGET, torch.float64, 1e-6)
    made, original = [], screens._made
    monkeypatch.setattr(screens, "_made", lambda *known: made.append(1) or original(*known))
    x, y, ranges, mask = clouds(3000, 2000, "float64")
    g, dense = lazy("Gaussian", x, y), whole("Gaussian", x, y) * mask
    g.ranges = ranges
    factor, product = HEIGHTS[height]
    for k in range(3):
        v = np.random.default_rng(k).standard_normal((2000, 3))
        error = np.abs(product(g, v) - factor * (dense @ v))
        assert (
            error <= np.abs(factor) * (1e-6 if k else 1e-12) * (dense @ np.abs(v)) + 1e-12
        ).all()
    assert len(made) == 1 and len(visited) == 2
    assert max(visited) < 0.75 * mask.sum()


def test_heights_of_each_point(visited):
    """These are part of the entries, and of their bounds."""
    x, y, ranges, mask = clouds(3000, 2000, "float64")
    generator = np.random.default_rng(2)
    a, b = (1 + generator.random((n, 1)) for n in (3000, 2000))
    K = LazyTensor(a[:, None, :]) * lazy("Gaussian", x, y) * LazyTensor(b[None])
    K.ranges = ranges
    dense, v = a * whole("Gaussian", x, y) * mask * b.T, generator.standard_normal((2000, 2))
    for _ in range(3):
        error = np.abs(K @ v - dense @ v)
        assert (error <= 1e-14 * (dense @ np.abs(v)) + 1e-13).all()
    assert len(visited) == 2 and max(visited) < 0.9 * mask.sum()
