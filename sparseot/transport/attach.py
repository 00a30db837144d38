r"""Derivatives for what a solver found: the only place where solved potentials meet autograd.

A solver builds no graph. :func:`attach` gives its potentials one, and :func:`attached_value` the
value. They hold, for converged potentials:

* the values do not change: ``attach`` returns the numbers that the solver found;
* the gradient of the value is that of the envelope theorem, :math:`\partial_{x_i} OT = \sum_j P_{ij}\,
  \partial_1 C(x_i, y_j)`; in a it is, balanced, f less its mean (masses being equal, only the
  differences of weights are free), and penalised :math:`\rho + \varepsilon m_b - (\rho + \varepsilon)
  e^{-f_i / \rho}`;
* second derivatives of the value, and first ones of the potentials, are those of the implicit
  function theorem (:mod:`.implicit`); those beyond raise RuntimeError;
* clouds of one pair or of a batch, weights of exactly zero, float32 and float64; with
  ``problem.symmetric``, f is the potential of a cloud with itself and g is f;
* nothing of the size of the matrix is stored where matrices are large, and nothing at all is
  computed where no derivative is asked for.

A cost that is a Python function has first derivatives of the value only, also in what it learns.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from ..formulas import Radial
from ..operators.softmin import first_order, softmin
from ..points import Points
from .annealing import Potentials
from .curvature import Curvature, curvature
from .problem import Problem

__all__ = ["Curvatures", "attach", "attached_value"]


class Curvatures:
    """The second derivatives of a solved problem, item by item, made where they are asked for."""

    def __init__(self, problem: Problem, found: Potentials, converged: bool = True) -> None:
        self.problem, self.found, self.converged = problem, found, converged
        self.made: dict[int, Curvature] = {}

    def __getitem__(self, item: int) -> Curvature:
        if item not in self.made:
            if not self.converged:
                warnings.warn(
                    "Second derivatives of a plan that has not converged are off by about as much "
                    "as its marginals: allow more sweeps with Sinkhorn(max_sweeps=...).",
                    RuntimeWarning,
                    stacklevel=2,
                )
            self.made[item] = curvature(self.problem, self.found, item)
        return self.made[item]


def attach(problem: Problem, found: Potentials, curvatures: Curvatures) -> tuple[Tensor, Tensor]:
    """The potentials ``(B, N)`` and ``(B, M)`` with their first derivatives."""
    if not isinstance(problem.cost, Radial):
        f = _envelope(problem, found.f, found.g_prev)
        return f, f if problem.symmetric else _envelope(problem.swapped(), found.g, found.f_prev)
    f, g = _Potentials.apply(*_arguments(problem), curvatures)
    return f, f if problem.symmetric else g


def attached_value(
    problem: Problem, found: Potentials, value: Tensor, curvatures: Curvatures
) -> Tensor:
    """The number ``value`` ``(B,)`` with the derivatives of the transport cost."""
    if isinstance(problem.cost, Radial):
        result: Tensor = _Value.apply(*_arguments(problem), value, curvatures)
        return result
    envelope = _dual(problem, found, barred=True)
    return value.to(envelope) + (envelope - envelope.detach())


class _Value(Function):
    """The value; its gradient is a function of its own, which knows its derivative."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, a: Tensor, b: Tensor, value: Tensor, curvatures: Curvatures
    ) -> Tensor:
        ctx.save_for_backward(x, y, a, b)
        ctx.curvatures = curvatures
        return value.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _Gradient.apply(*ctx.saved_tensors, ctx.needs_input_grad[:4], ctx.curvatures)
        scaled = (
            cotangent.reshape(-1, *[1] * (g.dim() - 1)) * g if need else None
            for g, need in zip(gradients, ctx.needs_input_grad, strict=False)
        )
        return (*scaled, None, None)


class _Gradient(Function):
    """The gradient of the envelope theorem; the Hessian is symmetric, so its adjoint is itself."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        a: Tensor,
        b: Tensor,
        need: tuple[bool, ...],
        curvatures: Curvatures,
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x, y, a, b)
        ctx.curvatures = curvatures
        ctx.set_materialize_grads(False)
        leaves = [t.detach().requires_grad_(n) for t, n in zip((x, y, a, b), need, strict=True)]
        moving = _with(curvatures.problem, leaves)
        with torch.enable_grad():
            value = _dual(moving, curvatures.found).sum()
        asked = [leaf for leaf in leaves if leaf.requires_grad]
        found = iter(torch.autograd.grad(value, asked))
        return tuple(next(found) if leaf.requires_grad else leaf.new_zeros(0) for leaf in leaves)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        held = map(_Held.apply, ctx.saved_tensors)
        found = _Product.apply(ctx.curvatures, ctx.needs_input_grad[:4], *cotangents, *held)
        return (*_kept(found, ctx.needs_input_grad), None, None)


class _Product(Function):
    """The Hessian times tangents; linear and symmetric in them, so again its own adjoint."""

    @staticmethod
    def forward(
        ctx: Any, curvatures: Curvatures, need: tuple[bool, ...], *args: Tensor | None
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        tangents, inputs = args[:4], [t for t in args[4:] if t is not None]
        ctx.save_for_backward(*inputs)
        ctx.curvatures = curvatures
        ctx.moved = tuple(v is not None for v in tangents)
        if not any(ctx.moved):
            return tuple(
                torch.zeros_like(t) if n else t.new_zeros(0)
                for t, n in zip(inputs, need, strict=True)
            )
        items = []
        for k in range(len(inputs[0])):
            given = tuple(None if v is None else v[k, ..., None].double() for v in tangents)
            items.append(curvatures[k].hvp(given, need))
        return _batched(items, inputs, need)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        found = _Product.apply(ctx.curvatures, ctx.moved, *cotangents, *inputs)
        return (None, None, *_kept(found, ctx.moved), *map(torch.zeros_like, inputs))


class _Potentials(Function):
    """Both potentials, with the derivative of the implicit function theorem."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, a: Tensor, b: Tensor, curvatures: Curvatures
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, y, a, b)
        ctx.curvatures, found = curvatures, curvatures.found
        return found.f.clone(), found.g.clone()

    @staticmethod
    def backward(ctx: Any, wf: Tensor, wg: Tensor) -> tuple[Tensor | None, ...]:
        held = map(_Held.apply, ctx.saved_tensors)
        found = _Pulled.apply(ctx.curvatures, wf, wg, *held)
        return (*_kept(found, ctx.needs_input_grad), None)


