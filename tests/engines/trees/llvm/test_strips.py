"""How many sums registers hold, and which outputs are added up at a time."""

import pytest

from sparseot.engines.trees.llvm.strips import held, strips
from sparseot.engines.trees.scalars import component
from sparseot.formulas.trees.algebra import function, mul, sub, total
from sparseot.formulas.trees.expressions import HERE, I, J, make
from sparseot.formulas.trees.slots import slot

X, Y, V = slot(0, 64, I), slot(1, 64, J), slot(2, 64, J)
PAIR = make("buffer", attr=0, dim=1, on=I | J)


def body(e):
    return component(e, (HERE, 0), {})


def loop(e):
    return component(total(e), 0, {}).args[0]


def test_products_fill_all_registers_and_differences_half_of_them():
    assert held(loop(mul(X, Y)), 12) == 12
    assert held(loop(mul(Y, Y)), 12) == 12
    assert held(loop(mul(sub(X, Y), sub(X, Y))), 12) == 6
    assert held(body(mul(PAIR, V)), 6) == 6
    assert held(body(mul(PAIR, sub(X, Y))), 6) == 3
    assert held(body(mul(PAIR, sub(X, Y))), 1) == 1


@pytest.mark.parametrize("sums", [1, 5, 6, 12, 24])
@pytest.mark.parametrize("dim", [2, 5, 17, 63, 64, 65, 100])
def test_strips_are_as_few_as_may_be_and_of_about_equal_width(dim, sums):
    found = list(strips([(dim, body(mul(PAIR, V)))], sums))
    widths = [len(s.bodies) for s in found for _ in range(s.start, s.stop, len(s.bodies))]
    assert sum(widths) == dim and len(widths) == -(-dim // sums)
    assert max(widths) <= sums and max(widths) - min(widths) <= 1
    assert [s.start for s in found] == [0, *(s.stop for s in found[:-1])]
    assert all(s.first == 0 for s in found)


def test_scalars_are_added_up_together_beside_vectors():
    one = body(mul(PAIR, V))
    found = list(strips([(1, PAIR)] * 5 + [(64, one), (1, PAIR)], 4))
    assert [(s.first, s.start, s.stop, len(s.bodies)) for s in found] == [
        (0, 0, 4, 4),
        (4, 0, 1, 1),
        (5, 0, 64, 4),
        (69, 0, 1, 1),
    ]


def test_few_sums_of_what_is_more_than_arithmetic():
    (found,) = strips([(64, body(function("sin", mul(PAIR, V))))], 24)
    assert len(found.bodies) == 4
