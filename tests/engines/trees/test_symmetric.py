"""Products with symmetric matrices on symmetric ranges, against whole matrices: each value serves both of its rows."""

import numpy as np
import pytest
import torch

from sparseot import Blocks, LazyTensor, Pm, Vj
from sparseot.cluster import cluster_ranges_centroids, from_matrix, grid_cluster, sort_clusters
from sparseot.engines.trees import compiled, screens
from sparseot.engines.trees.base import Ranges, Reduction
from sparseot.engines.trees.compiled import Compiled
from sparseot.engines.trees.llvm.build import Machine, this_machine
from sparseot.engines.trees.symmetric import SPARE, is_symmetric, kept_both_ways
from sparseot.formulas.trees.algebra import add, div, function, mul, sub, total
from sparseot.formulas.trees.expressions import I, J, P, const
from sparseot.formulas.trees.slots import slot

from .test_screens import FORMULAS, SCALE, lazy, vectors, whole


@pytest.fixture(autouse=True)
def _small_sums_are_worth_it(monkeypatch):
    monkeypatch.setattr(screens, "WORTH", 0)
    monkeypatch.setattr(screens, "FEWEST", 1)


@pytest.fixture
def visited(monkeypatch):
    """The values of each product that visits halves."""
    found = []
    original = screens.Weighed.halves

    def noted(*args):
        halves = original(*args)
        pieces, runs = halves.pieces.numpy(), halves.runs.numpy()
        lengths = np.concatenate(([0], np.cumsum(runs[:, 1] - runs[:, 0])))
        heights = np.bincount(
            np.repeat(np.arange(len(pieces)), pieces[:, 3] - pieces[:, 2]),
            halves.true.sum(1).numpy(),
            len(pieces),
        )
        met = lengths[pieces[:, 1]] - lengths[pieces[:, 0]] + pieces[:, 5] - pieces[:, 4]
        found.append(int((heights * met).sum()))
        return halves

    monkeypatch.setattr(screens.Weighed, "halves", noted)
    return found


def cloud(n, dtype, reach=0.4, own=True):
    """A cloud in the order of its cells, KeOps's ranges of neighbouring cells, and their mask."""
    x = np.random.default_rng(0).random((n, 2)).astype(dtype)
    label = grid_cluster(x, 0.25)
    ranges, centroids, _ = cluster_ranges_centroids(x, label)
    x, label = sort_clusters(x, label)
    keep = np.abs(centroids[:, None] - centroids[None]).max(-1) < reach
    keep &= own | ~np.eye(len(keep), dtype=bool)
    return x, from_matrix(ranges, ranges, keep), keep[label][:, label]


def second(K, v, ranges):
    """The product that is screened: the second one."""
    K.ranges = ranges
    K @ v
    return K @ v


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("budget", [2.0**-24, 1e-3])
def test_what_is_left_out_is_within_the_budget(formula, budget, visited, monkeypatch):
    """In double precision, in which rounding is nothing beside it."""
    monkeypatch.setitem(screens.BUDGET, torch.float64, budget)
    x, ranges, mask = cloud(3000, "float64")
    K, dense = lazy(formula, x, x), whole(formula, x, x) * mask
    K.ranges = ranges
    for v in vectors(len(x), "float64"):
        K @ v
        found, wanted, most = K @ v, dense @ v, dense @ np.abs(v)
        error = np.abs(found - wanted)
        assert (error <= budget * most + 1e-11 * most.max()).all()
    assert len(visited) == 7
    assert max(visited) < 0.6 * mask.sum()
    if formula == "Gaussian":
        assert max(visited) < 0.35 * mask.sum()
        assert (error > 0).any()


@pytest.mark.parametrize("formula", FORMULAS)
def test_single_precision_beside_the_whole_matrix(formula, visited):
    x, ranges, mask = cloud(3000, "float32")
    K, dense = lazy(formula, x, x), whole(formula, x, x) * mask
    for v in vectors(len(x), "float32"):
        error = np.abs(second(K, v, ranges) - dense @ v.astype(float))
        assert (error <= 2e-5 * (dense @ np.abs(v.astype(float))) + 1e-37).all()
    assert visited


