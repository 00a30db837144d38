"""Which queries travel, and how answers are merged; see ``tests/engines/ranks`` for several processes."""

import torch

import sparseot as so
from sparseot.graphs.ranks.travel import _going, _nearest


class Three:
    """What a rank is told of the boxes of three: its own, an empty one, and that of a unit square."""

    rank = 0

    def rows(self, own, what):
        infinite = torch.full((1, 2, 2), torch.inf, dtype=torch.float64)
        square = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]], dtype=torch.float64)
        return torch.cat((own, infinite, square))


def test_queries_go_where_their_balls_meet_a_box():
    queries = torch.tensor([[0.5, 0.5], [2.0, 0.5], [2.0, 2.0], [-0.5, 0.5], [9.0, 9.0]])
    squares = torch.tensor([0.01, 0.99, 2.0, 0.26, torch.inf], dtype=torch.float64)
    own, empty, square = _going(Three(), queries, queries, squares)
    assert not len(own) and not len(empty)
    assert square.tolist() == [0, 2, 3, 4]


def test_the_nearest_of_both_are_kept_and_the_lowest_numbers_of_ties():
    torch.manual_seed(0)
    x, y = torch.randint(4, (50, 3)).double(), torch.randint(4, (60, 3)).double()
    parts = [so.knn(x, y[rows], k=5) for rows in (slice(20), slice(20, 60))]
    squares = torch.cat([part.distances.square() for part in parts], 1)
    indices = torch.cat((parts[0].indices, 20 + parts[1].indices), 1)
    found, numbers = _nearest(squares, indices, 5)
    wanted = so.knn(x, y, k=5)
    assert torch.equal(numbers, wanted.indices)
    torch.testing.assert_close(found.sqrt(), wanted.distances)
