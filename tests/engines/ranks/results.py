"""What ranks of a group find for plans and operators that they share: that of one process."""

import numpy as np
import torch

import sparseot as so
from sparseot import kernels
from sparseot.engines.ranks.group import traffic

from .losses import refused, same, same_bits, two


def compare(here, ours, theirs, mine, whole, tol=None):
    """All that a result shows of numbers and of points."""
    assert ours.converged == theirs.converged and ours.n_iter == theirs.n_iter
    for name in ("value", "lower", "upper", "residual", "value_linear"):
        same(getattr(ours, name), getattr(theirs, name), tol or 1e-8)
        same_bits(here, getattr(ours, name))
    for name in ("potential_a", "potential_b", "marginal_a", "marginal_b"):
        same(getattr(ours, name), here.part(getattr(theirs, name)), tol or 1e-9)
    assert repr(ours).splitlines()[0] == repr(theirs).splitlines()[0]
    same(ours.map(), here.part(theirs.map()), tol)
    same(ours.map(inverse=True), here.part(theirs.map(inverse=True)), tol)
    new = torch.rand(21, whole.shape[1], dtype=whole.dtype)
    same(ours.map(here.part(new)), here.part(theirs.map(new)), tol)
    first, last = here.ends(len(whole))
    rows, wanted = ours.sparse_plan(3), theirs.sparse_plan(3)[first:last]
    assert rows.shape == wanted.shape and (rows.indices == wanted.indices).all()
    same(rows.data, wanted.data, tol)
    (found,) = torch.autograd.grad(ours.value, mine, retain_graph=True)
    (gradient,) = torch.autograd.grad(theirs.value, whole, retain_graph=True)
    same(found, here.part(gradient), 10 * (tol or 1e-9))


def same_minima(here, ours, theirs):
    """The bounds without regularisation, which minima over pairs are for."""
    for found, wanted in zip(ours.unregularised, theirs.unregularised, strict=True):
        same(found, wanted, 1e-6)
        same_bits(here, found)


def solved(here, clouds, **options):
    """On all ranks, and in one process; both with a graph in x."""
    x, y, a, b = clouds
    whole, mine = x.clone().requires_grad_(), here.part(x).clone().requires_grad_()
    parts = [here.part(t) for t in (y, a, b)]
    ours = so.solve_sample(mine, *parts, group=here.group, **options)
    return ours, so.solve_sample(whole, y, a, b, **options), mine, whole


def check_all_pairs(here):
    pair = solved(here, two(d=7), blur=0.2, tol=1e-6)
    assert "ranks) on all pairs" in pair[0].reports[0].engine
    compare(here, *pair)
    ours, theirs = pair[:2]
    v = torch.randn(290, 2, dtype=torch.float64)
    same(ours.plan_operator @ here.part(v), here.part(theirs.plan_operator @ v))
    w = torch.randn(330, dtype=torch.float64)
    same(ours.plan_operator.T @ here.part(w), here.part(theirs.plan_operator.T @ w))
    same_minima(here, ours, theirs)
    with refused(ValueError, "several ranks share"):
        ours.sample(3)


def check_divergences_and_hessians(here):
    ours, theirs, mine, whole = solved(here, two(d=7), blur=0.3, tol=1e-6, debias=True)
    compare(here, ours, theirs, mine, whole)
    same(ours.potential_aa, here.part(theirs.potential_aa), 1e-9)
    same(ours.gradient_error(), theirs.gradient_error(), 1e-6)
    v = torch.randn(330, 7, dtype=torch.float64)
    wanted = theirs.hvp(v)
    same(ours.hvp(here.part(v)), here.part(wanted), 1e-6)
    (g,) = torch.autograd.grad(ours.value, mine, create_graph=True)
    (found,) = torch.autograd.grad(g, mine, here.part(v))
    same(found, here.part(wanted), 1e-6)
    loss = ours.potential_a.square().sum()
    (found,) = torch.autograd.grad(loss, mine)
    (wanted,) = torch.autograd.grad(theirs.potential_a.square().sum(), whole)
    same(found, here.part(wanted), 1e-6)


