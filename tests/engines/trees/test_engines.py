"""Both engines of trees against whole matrices: sides, ranges, many outputs, few rows."""

import numpy as np
import pytest
import torch

from sparseot import LazyTensor
from sparseot.engines.choose import choose_trees, load_trees
from sparseot.engines.trees import compiled
from sparseot.engines.trees.base import Ranges, Reduction
from sparseot.formulas.trees.algebra import concat, function, mul, neg, sub, total
from sparseot.formulas.trees.dense import values
from sparseot.formulas.trees.expressions import I, J, P
from sparseot.formulas.trees.slots import slot
from tests.engines.triton import INTERPRETED

ENGINES = ["compiled", "tiles", *(["triton"] if INTERPRETED else [])]


def points(n=37, m=70, items=2, dim=3, dtype=torch.float64):
    return [
        torch.randn(items, n, dim, dtype=dtype),
        torch.randn(items, m, dim, dtype=dtype),
        torch.rand(items, 1, 1, dtype=dtype),
    ]


def slots(dim=3):
    return slot(0, dim, I), slot(1, dim, J), slot(2, 1, P)


def matrix(e, tensors, dim=3):
    """The formula for all pairs, ``(B, N, M, R)``."""
    x, y, p = slots(dim)
    views = {x: tensors[0][:, :, None], y: tensors[1][:, None], p: tensors[2][:, :, None]}
    (found,) = values([e], views, tensors[0])
    return found.expand(*tensors[0].shape[:2], tensors[1].shape[1], e.dim)


def formulas(dim=3):
    x, y, p = slots(dim)
    difference = sub(x, y)
    kernel = function("exp", neg(mul(p, total(mul(difference, difference)))))
    return kernel, mul(kernel, difference), concat(kernel, total(mul(x, y)))


SIDES = {I: 2, J: 1, P: (1, 2)}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dim", [3, 20])
def test_sums_for_rows_columns_and_parameters(engine, dim, monkeypatch):
    """In one pass, and, where they do not fit together, in two."""
    tensors = points(dim=dim)
    outputs, sides = formulas(dim), (I, J, P)
    reduction = Reduction("sum", outputs, slots(dim), sides)
    wanted = [matrix(e, tensors, dim).sum(SIDES[s]) for e, s in zip(outputs, sides, strict=True)]
    wanted[2] = wanted[2][:, None]
    for together in (True, False):
        if not together:
            monkeypatch.setattr(compiled, "NUMBERS", 0)
        found = load_trees(engine).sums(reduction, tensors, None)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n, m", [(1, 1), (1, 300), (300, 1), (33, 65)])
def test_tiles_that_are_not_full(n, m):
    tensors = points(n, m, items=1)
    outputs = formulas()
    for sides in ((I, I, I), (J, J, J), (I, J, J)):
        reduction = Reduction("sum", outputs, slots(), sides)
        for engine in ENGINES:
            found = load_trees(engine).sums(reduction, tensors, None)
            for e, side, one in zip(outputs, sides, found, strict=True):
                torch.testing.assert_close(one, matrix(e, tensors).sum(SIDES[side]))


def ranges_and_mask(n, m):
    """Blocks of unequal sizes, one that meets nothing, and rows and columns that no block has."""
    blocks, met = [(0, 5), (5, 6), (6, 30), (31, n)], [[0, 2], [1], [], [0, 1, 2]]
    columns = [(0, 7), (7, 20), (25, m)]
    mask = torch.zeros(n, m, dtype=bool)
    for (lo, hi), runs in zip(blocks, met, strict=True):
        for c in runs:
            mask[lo:hi, columns[c][0] : columns[c][1]] = True
    back = [[b for b in range(4) if c in met[b]] for c in range(3)]
    halves = []
    for one, other, lists in ((blocks, columns, met), (columns, blocks, back)):
        runs = [other[k] for each in lists for k in each]
        halves += [np.array(one), np.cumsum([len(each) for each in lists]), np.array(runs)]
    return Ranges(*halves), mask


@pytest.mark.parametrize("engine", ENGINES)
def test_ranges_are_masks(engine):
    tensors = points()
    ranges, mask = ranges_and_mask(37, 70)
    engine = load_trees(engine)
    outputs, sides = formulas(), (I, J, P)
    found = engine.sums(Reduction("sum", outputs, slots(), sides), tensors, ranges)
    for e, side, one in zip(outputs, sides, found, strict=True):
        wanted = (matrix(e, tensors) * mask[..., None]).sum(SIDES[side])
        torch.testing.assert_close(one.view_as(wanted), wanted, rtol=1e-12, atol=1e-12)
    exponent = matrix(outputs[0], tensors).masked_fill(~mask[..., None], -torch.inf)
    log, soft = engine.softmax(
        Reduction("softmax", (outputs[0], slots()[1]), slots()), tensors, ranges
    )
    torch.testing.assert_close(log, exponent.logsumexp(2))
    shares = exponent.softmax(2).nan_to_num(0)
    torch.testing.assert_close(soft, (shares * tensors[1][:, None]).sum(2))
    low, where = engine.least(Reduction("least", (outputs[0],), slots(), count=8), tensors, ranges)
    sought = matrix(outputs[0], tensors).masked_fill(~mask[..., None], torch.inf)
    wanted, places = sought.sort(2)
    torch.testing.assert_close(low, wanted[:, :, :8])
    torch.testing.assert_close(where, places[:, :, :8].where(wanted[:, :, :8] < torch.inf, -1))
    assert ranges.pairs == mask.sum() == ranges.T.pairs and ranges.T.T.rows is ranges.rows


