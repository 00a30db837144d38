"""Plain float64 references: whole matrices, unrolled loops, autograd's own derivatives."""

import math

import torch


def squared_distances(x, y):
    """(B, N, M) from differences of coordinates."""
    return (x[:, :, None] - y[:, None]).square().sum(-1)


def cost_matrix(x, y, p):
    """|x - y|^p / p for unbatched clouds, (N, M)."""
    squares = squared_distances(x[None], y[None])[0]
    return squares / 2 if p == 2 else squares.sqrt()


def transport(x, y, a, b, *, p=2, blur, reach=None, steps=20_000, tol=1e-14):
    """Converged entropic transport of small unbatched clouds: value, f, g and plan.

    The value is the primal one, computed from its definition. Masses are arbitrary with a reach.
    """
    cost, eps = cost_matrix(x, y, p), blur**p
    rho = math.inf if reach is None else reach**p
    damping = 1 / (1 + eps / rho)
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(steps):
        f_old = f
        f = -damping * eps * ((g - cost) / eps + b.log()).logsumexp(1)
        g = -damping * eps * ((f[:, None] - cost) / eps + a.log()[:, None]).logsumexp(0)
        if (f - f_old).abs().max() < tol * eps:
            break
    product = a[:, None] * b
    plan = product * ((f[:, None] + g - cost) / eps).exp()
    value = (plan * cost).sum() + eps * divergence(plan, product)
    if reach is not None:
        value = value + rho * (divergence(plan.sum(1), a) + divergence(plan.sum(0), b))
    return value, f, g, plan


def sinkhorn_divergence(x, y, a, b, **options):
    """The debiased value, converged, from its definition."""
    ab, aa, bb = (
        transport(*pair, **options)[0] for pair in ((x, y, a, b), (x, x, a, a), (y, y, b, b))
    )
    return ab - aa / 2 - bb / 2


def divergence(p, q):
    """The generalised Kullback-Leibler divergence KL(p | q)."""
    return torch.xlogy(p, p / q).sum() - p.sum() + q.sum()
