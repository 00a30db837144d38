"""KeOps's registration of surfaces: varifold norms, and a Hamiltonian flow that is differentiated."""

import torch

from .agreement import assert_equals, tensor

SIGMA = torch.tensor([0.5], dtype=torch.float64)


def lazy_gaussian(lazy):
    """``(K(x, y) b)_i``, a function of three symbolic variables."""
    x, y, b = lazy.torch.Vi(0, 3), lazy.torch.Vj(1, 3), lazy.torch.Vj(2, 3)
    return ((-x.sqdist(y) * (1 / (SIGMA * SIGMA))).exp() * b).sum_reduction(axis=1)


def lazy_varifold(lazy):
    """The same for areas, weighted by squared cosines of normals."""
    Vi, Vj = lazy.torch.Vi, lazy.torch.Vj
    x, y, u, v, b = Vi(0, 3), Vj(1, 3), Vi(2, 3), Vj(3, 3), Vj(4, 1)
    K = (-x.sqdist(y) * (1 / (SIGMA * SIGMA))).exp() * (u * v).sum() ** 2
    return (K * b).sum_reduction(axis=1)


def dense_gaussian(x, y, b):
    return (-((x[:, None] - y[None]) ** 2).sum(-1) / SIGMA**2).exp() @ b


def dense_varifold(x, y, u, v, b):
    return ((-((x[:, None] - y[None]) ** 2).sum(-1) / SIGMA**2).exp() * (u @ v.T) ** 2) @ b


def surface(seed):
    """Triangles over a lattice of nine points: vertices and corners."""
    side = torch.linspace(0, 1, 3, dtype=torch.float64)
    height = 0.3 * tensor(9, 1, seed)
    vertices = torch.cat((torch.cartesian_prod(side, side), height), 1)
    squares = [3 * row + column for row in range(2) for column in range(2)]
    corners = [c for k in squares for c in ((k, k + 1, k + 3), (k + 1, k + 4, k + 3))]
    return vertices, torch.tensor(corners)


def elements(vertices, corners):
    """Centres, areas and unit normals of triangles."""
    a, b, c = (vertices[corners[:, k]] for k in range(3))
    normal = 0.5 * torch.linalg.cross(b - a, c - a)
    area = normal.norm(dim=1, keepdim=True)
    return (a + b + c) / 3, area, normal / area


def varifold_norm(K, source, target):
    """The squared distance of two surfaces in the dual of a kernel."""
    value = 0
    for sign, (c, area, n), (e, other, m) in (
        (1, source, source), (-2, source, target), (1, target, target),
    ):  # fmt: skip
        value = value + sign * (area * K(c, e, n, m, other)).sum()
    return value


def shot(K, momenta, start, steps=2):
    """Points that a Hamiltonian system carries from their momenta, by Euler's method."""
    p, q = momenta, start
    for _ in range(steps):
        energy = 0.5 * (p * K(q, q, p)).sum()
        of_p, of_q = torch.autograd.grad(energy, (p, q), create_graph=True)
        p, q = p - of_q / steps, q + of_p / steps
    return q


def test_distances_of_surfaces_and_their_gradients(lazy):
    (source, corners), target = surface(0), elements(*surface(1))
    source.requires_grad_()
    values = [
        varifold_norm(K, elements(source, corners), target)
        for K in (lazy_varifold(lazy), dense_varifold)
    ]
    assert_equals(*values)
    assert_equals(*(torch.autograd.grad(value, source)[0] for value in values), 1e-9)


def test_a_shot_and_its_gradient_in_the_first_momenta(lazy):
    """The flow has a gradient in itself, so that its own gradient is one of the second order."""
    start, (target, _) = surface(0)[0].requires_grad_(), surface(1)
    momenta = (0.1 * tensor(9, 3, 7)).requires_grad_()
    ends = [shot(K, momenta, start) for K in (lazy_gaussian(lazy), dense_gaussian)]
    assert_equals(*ends)
    losses = [((end - target) ** 2).sum() for end in ends]
    assert_equals(*(torch.autograd.grad(loss, momenta)[0] for loss in losses), 1e-9)
