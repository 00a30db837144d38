"""What ranks find over kept pairs in single precision and for their own blocks: that of one process."""

import contextlib
import gc
import warnings

import torch

import sparseot as so
from sparseot.engines.ranks.group import Ranks
from sparseot.operators.autograd.spread import agreed
from sparseot.transport.pruned.blocks.apart import Apart
from sparseot.transport.pruned.blocks.coarse import Cells, whole_cells

from .losses import refused, same, same_bits, two

KEPT = so.Sinkhorn(multilevel=True, accelerate=False)
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-10}


def both(here, dtype, sizes=(1500, 1400), weighed=True, **options):
    """The solves, and the tensors in which both are differentiated, of this rank and whole."""
    x, y, a, b = (t.to(dtype) for t in two(*sizes))
    clouds = (x, y, a / a.sum(), b / b.sum()) if weighed else (x, y)
    whole = [t.clone().requires_grad_() for t in clouds]
    mine = [here.part(t).clone().requires_grad_() for t in clouds]
    options = {"blur": 0.05, "solver": KEPT} | options
    ours = so.solve_sample(*mine, group=here.group, **options)
    return ours, so.solve_sample(*whole, **options), mine, whole


def check_gradients_of_own_blocks(here):
    """In points and weights of both clouds, in both precisions, for all ways to hold marginals."""
    for dtype, tol in ROUNDING.items():
        for options in (
            {},
            {"p": 1},
            {"reach": 0.5},
            {"reach": (0.5, None)},
            {"debias": True, "reach": 0.5},
            {"weighed": False},
        ):
            ours, theirs, mine, whole = both(here, dtype, **options)
            assert "ranks) on kept pairs" in ours.reports[0].engine
            assert ours.solved[0].brought is not None and theirs.solved[0].brought is None
            same(ours.value, theirs.value, tol)
            same_bits(here, ours.value)
            found = torch.autograd.grad(3 * ours.value, mine)
            wanted = torch.autograd.grad(3 * theirs.value, whole)
            for one, other in zip(found, wanted, strict=True):
                assert one.dtype == dtype
                size = float(other.abs().max())
                same(one / size, here.part(other) / size, 10 * tol)


def check_single_precision_told_in_double(here):
    """Potentials, maps, intervals and second derivatives of clouds of which no copy in double precision is kept."""
    x, y, _, _ = (t.float() for t in two(1500, 1400))
    whole, mine = x.clone().requires_grad_(), here.part(x).clone().requires_grad_()
    how = {"blur": 0.05, "solver": KEPT}
    ours = so.solve_sample(mine, here.part(y), group=here.group, **how)
    theirs = so.solve_sample(whole, y, **how)
    for name in ("lower", "upper", "residual", "value_linear"):
        same(getattr(ours, name), getattr(theirs, name), 1e-6)
    same(ours.potential_a, here.part(theirs.potential_a), 1e-6)
    same(ours.marginal_b, here.part(theirs.marginal_b), 1e-6)
    same(ours.map(), here.part(theirs.map()), 1e-6)
    (g,) = torch.autograd.grad(ours.value, mine, create_graph=True)
    (w,) = torch.autograd.grad(theirs.value, whole, create_graph=True)
    same(g, here.part(w), 1e-8)
    v = torch.randn(1500, 3)
    (found,) = torch.autograd.grad(g, mine, here.part(v))
    (wanted,) = torch.autograd.grad(w, whole, v)
    same(found, here.part(wanted), 1e-5 * float(wanted.abs().max()))


@contextlib.contextmanager
def longest():
    """The most rows that ranks put together on one of them meanwhile."""
    most, join = [0], Ranks._joined

    def watched(self, *args):
        found = join(self, *args)
        most[0] = max(most[0], *found.shape)
        return found

    Ranks._joined = watched
    try:
        yield most
    finally:
        Ranks._joined = join


def long_ones(count):
    """The tensors of at least so many rows that are in memory, by where they are."""
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of old names that it is asked for
        found = [t for t in gc.get_objects() if isinstance(t, torch.Tensor)]
    long = [t for t in found if t.numel() >= count and max(t.stride()) > 0]
    return {t.untyped_storage().data_ptr(): tuple(t.shape) for t in long if max(t.shape) >= count}


def check_that_no_rank_has_all_points(here):
    """Neither clouds nor potentials, not even for a moment: in a solve, its value and its gradient, and a divergence."""
    x, y, a, b = (t.float() for t in two(6000, 6000))
    whole = a / a.sum(), b / b.sum()
    before = long_ones(6000)
    for weights in ((), whole):
        mine = here.part(x).clone().requires_grad_()
        parts = here.part(y), *map(here.part, weights)
        with longest() as most:
            ours = so.solve_sample(mine, *parts, blur=0.05, group=here.group, solver=KEPT)
            ours.value.backward()
            loss = so.sinkhorn_divergence(mine, *parts, blur=0.05, group=here.group, solver=KEPT)
            loss.backward()
        assert most[0] < 6000 and (mine.grad.abs().sum() > 0 or not len(mine))
        assert not long_ones(6000).keys() - before.keys()
        with longest() as most:
            _ = ours.lower, ours.upper, ours.map(), ours.map(inverse=True)
            with torch.no_grad():
                _ = ours.potential_a, ours.potential_b
            if here.rank == 0:
                assert "6,000 x 6,000 points in dimension 3" in repr(ours)
        assert most[0] < 6000
    with longest() as most:
        _ = ours.potential_a
    assert most[0] == 6000, "derivatives of potentials are those of all points"


