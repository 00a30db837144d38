"""More ranks than there are cores, most of them with few points or none: they find what one process finds."""

import torch

import sparseot as so
from sparseot import kernels

from .losses import same, same_bits, two

# sweeps are the same in one process, whether they end or not
FEW = so.Sinkhorn(multilevel=True, accelerate=False, max_sweeps=3)
# of the first cloud; the second one's are the other way round
SHARES = 0, 1, 2, 700, 0, 300, 40, 457


def shards(here, *clouds):
    """Of each of some clouds of 1,500 points the rows of this rank."""
    sizes = [SHARES[k % len(SHARES)] for k in range(here.size)]
    for number, cloud in enumerate(clouds):
        counts = sizes[::-1] if number % 2 else sizes
        first = sum(counts[: here.rank])
        rows = slice(first, first + counts[here.rank])
        yield cloud[rows].clone().requires_grad_(), rows


def check_tiny_and_empty_shards(here):
    """Kept pairs, all pairs and neighbours."""
    assert here.size == len(SHARES)
    x, y, a, b = two(1500, 1500)
    clouds = x, y, a / a.sum(), b / b.sum()
    whole = [t.clone().requires_grad_() for t in clouds]
    mine, rows = zip(*shards(here, *clouds), strict=True)
    ours = so.solve_sample(*mine, blur=0.2, solver=FEW, group=here.group)
    theirs = so.solve_sample(*whole, blur=0.2, solver=FEW)
    assert "8 ranks) on kept pairs" in ours.reports[0].engine
    for name in ("value", "lower", "upper", "residual"):
        same(getattr(ours, name), getattr(theirs, name), 1e-9)
        same_bits(here, getattr(ours, name))
    same(ours.map(), theirs.map()[rows[0]], 1e-8)
    found, wanted = torch.autograd.grad(ours.value, mine), torch.autograd.grad(theirs.value, whole)
    for one, other, some in zip(found, wanted, rows, strict=True):
        same(one, other[some], 1e-8 * float(other.abs().max()))
    kernel = kernels.Gaussian(0.3)
    ours = so.kernel_norm(*mine, kernel=kernel, group=here.group)
    same(ours, so.kernel_norm(*whole, kernel=kernel))
    ours, theirs = so.knn(mine[0].detach(), k=5, group=here.group), so.knn(x, k=5)
    same(ours.distances, theirs.distances[rows[0]])
    assert torch.equal(ours.indices, theirs.indices[rows[0]])
