"""Entropic transport by a loop that autograd sees through: derivatives of every order, slowly."""

import math

from .dense import cost_matrix, mass_term

IMPOSED = (math.inf, math.inf)


def of_costs(cost, a, b, *, eps, rhos=IMPOSED, steps=400):
    """The dual value of a matrix ``(N, M)`` of costs, and f, g after many alternating updates from zero."""
    damping = [1 / (1 + eps / rho) for rho in rhos]
    f, g = 0 * a, 0 * b
    for _ in range(steps):
        f = -damping[0] * eps * ((g - cost) / eps + b.log()).logsumexp(1)
        g = -damping[1] * eps * ((f[:, None] - cost) / eps + a.log()[:, None]).logsumexp(0)
    plan = a[:, None] * b * ((f[:, None] + g - cost) / eps).exp()
    value = -eps * (plan.sum() - a.sum() * b.sum())
    for weights, h, rho in zip((a, b), (f, g), rhos, strict=True):
        worth = h if math.isinf(rho) else -rho * (-h / rho).expm1()
        value = value + (weights * worth).sum()
    return value, f, g


def potentials(x, y, a, b, *, p=2, blur, reach=None, steps=400):
    """Both potentials."""
    how = {"eps": blur**p, "rhos": rhos(reach, p), "steps": steps}
    return of_costs(cost_matrix(x, y, p), a, b, **how)[1:]


def transport(x, y, a, b, *, p=2, blur, reach=None, steps=400):
    """The dual value of these potentials."""
    how = {"eps": blur**p, "rhos": rhos(reach, p), "steps": steps}
    return of_costs(cost_matrix(x, y, p), a, b, **how)[0]


def divergence(x, y, a, b, **options):
    """The debiased value."""
    own = transport(x, x, a, a, **options) + transport(y, y, b, b, **options)
    term = mass_term(a, b, options["blur"], options.get("p", 2))
    return transport(x, y, a, b, **options) - own / 2 + term


def rhos(reach, p):
    reaches = reach if isinstance(reach, tuple) else (reach, reach)
    return [math.inf if length is None else length**p for length in reaches]
