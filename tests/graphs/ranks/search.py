"""What ranks of a group find as neighbours: those of one process, in every bit."""

import torch

import sparseot as so
from sparseot.engines.ranks.group import traffic
from tests.engines.ranks.losses import refused, same


def equal(here, x, y=None, **options):
    """The neighbours of the rows of each rank, and how they were found."""
    parts = here.part(x), None if y is None else here.part(y)
    ours, theirs = so.knn(*parts, group=here.group, **options), so.knn(x, y, **options)
    assert torch.equal(ours.indices, here.part(theirs.indices))
    assert torch.equal(ours.distances, here.part(theirs.distances))
    assert ours.exact and ours.evaluations > 0
    return ours


def check_dimensions_and_methods(here):
    for dtype in (torch.float32, torch.float64):
        x, y = torch.rand(500, 3, dtype=dtype), torch.rand(400, 3, dtype=dtype)
        for method in ("auto", "kdtree", "brute", "tiles"):
            equal(here, x, k=7, method=method)
            equal(here, x, k=2, loop=True, method=method)
            equal(here, x, y, k=5, method=method)
        equal(here, torch.rand(300, 30, dtype=dtype), k=4, method="brute")


def check_ties(here):
    """On a grid nearly all distances are those of others too: the lowest numbers are taken."""
    x = torch.cartesian_prod(*(torch.arange(6.0),) * 3)
    equal(here, x, k=9)
    equal(here, x.repeat(2, 1)[torch.randperm(432)], x, k=3)


def check_more_neighbours_than_a_rank_has_points(here):
    x = torch.rand(40, 2)
    equal(here, x, k=30)
    ours = so.knn(here.part(x[:5]), k=8, group=here.group)
    assert bool(ours.distances[:, 4:].isinf().all()) and bool((ours.indices < 5).all())


def check_angles_and_arrays(here):
    x, y = torch.randn(200, 4), torch.randn(150, 4)
    equal(here, x, y, k=3, metric="cosine")
    ours = so.knn(here.part(x).numpy(), k=3, group=here.group)
    assert (ours.indices == here.part(so.knn(x.numpy(), k=3).indices)).all()


def check_gradients(here):
    x, y = torch.rand(120, 3, dtype=torch.float64), torch.rand(90, 3, dtype=torch.float64)
    weights = torch.rand(120, 4, dtype=torch.float64)
    for other in (None, y):
        given = [t for t in (x, other) if t is not None]
        parts = [here.part(t).clone().requires_grad_() for t in given]
        whole = [t.clone().requires_grad_() for t in given]
        ours = (so.knn(*parts, k=4, group=here.group).distances ** 2 * here.part(weights)).sum()
        theirs = (so.knn(*whole, k=4).distances ** 2 * weights).sum()
        found = torch.autograd.grad(ours, parts, create_graph=True)
        wanted = torch.autograd.grad(theirs, whole, create_graph=True)
        for g, w in zip(found, wanted, strict=True):
            same(g, here.part(w))
        second = torch.autograd.grad(sum(g.square().sum() for g in found), parts)
        double = torch.autograd.grad(sum(w.square().sum() for w in wanted), whole)
        for g, w in zip(second, double, strict=True):
            same(g, here.part(w))


def check_graphs(here):
    x = torch.rand(150, 3)
    edges = so.knn_graph(x, 5)
    first, last = here.ends(150)
    mine = edges[:, (edges[1] >= first) & (edges[1] < last)]
    assert torch.equal(so.knn_graph(here.part(x), 5, group=here.group), mine)
    flipped = so.knn_graph(here.part(x), 5, flow="target_to_source", group=here.group)
    assert torch.equal(flipped, mine.flip(0))


def check_few_queries_travel_between_regions(here):
    """Where each rank has a region, only what is near another one goes there."""
    x = torch.rand(3000, 3)
    x = x[x[:, 0].argsort()]
    with traffic() as sent:
        equal(here, x, k=4)
    everywhere = 3000 * 3 * 4 * (here.size - 1)
    total = torch.tensor([sent["queries"]])
    torch.distributed.all_reduce(total)
    assert 0 < int(total) < 0.3 * everywhere


def check_refusals(here):
    x, last = torch.rand(30, 3), here.size - 1
    with refused(ValueError, "k: got 3 on rank"):
        so.knn(here.part(x), k=3 if here.rank == last else 2, group=here.group)
    with refused(ValueError, "with group"):
        so.knn(here.part(x)[None], k=2, group=here.group)
    with refused(ValueError, "with group"):
        samples = torch.zeros(len(here.part(x)), dtype=torch.int64)
        so.knn_graph(here.part(x), 2, samples, group=here.group)
    bad = here.part(x).clone()
    if here.rank == 0:
        bad[0] = torch.nan
    with refused(ValueError, "NaN"):
        so.knn(bad, k=2, group=here.group)
    equal(here, x, k=2)
