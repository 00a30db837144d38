"""Costs as users write them: functions of two clouds, some of which learn."""

import math

import torch

__all__ = ["COSTS", "LEARNT", "SYMMETRIC", "UNTRACEABLE", "learnt"]

WAY = torch.tensor([[1.0, 0.7, 0.1], [-0.4, 2.0, 0.3], [0.2, 0.1, 1.5]], dtype=torch.float64)


def learnt():
    """A matrix and lengths to learn."""
    lengths = torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64)
    return WAY.clone().requires_grad_(), lengths.requires_grad_()


def _apart(x, y):
    return x[:, :, None] - y[:, None]


def cubes(x, y, *_):
    return _apart(x, y).norm(dim=-1) ** 3


def mahalanobis(x, y, matrix, lengths):
    apart = _apart(x, y)
    return ((apart @ matrix) * apart).sum(dim=-1) + (apart @ matrix.mT).square().sum(-1)


def cosine(x, y, *_):
    unit = torch.nn.functional.normalize
    return 1 - unit(x, dim=-1) @ unit(y, dim=-1).mT


def angles(x, y, *_):
    return -torch.cosine_similarity(x.unsqueeze(2), y.unsqueeze(1), dim=-1)


def bilinear(x, y, *_):
    return 3 - torch.bmm(x, y.transpose(1, 2))


def periodic(x, y, *_):
    return torch.sin(math.pi * _apart(x, y)).square().sum(-1)


def huber(x, y, *_):
    sizes = _apart(x, y).abs()
    return torch.where(sizes < 0.4, sizes**2 / 2, 0.4 * (sizes - 0.2)).sum(-1)


def lengths(x, y, matrix, lengths):
    return torch.linalg.vector_norm(_apart(x, y) / lengths, dim=-1)


def mixture(x, y, matrix, lengths):
    squares = _apart(x, y).square().sum(-1, keepdim=True)
    return -torch.exp(-squares / lengths).mean(-1)


def uneven(x, y, *_):
    squares = (_apart(x, y) @ WAY.to(x)).square().sum(-1)
    return squares + x[:, :, None, 0] * y[:, None, :, 1] + 2 * y[..., 0].unsqueeze(1)


def clipped(x, y, *_):
    squares = (x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None] - 2 * x @ y.mT).clamp(
        min=1e-9
    )
    near = (squares < 0.5) & ~(x[..., :1] > y[..., 0][:, None])
    return torch.sqrt(squares) * (1 + 0.5 * near.to(squares))


def network(x, y, matrix, lengths):
    features = [torch.nn.functional.linear(z, matrix, lengths).relu() for z in (x, y)]
    apart = _apart(*features)
    return apart.abs().sum(-1) + torch.sigmoid(apart).amax(-1)


def sorted_coordinates(x, y, *_):
    return _apart(x, y).sort(-1).values[..., 0].square()


def by_values(x, y, *_):
    return torch.cdist(x, y) if float(x.detach().sum()) > 0 else torch.cdist(x, y) ** 2


def by_points(x, y, *_):
    return torch.cdist(x - y.mean(1, keepdim=True), y)


COSTS = {
    f.__name__: f
    for f in (
        cubes,
        mahalanobis,
        cosine,
        angles,
        bilinear,
        periodic,
        huber,
        lengths,
        mixture,
        uneven,
        clipped,
        network,
    )
}
LEARNT = ("mahalanobis", "lengths", "mixture", "network")
SYMMETRIC = [
    name for name in COSTS if name not in ("mahalanobis", "uneven", "clipped", "network")
] + ["mahalanobis"]
UNTRACEABLE = {  # and what is said
    sorted_coordinates: "asks for .sort",
    by_values: "asks for .detach",
    by_points: "reduces over columns",
}
