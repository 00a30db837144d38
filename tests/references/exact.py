"""Closed forms, in this library's conventions (cost |x - y|^p / p, eps = blur^p, rho = reach^p)."""

import math

import numpy as np
import torch


def diracs_unbalanced(cost, eps, rho, ma=1.0, mb=1.0):
    """Entropic cost between m_a delta_x and m_b delta_y and the mass of its one-entry plan."""
    mass = (ma * mb) ** ((eps + rho) / (eps + 2 * rho)) * math.exp(-cost / (eps + 2 * rho))
    return rho * (ma + mb) + eps * ma * mb - (2 * rho + eps) * mass


def gaussians(mean, cov, other_mean, other_cov, eps):
    """Entropic cost between two Gaussian laws for |x - y|^2 / 2 (Janati et al., 2020, theorem 1).

    Halves of their formulas, written for |x - y|^2 and a temperature 2 sigma^2; here sigma^2 = eps.
    """
    d = len(mean)
    root = _sqrt(cov)
    s2 = eps
    D = _sqrt(4 * root @ other_cov @ root + s2**2 * np.eye(d))
    value = np.sum((mean - other_mean) ** 2) + np.trace(cov) + np.trace(other_cov) - np.trace(D)
    value += d * s2 * (1 - math.log(2 * s2)) + s2 * np.linalg.slogdet(D + s2 * np.eye(d))[1]
    return value / 2


def gaussian_plan(cov, other_cov, eps):
    """The cross-covariance of the optimal plan between two Gaussian laws (the same theorem)."""
    root = _sqrt(cov)
    D = _sqrt(4 * root @ other_cov @ root + eps**2 * np.eye(len(cov)))
    return root @ D @ np.linalg.inv(root) / 2 - eps / 2 * np.eye(len(cov))


def gaussians_unbalanced(law, other, eps, rho):
    """Entropic cost between multiples of Gaussian laws ``(mass, mean, cov)``, and the plan's mass.

    Potentials are quadratic (Janati et al., 2020, section 4): with ``f(x) / eps = -x'Fx / 2 + u'x + c``
    each update is a Gaussian integral, and the updates are repeated until nothing changes.
    """
    eye, damping = np.eye(len(law[1])), rho / (rho + eps)
    f = g = (0 * eye, 0 * law[1], 0.0)
    for _ in range(2000):
        f = _quadratic_update(other, g, eps, damping)
        g = _quadratic_update(law, f, eps, damping)
    F, u, c = f
    _, mass = _gaussian_integral(law, -eps / rho * F, -eps / rho * u)
    mass *= math.exp(-eps / rho * c)
    ma, mb = law[0], other[0]
    return rho * (ma + mb) + eps * ma * mb - (2 * rho + eps) * mass, mass


def _gaussian_integral(law, G, u):
    """The inverse precision, and the value, of ``int exp(-y'Gy / 2 + u'y) d law(y)``."""
    mass, mean, cov = law
    precision = np.linalg.inv(cov)
    inner = np.linalg.inv(G + precision)
    w = u + precision @ mean
    scale = math.sqrt(np.linalg.det(inner) / np.linalg.det(cov))
    return inner, mass * scale * math.exp((w @ inner @ w - mean @ precision @ mean) / 2)


def _quadratic_update(law, g, eps, damping):
    """``-damping * log int exp(g / eps - |x - y|^2 / 2 eps) d law(y)``, as (F, u, c) in x."""
    G, u, c = g
    eye = np.eye(len(u))
    inner, value = _gaussian_integral(law, G + eye / eps, u)
    slope = inner @ (u + np.linalg.inv(law[2]) @ law[1]) / eps
    quadratic = inner / eps**2 - eye / eps
    return damping * quadratic, -damping * slope, -damping * (math.log(value) + c)


def sorted_transport(x, y, a, b, p):
    """Transport cost |x - y|^p / p on the line, by the quantile functions."""
    order, other = x.argsort(), y.argsort()
    x, a, y, b = x[order], a[order], y[other], b[other]
    cuts = torch.cat((a.cumsum(0), b.cumsum(0))).sort().values
    widths = cuts.diff(prepend=cuts.new_zeros(1))
    middles = cuts - widths / 2
    i = torch.searchsorted(a.cumsum(0), middles).clamp(max=len(a) - 1)
    j = torch.searchsorted(b.cumsum(0), middles).clamp(max=len(b) - 1)
    return (widths * (x[i] - y[j]).abs() ** p / p).sum()


def energy_distance_on_the_line(x, y, a, b):
    """The integral of the squared difference of the distribution functions."""
    points, order = torch.cat((x, y)).sort()
    heights = torch.cat((a, -b))[order].cumsum(0)[:-1]
    return (heights**2 * points.diff()).sum()


def _sqrt(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T
