"""The searches: edge for edge the pairs of a whole matrix of distances in double precision."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from sparseot import knn, radius, radius_graph
from sparseot.graphs.radius.search import largest_square
from tests.references.neighbours import all_distances, all_squares, hard_clouds

CLOUDS = hard_clouds()
METHODS = ["cells", "tiles"]


def pairs(found):
    """``(2, E)`` rows and columns."""
    return torch.stack((found.rows, found.indices))


def true_pairs(distances, r, loop=True):
    """Those of a whole matrix, by rows and columns."""
    near = distances <= r
    return (near if loop else near.fill_diagonal_(False)).nonzero().T


def between(distances, share):
    """A radius that a share of all distances is below, and none is near."""
    values = distances.flatten().sort().values
    below = float(values[int(share * (len(values) - 1))])
    above = values[values > below * (1 + 1e-9)]
    return (below + float(above[0])) / 2 if len(above) else 1.5 * below


def check_rows(found):
    """Offsets, and indices that ascend in each row."""
    counts = torch.bincount(found.rows, minlength=len(found.offsets) - 1)
    assert torch.equal(found.offsets.diff(), counts) and found.offsets[0] == 0
    assert ((10**6 * found.rows + found.indices).diff() > 0).all()


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize("method", METHODS)
def test_all_pairs_of_the_whole_matrix(method, name, loop):
    """From the nearest ones to all; whole numbers are also asked at a distance that occurs."""
    x = CLOUDS[name]
    distances = all_distances(x, x)
    radii = [0.0, *(between(distances, share) for share in (0.003, 0.1, 1.0))]
    if name in ("lattice", "all equal", "collinear", "copies"):
        radii += [float(distances.flatten().kthvalue(k).values) for k in (1000, 30_000, 80_000)]
    for r in radii:
        found = radius(x, None, r, loop=loop, method=method)
        assert torch.equal(pairs(found), true_pairs(distances, r, loop))
        check_rows(found)
        expected = distances[found.rows, found.indices]
        torch.testing.assert_close(found.distances.double(), expected, rtol=1e-7, atol=0)
        assert found.distances.dtype == x.dtype and (found.distances <= x.new_tensor(r)).all()
        assert not found.truncated and found.method == method


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 7, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_another_cloud(dimension, dtype):
    """Also where queries lie far outside of the points, and where there are few of either."""
    y = torch.rand(800, dimension, dtype=dtype)
    for x in (torch.rand(300, dimension, dtype=dtype) + 0.5, y[:3] + 0.01, 1e4 * y[:50]):
        distances = all_distances(x, y)
        r = between(distances, 0.03)
        for method in METHODS:
            found = radius(x, y, r, method=method)
            assert torch.equal(pairs(found), true_pairs(distances, r))


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_the_pairs_of_scipy(dimension):
    x = torch.rand(3000, dimension, dtype=torch.float64)
    r = 0.5 * 20 ** (1 / dimension) / 3000 ** (1 / dimension)
    theirs = cKDTree(x.numpy()).query_pairs(r, output_type="ndarray")
    theirs = theirs[np.lexsort(theirs.T[::-1])]
    centre, neighbour = radius_graph(x, r, flow="target_to_source")
    ours = torch.stack((centre, neighbour), 1)[centre < neighbour]
    assert len(ours) > 3000 and np.array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("method", METHODS)
def test_points_at_the_distance_itself_count(method):
    """sqrt(3)^2 rounds to less than 3: on a lattice squares would lose the diagonal of a cube."""
    x = torch.cartesian_prod(*[torch.arange(5.0)] * 3)
    inner = int((x == 2).all(1).nonzero())
    known = {1: 6, 2: 18, 3: 26, 4: 32, 5: 56, 6: 80, 8: 92}  # without the point itself
    for square, count in known.items():
        found = radius(x, None, math.sqrt(square), method=method)
        assert int(found.offsets[inner + 1] - found.offsets[inner]) == count
        below = radius(x, None, math.nextafter(math.sqrt(square), 0), method=method)
        assert len(below.indices) < len(found.indices)


def test_the_largest_square_of_a_radius():
    draws = [*np.random.default_rng(0).random(200), 0.0, 1e-200, 1e-161, 1e200, 3.0]
    for r in [math.sqrt(k) for k in range(50)] + draws:
        limit = largest_square(float(r))
        assert math.sqrt(limit) <= r < math.sqrt(math.nextafter(limit, math.inf))


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_few_points_and_no_pairs(method, count):
    x = torch.arange(float(count))[:, None].repeat(1, 3)
    for r in (0.0, 0.5, 100.0):
        found = radius(x, None, r, method=method)
        size = 2 if count == 2 and r > 50 else 0
        assert found.indices.shape == (size,) and found.distances.shape == (size,)
        assert found.offsets.shape == (count + 1,) and found.offsets[-1] == size
        assert radius_graph(x, r, method=method).shape == (2, size)
        assert radius_graph(x, r, loop=True, method=method).shape == (2, size + count)
    none = radius(x, x[:0], 1.0, method=method)
    assert none.offsets.tolist() == [0] * (count + 1) and none.indices.shape == (0,)


@pytest.mark.parametrize("method", METHODS)
def test_padding_and_batches_are_loops(method):
    """A sample alone, in a padded batch and in a batch vector: the same numbers, bit for bit."""
    x, mask = torch.randn(4, 200, 4), torch.rand(4, 200) < 0.8
    mask[2] = False
    mask[3] = torch.arange(200) < 4
    padded = x.where(mask[..., None], float("nan"))
    found = radius(padded, None, 0.8, mask=mask, method=method)
    sample = torch.arange(4)[:, None].expand(4, 200)[mask]
    flat = radius(x[mask], None, 0.8, batch=sample, method=method)
    assert torch.equal(flat.distances, found.distances)
    where = mask.flatten().nonzero()[:, 0]
    assert torch.equal(where[pairs(flat)], pairs(found))
    assert torch.equal(
        found.offsets.diff()[~mask.flatten()], torch.zeros(int((~mask).sum())).long()
    )
    parts, start = [], 0
    for b in range(4):
        alone = radius(x[b][mask[b]], None, 0.8, method=method)
        parts.append((pairs(alone) + start, alone.distances))
        start += int(mask[b].sum())
    assert torch.equal(pairs(flat), torch.cat([p for p, _ in parts], 1))
    assert torch.equal(flat.distances, torch.cat([d for _, d in parts]))


@pytest.mark.parametrize("method", METHODS)
def test_batches_of_two_clouds(method):
    x, y = torch.rand(3, 40, 2), torch.rand(3, 60, 2)
    of_x, of_y = torch.rand(3, 40) < 0.7, torch.rand(3, 60) < 0.7
    found = radius(x, y, 0.2, mask=(of_x, of_y), method=method)
    near = (all_squares(x[0], y[0]) * 0).bool().repeat(3, 1).repeat(1, 3)
    for b in range(3):
        block = (all_distances(x[b], y[b]) <= 0.2) & of_x[b][:, None] & of_y[b]
        near[40 * b : 40 * (b + 1), 60 * b : 60 * (b + 1)] = block
    assert torch.equal(pairs(found), near.nonzero().T)
    labels = (torch.arange(120) // 40, torch.arange(180) // 60)
    flat = radius(x.reshape(-1, 2), y.reshape(-1, 2), 0.2, batch=labels, method=method)
    assert torch.equal(pairs(flat), pairs(radius(x, y, 0.2, method=method)))


@pytest.mark.parametrize("method", METHODS)
def test_an_order_of_the_points_is_one_of_the_edges(method):
    x, order = torch.rand(500, 3, dtype=torch.float64), torch.randperm(500)
    r = 0.15
    dense, permuted = torch.zeros(2, 500, 500, dtype=torch.float64)
    for matrix, points in ((dense, x), (permuted, x[order])):
        found = radius(points, None, r, method=method)
        matrix[found.rows, found.indices] = found.distances
    assert torch.equal(permuted, dense[order][:, order]) and torch.equal(dense, dense.T)


# --- no room for all ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["space", "lattice", "all equal", "copies", "clusters"])
@pytest.mark.parametrize("method", METHODS)
def test_the_nearest_are_kept_ties_by_index(method, name):
    x = CLOUDS[name]
    distances = all_distances(x, x).fill_diagonal_(torch.inf)
    r = between(all_distances(x, x), 0.2)
    most = 7
    near = knn(x, k=most)
    real = all_distances(x, x).gather(1, near.indices) <= r
    expected = [sorted(row[keep].tolist()) for row, keep in zip(near.indices, real, strict=True)]
    total = int((distances <= r).sum())
    with pytest.warns(UserWarning, match=r"max_num_neighbors=7 left out .* of .* edges"):
        found = radius(x, None, r, max_num_neighbors=most, method=method)
    assert [row.tolist() for row in found.indices.tensor_split(found.offsets[1:-1])] == expected
    assert found.truncated and found.left_out == total - len(found.indices)
    assert "left out" in repr(found)


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_many_neighbours(method):
    """Longer than what is sorted by insertion."""
    x = torch.rand(1500, 2)
    with pytest.warns(UserWarning, match="left out"):
        edges = radius_graph(x, 0.5, max_num_neighbors=200, method=method)
    near = knn(x, k=200).indices.sort(1).values
    far = all_distances(x, x).gather(1, near) > 0.5
    assert not far.any() and torch.equal(edges[0].view(1500, 200), near)


@pytest.mark.parametrize("method", METHODS)
def test_enough_room_is_silent(method):
    x = torch.rand(300, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        every = radius(x, None, 0.3, method=method)
        most = int(every.offsets.diff().max())
        same = radius(x, None, 0.3, max_num_neighbors=most, method=method)
    assert torch.equal(pairs(every), pairs(same)) and not same.truncated


# --- work is counted ----------------------------------------------------------------------------


def test_visited_pairs_grow_with_the_points():
    """Thirty neighbours each: 27 cells have 6.4 times the volume of the ball in them."""
    visited = []
    for n in (20_000, 80_000):
        x = torch.rand(n, 3)
        found = radius(x, None, (30 * 3 / (4 * math.pi * n)) ** (1 / 3))
        visited.append(found.evaluations)
        assert 20 * n < len(found.indices) < 30 * n and found.evaluations < 200 * n
    assert visited[1] < 4.3 * visited[0]


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_visited_pairs_are_a_multiple_of_those_found_however_points_cluster(dimension):
    """Clusters a thousandth as wide as r and others a hundred times wider, far from each other."""
    g = torch.Generator().manual_seed(0)
    sizes = 10.0 ** torch.randint(-3, 3, (8000, 1), generator=g)
    x = torch.randn(8000, dimension, generator=g, dtype=torch.float64) * sizes + 1e4 * sizes.log10()
    found = radius(x, None, 1.0, loop=True)
    assert found.evaluations < 3 * 8**dimension * len(found.indices)
    assert found.evaluations < 0.5 * 8000**2


def test_threads_change_nothing(shared):
    x, threads = torch.rand(20_000, 3), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        first = radius(x, None, 0.05)
        torch.set_num_threads(3)
        second = radius(x, None, 0.05)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