def check_tight_intervals_and_reach(here):
    for options in ({"solver": so.Sinkhorn(certificate="tight")}, {"reach": 0.6}):
        pair = solved(here, two(d=7), blur=0.3, **options)
        compare(here, *pair)


def check_kept_pairs(here):
    """The same tiles and sums as in one process; plain sweeps keep rounding where it is."""
    for p, blur in ((2, 0.02), (1, 0.02)):
        how = {"p": p, "solver": so.Sinkhorn(multilevel=True, accelerate=False)}
        pair = solved(here, two(1500, 1400), blur=blur, **how)
        ours, theirs = pair[:2]
        assert "ranks) on kept pairs" in ours.reports[0].engine and ours.kept_fraction < 1
        assert ours.kept_fraction == theirs.kept_fraction
        same(ours.value, theirs.value, 1e-12)
        assert abs(ours.omitted / theirs.omitted - 1) <= 1e-9
        compare(here, *pair, tol=1e-8)
        same_minima(here, ours, theirs)


def check_faster_sweeps_over_kept_pairs(here):
    """Over-relaxed sweeps, whose numbers are of all points."""
    for p, blur in ((2, 0.01), (1, 0.02)):
        how = {"p": p, "tol": 1e-6, "solver": so.Sinkhorn(multilevel=True)}
        ours, theirs, mine, whole = solved(here, two(1500, 1400), blur=blur, **how)
        assert ours.converged and theirs.converged
        same(ours.value, theirs.value, 1e-10)
        same(ours.potential_a, here.part(theirs.potential_a), 1e-5)
        (found,) = torch.autograd.grad(ours.value, mine)
        (gradient,) = torch.autograd.grad(theirs.value, whole)
        same(found, here.part(gradient), 1e-4)
        assert abs(ours.n_iter - theirs.n_iter) <= 0.3 * theirs.n_iter


def check_rows_that_meet_no_tile(here):
    """Two groups fifty apart: whoever has the points of one meets none of the other; and ranks without blocks."""
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.rand(n, 3, generator=generator).double() for n in (1100, 600))
    x[550:] += 50.0
    for engine, count in (("auto", 1100), ("tiles", 300)):
        for p in (1, 2):
            solver = so.Sinkhorn(multilevel=True, engine=engine)
            how = {"blur": 0.05, "p": p, "reach": 0.5, "solver": solver}
            whole = x[-count:].clone().requires_grad_()
            mine = here.part(whole.detach()).clone().requires_grad_()
            ours = so.solve_sample(mine, here.part(y[:250]), group=here.group, **how)
            theirs = so.solve_sample(whole, y[:250], **how)
            same(ours.value, theirs.value, 1e-9)
            (found,) = torch.autograd.grad(ours.value, mine)
            (gradient,) = torch.autograd.grad(theirs.value, whole)
            same(found, here.part(gradient), 1e-7)


def check_start_and_debias_of_kept_pairs(here):
    x, y, a, b = two(700, 600)
    clouds = [here.part(t) for t in (x, y, a, b)]
    how = {"blur": 0.06, "debias": True, "solver": so.Sinkhorn(multilevel=True)}
    ours = so.solve_sample(*clouds, group=here.group, **how)
    same(ours.value, so.solve_sample(x, y, a, b, **how).value)
    again = so.solve_sample(*clouds, group=here.group, init=ours, **how)
    assert again.converged and again.n_iter < ours.n_iter
    v = torch.randn(700, 3, dtype=torch.float64)
    same(ours.hvp(here.part(v)), here.part(so.solve_sample(x, y, a, b, **how).hvp(v)), 1e-6)


