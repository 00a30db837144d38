r"""The potential of a cloud with itself: a damped fixed point, and its implicit derivative.

The map :math:`f \mapsto \lambda\, \text{softmin}(f)` has the Jacobian :math:`-\lambda K` with K
similar to a positive semi-definite matrix of norm 1, so the step :math:`f \gets (1-t) f + t
\lambda\, \text{softmin}(f)` with t = 2/3 divides the error by three, whatever the temperature: no
annealing. Differentiating the fixed point gives :math:`(I + \lambda K)\, df = \lambda\,
\partial\text{softmin}`; the adjoint system is solved by the same damped iteration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from ...engines.base import Engine, Formula
from ...engines.openmp import on_one_thread, own_settings
from ...errors import warn_user
from ...operators.autograd.softmin import softmin
from ...points import Points
from ..marginals import Marginals

__all__ = ["self_potential"]

STEP = 2 / 3


def self_potential(
    points: Points, cost: Formula, marginals: Marginals, eps: float, *, engine: Engine
) -> Tensor:
    """The potential f = g of the transport of a cloud onto itself, ``(B, N)``.

    Solved to a relative change of 1e-10 of the temperature in float64 (1e-5 in float32), with
    exact first derivatives in the points and the weights. Warns if it does not converge, which a
    cost whose Gibbs kernel is not positive may cause.
    """
    damping = float(marginals.damping(eps))
    result: Tensor = _SelfPotential.apply(
        points.positions, points.weights, cost, eps, damping, engine
    )
    return result


class _SelfPotential(Function):
    @staticmethod
    @on_one_thread
    def forward(
        ctx: Any, x: Tensor, a: Tensor, cost: Formula, eps: float, damping: float, engine: Engine
    ) -> Tensor:
        sums, log_a = engine.bind(x, x), Points(x, a).log_weights
        temperature = x.new_full((len(x),), eps)
        scale = eps * damping

        def update(f: Tensor) -> Tensor:
            return -scale * sums.logsumexp(cost, temperature, log_a + f / eps, -f / scale)

        start = update(torch.zeros_like(a)) / 2
        highest = (start.abs().amax(1) / eps).clamp(min=1)
        ctx.floor = 8 * torch.finfo(x.dtype).eps * highest
        f = _damped(
            lambda f: update(f) - f,
            start,
            eps * torch.ones_like(highest),
            ctx.floor,
            "self potential",
        )
        ctx.save_for_backward(x, a, f)
        ctx.rest = cost, eps, damping, engine
        return f

    @staticmethod
    @own_settings
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        cost, eps, damping, engine = ctx.rest
        x, a, f = (t.detach() for t in ctx.saved_tensors)

        def once_more(x: Tensor, a: Tensor, f: Tensor) -> Tensor:
            """The fixed point's own equation, with derivatives in what requires them."""
            with torch.enable_grad():
                return damping * softmin(cost, x, x, a, f, f / damping, eps, engine=engine)

        moving = f.clone().requires_grad_()
        value = once_more(x, a, moving)

        def defect(w: Tensor) -> Tensor:  # cotangent - (I + damping K)' w
            (pulled,) = torch.autograd.grad(value, moving, w, retain_graph=True)
            return cotangent - w + pulled

        size = cotangent.detach().abs().amax(1)
        size = size.where(size > 0, 1)
        w = _damped(defect, cotangent / 2, size, ctx.floor, "adjoint of the self potential")
        inputs = x.requires_grad_(), a.requires_grad_()
        gx, ga = torch.autograd.grad(once_more(*inputs, f), inputs, w)
        return gx, ga, None, None, None, None


def _damped(
    defect: Callable[[Tensor], Tensor], start: Tensor, scale: Tensor, floor: Tensor, what: str
) -> Tensor:
    """The zeros ``(B, N)`` of ``defect`` by damped steps, each of which divides the error by three.

    ``floor`` ``(B,)`` is what rounding leaves, relative to ``scale`` ``(B,)``: nothing below it is asked
    for. Each item ends by itself, so that it has the same zero alone and in a batch.
    """
    tolerance = floor.clamp(min=1e-10 if start.dtype == torch.float64 else 1e-5) * scale
    bounded = tolerance.isfinite()
    value, steps, sizes = start, 0, torch.full_like(tolerance, torch.inf)
    moving = torch.ones_like(bounded)
    while steps < 100 and bool(moving.any()):
        change = defect(value)
        value, steps = value + STEP * change.where(moving[:, None], 0), steps + 1
        sizes = change.detach().abs().amax(1).where(moving, sizes)
        moving = moving & sizes.isfinite() & ~((sizes <= tolerance) & bounded)
    failed = ~((sizes <= tolerance) & bounded)
    if bool(failed.any()):
        last, wanted = (float((t / scale)[failed].max()) for t in (sizes, tolerance))
        warn_user(
            f"The {what} did not converge in {steps} steps: its last change was {last:.1e}, "
            f"{wanted:.0e} was wanted.",
        )
    return value
