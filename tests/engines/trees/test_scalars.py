"""What is known of scalars of formulas without their numbers."""

import pytest
import torch

from sparseot.engines.trees.base import Reduction
from sparseot.engines.trees.compiled import Compiled
from sparseot.engines.trees.scalars import component, sign
from sparseot.formulas.trees.algebra import add, div, function, mul, neg, sub, total
from sparseot.formulas.trees.expressions import I, J, const
from sparseot.formulas.trees.slots import slot

X, Y, LONG, FAR = slot(0, 3, I), slot(1, 3, J), slot(2, 40, I), slot(3, 40, J)
D2 = total(mul(sub(X, Y), sub(X, Y)))
NEVER_NEGATIVE = {
    "squares": D2,
    "root": function("sqrt", D2),
    "of long vectors": total(mul(sub(LONG, FAR), sub(LONG, FAR))),
    "quotient": div(neg(function("exp", total(mul(X, Y)))), add(const(-1), neg(D2))),
}
UNKNOWN = {
    "product": total(mul(X, Y)),
    "difference": sub(D2, const(1)),
    "both signs": add(neg(D2), const(1)),
    "a function": function("sin", D2),
}


@pytest.mark.parametrize("name", NEVER_NEGATIVE)
def test_never_negative(name):
    e = NEVER_NEGATIVE[name]
    assert sign(component(e, 0, {})) == 1
    assert sign(component(neg(e), 0, {})) == -1
    assert sign(component(mul(const(-0.5), e), 0, {})) == -1


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown(name):
    assert sign(component(UNKNOWN[name], 0, {})) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exponentials_of_what_is_never_positive(dtype):
    """From one down to zero, where numbers end; NaN stays."""
    x, y = slot(0, 1, I), slot(1, 1, J)
    gap = sub(x, y)
    formula = function("exp", neg(mul(gap, gap)))
    reduction = Reduction("sum", (formula,), (x, y), (I,))
    points = torch.cat((torch.linspace(0, 40, 1001), torch.tensor([torch.inf, torch.nan])))
    given = [points.to(dtype)[None, :, None], torch.zeros(1, 1, 1, dtype=dtype)]
    found = Compiled().sums(reduction, given, None)[0][0, :, 0]
    wanted = torch.exp(-points.to(dtype).square())
    tiny = torch.finfo(dtype).tiny
    torch.testing.assert_close(
        found, wanted, rtol=0, atol=4 * torch.finfo(dtype).eps, equal_nan=True
    )
    assert (found[points > 30] < tiny).all() and found[0] == 1
