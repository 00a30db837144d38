"""What ranks find over kept pairs in single precision and for their own blocks: that of one process."""

import gc

import torch

import sparseot as so

from .losses import same, same_bits, two

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


def check_bytes_of_all_points(here):
    """What a rank keeps of all points, when all is found: clouds as they came, their order, and potentials.

    Nothing else is as long as a cloud, so that all other memory is of its own blocks and their tiles.
    """
    x, y, _, _ = (t.float() for t in two(6000, 6000))
    gc.collect()
    before = {id(t) for t in gc.get_objects() if isinstance(t, torch.Tensor)}
    mine = here.part(x).clone().requires_grad_()
    ours = so.solve_sample(mine, here.part(y), blur=0.05, group=here.group, solver=KEPT)
    ours.value.backward()
    gc.collect()
    found = {}
    for t in gc.get_objects():
        if isinstance(t, torch.Tensor) and id(t) not in before and 6000 in t.shape:
            found[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
    clouds, order, potentials = 2 * 3 * 4, 2 * 4, 4 * 8
    assert sum(found.values()) <= 6000 * (clouds + order + potentials) + 64, sorted(found.values())