def test_sums_are_as_exact_as_those_of_rows_alone(monkeypatch, visited):
    """Of millions of positive terms in single precision: column sums are added in double precision."""
    x = np.random.default_rng(0).random((20_000, 3)).astype("float32")
    ranges = from_matrix(*[np.array([[0, 10_000], [10_000, 20_000]])] * 2, np.ones((2, 2), bool))
    v = np.ones((len(x), 1), "float32")
    K = lazy("Cauchy", x, x)
    rows = np.arange(0, len(x), 97)
    wanted = whole("Cauchy", x[rows], x) @ v
    errors = []
    for light in (True, False):
        monkeypatch.setattr(compiled, "_is_light", lambda reduction, light=light: light)
        errors.append(np.abs(second(K, v, ranges)[rows] / wanted - 1).max())
    assert visited
    assert errors[0] < 1.2 * errors[1] < 1e-6


def bits(K, v, ranges):
    return second(K, v, ranges).tobytes()


def test_the_same_bits_in_whatever_order_threads_take_their_units(visited, monkeypatch):
    x, ranges, _ = cloud(3000, "float32")
    K, v = lazy("Gaussian", x, x), vectors(3000, "float32")[1]
    monkeypatch.setattr(compiled, "thread_count", lambda: 3)
    found = [bits(K, v, ranges) for _ in range(3)]

    def backwards(loop, ends, *args):
        for lo, hi in list(zip(ends[:-1], ends[1:], strict=True))[::-1]:
            loop(*args, lo, hi)

    monkeypatch.setattr(compiled, "share", backwards)
    assert len({*found, bits(K, v, ranges)}) == 1
    monkeypatch.setattr(compiled, "thread_count", lambda: 7)
    other = np.frombuffer(bits(K, v, ranges), "float32").reshape(-1, 3)
    mine = np.frombuffer(found[0], "float32").reshape(-1, 3)
    np.testing.assert_allclose(other, mine, rtol=1e-6, atol=1e-6)
    assert visited


@pytest.mark.parametrize("width", [128, 256])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vectors_of_other_machines(width, dtype, visited):
    here = this_machine()
    engine = Compiled(Machine(here.processor, here.features, min(width, here.bits)))
    x, ranges, mask = cloud(1000, dtype)
    rows, columns, factor = slot(0, 2, I), slot(1, 2, J), slot(2, 3, J)
    d2 = total(mul(sub(rows, columns), sub(rows, columns)))
    formula = mul(function("exp", mul(const(-0.5), d2)), factor)
    reduction = Reduction("sum", (formula,), (rows, columns, factor), (I,))
    v = vectors(1000, dtype)[1]
    given = [torch.from_numpy(part)[None] for part in (x / SCALE, x / SCALE, v)]
    ranges = Ranges(*ranges)
    for _ in range(2):
        found = engine.sums(reduction, given, ranges)[0][0].numpy()
    wanted = (whole("Gaussian", x, x) * mask) @ v
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(found, wanted, atol=tolerance * np.abs(wanted).max())
    assert visited


