r"""Where autograd meets formulas that are trees.

A sum over pairs is, for rows, columns and parameters alike, a number :math:`\sum_{ij} F(x_i, y_j, p)`
of which some index is kept. Its derivative, :math:`\sum_{ij} \langle h, \partial F \rangle` with the
cotangents h as variables of rows, columns or parameters, is a sum of the same kind, with one output
for each variable. So :class:`TreeSums` calls itself in its backward pass, one pass over the pairs
serves all variables, and derivatives of every order follow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor
from torch.autograd import Function

from ....engines.choose import choose_trees
from ....engines.openmp import on_one_thread, own_settings
from ....engines.trees.base import Ranges, Reduction, Size, TreeEngine, extent, prepared
from ....errors import bad_input
from ....formulas.trees.algebra import ZERO, add, function, is_zero, mul, sub, total
from ....formulas.trees.dense import values
from ....formulas.trees.derivatives import gradients
from ....formulas.trees.expressions import Expr, I, J, rebuilt
from ....formulas.trees.slots import slot, variable

__all__ = ["How", "least_places", "pulled", "tree_log_sums", "tree_sums"]


@dataclass(frozen=True)
class How:
    """By which engine, and over which pairs; None for all of them."""

    engine: str | TreeEngine = "auto"
    ranges: Ranges | None = None


def tree_sums(outputs: Sequence[Expr], sides: Sequence[int], size: Size, how: How) -> list[Tensor]:
    """Sums of formulas over all pairs but for one index each, differentiable to any order.

    Args:
        outputs: formulas over variables, see :func:`sparseot.formulas.trees.slots.variable`.
        sides: the index that each sum keeps: rows ``I``, columns ``J``, or none, ``P``.
        size: of the formulas.
        how: the engine and the pairs.

    Returns:
        ``(..., N, R)``, ``(..., M, R)`` or ``(..., 1, R)`` for each.
    """
    spec, slots, tensors = prepared(outputs, size)
    plan = Reduction("sum", spec, tuple(slots), tuple(sides))
    found = TreeSums.apply(plan, how, *tensors)
    return [part.reshape(*size.batch, *part.shape[1:]) for part in found]


def tree_log_sums(
    exponent: Expr, weights: Sequence[Expr], size: Size, how: How
) -> tuple[Tensor, Tensor]:
    r"""``log sum_j exp(F)`` and ``sum_j exp(F) w / sum_j exp(F)``, ``(..., N, 1)`` and ``(..., N, R)``."""
    spec, slots, tensors = prepared((exponent, *weights), size)
    plan = Reduction("softmax", spec, tuple(slots))
    log, soft = TreeLogSums.apply(plan, how, *tensors)
    return log.reshape(*size.batch, *log.shape[1:]), soft.reshape(*size.batch, *soft.shape[1:])


@on_one_thread
def least_places(e: Expr, count: int, size: Size, how: How) -> tuple[Tensor, Tensor]:
    """The smallest values of a formula in order and their columns, ``(..., N, K, D)``.

    The values are differentiable: they are those of the formula at these columns.
    """
    spec, slots, tensors = prepared((e,), size)
    plan = Reduction("least", spec, tuple(slots), count=count)
    engine = _engine(how, plan, tensors)
    with torch.no_grad():
        low, where = engine.least(plan, [t.detach() for t in tensors], how.ranges)
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        low = _at_places(spec[0], slots, tensors, where)
    return low.reshape(*size.batch, *low.shape[1:]), where.reshape(*size.batch, *where.shape[1:])


def _engine(how: How, plan: Reduction, tensors: Sequence[Tensor]) -> TreeEngine:
    """The engine; torch's where there is no pair."""
    pairs = math.prod(extent(plan.slots, tensors))
    return choose_trees(how.engine if pairs else "tiles", plan, tensors[0], pairs)[0]


