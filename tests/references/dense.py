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

    The value is the primal one, computed from its definition. Masses are arbitrary with a reach,
    which may be a pair, None where a marginal is imposed.
    """
    cost, eps = cost_matrix(x, y, p), blur**p
    reaches = reach if isinstance(reach, tuple) else (reach, reach)
    rhos = [math.inf if length is None else length**p for length in reaches]
    damping = [1 / (1 + eps / rho) for rho in rhos]
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(steps):
        f_old = f
        f = -damping[0] * eps * ((g - cost) / eps + b.log()).logsumexp(1)
        g = -damping[1] * eps * ((f[:, None] - cost) / eps + a.log()[:, None]).logsumexp(0)
        if (f - f_old).abs().max() < tol * eps:
            break
    product = a[:, None] * b
    plan = product * ((f[:, None] + g - cost) / eps).exp()
    value = (plan * cost).sum() + eps * divergence(plan, product)
    for rho, marginal, wanted in zip(rhos, (plan.sum(1), plan.sum(0)), (a, b), strict=True):
        if not math.isinf(rho):
            value = value + rho * divergence(marginal, wanted)
    return value, f, g, plan


def sinkhorn_divergence(x, y, a, b, **options):
    """The debiased value, converged, from its definition (Séjourné et al., 2019, definition 6)."""
    ab, aa, bb = (
        transport(*pair, **options)[0] for pair in ((x, y, a, b), (x, x, a, a), (y, y, b, b))
    )
    return ab - aa / 2 - bb / 2 + mass_term(a, b, options["blur"], options.get("p", 2))


def mass_term(a, b, blur, p=2):
    """What a divergence of different masses has beside its three transport costs."""
    return blur**p / 2 * (a.sum() - b.sum()) ** 2


def divergence(p, q):
    """The generalised Kullback-Leibler divergence KL(p | q)."""
    return torch.xlogy(p, p / q).sum() - p.sum() + q.sum()