class _Pulled(Function):
    """The adjoint of the potentials' derivative, linear in its first two tensors."""

    @staticmethod
    def forward(
        ctx: Any, curvatures: Curvatures, wf: Tensor, wg: Tensor, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs)
        ctx.curvatures = curvatures
        duals = zip(*(w.double()[..., None] for w in (wf, wg)), strict=True)
        items = [curvatures[k].vjp(*pair) for k, pair in enumerate(duals)]
        return _batched(items, inputs, (True,) * 4)

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        pushed = _Pushed.apply(ctx.curvatures, *tangents, *inputs)
        return (None, *pushed, *map(torch.zeros_like, inputs))


class _Pushed(Function):
    """The potentials' derivative along tangents."""

    @staticmethod
    def forward(ctx: Any, curvatures: Curvatures, *args: Tensor | None) -> tuple[Tensor, Tensor]:
        tangents, inputs = args[:4], [t for t in args[4:] if t is not None]
        ctx.save_for_backward(*inputs)
        ctx.curvatures, ctx.moved = curvatures, tuple(v is not None for v in tangents)
        items = []
        for k in range(len(inputs[0])):
            given = tuple(None if v is None else v[k, ..., None].double() for v in tangents)
            items.append(curvatures[k].jvp(given))
        like = inputs[0]
        df, dg = (torch.stack(parts)[..., 0].to(like) for parts in zip(*items, strict=True))
        return df, dg

    @staticmethod
    def backward(ctx: Any, wf: Tensor, wg: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        found = _Pulled.apply(ctx.curvatures, wf, wg, *inputs)
        return (None, *_kept(found, ctx.moved), *map(torch.zeros_like, inputs))


class _Held(Function):
    """The identity of what a derivative was taken at: it cannot be differentiated once more."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> None:
        raise RuntimeError(
            "A transport cost has no third derivative here, and its potentials no second one: "
            "the implicit rule ends with first derivatives of potentials."
        )


def _kept(found: tuple[Tensor, ...], need: tuple[bool, ...]) -> list[Tensor | None]:
    """Of four results those that are needed."""
    return [t if n and t.numel() else None for t, n in zip(found, need, strict=False)]


def _arguments(problem: Problem) -> tuple[Tensor, ...]:
    """Points and weights; those of imposed marginals of equal mass can only differ from equal ones.

    A cloud and itself has one of each: the second place is held.
    """
    x, y, a, b = (
        *(c.positions for c in (problem.source, problem.target)),
        *(c.weights for c in (problem.source, problem.target)),
    )
    if problem.symmetric:
        y, b = y.detach(), b.detach()
    if all(math.isinf(rho) for rho in problem.penalty.rhos):
        a, b = (w - (w.mean(-1, keepdim=True) - w.mean(-1, keepdim=True).detach()) for w in (a, b))
    return x, y, a, b


def _with(problem: Problem, leaves: list[Tensor]) -> Problem:
    """The problem of other tensors of the same numbers."""
    x, y, a, b = leaves
    source = Points(x, a)
    target = source if problem.symmetric else Points(y, b)
    return Problem(
        source, target, problem.cost, problem.penalty, problem.p, problem.blur, problem.engine
    )


def _batched(
    items: list[tuple[Tensor | None, ...]], like: Sequence[Tensor], need: tuple[bool, ...]
) -> tuple[Tensor, ...]:
    """Derivatives of the items, one column each, as batches like their inputs; empty where unneeded."""
    stacked = []
    for tensor, asked, parts in zip(like, need, zip(*items, strict=True), strict=True):
        given = [part[..., 0] for part in parts if part is not None]
        empty = tensor.new_zeros(0)
        stacked.append(torch.stack(given).to(tensor) if asked and given else empty)
    return tuple(stacked)


def _dual(problem: Problem, found: Potentials, barred: bool = False) -> Tensor:
    """The dual value ``(B,)`` with the envelope's derivatives."""
    source, target = problem.source, problem.target
    f = _envelope(problem, found.f, found.g_prev)
    g = f if problem.symmetric else _envelope(problem.swapped(), found.g, found.f_prev)
    if barred:
        source, target = (Points(c.positions, first_order(c.weights)) for c in (source, target))
    return problem.penalty.value(source, target, f, g, problem.eps)


def _envelope(problem: Problem, f: Tensor, g: Tensor) -> Tensor:
    """The damped softmin f of g, with its derivative in the points of the source."""
    x, learned = problem.source.positions, not isinstance(problem.cost, Radial)
    if not (torch.is_grad_enabled() and (x.requires_grad or learned)):
        return f
    damping = 1 / (1 + problem.eps / problem.penalty.rhos[0])
    y, b = problem.target.positions.detach(), problem.target.weights.detach()
    guess = f / damping
    return damping * softmin(problem.cost, x, y, b, g, guess, problem.eps, engine=problem.engine)
