"""Clouds that are hard to search, neighbours from the whole matrix of distances, and weights of graphs."""

import numpy as np
import torch

PROFILES = {  # weights of a graph by name, of distances and a bandwidth
    "gaussian": lambda d, h: torch.exp(-(d**2) / (2 * h**2)),
    "exponential": lambda d, h: torch.exp(-d / h),
    "inverse": lambda d, h: 1 / (1 + d / h),
    "connectivity": lambda d, h: torch.ones_like(d),
}


def hard_clouds():
    """Ties, copies, far from the origin, huge and tiny numbers, one dimension."""
    g = torch.Generator().manual_seed(0)
    rand = lambda *shape: torch.rand(*shape, generator=g)  # noqa: E731
    clusters = torch.randn(400, 12, generator=g) * 10.0 ** torch.randint(
        -3, 1, (400, 1), generator=g
    )
    return {
        "space": rand(700, 3),
        "many dimensions": rand(500, 40),
        "lattice": torch.cartesian_prod(*[torch.arange(8.0)] * 3),
        "all equal": torch.ones(300, 5),
        "collinear": torch.arange(400.0)[:, None] * torch.ones(4),
        "far away": rand(500, 6) + 1e4,
        "one dimension": rand(600, 1),
        "copies": torch.randint(0, 3, (500, 2), generator=g).float(),
        "huge": (rand(300, 9) - 0.5) * 1e30,
        "tiny": (rand(300, 9) - 0.5) * 1e-30,
        "clusters": clusters + 3 * torch.randint(0, 4, (400, 1), generator=g),
        "double": rand(300, 10).double() + 1e6,
    }


def all_squares(x, y):
    """``|x_i - y_j|^2`` in double precision, with the same ties as exact arithmetic on a lattice."""
    return (x.double()[:, None] - y.double()[None]).square().sum(-1)


def all_distances(x, y):
    """``|x_i - y_j|`` in double precision, rounded correctly: torch's root may be off by a last digit."""
    return torch.from_numpy(np.sqrt(all_squares(x, y).numpy()))


def true_neighbours(x, y, k, loop=True):
    """Distances and indices by sorting whole rows; ``y=None`` is x."""
    squares = all_squares(x, x if y is None else y)
    if y is None and not loop:
        squares.fill_diagonal_(torch.inf)
    values, indices = squares.sort(dim=1, stable=True)
    return values[:, :k].sqrt(), indices[:, :k]
