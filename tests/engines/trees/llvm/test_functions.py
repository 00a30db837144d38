"""Functions of compiled programs, against those of torch in double precision."""

import math

import pytest
import torch

from sparseot.engines.trees.base import Reduction
from sparseot.engines.trees.compiled import Compiled
from sparseot.engines.trees.llvm.build import Machine, this_machine
from sparseot.engines.trees.llvm.functions import FUNCTIONS
from sparseot.formulas.trees.dense import POINTWISE
from sparseot.formulas.trees.expressions import I, J, make
from sparseot.formulas.trees.slots import slot

NARROW = Machine("x86-64", "", 128)


def line(low, high):
    return torch.linspace(low, high, 20_001, dtype=torch.float64)


# where each is looked at, and the error that counts: relative, or absolute where it has zeros
POINTS = {
    "exp": (line(-80, 80), True),
    "log": (torch.cat((line(0.4, 2.5), 10 ** line(-30, 30))), True),
    "sqrt": (line(0, 9), True),
    "rsqrt": (line(1e-3, 9), True),
    "sin": (line(-300, 300), False),
    "cos": (line(-300, 300), False),
    "atan": (line(-30, 30), True),
    "acos": (line(-1, 1), True),
    "tanh": (torch.cat((line(-20, 20), line(-1, 1))), True),
}
ALL = sorted(set(FUNCTIONS) - {"add", "sub", "mul", "div", "max", "ifelse", "atan2"})


def run(op, dtype, *tensors, machine=None):
    """Values of an operation on rows, by a program."""
    rows = [slot(k, 1, I) for k in range(len(tensors))]
    column = slot(len(tensors), 1, J)
    formula = make("mul", make(op, *rows), column)
    reduction = Reduction("sum", (formula,), (*rows, column), (I,))
    given = [t.to(dtype)[None, :, None] for t in tensors]
    engine = Compiled(machine or this_machine())
    return engine.sums(reduction, [*given, torch.ones(1, 1, 1, dtype=dtype)], None)[0][0, :, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("op", sorted(POINTS))
def test_digits(op, dtype):
    points, relative = POINTS[op]
    wanted = POINTWISE[op](points.to(dtype).double())
    error = (run(op, dtype, points).double() - wanted).abs()
    scale = wanted.abs().clamp(min=1e-300) if relative else 1.0
    assert (error / scale).max() < 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("op", ALL)
def test_special_values(op, dtype):
    """Infinities, NaN and zeros, as torch has them."""
    points = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, -1.0, 1.0, 0.5, 1e3, -1e3])
    wanted = POINTWISE[op](points.to(dtype))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(
        run(op, dtype, points), wanted, equal_nan=True, rtol=tolerance, atol=tolerance
    )


def test_angles_of_all_quarters():
    y = torch.tensor([0.0, 1.0, -1.0, 2.0, -2.0, 3.0, 0.0, 1.0]).double()
    x = torch.tensor([2.0, 1.0, 1.0, -1.0, -1.0, 0.0, 0.0, -5.0]).double()
    torch.testing.assert_close(run("atan2", torch.float64, y, x), torch.atan2(y, x))
    y, x = torch.tensor([1.0, -1.0, 2.0]).double(), torch.tensor([-0.0, 0.0, -0.0]).double()
    torch.testing.assert_close(run("atan2", torch.float64, y, x), torch.atan2(y, x))


def test_sine_stays_within_bounds_where_numbers_have_no_digits_left():
    assert run("sin", torch.float32, 10.0 ** line(5, 38)).abs().max() <= 1


@pytest.mark.skipif(this_machine().bits == 128, reason="it is the machine at hand")
@pytest.mark.parametrize("op", ["exp", "sin", "floor"])
def test_another_machine(op):
    """Without the vectors of this processor: the same program in smaller registers."""
    points = line(-20, 20)
    found, wanted = (run(op, torch.float64, points, machine=m) for m in (NARROW, None))
    torch.testing.assert_close(found, wanted, rtol=1e-14, atol=1e-14)
