"""What depends on one side is computed once a point; numbers that may change are parameters."""

import torch

from sparseot.formulas.trees.algebra import div, extract, function, mul, neg, sub, total
from sparseot.formulas.trees.expressions import I, J, P, const, ordered
from sparseot.formulas.trees.slots import hoisted, swapped, variable


def gaussian(x, y, scale):
    difference = sub(x, y)
    return function("exp", neg(div(total(mul(difference, difference)), const(scale))))


def test_numbers_of_a_formula_are_parameters_of_one_program():
    x, y = variable(torch.rand(4, 3), I), variable(torch.rand(5, 3), J)
    one, slots, tensors = hoisted([gaussian(x, y, 0.3)], torch.zeros(1))
    other, _, others = hoisted([gaussian(x, y, 0.7)], torch.zeros(1))
    assert one == other and [s.on for s in slots] == [I, J, P]
    assert tensors[2].item() != others[2].item()


def test_functions_of_one_side_are_computed_once_a_point():
    x, y = variable(torch.rand(4, 3), I), variable(torch.rand(5, 3), J)
    (spec,), slots, tensors = hoisted([mul(function("exp", x), function("sin", y))], torch.zeros(1))
    assert [n.op for n in ordered(spec)] == ["leaf", "leaf", "mul"]
    assert torch.equal(tensors[0], x.attr.tensor.exp())
    assert torch.equal(tensors[1], y.attr.tensor.sin())
    assert [s.attr for s in slots] == [0, 1]


def test_coordinates_of_a_variable_are_not_copied():
    x, y = variable(torch.rand(4, 3), I), variable(torch.rand(5, 1), J)
    _, slots, tensors = hoisted([mul(extract(x, 1, 1), y)], torch.zeros(1))
    assert tensors[0].data_ptr() == x.attr.tensor.data_ptr() and slots[0].dim == 3


def test_rows_and_columns_are_exchanged():
    x, y = variable(torch.rand(4, 3), I), variable(torch.rand(5, 3), J)
    (turned,) = swapped([sub(x, y)])
    assert {n.attr: n.on for n in ordered(turned) if n.op == "leaf"} == {x.attr: J, y.attr: I}
    assert swapped([turned]) == (sub(x, y),)