def check_divergences_of_rows_apart(here):
    """Divergences over kept pairs, those of GeomLoss's door and of arrays among them."""
    x, y, a, b = two(4900, 4800)
    clouds = x, y, a / a.sum(), b / b.sum()

    def of_door(*t, group=None):
        return so.SamplesLoss(blur=0.1, tol=1e-4, group=group)(t[2], t[0], t[3], t[1])

    def of_all(*t, group=None):
        return so.sinkhorn_divergence(*t, blur=0.1, reach=0.5, solver=KEPT, group=group)

    for loss, tol in ((of_door, 1e-3), (of_all, 1e-9)):
        mine = [here.part(t).clone().requires_grad_() for t in clouds]
        whole = [t.clone().requires_grad_() for t in clouds]
        with longest() as most:
            ours = loss(*mine, group=here.group)
            found = torch.autograd.grad(ours, mine)
        assert most[0] < 4800
        theirs = loss(*whole)
        same(ours, theirs, 1e-8)
        same_bits(here, ours)
        for one, other in zip(found, torch.autograd.grad(theirs, whole), strict=True):
            same(one, here.part(other), tol * float(other.abs().max()))
    arrays = [t.numpy() for t in clouds]
    ours = so.sinkhorn_divergence(
        *map(here.part, arrays), blur=0.1, solver=KEPT, potentials=True, group=here.group
    )
    theirs = so.sinkhorn_divergence(*arrays, blur=0.1, solver=KEPT, potentials=True)
    for one, other in zip(ours, theirs, strict=True):
        same(one, here.part(other), 1e-9)


def check_second_derivatives_in_weights(here):
    """Of a divergence between different masses, which reaches them through their sums as well."""
    x, y, a, b = two(1500, 1400)
    clouds, how = (x, y, a, 1.3 * b), {"blur": 0.1, "reach": 0.5, "debias": True, "tol": 1e-6}
    mine = [here.part(t).clone().requires_grad_() for t in clouds]
    whole = [t.clone().requires_grad_() for t in clouds]
    ours = so.solve_sample(*mine, group=here.group, solver=KEPT, **how)
    theirs = so.solve_sample(*whole, solver=KEPT, **how)
    for place in (2, 3):
        (g,) = torch.autograd.grad(ours.value, mine[place], create_graph=True)
        (w,) = torch.autograd.grad(theirs.value, whole[place], create_graph=True)
        v = torch.randn(len(whole[place]), dtype=torch.float64)
        found = torch.autograd.grad(g, mine, here.part(v), retain_graph=True)
        wanted = torch.autograd.grad(w, whole, v, retain_graph=True)
        for one, other in zip(found, wanted, strict=True):
            same(one, here.part(other), 1e-6 * float(other.abs().max()))


def check_errors_of_doors(here):
    """The same as in one process, wherever clouds are."""
    x, y, _, _ = two(1500, 1400)
    mine, multi = (here.part(x), here.part(y)), so.Sinkhorn(multilevel=True)
    with refused(ValueError, "engine"):
        so.sinkhorn_divergence(*mine, solver=multi, engine="nope", group=here.group)
    with refused(ValueError, "an empty cloud"):
        so.solve_sample(mine[0][:, :0], mine[1][:, :0], blur=0.1, solver=multi, group=here.group)
    with refused(TypeError, "blurred"):
        so.sinkhorn_divergence(*mine, blurred=0.1, group=here.group)
    bad = mine[0].clone()
    bad[:1] = float("nan")
    with refused(ValueError, "NaN"):
        so.solve_sample(bad, mine[1], blur=0.1, group=here.group)
    weights = torch.full((len(mine[0]), 1), 1 / 1500, dtype=torch.float64, requires_grad=True)
    found = so.solve_sample(*mine, weights, blur=0.1, solver=multi, group=here.group)
    found.value.backward()
    assert isinstance(found.solved[0].problem.source, Apart)
    assert weights.grad.shape == weights.shape
    _ = found.unregularised
    if here.rank == 0:  # what is known needs nobody else
        _ = found.unregularised, found.value, found.converged, found._repr_html_()


def check_cells_of_rows_apart(here):
    """Centroids, masses and heads are those of one process, bit by bit, whoever has the points."""
    x, _, a, _ = two(3000, 10)
    a[:300] = 0
    ranks = Ranks(here.group, "a test")
    spreads = agreed(ranks, {"x": here.part(x), "a": here.part(a)}, {})
    cloud = Apart(spreads["x"], spreads["a"], torch.float64)
    ours, theirs = whole_cells(cloud, {}, ranks), Cells(x, a, 0.0)
    assert ours.size == 3000 and ours.coarser(1e-3) is ours
    wide, narrow = ((c.coarser(0.4), c.coarser(0.15)) for c in (ours, theirs))
    for one, other in zip(wide, narrow, strict=True):
        assert one.size == other.size < 1500
        assert torch.equal(one.points, other.points) and torch.equal(one.weights, other.weights)
    for width in (0.4, 0.15, 1e-3):
        assert ours.count(width) == theirs.count(width)
    assert torch.equal(wide[0].holding(wide[1]), narrow[0].holding(narrow[1]))
    values = torch.randn(narrow[0].size, dtype=torch.float64)
    mine = ours.blocks.whole(values[wide[0].holding(ours)])
    assert torch.equal(mine, values[narrow[0].holding(theirs)])
