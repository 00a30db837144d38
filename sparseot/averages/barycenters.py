r"""``barycenter``: the average of clouds, the one nearest to all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..engines.openmp import own_settings
from ..errors import bad_input, warn_user
from ..operators.arrays import Array, like
from ..operators.autograd.compiled import eagerly
from ..points import check_integer, check_positive
from ..transport.derivatives.solved import say_what_failed
from ..transport.posed import with_tolerance
from ..transport.result import Transport
from ..transport.solvers.progress import Bar, Stopped, deferred
from ..transport.solvers.sinkhorn import Sinkhorn
from .arguments import as_clouds, as_shares, with_digits
from .descent import FINER, Descent, Moves, Step
from .ground import as_ground
from .objective import Objective
from .scalings import Scalings
from .supports import as_support

__all__ = ["Barycenter", "barycenter"]

WORDS = "objective {:.5g}, error {:.1e} (tol {:g})"


@dataclass(frozen=True)
class Barycenter:
    """What :func:`barycenter` found.

    Attributes:
        points: ``(n, D)`` of the average, of the kind and dtype of the clouds.
        weights: ``(n,)`` likewise.
        value: the objective there, a Python number.
        converged: whether a further step would be shorter than ``tol``.
        tol: the tolerance that was asked for.
        report: for the start and each step its ``value``, its ``error``, and the ``solves`` and ``sweeps`` so far.
        transports: the last solves, from the average to each cloud that counts: their maps say what of
            the average goes where.

    Example:
        >>> import torch
        >>> from sparseot import barycenter
        >>> found = barycenter([torch.zeros(1, 2), torch.ones(1, 2)], support=1, blur=0.1)
        >>> found.points.round(decimals=3).tolist(), found.converged
        ([[0.5, 0.5]], True)
    """

    points: Array
    weights: Array
    value: float
    converged: bool
    tol: float
    report: tuple[Step, ...]
    transports: tuple[Transport, ...]

    def __repr__(self) -> str:
        last, state = self.report[-1], "converged" if self.converged else "NOT CONVERGED"
        return (
            f"Average of {len(self.transports)} clouds on {len(self.weights)} points, objective "
            f"{self.value:.6g}\n  {state}: a further step would take it {100 * last.error:.2g} % of a "
            f"blur (tol {100 * self.tol:g} %) after {len(self.report) - 1} steps, {last.solves} solves "
            f"and {last.sweeps} sweeps"
        )


@eagerly
@own_settings
def barycenter(
    clouds: Any,
    weights: Any = None,
    *,
    masses: Any = None,
    batch: Any = None,
    support: int | Array,
    support_weights: Array | None = None,
    free: str = "points",
    blur: float,
    p: int = 2,
    cost: Any = None,
    reach: float | None = None,
    debias: bool = True,
    tol: float = 1e-2,
    max_steps: int = 200,
    solver: Sinkhorn | None = None,
    progress: bool | Callable[[float, float, float], None] = False,
) -> Barycenter:
    r"""The average of weighted clouds: the measure on a few points that is nearest to all of them.

    .. math:: \min_\mu \; \sum_k w_k \, S(\mu, \nu_k), \qquad \mu = \sum_i a_i \delta_{x_i}

    with the Sinkhorn divergence S of :func:`sinkhorn_divergence`. With
    ``free="points"`` the points move and keep their weights, as those of a shape that is deformed;
    with ``free="weights"`` they stay, and weights are found, as on the pixels of a grid: this is a convex problem. With
    ``free="both"`` points move first, and then both. Debiased,
    the average of Gaussians is the Gaussian between them; without, it is narrower.

    Steps of points are those of the fixed-point iteration, made longer and shorter by a quasi-Newton
    method; those of weights are rounds of scalings, over all pairs. Each makes the objective fall, and each
    solve starts from the last one.

    Args:
        clouds: points, in any form of several clouds: a list of ``(N_k, D)`` tensors or NumPy arrays, a batch
            ``(K, N, D)``, a nested tensor, or ``(n, D)`` with ``batch``.
        weights: ``(K,)`` how much each cloud counts, not negative; divided by their sum. None counts all alike.
        masses: the weights of the points, in the form of the clouds; None means 1/N_k.
        batch: ``(n,)`` the cloud of each point, sorted.
        support: how many points, or ``(n, D)`` points to start from (or to stay on).
        support_weights: ``(n,)`` weights of these, of the mass of the clouds; None means equal ones. Where
            weights are free, those that are zero stay zero.
        free: what is found, "points", "weights" or "both".
        blur: smoothing length of the divergence, in the units of the points.
        p: exponent of the cost :math:`|x - y|^p / p`, 2 for means or 1 for medians.
        cost: another one, as in :func:`sinkhorn_divergence`. What :mod:`sparseot.costs` moves is averaged where it was moved to,
            and moved back: for ``Scaled``, in units of the scales; on the unit sphere for directions.
        reach: as in :func:`sinkhorn_divergence`; then masses may differ, and the average has their mean
            mass, or, with free weights, the best one.
        debias: False for the entropic transport cost in the place of the divergence.
        tol: where to stop: the fixed-point step that is left, in blurs (root mean square over the mass), or
            in units of the logarithm of weights.
        max_steps: the largest number of steps.
        solver: options of the solves, as ``Sinkhorn(max_sweeps=...)``; their tolerance is a hundredth of tol, and
            larger while steps are long, with debias=False.
        progress: show steps while they run (tqdm); or a function of ``(objective, error, tol)`` to call after
            each. A KeyboardInterrupt raised there, and Ctrl-C, end the steps; the result is that of the last one.

    Returns:
        A :class:`Barycenter`. It has no derivatives.

    Raises:
        ValueError, TypeError: if an argument is not as described. Not reaching the tolerance is a
        warning, and ``converged`` is False.

    References:
        Cuturi and Doucet, 2014, "Fast computation of Wasserstein barycenters"; Janati, Cuturi and
        Gramfort, 2020, "Debiased Sinkhorn barycenters".

    Example:
        >>> import torch
        >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> found = barycenter([square, square + 4], [0.25, 0.75], support=4, blur=0.1)
        >>> found.points[0].round(decimals=3).tolist(), found.converged
        ([3.0, 3.0], True)
    """
    check_positive(blur=blur, reach=reach, tol=tol)
    max_steps = check_integer("max_steps", max_steps)
    if free not in ("points", "weights", "both"):
        raise bad_input("free", repr(free), '"points", "weights" or "both"')
    inputs, kind = as_clouds(clouds, masses, batch, reach is None)
    shares = as_shares(weights, len(inputs), inputs[0][0])
    ground, given = as_ground(cost, p, float(blur), debias), inputs[0][0]
    inputs = [
        (ground.moved(y, b, f"item {k} of clouds"), b)
        for k, ((y, b), share) in enumerate(zip(inputs, shares.tolist(), strict=True))
        if share > 0
    ]
    shares = shares[shares > 0]
    where: dict[str, Any] = {"ground": ground, "balanced": reach is None}
    where |= {"kind": kind, "like": given}
    start, came = as_support(support, support_weights, inputs, shares, **where)
    if free != "weights":
        ground.restored(start.points)  # or says that there is no way back
    way = Scalings if free == "weights" and reach is None else Descent
    if way is Scalings or ground.beyond:  # over all pairs
        inputs = with_digits(inputs, start, ground, reach is None)
    how = with_tolerance(Sinkhorn() if solver is None else solver, FINER * tol)
    with torch.inference_mode(False), deferred():  # steps are taken by gradients
        objective = Objective(inputs, shares, how, ground, reach, debias)
        first, *others = [
            Moves(one, ground, reach is None)
            for one in (("points", "both") if free == "both" else (free,))
        ]
        bar = Bar(progress, " steps", WORDS)
        descent = way(objective, start, first, lambda: bar.ended, *others)
        converged = _run(descent, tol, max_steps, bar)
    place = descent.place
    say_what_failed(objective.solved(place))
    x = came if free == "weights" else ground.restored(place.support.points)
    points, found = (like(t.to(given), kind) for t in (x, place.support.weights))
    transports = tuple(place.transports[: len(inputs)])
    report = tuple(descent.report)
    return Barycenter(points, found, place.value, converged, tol, report, transports)


def _run(descent: Descent | Scalings, tol: float, max_steps: int, bar: Bar) -> bool:
    """Steps until they are short enough, nothing is lower, or somebody ends them; whether they are short."""
    try:
        while True:
            last = descent.report[-1]
            bar.update(last.value, last.error, tol)
            if last.error <= tol:
                if not descent.refined() and not descent.goes_on():
                    return True
                continue
            if len(descent.report) > max_steps:
                if descent.refined():
                    continue
                why = f"after {max_steps} steps"
                break
            if not descent.step() and (bar.ended or not descent.goes_on()):
                why = "and no step makes the objective fall by more than the solves can tell"
                why = "where it was interrupted" if bar.ended else why
                break
    except Stopped:
        why = "where it was interrupted"
    finally:
        bar.close()
    warn_user(
        f"The average would move by {last.error:.2g} blurs in a further step, tol={tol:g} was asked for, "
        f"{why}. The result says converged=False; allow more by max_steps, solve to a smaller tol with "
        "solver=Sinkhorn(tol=...), or take a larger tol."
    )
    return False