class TreeSums(Function):
    """Sums of trees, for rows, for columns and over all pairs."""

    @staticmethod
    @on_one_thread
    def forward(ctx: Any, plan: Reduction, how: How, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.plan, ctx.how = plan, how
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        engine = _engine(how, plan, tensors)
        return tuple(engine.sums(plan, tensors, how.ranges))

    @staticmethod
    @own_settings
    def backward(ctx: Any, *gs: Tensor | None) -> tuple[Tensor | None, ...]:
        given = [
            (*pair, g)
            for *pair, g in zip(ctx.plan.outputs, ctx.plan.sides, gs, strict=True)
            if g is not None
        ]
        outputs = [e for e, _, _ in given]
        tensors = list(ctx.saved_tensors)
        slots = list(ctx.plan.slots)
        cotangents = []
        for e, side, g in given:
            cotangents.append(slot(len(slots), e.dim, side))
            slots.append(cotangents[-1])
            tensors.append(g)
        need = ctx.needs_input_grad[2:]
        return None, None, *pulled(outputs, cotangents, slots, tensors, need, ctx.how)


class TreeLogSums(Function):
    """Logarithms of sums of exponentials, and softmax-weighted sums."""

    @staticmethod
    @on_one_thread
    def forward(ctx: Any, plan: Reduction, how: How, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        engine = _engine(how, plan, tensors)
        log, soft = engine.softmax(plan, tensors, how.ranges)
        ctx.plan, ctx.how = plan, how
        ctx.save_for_backward(log, soft, *tensors)
        ctx.set_materialize_grads(False)
        return log, soft

    @staticmethod
    @own_settings
    def backward(
        ctx: Any, g_log: Tensor | None, g_soft: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """With the shares p_ij: ``p_ij (g_log + <g_soft, w_j - soft_i>) dF + p_ij <g_soft, dw>``."""
        log, soft, *tensors = ctx.saved_tensors
        slots = list(ctx.plan.slots)
        exponent, *weights = ctx.plan.outputs

        def row(tensor: Tensor) -> Expr:
            slots.append(slot(len(slots), tensor.shape[-1], I))
            tensors.append(tensor)
            return slots[-1]

        shares = function("exp", sub(exponent, row(log.clamp(min=-1e30))))
        inner = ZERO if g_log is None else row(g_log)
        outputs, cotangents = [exponent], []
        if g_soft is not None:
            dims = [w.dim for w in weights]
            for w, mean, g in zip(
                weights, soft.split(dims, -1), g_soft.split(dims, -1), strict=True
            ):
                g_row = row(g)
                inner = add(inner, total(mul(g_row, sub(w, row(mean)))))
                outputs.append(w)
                cotangents.append(mul(shares, g_row))
        cotangents.insert(0, mul(shares, inner))
        need = ctx.needs_input_grad[2:]
        return None, None, *pulled(outputs, cotangents, slots, tensors, need, ctx.how)


def pulled(
    outputs: Sequence[Expr],
    cotangents: Sequence[Expr],
    slots: Sequence[Expr],
    tensors: Sequence[Tensor],
    need: Sequence[bool],
    how: How,
) -> list[Tensor | None]:
    """The derivatives of the sum over pairs of ``<cotangent, output>`` in the first slots, where needed."""
    if any(map(is_legacy_batchedtensor, tensors)):
        got = "derivatives of many results at once (vectorize=True, is_grads_batched=True)"
        fix = "Take one after the other, or leave the option out."
        raise bad_input("torch.autograd", got, "those of one result of a LazyTensor", fix)
    wanted = [s for s, needed in zip(slots, need, strict=False) if needed]
    found = gradients(outputs, cotangents, wanted)
    nonzero = [(s, e) for s, e in zip(wanted, found, strict=True) if not is_zero(e)]
    grads: dict[Expr, Tensor] = {}
    if nonzero:
        filled = {s: variable(t, s.on) for s, t in zip(slots, tensors, strict=True)}
        items, n, m = extent(slots, tensors)
        outputs = rebuilt([e for _, e in nonzero], filled)
        size = Size((items,), n, m, tensors[0])
        sums = tree_sums(outputs, [s.on for s, _ in nonzero], size, how)
        grads = {s: g for (s, _), g in zip(nonzero, sums, strict=True)}
    return [grads.get(s) for s in slots[: len(need)]]


def _at_places(e: Expr, slots: Sequence[Expr], tensors: Sequence[Tensor], where: Tensor) -> Tensor:
    """Values of a formula at some columns for each row and coordinate, ``(B, N, K, D)``, with a graph."""
    items, n, count, dim = where.shape
    flat = where.clamp(min=0).flatten(1)
    leaves = {}
    for s, t in zip(slots, tensors, strict=True):
        if s.on == J:
            index = flat[..., None].expand(*flat.shape, s.dim)
            leaves[s] = t.gather(1, index).view(items, n, count, dim, s.dim)
        else:
            leaves[s] = t[:, :, None, None]
    (found,) = values([e], leaves, tensors[0])
    found = found.expand(items, n, count, dim, dim)
    return found.diagonal(dim1=-2, dim2=-1).where(where >= 0, torch.inf)
