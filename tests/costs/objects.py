"""Cost objects, each beside the matrix that it stands for."""

import torch

from sparseot import costs

AXES = torch.tensor([[1.3, 0.4, 0.0], [0.2, 0.9, -0.3], [0.1, 0.0, 0.7]], dtype=torch.float64)
SCALES = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
CLASSES = torch.tensor([[0.0, 0.3, 0.5], [0.3, 0.0, 0.2], [0.5, 0.2, 0.0]], dtype=torch.float64)


def powered(squares, p):
    """``s ** (p / 2) / p``, whose derivatives are zero where s is."""
    inside = torch.where(squares > 0, squares, 1.0)
    return torch.where(squares > 0, inside ** (p / 2) / p, 0.0)


def apart(x, y):
    return x[:, None] - y[None]


def quadratic(matrix):
    return lambda x, y, p: powered(((apart(x, y) @ matrix) * apart(x, y)).sum(-1), p)


def features(x, y, p):
    place, feature = apart(x, y)[..., :2], apart(x, y)[..., 2:]
    return powered(place.square().sum(-1) + 0.7 * feature.square().sum(-1), p)


def cosines(x, y):
    unit = torch.nn.functional.normalize
    return unit(x, dim=-1) @ unit(y, dim=-1).T


def angles(x, y):
    """As Kahan takes them."""
    x, y = (torch.nn.functional.normalize(t, dim=-1) for t in (x, y))
    sums = x[:, None] + y[None]
    return 2 * torch.atan2(apart(x, y).norm(dim=-1), sums.norm(dim=-1))


def geodesics(x, y, p):
    """Where points meet, half of the square is that of the chord, to second order."""
    x, y = (torch.nn.functional.normalize(t, dim=-1) for t in (x, y))
    squares = apart(x, y).square().sum(-1)
    meet = squares == 0
    chords = torch.where(meet, 1.0, squares).sqrt()
    found = (2 * torch.atan2(chords, (x[:, None] + y[None]).norm(dim=-1))) ** p / p
    return torch.where(meet, squares / 2 if p == 2 else 0.0, found)


def labels(x, y, p):
    between = CLASSES[x[:, -1].long()][:, y[:, -1].long()]
    return powered(apart(x, y)[..., :-1].square().sum(-1), p) + between


# a maker, its matrix in a call with p, and whether the last coordinate is a class
COSTS = {
    "Cosine": (costs.Cosine, lambda x, y, p: 1 - cosines(x, y)),
    "Geodesic": (costs.Geodesic, geodesics),
    "Scaled": (lambda: costs.Scaled(SCALES), quadratic(torch.diag(SCALES**-2))),
    "Mahalanobis": (lambda: costs.Mahalanobis(AXES @ AXES.T), quadratic(AXES @ AXES.T)),
    "diagonal": (lambda: costs.Mahalanobis(SCALES), quadratic(torch.diag(SCALES))),
    "Features": (lambda: costs.Features(0.7), features),
    "Labels": (lambda: costs.Labels(CLASSES), labels),
    "Power(1.5)": (lambda: costs.Power(1.5), lambda x, y, p: quadratic(torch.eye(3).double())(x, y, 1.5)),
    "Power(1)": (lambda: costs.Power(1), lambda x, y, p: quadratic(torch.eye(3).double())(x, y, 1)),
}  # fmt: skip


def exponent(name, p):
    """That of the temperature."""
    return float(name[6:-1]) if name.startswith("Power") else p


def clouds(name, n=9, m=7, batch=(), grad=False):
    """x, y, a, b, with what is refused nowhere; classes are the last coordinate."""
    shapes = (*batch, n, 3), (*batch, m, 3)
    x, y = (
        torch.rand(shape, dtype=torch.float64) + s
        for shape, s in zip(shapes, (0.1, -0.2), strict=True)
    )
    if name == "Labels":
        x, y = (
            torch.cat((t[..., :2], torch.randint(3, t[..., :1].shape).double()), -1) for t in (x, y)
        )
    a, b = (torch.rand(shape[:-1], dtype=torch.float64) + 0.2 for shape in shapes)
    found = x, y, a / a.sum(-1, keepdim=True), b / b.sum(-1, keepdim=True)
    return tuple(t.requires_grad_(grad) for t in found)