@pytest.mark.parametrize(
    "change",
    {
        "a factor": lambda K, v: ((3 * K) @ v, 3),
        "a sign": lambda K, v: (-K @ v, -1),
        "any number": lambda K, v: (2.37 * K @ v, 2.37),
        "a parameter": lambda K, v: ((K / Pm(np.array([2.37]))) @ v, 1 / 2.37),
        "one for each output": lambda K, v: (
            (Pm(np.array([2.37, -1.0, 0.5])) * (K * Vj(v))).sum(1),
            np.array([2.37, -1.0, 0.5]),
        ),
        "transposed": lambda K, v: (K.T @ v, 1),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_products_of_other_shapes(change, visited):
    x, ranges, mask = cloud(1000, "float64")
    K, v = lazy("Gaussian", x, x), vectors(1000, "float64")[1]
    K.ranges = ranges
    dense = whole("Gaussian", x, x) * mask
    for _ in range(2):
        found, factor = change[1](K, v)
    np.testing.assert_allclose(found, factor * (dense @ v), atol=1e-10)
    assert visited


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", ["constants", "a parameter"])
def test_products_with_numbers_that_all_pairs_share(case, dtype, visited):
    """Constants that are no simple numbers are parameters of the program."""
    x, ranges, mask = cloud(1000, dtype)
    x_i, x_j = LazyTensor(x[:, None, :]), LazyTensor(x[None, :, :])
    width = 1.037 * SCALE
    d2 = ((x_i - x_j) ** 2).sum(2)
    if case == "constants":
        K = (-d2 / (2 * width**2)).exp()
    else:
        K = (-d2 * Pm(np.array([0.5 / width**2], dtype))).exp()
    K.ranges = ranges
    squares = ((x[:, None].astype(float) - x[None]) ** 2).sum(2)
    dense = np.exp(-squares / (2 * width**2)) * mask
    v = vectors(1000, dtype)[1]
    for _ in range(2):
        np.testing.assert_allclose(K @ v, dense @ v, atol=2e-5 * abs(dense @ v).max())
    assert visited


def test_sums_without_a_vector_and_of_many(visited):
    """More than eight columns go for rows alone."""
    x, ranges, mask = cloud(1000, "float64")
    K, dense = lazy("Gaussian", x, x), whole("Gaussian", x, x) * mask
    K.ranges = ranges
    for _ in range(2):
        np.testing.assert_allclose(K.sum(1)[:, 0], dense.sum(1), rtol=1e-12)
    assert len(visited) == 1
    for columns, halved in ((8, 2), (9, 2)):
        v = np.random.default_rng(0).standard_normal((1000, columns))
        np.testing.assert_allclose(K @ v, dense @ v, atol=1e-9)
        assert len(visited) == halved


@pytest.mark.parametrize("case", ["ranges", "points", "formula"])
def test_what_is_not_symmetric_is_summed_for_rows_alone(case, visited):
    x, ranges, mask = cloud(1000, "float64")
    y = x + 1e-6 if case == "points" else x
    if case == "ranges":
        cells = ranges[0]
        keep = np.tri(len(cells), dtype=bool)
        ranges, label = (
            from_matrix(cells, cells, keep),
            np.repeat(range(len(cells)), np.diff(cells)[:, 0]),
        )
        mask = keep[label][:, label]
    scale = 1.5 if case == "formula" else 1
    x_i, y_j = LazyTensor(x[:, None, :] * scale), LazyTensor(y[None, :, :])
    dense = np.exp(-((scale * x[:, None] - y[None]) ** 2).sum(-1) * 100) * mask
    v = vectors(1000, "float64")[1]
    found = second((-((x_i - y_j) ** 2).sum(2) * 100).exp(), v, ranges)
    np.testing.assert_allclose(found, dense @ v, atol=1e-6)
    assert not visited


@pytest.mark.parametrize(
    "case", ["no cell meets itself", "blocks of a tree", "some rows meet nothing"]
)
def test_symmetric_ranges_of_other_shapes(case, visited):
    x, ranges, mask = cloud(1000, "float64", own=case != "no cell meets itself")
    if case == "blocks of a tree":
        ranges = Blocks(0.3).between(x, x)
        mask = ranges.mask(np.arange(1000), np.arange(1000))
    if case == "some rows meet nothing":
        cells = np.array([[500, 800], [100, 300]])
        ranges = from_matrix(cells, cells, np.ones((2, 2), bool))
        met = np.isin(np.arange(1000), np.r_[500:800, 100:300])
        mask = met[:, None] & met
    v = vectors(1000, "float64")[1]
    found = second(lazy("Gaussian", x, x), v, ranges)
    np.testing.assert_allclose(found, (whole("Gaussian", x, x) * mask) @ v, atol=1e-10)
    assert visited


def test_vectors_without_numbers_reach_all_their_rows(visited):
    x, ranges, mask = cloud(1000, "float64")
    v = np.ones((1000, 1))
    v[17] = np.nan
    assert (np.isnan(second(lazy("Gaussian", x, x), v, ranges))[:, 0] == mask[:, 17]).all()


def test_which_formulas_are_symmetric():
    x, y = slot(0, 2, I), slot(1, 2, J)
    w, z, s = slot(2, 1, I), slot(3, 1, J), slot(4, 1, P)
    points, weights = torch.rand(1, 5, 2), torch.rand(1, 5, 1)
    numbers = {x: points, y: points.clone(), w: weights, z: weights.clone(), s: torch.ones(1, 1, 1)}

    def symmetric(e, others=None):
        return is_symmetric(e, {**numbers, **(others or {})})

    d2 = total(mul(sub(x, y), sub(x, y)))
    assert symmetric(function("exp", mul(const(-0.5), d2)))
    assert symmetric(div(add(w, z), add(s, d2)))
    assert symmetric(total(mul(x, y)))
    assert symmetric(mul(mul(w, z), d2))
    assert not symmetric(total(sub(x, y)))
    assert not symmetric(mul(w, d2))
    assert not symmetric(div(w, add(z, d2)))
    assert not symmetric(d2, {y: points + 1})


def test_which_pairs_are_kept_both_ways():
    cells = np.array([[0, 2], [2, 5], [5, 9]])
    ends = np.array([0, 2, 5, 9])
    symmetric = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], bool)
    assert kept_both_ways(Ranges(*from_matrix(cells, cells, symmetric)), ends)
    one_sided = symmetric.copy()
    one_sided[0, 1] = False
    assert not kept_both_ways(Ranges(*from_matrix(cells, cells, one_sided)), ends)
    twice = cells[[0, 0]]
    assert not kept_both_ways(Ranges(*from_matrix(twice, twice, np.ones((2, 2), bool))), ends)


