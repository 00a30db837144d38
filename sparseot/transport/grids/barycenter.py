r"""``grid_barycenter``: averages of images on one regular grid.

The debiased barycenter of measures :math:`\alpha_k` minimises :math:`\sum_k w_k S_\varepsilon(\alpha_k,
\beta)` over all weights :math:`\beta` of the pixels. With potentials :math:`g_k` of the images, and a
density d that stands for the transport of the average to itself, one sweep is

.. math::
    f_k = -\varepsilon \log K (\alpha_k e^{g_k / \varepsilon}), \qquad
    \beta = d\, e^{-\sum_k w_k f_k / \varepsilon}, \qquad
    g_k = -\varepsilon \log K (\beta e^{f_k / \varepsilon}), \qquad
    d \gets \sqrt{d \beta / K d},

with the Gibbs kernel K (Janati, Cuturi and Gramfort, 2020, "Debiased Sinkhorn barycenters", algorithm
1; d = 1 is the biased one of Benamou et al., 2015). Plain sweeps are slow where images have edges sharper than
the blur, which d sharpens little by little; sweeps are mixed (``mixing.py``). It ends when the plans of all
images have the average as their other marginal, and it has come to rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...engines.grids.engine import GridEngine, GridReductions
from ...engines.openmp import own_settings
from ...errors import bad_input, warn_user
from ...operators.arrays import Array, like, listed, of_one_kind, tensor_of
from ...operators.autograd.compiled import eagerly
from ...points import check_integer, check_positive, log_weights
from ...precision import at_least_single
from ..solvers.course import COARSE, RATIO, SWEEPS, temperatures
from .images import Axes, as_axes, unit_images
from .mixing import Mixing
from .pyramid import Cut, coarser, interpolated, pooled, schedule

__all__ = ["GridBarycenter", "grid_barycenter"]


@dataclass(frozen=True)
class GridBarycenter:
    """What :func:`grid_barycenter` found.

    Attributes:
        image: the averages, ``(*batch, *grid)``, of the kind and dtype of the images and of their mass.
        converged: whether the tolerance was met by all of them.
        residual: L1 distance of the average from the marginals of its plans, relative to the mass, and
            averaged over the images as they are, or from the average one sweep before, if that is
            larger; the largest of the batch.
        n_iter: sweeps over all temperatures.
        blur, debias, tol: as they were asked for.

    Example:
        >>> import torch
        >>> from sparseot import grid_barycenter
        >>> found = grid_barycenter(torch.eye(9)[[2, 6]], blur=1.0)
        >>> found.image.argmax().item(), found.converged
        (4, True)
    """

    image: Array
    converged: bool
    residual: float
    n_iter: int
    blur: float
    debias: bool
    tol: float

    def __repr__(self) -> str:
        state = "converged" if self.converged else "NOT CONVERGED"
        kind = "debiased" if self.debias else "entropic"
        return (
            f"GridBarycenter: {kind}, {' x '.join(map(str, self.image.shape))}, blur {self.blur:g}\n"
            f"  {state}: marginals off by {self.residual:.1e} of the mass (tol {self.tol:g}) "
            f"after {self.n_iter} sweeps"
        )


@eagerly
@own_settings
@torch.no_grad()
def grid_barycenter(
    images: Array,
    weights: Array | None = None,
    *,
    blur: float,
    spacing: Any = 1.0,
    dim: int | None = None,
    debias: bool = True,
    tol: float = 1e-3,
    max_sweeps: int = 2000,
) -> GridBarycenter:
    r"""The average of K images in the sense of transport: weights on the same grid.

    .. math:: \min_\beta \sum_{k=1}^K w_k\, S_\varepsilon(\alpha_k, \beta)

    over all weights of the pixels, with the Sinkhorn divergence S of the cost :math:`|x - y|^2 / 2`.
    Debiased, the average of translates of one image is that image at their mean place, neither wider
    nor sharper.

    Args:
        images: ``(*batch, K, *grid)`` weights of equal mass.
        weights: ``(K,)`` of the images, or ``(T, K)`` for T averages of the same images, which are then the
            only batch; zero or positive, and divided by their sum. None takes 1/K.
        blur: smoothing length, in the units of ``spacing``.
        spacing: distance of neighbouring pixels: one number, or one for each axis of the grid.
        dim: how many of the last axes are those of the grid, as in :func:`solve_grid`; None takes all
            after the first, or as many as there are numbers in ``spacing``.
        debias: False for the average in the sense of the cost with the entropy of the plan itself, as Benamou et al.
            (2015) define it: variances grow by ``blur ** 2``.
        tol: L1 error of the marginals, and L1 change of the average by the last sweep, relative to the mass.
        max_sweeps: largest number of sweeps at the last temperature.

    Returns:
        A :class:`GridBarycenter`, without derivatives.

    Raises:
        ValueError, TypeError: if an argument is not as described. Not reaching the tolerance is
        a warning, and ``converged`` is False.

    References:
        Janati, Cuturi and Gramfort, 2020, "Debiased Sinkhorn barycenters", algorithm 1; Benamou et
        al., 2015, "Iterative Bregman projections for regularized transportation problems".

    Example:
        >>> import torch
        >>> images = torch.zeros(2, 16)
        >>> images[0, 2] = images[1, 10] = 1
        >>> found = grid_barycenter(images, torch.tensor([0.25, 0.75]), blur=1.0)
        >>> int(found.image.argmax())
        8
    """
    (images,), first = of_one_kind(images=images)
    axes = as_axes("images", images, spacing, dim, first=1)
    check_positive(blur=blur, tol=tol)
    check_integer("max_sweeps", max_sweeps)
    a, mass = unit_images("images", images, axes)
    w, batch = _as_weights(weights, a, axes)
    sweeps = _Sweeps(axes.engine, a, w, debias)
    found, residual, spent = sweeps.run(float(blur), tol, max_sweeps)
    if residual > tol:
        warn_user(
            f"The marginals of the average are off, or it still moves, by {residual:.1e} of the mass after {spent} sweeps, "
            f"tol={tol:g} was asked for. Allow more with max_sweeps=..., or take a larger blur."
        )
    image = (found * mass[..., None]).reshape(*batch, *axes.shape)
    shown = like(image.to(at_least_single(images)[0].dtype), first)
    return GridBarycenter(shown, residual <= tol, residual, spent, float(blur), debias, tol)


def _as_weights(weights: Any, a: Tensor, axes: Axes) -> tuple[Tensor, tuple[int, ...]]:
    """Those of ``(B, K, N)`` images, ``(T, K)``, and the shape of the batch of averages."""
    items, count = a.shape[:2]
    batch = axes.batch[:-1]
    if weights is None:
        return a.new_full((items, count), 1 / count), batch
    w = tensor_of(listed(weights, "weights"), "weights").detach().to(a)
    if w.dim() not in (1, 2) or w.shape[-1] != count or (w.dim() == 2 and batch):
        wanted = f"({count},), one for each image" + ("" if batch else f", or (T, {count})")
        raise bad_input("weights", f"shape {tuple(w.shape)}", wanted)
    if not bool(((w >= 0) & w.isfinite()).all()) or not bool((w.sum(-1) > 0).all()):
        got = "negative, infinite or NaN weights, or none above zero"
        raise bad_input("weights", got, "finite numbers >= 0, and one above")
    w = w / w.sum(-1, keepdim=True)
    return (w.expand(items, count), batch) if w.dim() == 1 else (w, (len(w),))


class _Sweeps:
    """Averages of ``(B, K, N)`` images of mass one by ``(T, K)`` weights; B is T, or one.

    Each image has a state ``(T, N)``, the logarithm of what its potential becomes on the average, and so
    has d. They are visited one after the other and changed in place.
    """

    def __init__(self, grid: GridEngine, a: Tensor, w: Tensor, debias: bool) -> None:
        self.grid, self.a, self.w, self.debias = grid, a, w, debias

    def run(self, blur: float, tol: float, most: int) -> tuple[Tensor, float, int]:
        """The averages, the largest error, and the number of sweeps."""
        sides = [n * h for n, h in zip(self.grid.shape, self.grid.spacing, strict=True)]
        falling = temperatures(max(math.hypot(*sides), blur) ** 2, blur**2, RATIO)
        steps, spent = schedule(self.grid, falling), 0
        cut = steps[0][1]
        size, (items, count) = coarser(self.grid, cut).size, self.w.shape
        *g, d = self.a.new_zeros(count + 1, items, size).unbind()
        for k, (eps, new) in enumerate(steps):
            finer = math.log(coarser(self.grid, new).size / d.shape[1])
            for j, h in enumerate(g):
                g[j] = interpolated(h, self.grid, cut, new)
            d = interpolated(d, self.grid, cut, new) - self.debias * finer  # a mass of cells
            cut, last = new, k == len(steps) - 1
            level = _Level(self, eps, cut, g, d)
            goal = (tol, most) if last else (max(COARSE, tol), SWEEPS)
            average, error, count = level.settle(*goal)
            spent += count
            if not last:
                level.leave(average)
        return average.exp_(), error, spent


class _Level:
    """The sweeps of one temperature on the cells of one cut; ``g`` and d are changed in place."""

    def __init__(self, of: _Sweeps, eps: float, cut: Cut, g: list[Tensor], d: Tensor) -> None:
        self.w, self.debias, self.eps = of.w, of.debias, eps
        self.sums = GridReductions(coarser(of.grid, cut))
        self.images = [of.a[:, k] for k in range(of.a.shape[1])]
        if any(size > 1 for size in cut):
            self.images = [pooled(image, of.grid.shape, cut) for image in self.images]
        self.states, self.d = g, d
        for k, h in enumerate(g):
            h.copy_(self._smoothed(log_weights(self.images[k]) + h / eps))

    def settle(self, tol: float, most: int) -> tuple[Tensor, float, int]:
        """Logarithms of the averages, the largest error, and the number of sweeps."""
        mixing, spent = Mixing([*self.states, self.d] if self.debias else self.states), 0
        before = self.d.new_full((1,), math.inf)
        while True:
            spent += 1
            average = self.d.clone()
            for w, state in zip(self.w.T, self.states, strict=True):
                average.addcmul_(w[:, None], state)
            error = self._sweep(average, mixing)
            now = average.exp()
            moved, before = (now - before).abs_().sum(-1), now
            largest = float((error if most == 1 else torch.maximum(error, moved)).max())
            if largest <= tol or spent >= most:
                return average, largest, spent
            mixing.move(error)

    def _sweep(self, average: Tensor, mixing: Mixing) -> Tensor:
        """Shows all residuals, and tells the errors ``(T,)``."""
        weights, error = average.exp(), average.new_zeros(len(average))
        for k, (w, state) in enumerate(zip(self.w.T, self.states, strict=True)):
            g = self._smoothed(average - state).neg_()
            residual = self._smoothed(g.add_(log_weights(self.images[k]))).sub_(state)
            error += w * (weights * residual.expm1().abs_()).sum(-1)
            mixing.see(k, residual, w[:, None] * weights)
        if self.debias:
            residual = (average - self._smoothed(self.d)).sub_(self.d)
            error = torch.maximum(error, (weights * residual.expm1().abs_()).sum(-1))
            mixing.see(len(self.states), residual.div_(2), weights)
        return error

    def leave(self, average: Tensor) -> None:
        """Potentials of the images in the place of the states."""
        for state in self.states:
            state.copy_(self._smoothed(average - state)).mul_(-self.eps)

    def _smoothed(self, logs: Tensor) -> Tensor:
        """Logarithms of products ``(T, n)`` with the Gibbs kernel."""
        return self.sums.averaged(0.5 / self.eps, logs.expand(len(self.w), -1))[0]
