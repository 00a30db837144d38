"""When kernels are chosen for trees, what they refuse, and that they ask their device for nothing."""

import warnings
from types import SimpleNamespace

import pytest
import torch

from sparseot import LazyTensor
from sparseot.engines.choose import _say_once, choose_trees, load_trees
from sparseot.engines.trees.base import Reduction
from sparseot.engines.trees.triton.passes import passes
from sparseot.engines.trees.triton.shapes import shape_of
from sparseot.engines.triton import engine as radial
from sparseot.formulas.trees.algebra import concat, function, mul, neg, sub, total
from sparseot.formulas.trees.expressions import I, J
from sparseot.formulas.trees.slots import slot

THERE = SimpleNamespace(device=torch.device("cuda"), dtype=torch.float32)
X, Y = slot(0, 3, I), slot(1, 3, J)
KERNEL = function("exp", total(mul(X, Y)))
SUM = Reduction("sum", (KERNEL,), (X, Y), (I,))


@pytest.fixture(autouse=True)
def card(monkeypatch):
    """As if there were one, and Triton, which a test may take away; nothing was said before."""
    has = SimpleNamespace(triton=True)
    _say_once.cache_clear()
    monkeypatch.setattr(radial, "find_spec", lambda name: has.triton or None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    return has


def test_auto_takes_it_on_cuda():
    engine, why = choose_trees("auto", SUM, THERE, 1 << 20)
    assert (engine.name, why) == ("triton", "on cuda")
    engine, why = choose_trees("auto", SUM, THERE, 100)
    assert (engine.name, why) == ("tiles", "100 pairs on cuda")


def test_without_triton_tiles_are_taken_which_is_said_once(card):
    card.triton = False
    with pytest.warns(RuntimeWarning, match="Triton is not installed .* computes it by tiles"):
        assert choose_trees("auto", SUM, THERE, 1 << 20)[0].name == "tiles"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_trees("auto", SUM, THERE, 1 << 20)[0].name == "tiles"
    with pytest.raises(ValueError, match="Triton is not installed"):
        choose_trees("triton", SUM, THERE, 1 << 20)


def test_what_no_kernel_should_have_goes_to_torch():
    """Thousands of operations, vectors that are joined in loops, more neighbours than registers."""
    deep = KERNEL
    for _ in range(4000):
        deep = function("sin", deep)
    x, y = slot(0, 40, I), slot(1, 40, J)
    joined = total(mul(concat(x, x), mul(KERNEL, concat(y, y))))
    wide = concat(*([mul(X, Y)] * 100))
    for reduction, why in (
        (Reduction("sum", (deep,), (X, Y), (I,)), "more than 3,000 operations"),
        (Reduction("sum", (joined,), (X, Y, x, y), (I,)), "joins long vectors"),
        (Reduction("sum", (wide,), (X, Y), (I,)), "300 outputs"),
        (Reduction("least", (KERNEL,), (X, Y), count=65), "65 smallest values .* 64 do"),
    ):
        with pytest.warns(RuntimeWarning, match=f"{why}.*Torch computes it by tiles"):
            assert choose_trees("auto", reduction, THERE, 1 << 20)[0].name == "tiles"
        with pytest.raises(ValueError, match=why):
            choose_trees("triton", reduction, THERE, 1 << 20)
    half = SimpleNamespace(device=THERE.device, dtype=torch.float16)
    assert "float16" in load_trees("triton").refuses(SUM, half)


def test_passes_hold_as_many_outputs_as_registers_do():
    """Scalars of short vectors eight at a time, long vectors as programs of eight coordinates, or of 64 as matrices."""
    u = slot(2, 100, J)
    outputs = (concat(KERNEL, *([mul(KERNEL, sub(X, Y))] * 3)), mul(KERNEL, u), KERNEL)
    for bits, groups in ((64, 13), (32, 2)):
        found = passes(Reduction("sum", outputs, (X, Y, u)), bits)
        assert [(one.outputs, one.groups) for one in found] == [
            (8, 1),
            (2, 1),
            (100, groups),
            (1, 1),
        ]
    (found,) = passes(Reduction("sum", (function("exp", mul(KERNEL, u)),), (X, Y, u)), 32)
    assert (found.outputs, found.groups) == (100, 13)  # no multiples of columns
    found = passes(Reduction("softmax", (KERNEL, *outputs[:1]), (X, Y)), 64)
    assert [(one.spec.width, one.outputs) for one in found] == [(10, 8), (4, 2)]
    (found,) = passes(Reduction("least", (KERNEL,), (X, Y), count=10), 32)
    assert (found.spec.kind, found.spec.count, found.outputs) == ("several", 16, 10)


def test_what_matrix_units_multiply():
    """Factors of columns, wherever they stand; and scalar products, of nothing else."""
    q, k, u = slot(0, 64, I), slot(1, 64, J), slot(2, 70, J)
    (found,) = passes(Reduction("softmax", (total(mul(q, k)), u), (q, k, u)), 32)
    assert (found.groups, found.spec.wide, found.spec.width) == (2, 64, 66)
    text = found.source().text
    assert (
        "= inner(" in text and "multiples(" in text and "for d" not in text.split("def reduce")[0]
    )
    for formula in (mul(KERNEL, mul(u, KERNEL)), neg(mul(KERNEL, u))):
        (found,) = passes(Reduction("sum", (formula,), (X, Y, u)), 32)
        assert found.groups == 2 and "multiples(" in found.source().text
    squares = total(mul(sub(q, k), sub(q, k)))  # which would lose digits
    (found,) = passes(Reduction("sum", (squares,), (q, k)), 32)
    assert "= inner(" not in found.source().text
    (found,) = passes(Reduction("sum", (total(mul(q, k)),), (q, k)), 64)
    assert "= inner(" not in found.source().text


def test_tiles_shrink_with_what_a_formula_holds():
    """Many sums, double precision, and many slots for many coordinates."""
    x, y = slot(0, 16, I), slot(1, 16, J)
    squares = total(mul(sub(x, y), sub(x, y)))
    u = slot(2, 8, J)
    found = {
        name: [tuple(shape_of(passes(r, bits)[0].source(), bits, r.count)) for bits in (32, 64)]
        for name, r in {
            "one": SUM,
            "many": Reduction("sum", (mul(KERNEL, u),), (X, Y, u)),
            "few slots": Reduction("least", (KERNEL,), (X, Y), count=8),
            "of long vectors": Reduction("least", (squares,), (x, y), count=8),
        }.items()
    }
    assert found == {
        "one": [(64, 64, 8), (64, 64, 8)],
        "many": [(32, 64, 8), (32, 32, 8)],
        "few slots": [(16, 64, 1), (16, 64, 4)],
        "of long vectors": [(16, 64, 4), (16, 64, 8)],
    }


def test_a_clock_chooses_among_halves():
    """Where registers are left: not beside slots, nor columns on matrix units."""
    pytest.importorskip("triton")
    q, k, u = slot(0, 64, I), slot(1, 64, J), slot(2, 64, J)
    product = total(mul(q, k))
    found = [
        [tuple(tile) for tile in passes(r, 32)[0].kernel()[1]]
        for r in (
            SUM,
            Reduction("softmax", (product,), (q, k)),
            Reduction("softmax", (product, u), (q, k, u)),
            Reduction("least", (KERNEL,), (X, Y), count=8),
        )
    ]
    assert found == [
        [(64, 64, 8), (32, 64, 4), (64, 32, 4)],
        [(64, 64, 8), (64, 32, 4)],
        [(32, 32, 8)],
        [(16, 64, 1)],
    ]


def test_sources_are_readable_and_equal_where_formulas_are():
    """The formula stands above it, names say what is what, and no number of the data is in it."""
    (one,) = passes(SUM, 32)
    text = one.source().text
    assert repr(KERNEL) in text.splitlines()[0] and "float32" in text
    assert "x0 = tl.load(xs + (tile * 3 + 0) * BM + i)[:, None]" in text
    again = Reduction("sum", (function("exp", total(mul(X, Y))),), (X, Y), (I,))
    assert passes(again, 32)[0].source().text == text != passes(SUM, 64)[0].source().text


@pytest.fixture
def launched(monkeypatch):
    """What would run, on tensors that have no numbers."""
    pytest.importorskip("triton")
    from sparseot.engines.triton.card import launches

    runs = []
    monkeypatch.setattr(launches, "launch", lambda kernel, grid, *rest, **kind: runs.append(grid))
    monkeypatch.setitem(launches.PROGRAMS, "meta", 264)
    engine = load_trees("triton")
    monkeypatch.setattr(engine, "refuses", lambda reduction, like: None)
    return runs, engine


def test_no_number_is_read_from_the_device(launched):
    """Few rows share their columns among programs; results and gradients stay where points are."""
    runs, engine = launched
    x, y = torch.empty(2, 100, 3, device="meta"), torch.empty(2, 5000, 3, device="meta")
    x.requires_grad_()
    K = (-((LazyTensor(x[:, :, None]) - LazyTensor(y[:, None])) ** 2).sum(-1)).exp()
    K.engine = engine
    found = K.sum(2)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    low, places = K.Kmin_argKmin(5, dim=2)
    for t, shape in ((found, (2, 100, 1)), (gradient, (2, 100, 3)), (low, (2, 100, 5))):
        assert t.shape == shape and t.device.type == "meta"
    assert places.dtype == torch.int64
    assert runs[0] == (4, 19, 1) and len(runs) == 3


def test_streams_share_no_table(launched, monkeypatch):
    """What one has cached could be freed, and written to, while another still reads it."""
    from sparseot.engines.trees.triton import packed

    made, there = [], packed._there
    monkeypatch.setattr(packed, "_there", lambda *args: made.append(1) or there(*args))
    packed._all_pairs.cache_clear()
    x = torch.empty(1, 100, 3, device="meta")
    for stream, tables in ((7, 1), (7, 1), (8, 2)):
        monkeypatch.setattr(packed, "_stream", lambda device, stream=stream: stream)
        launched[1].sums(SUM, [x, x], None)
        assert len(made) == tables


def test_the_current_stream_is_that_of_the_points(monkeypatch):
    from sparseot.engines.trees.triton.packed import _stream

    def current(device):
        return SimpleNamespace(cuda_stream=device.index + 40)

    monkeypatch.setattr(torch.cuda, "current_stream", current)
    assert (_stream(torch.device("cuda:2")), _stream(torch.device("cpu"))) == (42, 0)