@pytest.fixture
def numbers(monkeypatch):
    """How many units there are, and the numbers of their sums, of each product that visits halves."""
    found = []
    original = compiled.cut_evenly

    def noted(*args):
        units = original(*args)
        found.append((len(units.places), units.total))
        return units

    monkeypatch.setattr(compiled, "cut_evenly", noted)
    monkeypatch.setattr(compiled, "thread_count", lambda: 64)
    return found


def test_sums_of_many_threads_are_of_the_places_that_they_reach(numbers):
    """Those of neighbouring cells: a few vectors for 256 units, not one for each."""
    x = np.random.default_rng(0).random((20_000, 2))
    label = grid_cluster(x, 0.05)
    cells, centroids, _ = cluster_ranges_centroids(x, label)
    x, label = sort_clusters(x, label)
    keep = np.abs(centroids[:, None] - centroids[None]).max(-1) < 0.08
    v = vectors(len(x), "float64")[1]
    K = (-((LazyTensor(x[:, None]) - LazyTensor(x[None])) ** 2).sum(2) * 1000).exp()
    found = second(K, v, from_matrix(cells, cells, keep))
    ((units, total),) = numbers
    assert units > 128
    assert total - units * 3 * SPARE < 20 * v.size
    rows = np.arange(0, len(x), 501)
    dense = np.exp(-((x[rows, None] - x[None]) ** 2).sum(2) * 1000) * keep[label[rows]][:, label]
    np.testing.assert_allclose(found[rows], dense @ v, atol=1e-10)


@pytest.mark.parametrize("most", [1 << 25, 1 << 14, 1])
def test_sums_of_many_threads_are_bounded(most, numbers, monkeypatch):
    """Where all units reach all places, there are fewer of them."""
    monkeypatch.setattr(compiled, "MIRRORED", most)
    monkeypatch.setattr(compiled, "VECTORS", 0)
    x = np.random.default_rng(0).random((8000, 2))
    ranges = from_matrix(*[np.array([[0, 3000], [3000, 8000]])] * 2, np.ones((2, 2), bool))
    K, v = lazy("Cauchy", x, x), np.random.default_rng(1).standard_normal((8000, 1))
    found = second(K, v, ranges)
    ((units, total),) = numbers
    assert total <= max(most, 8000 + SPARE)
    assert units > 128 if most == 1 << 25 else units == {1 << 14: 2, 1: 1}[most]
    rows = np.arange(0, 8000, 401)
    np.testing.assert_allclose(found[rows], whole("Cauchy", x[rows], x) @ v, rtol=1e-9, atol=1e-9)
