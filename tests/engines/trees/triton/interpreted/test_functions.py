"""Elementary functions of kernels, against those of torch in double precision."""

import pytest
import torch

from sparseot.engines.trees.base import Reduction
from sparseot.engines.trees.triton.engine import TritonTrees
from sparseot.engines.trees.triton.printer import ARITHMETIC, FUNCTIONS
from sparseot.formulas.trees.algebra import concat
from sparseot.formulas.trees.dense import POINTWISE
from sparseot.formulas.trees.expressions import I, J, make
from sparseot.formulas.trees.slots import slot

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, which interprets
EDGES = torch.tensor([0.0, -0.0, 1.0, -1.0, torch.inf, -torch.inf, torch.nan, 1e-30, 1000.0])
ALL = sorted({**ARITHMETIC, **FUNCTIONS})


def line(low, high):
    return torch.linspace(low, high, 151, dtype=torch.float64)


POINTS = {  # where each is looked at; errors are relative to the value or, with zeros, to one
    "exp": line(-80, 80),
    "log": 10 ** line(-30, 30),
    "sin": line(-300, 300),
    "cos": line(-300, 300),
    "acos": line(-1, 1),
    "tanh": line(-3, 3),
    "round": torch.cat((line(-9, 9), line(-9, 9).round() + 0.5, 10 ** line(1, 12))),
}


def test_the_printer_knows_all_operations():
    assert set(ALL) == set(POINTWISE)


def run(dtype, arguments):
    """The values of all operations on numbers of rows, ``(N,)`` each, by one kernel."""
    tensors = [t.to(dtype) for t in arguments.values()]
    rows = [slot(k, 1, I) for k in range(len(tensors))]
    column = slot(len(tensors), 1, J)
    names = sorted({name.split()[0] for name in arguments})
    given = {
        op: [r for name, r in zip(arguments, rows, strict=True) if name.split()[0] == op]
        for op in names
    }
    outputs = concat(*(make(op, *given[op]) for op in names))
    reduction = Reduction("sum", (outputs,), (*rows, column), (I,))
    tensors = [t[None, :, None] for t in (*tensors, tensors[0][:1])]
    (found,) = TritonTrees().sums(reduction, tensors, None)
    return dict(zip(names, found[0].T, strict=True))


def arguments(numbers):
    """Arguments of each operation: the numbers, shifted for the second and the third of them."""
    found = {}
    for op in ALL:
        count = {"ifelse": 3, "neg": 1}.get(
            op, 2 if op in ARITHMETIC or op in ("max", "atan2") else 1
        )
        for k in range(count):
            found[f"{op} {k}"] = numbers.roll(7 * k)
    return found


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 4e-7), (torch.float64, 1e-15)])
def test_functions_are_right_to_a_few_last_places(dtype, tol):
    """What Triton brings itself, too, but the interpreter's is NumPy's."""
    numbers = {f"{op} 0": t.to(dtype) for op, t in POINTS.items()}
    length = max(map(len, numbers.values()))
    padded = {
        name: torch.nn.functional.pad(t, (0, length - len(t)), value=0.5)
        for name, t in numbers.items()
    }
    found = run(dtype, padded)
    for op in POINTS:
        given = padded[f"{op} 0"].double()
        wanted = POINTWISE[op](given)
        scale = 1 if op in ("sin", "cos") else wanted.abs().clamp(min=1e-30)
        reach = 1 if op in ("sin", "cos", "round", "acos", "tanh") else 1 + given.abs() / 4
        assert ((found[op].double() - wanted).abs() / scale / reach).max() < tol, op
    angles = run(dtype, {"atan 0": line(-30, 30), "atan2 0": line(-9, 9), "atan2 1": line(3, -9)})
    torch.testing.assert_close(
        angles["atan"].double(), line(-30, 30).atan(), rtol=4 * tol, atol=tol
    )
    wanted = torch.atan2(line(-9, 9), line(3, -9))
    torch.testing.assert_close(angles["atan2"].double(), wanted, rtol=4 * tol, atol=tol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_infinities_zeros_and_not_a_number(dtype):
    """As torch has them."""
    given = arguments(EDGES.to(dtype))
    for first in range(0, len(ALL), 6):
        chosen = {n: t for n, t in given.items() if n.split()[0] in ALL[first : first + 6]}
        for op, values in run(dtype, chosen).items():
            args = [t for name, t in chosen.items() if name.split()[0] == op]
            wanted = POINTWISE[op](*args)
            torch.testing.assert_close(
                values, wanted, equal_nan=True, msg=lambda text, op=op: f"{op}: {text}"
            )