def check_bytes_of_kept_pairs(here):
    """A sweep sends potentials to ranks whose tiles meet them, lists of tiles stay where they are.

    The model of the guide: 2 . 8 h N / P bytes a sweep, for blocks that are full, with a halo h that is the shell of a
    cube of a P-th of the volume.
    """
    x, y, _, _ = two(6000, 6000)
    solver = so.Sinkhorn(multilevel=True, accelerate=False)
    clouds = here.part(x), here.part(y)
    with traffic() as first:
        found = so.solve_sample(*clouds, blur=0.05, group=here.group, solver=solver)
    with traffic() as again:
        more = so.solve_sample(
            *clouds, blur=0.05, group=here.group, solver=solver, tol=1e-5, init=found
        )
    assert more.n_iter > 20 and len(more.reports[0].levels) == 1
    shell = 0.7 * (32 / 6000) ** (1 / 3) + 4 * 0.05
    halo = min((1 + 2 * shell * (here.size ** (1 / 3) - 1)) ** 3 - 1, here.size - 1)
    model = 2 * 8 * halo * 6144 / here.size * more.n_iter
    assert model / 1.5 <= again["potentials"] <= 1.5 * model, (again, model)
    assert first["tiles"] and first["marks"] and not first["products"]


def check_that_tiles_are_shared(here):
    """Each rank holds those of its own blocks, and what it holds is what one process has there."""
    from sparseot.engines.choose import tile_loops
    from sparseot.engines.ranks.group import Ranks
    from sparseot.engines.ranks.tiles import SharedTiles
    from sparseot.formulas import ground_cost
    from sparseot.transport.marginals import Balanced
    from sparseot.transport.pruned.blocks.clouds import BlockCloud
    from sparseot.transport.pruned.softmins import PrunedSoftmins

    x, y, a, b = two(9000, 5000)
    x = x**3  # rows of very different numbers of tiles
    ranks = Ranks(here.group, "a test")
    clouds = [BlockCloud(x, a), BlockCloud(y, b)]
    shared = [BlockCloud(x, a, ranks), BlockCloud(y, b, ranks)]
    for p in (1, 2):
        alone = PrunedSoftmins(*clouds, ground_cost(p), Balanced(), 0.05**p, 1e-3, torch.float64)
        ours = PrunedSoftmins(*shared, ground_cost(p), Balanced(), 0.05**p, 1e-3, torch.float64)
        ours.loops = SharedTiles(tile_loops("numba", p), ranks)
        f, g = 0.01 * x.square().sum(1), torch.zeros(5000, dtype=torch.float64)
        for softmins in (alone, ours):
            softmins.build(*(c.own(h) for c, h in zip(softmins.clouds, (f, g), strict=True)))
        for _ in range(3):
            for mine, theirs in zip(ours.tiles.sides, alone.tiles.sides, strict=True):
                assert mine.total == len(theirs)
                assert 0 <= len(theirs.starts) // here.size - len(mine.starts) + 16 <= 32
                whole = ours.loops.whole(mine)
                assert torch.equal(whole.starts, theirs.starts)
                assert torch.equal(whole.blocks, theirs.blocks)
            for side in (0, 1):
                found = []
                for softmins in (alone, ours):
                    pair = [c.own(h) for c, h in zip(softmins.clouds, (f, g), strict=True)]
                    step = softmins.step(side, pair[side], pair[1 - side])
                    found.append((softmins.clouds[side].whole(step.value), step.error, step.mass))
                for ones, others in zip(*found, strict=True):
                    same(torch.as_tensor(ones), torch.as_tensor(others), 1e-12)
            for softmins in (alone, ours):
                softmins.trim()


def check_bytes_of_turned_tiles(here):
    """Three numbers a column in all, of which each rank sends its part: none for each rank and column."""
    from sparseot.engines.choose import tile_loops
    from sparseot.engines.kept import TileRows
    from sparseot.engines.ranks.group import Ranks
    from sparseot.engines.ranks.tiles import SharedTiles

    loops, columns = SharedTiles(tile_loops("numba", 2), Ranks(here.group, "a test")), 6000
    blocks = (torch.arange(300) * 7 % 300 * 20).int()
    tiles, rows = TileRows(torch.arange(301), blocks), loops.ranks.part(300)
    here_only = TileRows(torch.arange(rows.stop - rows.start + 1), blocks[rows])
    mine = loops.own(here_only, columns)
    with traffic() as sent:
        turned = loops.turned(mine, columns)
    most = 3 * 8 * columns * (here.size - 1) / here.size + blocks.nbytes
    assert 0 < sent["tiles"] <= 1.05 * most, (sent, most)
    whole, (wanted, _) = loops.whole(turned), loops.inner.transpose(tiles, columns)
    assert torch.equal(whole.starts, wanted.starts) and torch.equal(whole.blocks, wanted.blocks)


