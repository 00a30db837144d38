"""Entropic transport by a loop that autograd sees through: derivatives of every order, slowly."""

import math

import torch

from .dense import cost_matrix, mass_term


def potentials(x, y, a, b, *, p=2, blur, reach=None, steps=400):
    """Both potentials after many alternating updates from zero."""
    cost, eps = cost_matrix(x, y, p), blur**p
    damping = [1 / (1 + eps / rho) for rho in rhos(reach, p)]
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(steps):
        f = -damping[0] * eps * ((g - cost) / eps + b.log()).logsumexp(1)
        g = -damping[1] * eps * ((f[:, None] - cost) / eps + a.log()[:, None]).logsumexp(0)
    return f, g


def transport(x, y, a, b, *, p=2, blur, reach=None, steps=400):
    """The dual value of these potentials."""
    f, g = potentials(x, y, a, b, p=p, blur=blur, reach=reach, steps=steps)
    eps = blur**p
    plan = a[:, None] * b * ((f[:, None] + g - cost_matrix(x, y, p)) / eps).exp()
    value = -eps * (plan.sum() - a.sum() * b.sum())
    for weights, h, rho in zip((a, b), (f, g), rhos(reach, p), strict=True):
        worth = h if math.isinf(rho) else -rho * torch.expm1(-h / rho)
        value = value + (weights * worth).sum()
    return value


def divergence(x, y, a, b, **options):
    """The debiased value."""
    own = transport(x, x, a, a, **options) + transport(y, y, b, b, **options)
    term = mass_term(a, b, options["blur"], options.get("p", 2))
    return transport(x, y, a, b, **options) - own / 2 + term


def rhos(reach, p):
    reaches = reach if isinstance(reach, tuple) else (reach, reach)
    return [math.inf if length is None else length**p for length in reaches]
