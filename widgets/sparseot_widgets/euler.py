"""``gradient_flow``: a cloud goes down the slope of a loss, by explicit Euler steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sparseot.errors import bad_input
from sparseot.points import check_positive

from .clouds import as_points

__all__ = ["Flow", "gradient_flow"]

FEWEST = 20  # a step is cut at most so many times

Loss = Callable[[Tensor, Tensor], Tensor]


class Flow(NamedTuple):
    """What :func:`gradient_flow` returns."""

    clouds: dict[float, Tensor]  # at each time, (N, D)
    losses: list[float]  # at each time
    steps: int  # of Euler
    seconds: float  # a step


def gradient_flow(
    loss: Loss,
    x: Tensor,
    y: Tensor,
    times: Sequence[float],
    *,
    step: float = 0.05,
    jump: float | None = None,
    check: Callable[[], None] | None = None,
) -> Flow:
    r"""Let the points of a cloud roll down a loss, by explicit Euler steps.

    .. math:: x_i \leftarrow x_i - \tau N \, \nabla_{x_i} L(x, y)

    Each of the N particles has the mass 1/N, which the factor N undoes: the speed does not depend
    on how many particles stand for the cloud.

    Args:
        loss: a function ``loss(x, y)`` that returns one number with a graph.
        x: ``(N, D)`` points, torch or NumPy, where the particles start.
        y: what the loss compares them with, ``(M, D)`` points.
        times: where clouds and losses are kept, increasing; the flow starts at the first.
        step: the longest step :math:`\tau`; steps are shorter where they would pass by a time.
        jump: a step is cut, at most to a twentieth, where a particle would move farther, in the
            units of the points.
        check: called before each step; what it raises ends the flow.

    Returns:
        ``clouds``, a dict from each time to ``(N, D)`` points; ``losses``, as many numbers;
        ``steps``, how many it took, and ``seconds``, how long one took. The first gradient is not
        timed, since it may compile.

    Raises:
        ValueError, TypeError: for points that are not one finite cloud, times that do not increase, and a
            loss that has no gradient in x or is not finite.

    References:
        Santambrogio, 2017, "{Euclidean, metric, and Wasserstein} gradient flows: an overview".

    Example:
        >>> means = lambda x, y: (x.mean(0) - y.mean(0)).square().sum() / 2
        >>> flow = gradient_flow(means, torch.zeros(5, 2), torch.ones(8, 2), [0.0, 1.0], step=0.5)
        >>> flow.clouds[1.0][0].tolist(), flow.losses, flow.steps
        ([0.75, 0.75], [1.0, 0.0625], 2)
    """
    times = _checked(loss, times, step, jump)
    x, y = _cloud("x", x), _cloud("y", y)
    value, velocity = _slope(loss, x, y)
    now, steps = times[0], 0
    clouds, losses = {now: x.clone()}, [value]
    start = time.perf_counter()
    for end in times[1:]:
        while now < end:
            if check is not None:
                check()
            tau = step
            if jump is not None:
                fastest = float(velocity.norm(dim=1).max())
                tau = min(step, max(jump / max(fastest, 1e-30), step / FEWEST))
            whole = end - now <= tau * (1 + 1e-6)  # no sliver of a step is left for rounding
            x = x + (end - now if whole else tau) * velocity
            now, steps = (end if whole else now + tau), steps + 1
            value, velocity = _slope(loss, x, y)
        clouds[end] = x
        losses.append(value)
    return Flow(clouds, losses, steps, (time.perf_counter() - start) / max(steps, 1))


def _checked(loss: Loss, times: Sequence[float], step: float, jump: float | None) -> list[float]:
    """The times, if they and the other arguments make a flow that ends."""
    if not callable(loss):
        fix = 'For a loss by name: sparseot.SamplesLoss("energy").'
        raise bad_input("loss", repr(loss), "a function loss(x, y)", fix, TypeError)
    if step is None:
        raise bad_input("step", "None", "the longest step, a positive number", "", TypeError)
    check_positive(step=step, jump=jump)
    try:
        found = [float(t) for t in times]
    except (TypeError, ValueError):
        raise bad_input("times", repr(times), "a list of numbers", "", TypeError) from None
    pairs = list(zip(found, found[1:], strict=False))
    if not found or not all(map(math.isfinite, found)) or any(t <= s for s, t in pairs):
        raise bad_input("times", f"{found}", "finite times, at least one, each later than the last")
    latest = max(abs(t) for t in found)
    if latest + step / FEWEST == latest and len(found) > 1:
        fix = "Give times nearer to zero, or longer steps."
        raise bad_input(
            "step", f"{step:g} at times of {latest:g}", "steps that times can hold", fix
        )
    return found


def _cloud(name: str, points: Tensor) -> Tensor:
    """The points of one cloud, on the device where they are."""
    cloud = as_points(name, points)
    return cloud.to(points.device) if isinstance(points, Tensor) else cloud


def _slope(loss: Loss, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """The loss, and minus N times its gradient."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = loss(x, y)
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
            shape = (
                f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            )
            got = f"one that returned {shape}, graph {getattr(value, 'grad_fn', None)}"
            fix = "A loss returns one number that autograd can differentiate in x."
            raise bad_input("loss", got, "a scalar tensor with a graph", fix)
        (gradient,) = torch.autograd.grad(value.sum(), [x], allow_unused=True)
    if gradient is None:
        raise bad_input("loss", "one that does not depend on x", "a function of both clouds")
    if not value.isfinite().all():
        raise bad_input("loss", f"one that returned {value.item()}", "finite numbers")
    if not gradient.isfinite().all():
        fix = "Give a shorter step, or a loss that is smooth where points meet."
        raise bad_input("loss", "a gradient with NaN or infinity", "finite numbers", fix)
    return value.item(), -len(x) * gradient
