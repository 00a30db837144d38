"""Shapes of programs for machines of few and of many registers, and sums of all sizes by them."""

import pytest
import torch

from sparseot.engines.trees import compiled
from sparseot.engines.trees.base import Reduction
from sparseot.engines.trees.compiled import Compiled
from sparseot.engines.trees.llvm.build import Machine, this_machine
from sparseot.engines.trees.llvm.programs import NEAR
from sparseot.engines.trees.llvm.softmax import Softmax
from sparseot.engines.trees.llvm.sums import LargeSum
from sparseot.formulas.trees.algebra import ONE, concat, function, mul, sub, total
from sparseot.formulas.trees.expressions import I, J, const
from sparseot.formulas.trees.slots import slot

MANY, FEW = Machine("", "", 512, 32), Machine("", "", 256)


def attention(dim=64, columns=64, kind="sum", squares=False):
    """Weights of each column times exponentials of products of long vectors, or of squared distances."""
    x, y, v = slot(0, dim, I), slot(1, dim, J), slot(2, columns, J)
    inner = mul(sub(x, y), sub(x, y)) if squares else mul(x, y)
    exponent = mul(total(inner), const(-0.125 if squares else 0.125))
    if kind == "softmax":
        return Reduction("softmax", (exponent, ONE, v), (x, y, v))
    return Reduction("sum", (mul(function("exp", exponent), v),), (x, y, v), (I,))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    "machine, vectors, columns", [(MANY, 4, 6), (MANY, 2, 12), (MANY, 1, 24), (FEW, 2, 6)]
)
def test_sums_fill_three_quarters_of_the_registers(machine, vectors, columns, bits):
    """Of scores, for some columns, and of outputs; what is left holds what they are made of."""
    program = LargeSum(attention(), bits, machine, vectors)
    assert program.lanes == vectors * machine.bits // bits
    assert program.sums == program.group == columns
    assert vectors * columns * 4 == machine.registers * 3
    assert program.size % program.group == 0 and program.layout.spare == program.group


def test_squared_differences_need_registers_of_their_own():
    assert LargeSum(attention(squares=True), 32, MANY, 2).group == 6
    assert LargeSum(attention(squares=True), 32, MANY, 4).group == 3


def test_tiles_that_meet_a_chunk_together_fit_into_the_second_level_cache():
    for columns in (1, 64, 500, 4000):
        program = LargeSum(attention(columns=columns), 32, MANY, 4)
        of_a_tile = (2 * columns + 64) * program.lanes * 4
        assert 1 <= program.height <= 8
        assert program.height == 1 or program.height * of_a_tile <= NEAR
    assert LargeSum(attention(), 32, MANY, 4).height == 4


def test_long_tiles_are_for_products_of_many_rows():
    short = Reduction("sum", (ONE,), (slot(0, 3, I),), (I,))
    for reduction, many, machine, vectors in (
        (attention(), True, MANY, 4),
        (attention(kind="softmax"), True, MANY, 4),
        (attention(), False, MANY, 2),
        (attention(), True, FEW, 2),
        (short, True, MANY, 2),
    ):
        assert compiled._vectors(reduction, machine, many) == vectors


def given(reduction, n, m, dtype, items=1):
    sides = {I: n, J: m}
    return [torch.rand(items, sides[s.on], s.dim, dtype=dtype) for s in reduction.slots]


def weights(tensors):
    """Of all pairs, in double precision."""
    x, y, v = (t.double() for t in tensors)
    return (x @ y.mT / 8).exp(), v


def machines():
    """That at hand, and what it is able to be: vectors of half the bits, and half the registers."""
    here = this_machine()
    found = {(here.bits, here.registers), (min(256, here.bits), 16), (128, 16)}
    return [Machine(here.processor, here.features, *each) for each in sorted(found)]


@pytest.mark.parametrize("machine", machines(), ids=lambda m: f"{m.bits}-{m.registers}")
@pytest.mark.parametrize(
    "n, m, dim, columns",
    [
        (1, 1, 17, 1),
        (33, 5, 64, 5),
        (70, 129, 33, 63),
        (1030, 200, 64, 64),
        (1100, 131, 100, 65),
        (1025, 64, 3, 65),
        (31, 300, 64, 16),
    ],
)
def test_sums_of_all_sizes(n, m, dim, columns, machine):
    """Rows that fill no tile, columns that fill no group, coordinates and outputs that fill no strip."""
    for dtype, bound in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        reduction = attention(dim, columns)
        tensors = given(reduction, n, m, dtype, items=2)
        pairs, v = weights(tensors)
        (found,) = Compiled(machine).sums(reduction, tensors, None)
        wanted = pairs @ v
        assert found.shape == wanted.shape and found.dtype == dtype
        assert ((found - wanted).abs() / wanted).max() < bound * (1 + dim / 16)


@pytest.mark.parametrize("machine", machines(), ids=lambda m: f"{m.bits}-{m.registers}")
@pytest.mark.parametrize("n, m, dim, columns", [(5, 300, 64, 65), (1100, 131, 17, 7)])
def test_softmax_of_all_sizes(n, m, dim, columns, machine):
    reduction = attention(dim, columns, "softmax")
    exponent, _, v = reduction.outputs
    tensors = given(reduction, n, m, torch.float64)
    pairs, values = weights(tensors)
    engine = Compiled(machine)
    log, mean = engine.softmax(Reduction("softmax", (exponent, v), reduction.slots), tensors, None)
    torch.testing.assert_close(log[..., 0], pairs.sum(-1).log())
    torch.testing.assert_close(mean, pairs @ values / pairs.sum(-1, keepdim=True))


def test_joined_vectors_beside_long_ones():
    """Scalars of their own, a vector of 16 coordinates, a long one, and one that joins two."""
    x, y, v = slot(0, 40, I), slot(1, 40, J), slot(2, 16, J)
    kernel = function("exp", mul(total(mul(x, y)), const(0.125)))
    outputs = kernel, mul(kernel, v), mul(kernel, sub(x, y)), concat(kernel, mul(kernel, v))
    reduction = Reduction("sum", outputs, (x, y, v), (I,) * 4)
    tensors = given(reduction, 50, 90, torch.float64)
    pairs, values = weights(tensors)
    found = Compiled().sums(reduction, tensors, None)
    count = pairs.sum(-1, keepdim=True)
    wanted = count, pairs @ values, count * tensors[0] - pairs @ tensors[1]
    for one, other in zip(found, (*wanted, torch.cat(wanted[:2], -1)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", [LargeSum, Softmax])
def test_how_rows_are_shared_changes_no_bit(kind, shared, monkeypatch):
    reduction = attention(33, 20, "sum" if kind is LargeSum else "softmax")
    tensors = given(reduction, 1500, 300, torch.float32)
    found = []
    for threads in (1, 3, 8):
        monkeypatch.setattr(compiled, "thread_count", lambda threads=threads: threads)
        found.append(Compiled()._rows(reduction, tensors, None)[0])
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_more_rows_are_the_same_rows():
    """A tile of two vectors, or of four: each row is added up in the same order."""
    reduction = attention(33, 20)
    x, y, v = given(reduction, 2000, 300, torch.float32)
    (many,) = Compiled().sums(reduction, [x, y, v], None)
    (few,) = Compiled().sums(reduction, [x[:, :500].contiguous(), y, v], None)
    torch.testing.assert_close(many[:, :500], few, rtol=1e-6, atol=0)