@pytest.mark.parametrize("engine", ENGINES)
def test_smallest_values_of_each_coordinate(engine):
    tensors = points(m=21)
    reduction = Reduction("least", (formulas()[1],), slots(), count=3)
    low, where = load_trees(engine).least(reduction, tensors, None)
    wanted, places = matrix(reduction.outputs[0], tensors).sort(2)
    torch.testing.assert_close(low, wanted[:, :, :3])
    assert torch.equal(where, places[:, :, :3])


def test_places_of_more_columns_than_integers_are_found_item_by_item(monkeypatch):
    monkeypatch.setattr(compiled, "INT32", 100)
    test_smallest_values_of_each_coordinate("compiled")


@pytest.mark.parametrize("engine", ENGINES)
def test_softmax_of_far_exponents_and_many_weights(engine):
    """Exponents far beyond what numbers hold, and weights in memory instead of registers."""
    tensors = points(dim=20)
    x, y, _ = slots(20)
    exponent = mul(total(mul(x, y)), concat(slots(20)[2]))
    exponent = mul(function("exp", total(mul(x, x))), exponent)
    log, soft = load_trees(engine).softmax(
        Reduction("softmax", (exponent, y), slots(20)), tensors, None
    )
    exponents = matrix(exponent, tensors, 20)
    torch.testing.assert_close(log, exponents.logsumexp(2))
    torch.testing.assert_close(soft, (exponents.softmax(2) * tensors[1][:, None]).sum(2))


def test_millions_of_columns_lose_no_digits_in_single_precision():
    tensors = [torch.zeros(1, 1, 1), torch.rand(1, 1_000_000, 1), torch.ones(1, 1, 1)]
    x, y, p = slots(1)
    for outputs in ((mul(p, sub(y, x)),), (mul(p, sub(y, x)), concat(*([mul(y, p)] * 30)))):
        reduction = Reduction("sum", outputs, slots(1), (I,) * len(outputs))
        found = load_trees("compiled").sums(reduction, tensors, None)[0].item()
        wanted = tensors[1].double().sum().item()
        assert abs(found / wanted - 1) < 1e-6


def test_shares_of_threads_are_the_whole(shared):
    tensors = points(n=500, m=300, items=2)
    sides = (I, J, P)
    reduction = Reduction("sum", formulas(), slots(), sides)
    for one, other in zip(
        load_trees("compiled").sums(reduction, tensors, None),
        load_trees("tiles").sums(reduction, tensors, None),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_programs_are_made_once():
    compiled._row_program.cache_clear()
    reduction = Reduction("sum", formulas()[:1], slots(), (I,))
    for n in (5, 50):
        load_trees("compiled").sums(reduction, points(n), None)
    assert compiled._row_program.cache_info().misses == 1


def test_what_no_program_should_have_goes_to_torch():
    """Thousands of operations, or of outputs: said once, and refused by what was asked for by name."""
    x, y, _ = slots()
    deep = sub(x, y)
    for _ in range(4000):
        deep = function("sin", deep)
    wide = concat(*([mul(x, y)] * 2000))
    one, pairs = torch.zeros(1), 1 << 20
    for e, why in ((deep, "4,0.. operations"), (wide, "6,000 outputs")):
        reduction = Reduction("sum", (e,), slots(), (I,))
        with pytest.warns(RuntimeWarning, match=f"{why}.*Torch computes it by tiles"):
            engine, reason = choose_trees("auto", reduction, one, pairs)
        assert engine.name == "tiles" and "formula has" in reason
        assert choose_trees("auto", reduction, one, pairs)[0].name == "tiles"
        with pytest.raises(ValueError, match=why):
            choose_trees("compiled", reduction, one, pairs)


def test_which_engine_is_taken():
    kernel = Reduction("sum", formulas()[:1], slots(), (I,))
    one, meta = torch.zeros(1), torch.zeros(1, device="meta")
    assert choose_trees("auto", kernel, one, 1 << 20)[0].name == "compiled"
    assert choose_trees("auto", kernel, one, 100)[0].name == "tiles"
    assert choose_trees("compiled", kernel, one, 100)[0].name == "compiled"
    assert choose_trees("auto", kernel, meta, 1 << 20)[0].name == "tiles"
    assert "float16" in load_trees("compiled").refuses(kernel, one.half())
    with pytest.raises(ValueError, match='one of "auto", "compiled", "tiles"'):
        choose_trees("keops", kernel, one, 100)


@pytest.mark.parametrize("engine", ["compiled", "tiles"])
def test_a_softmax_over_what_is_no_number_is_none(engine):
    z = torch.rand(70)
    z[3] = torch.nan
    exponents = LazyTensor(torch.rand(5, 1, 1)) + LazyTensor(z[None, :, None])
    exponents.engine = engine
    found = exponents.sumsoftmaxweight(LazyTensor(torch.ones(1, 70, 1)), 1)
    assert found.isnan().all()