def check_matrices(here):
    x, y, _, _ = two(200, 150)
    v = torch.randn(150, 2, dtype=torch.float64)
    parts = [here.part(t).clone().requires_grad_() for t in (x, y, v)]
    whole = [t.clone().requires_grad_() for t in (x, y, v)]
    kernel = kernels.Gaussian(0.3) + 0.5 * kernels.Energy()
    K = so.KernelMatrix(kernel, *parts[:2], group=here.group)
    L = so.KernelMatrix(kernel, *whole[:2])
    assert K.shape == (200, 150) and f"({here.size} ranks)" in repr(K)
    ours, theirs = K @ parts[2], L @ whole[2]
    same(ours, here.part(theirs))
    same(K.sum(), L.sum())
    found = torch.autograd.grad(ours.square().sum(), parts)
    wanted = torch.autograd.grad(theirs.square().sum(), whole)
    for g, w in zip(found, wanted, strict=True):
        same(g, here.part(w))
    w = np.random.default_rng(0).normal(size=200)
    K = so.KernelMatrix(kernel, *(here.part(t.numpy()) for t in (x, y)), group=here.group)
    same(K.T @ here.part(w), here.part(L.T @ w))
    same((2 * K.T) @ here.part(w), here.part((2 * L.T) @ w))
    with refused(ValueError, "Each rank gives its own rows"):
        K @ v.numpy()[: len(here.part(v)) + 1]
    with refused(ValueError, "Block pairs are not shared"):
        so.KernelMatrix(kernel, here.part(x), pairs=so.Blocks(0.5), group=here.group)


def check_linear_systems(here):
    x, _, a, _ = two(220)
    b = torch.randn(220, dtype=torch.float64)
    K = so.KernelMatrix(kernels.Gaussian(0.2), here.part(x), group=here.group)
    L = so.KernelMatrix(kernels.Gaussian(0.2), x) + so.Diagonal(0.1 + a)
    noise = so.Diagonal(0.1 + here.part(a), group=here.group)
    ours = so.conjugate_gradient(K + noise, here.part(b), tol=1e-9)
    theirs = so.conjugate_gradient(L, b, tol=1e-9)
    assert ours.converged and abs(ours.products - theirs.products) <= 3
    same(ours.x, here.part(theirs.x), 1e-7)
    again = so.conjugate_gradient(K + noise, here.part(b), x0=ours.x, tol=1e-9)
    same(again.x, here.part(theirs.x), 1e-7)
    assert again.products < ours.products


def check_eigenpairs(here):
    x, _, _, _ = two(260)
    K = so.KernelMatrix(kernels.Gaussian(0.2), here.part(x), group=here.group)
    ours = so.eigsh(so.graph_laplacian(K, normed=True), 4, "SA")
    theirs = so.eigsh(so.graph_laplacian(so.KernelMatrix(kernels.Gaussian(0.2), x), normed=True), 4, "SA")  # fmt: skip
    assert ours.converged and ours.products == theirs.products
    same(ours.values, theirs.values)
    same_bits(here, ours.values)
    signs = (ours.vectors * here.part(theirs.vectors)).sum(0)
    torch.distributed.all_reduce(signs)
    same(signs.abs(), torch.ones(4, dtype=torch.float64), 1e-8)
    ours = so.spectral_embedding(here.part(x).numpy(), 2, 0.2, group=here.group)
    theirs = so.spectral_embedding(x.numpy(), 2, 0.2)
    same(ours.coordinates, here.part(theirs.coordinates), 1e-6)
    same(ours.values, theirs.values)


def check_fewer_points_than_ranks(here):
    """Ranks with fewer rows than there are ranks."""
    x, y = torch.rand(1, 3), torch.rand(2, 3)
    ours = so.solve_sample(here.part(x), here.part(y), blur=0.5, group=here.group)
    same(ours.value, so.solve_sample(x, y, blur=0.5).value)
    ours = so.kernel_norm(here.part(x), here.part(y), kernel=kernels.Energy(), group=here.group)
    same(ours, so.kernel_norm(x, y, kernel=kernels.Energy()))
