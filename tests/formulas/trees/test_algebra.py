"""Expressions are made once, simplified, and differentiated into expressions."""

import copy

import pytest
import torch

from sparseot.formulas.trees.algebra import (
    ONE,
    ZERO,
    add,
    concat,
    div,
    expand,
    extract,
    function,
    is_zero,
    mul,
    neg,
    power,
    sub,
    total,
)
from sparseot.formulas.trees.dense import values
from sparseot.formulas.trees.derivatives import RULES, gradients
from sparseot.formulas.trees.expressions import I, J, const, make, ordered, pairwise, rebuilt
from sparseot.formulas.trees.slots import slot

X, Y, S = slot(0, 3, I), slot(1, 3, J), slot(2, 1, J)


def test_equal_expressions_are_one_object():
    assert mul(sub(X, Y), sub(X, Y)) is power(sub(X, Y), 2)
    assert copy.deepcopy(X) is X and slot(0, 3, I) is X and slot(0, 3, J) is not X


def test_constants_and_signs_are_gathered():
    assert add(const(2), const(3)) is const(5) and mul(ZERO, X).dim == 3 and is_zero(mul(ZERO, X))
    assert mul(const(2), mul(X, const(3))) is mul(const(6), X)
    assert neg(neg(X)) is X and neg(sub(X, Y)) is sub(Y, X) and add(X, neg(Y)) is sub(X, Y)
    assert mul(neg(X), neg(Y)) is mul(X, Y) and mul(ONE, X) is X and add(X, ZERO) is X
    assert div(X, const(4)) is mul(const(0.25), X) and power(X, 0).dim == 3
    assert sub(ZERO, X) is neg(X) and mul(const(-1), X) is neg(X)


def test_sums_of_coordinates_are_linear():
    assert total(mul(S, X)) is mul(S, total(X)) and total(neg(X)) is neg(total(X))
    assert total(expand(S, 3)) is mul(const(3), S) and total(S) is S


def test_coordinates_are_found_where_they_are():
    both = concat(X, Y)
    assert extract(both, 3, 3) is Y and extract(both, 0, 6) is both
    assert (
        extract(extract(X, 1, 2), 1, 1) is extract(X, 2, 1) and extract(expand(S, 3), 1, 2).dim == 2
    )


def test_vectors_of_two_lengths_do_not_fit():
    with pytest.raises(ValueError, match="vectors of lengths 3 and 2, wanted one length"):
        add(X, extract(Y, 0, 2))


def test_what_an_expression_depends_on():
    assert pairwise(sub(X, Y)) and not pairwise(mul(X, X))
    assert "exp" in repr(function("exp", sub(X, Y)))


def test_long_formulas_have_a_short_name_and_no_recursion():
    long = X
    for k in range(3000):
        long = function("exp", add(long, const(0.1 * k)))
    assert "operations" in repr(long) and len(ordered(long)) > 5000
    assert rebuilt((long,), {X: Y})[0].on == J


@pytest.mark.parametrize("op", sorted(RULES))
def test_each_derivative_is_that_of_torch(op):
    arity = {"ifelse": 3, "add": 2, "sub": 2, "mul": 2, "div": 2, "max": 2, "atan2": 2, "concat": 2}
    leaves = [slot(k, 3, J) for k in range(arity.get(op, 1))]
    made = {
        "sum": lambda: total(*leaves),
        "expand": lambda: expand(extract(leaves[0], 1, 1), 4),
        "extract": lambda: extract(leaves[0], 1, 2),
        "concat": lambda: concat(*leaves),
    }.get(op, lambda: make(op, *leaves))()
    tensors = [
        torch.rand(5, 3, dtype=torch.float64) * 0.9 - 1.0 * (k == 1) for k in range(len(leaves))
    ]
    if op in ("log", "sqrt", "rsqrt"):
        tensors = [t.abs() + 0.1 for t in tensors]
    tensors = [t.requires_grad_() for t in tensors]
    g = slot(9, made.dim, J)
    weight = torch.randn(5, made.dim, dtype=torch.float64)
    found = gradients([made], [g], leaves)
    known = {**dict(zip(leaves, tensors, strict=True)), g: weight}
    (value,) = values([made], known, weight)
    wanted = (
        torch.autograd.grad(value, tensors, weight, allow_unused=True, materialize_grads=True)
        if value.requires_grad
        else [torch.zeros_like(t) for t in tensors]
    )
    for one, other in zip(values(found, known, weight), wanted, strict=True):
        torch.testing.assert_close(one.expand(5, 3).detach(), other, rtol=1e-12, atol=1e-12)


def test_the_square_root_has_derivative_zero_at_zero():
    (slope,) = gradients([function("sqrt", X)], [ONE], [X])
    (value,) = values([slope], {X: torch.zeros(1, 3)}, torch.zeros(1))
    assert (value == 0).all()
