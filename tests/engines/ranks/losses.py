"""What ranks of a group find for clouds that they share: that of one process, gradients included."""

import contextlib

import torch

import sparseot as so
from sparseot import kernels
from sparseot.engines.ranks.group import Ranks, traffic
from tests.references.clouds import cloud

CLOSE = {torch.float64: 1e-10, torch.float32: 1e-6}


def same(ours, theirs, tol=None):
    """Equal up to rounding, relative to the largest number."""
    ours, theirs = torch.as_tensor(ours).detach(), torch.as_tensor(theirs).detach()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    if ours.numel():
        tol = CLOSE[ours.dtype] if tol is None else tol
        scale = max(float(theirs.abs().max()), 1e-3)
        assert float((ours - theirs).abs().max()) <= tol * scale


def same_bits(here, number):
    """The number is the same everywhere, in every bit."""
    everywhere = [None] * here.size
    torch.distributed.all_gather_object(everywhere, torch.as_tensor(number).detach())
    assert all(torch.equal(everywhere[0], other) for other in everywhere)


def two(n=330, m=290, d=3, dtype=torch.float64):
    """Two weighted clouds that all ranks know."""
    (x, a), (y, b) = cloud(n, d, dtype=dtype, zero=3), cloud(m, d, shift=0.3, dtype=dtype)
    return x, y, a, b


def both(here, function, clouds, **options):
    """What a loss finds on all ranks, and in one process; with gradients in all that it is given."""
    parts = [here.part(t).clone().requires_grad_() for t in clouds]
    whole = [t.clone().requires_grad_() for t in clouds]
    ours = function(*parts, group=here.group, **options)
    theirs = function(*whole, **options)
    return ours, theirs, parts, whole


def compare(here, ours, theirs, parts, whole, tol=None):
    """Values, the same bits of them, and the gradients of the rows of each rank."""
    same(ours, theirs, tol)
    same_bits(here, ours)
    found = torch.autograd.grad(ours, parts)
    wanted = torch.autograd.grad(theirs, whole)
    for g, w in zip(found, wanted, strict=True):
        same(g, here.part(w), None if tol is None else 10 * tol)


def check_kernel_norms(here):
    for kernel in (kernels.Gaussian(0.3), kernels.Energy()):
        for dtype in CLOSE:
            compare(here, *both(here, so.kernel_norm, two(dtype=dtype), kernel=kernel))


def check_kernel_norm_of_a_function(here):
    def kernel(x, y):
        return (-(x[:, :, None] - y[:, None]).square().sum(-1)).exp()

    compare(here, *both(here, so.kernel_norm, two(70, 60), kernel=kernel))


def check_fields_and_second_derivatives(here):
    clouds = two(60, 50)
    ours, theirs, parts, whole = both(
        here, so.kernel_norm, clouds, kernel=kernels.Gaussian(0.5), potentials=True
    )
    for mine, all_, k in zip(ours, theirs, (0, 1), strict=True):
        same(mine, here.part(all_))
        found = torch.autograd.grad(mine.square().sum(), parts[k], retain_graph=True)
        wanted = torch.autograd.grad(all_.square().sum(), whole[k], retain_graph=True)
        same(found[0], here.part(wanted[0]))
    ours, theirs, parts, whole = both(here, so.kernel_norm, clouds, kernel=kernels.Gaussian(0.5))
    v = torch.randn(60, 3, dtype=torch.float64)
    (g,) = torch.autograd.grad(ours, parts[0], create_graph=True)
    (w,) = torch.autograd.grad(theirs, whole[0], create_graph=True)
    (found,) = torch.autograd.grad(g, parts[0], here.part(v))
    (wanted,) = torch.autograd.grad(w, whole[0], v)
    same(found, here.part(wanted))


def check_the_schedule_of_geomloss(here):
    for dtype in CLOSE:
        x, y, a, b = two(dtype=dtype)
        loss, shared = so.SamplesLoss(blur=0.1), so.SamplesLoss(blur=0.1, group=here.group)
        whole = [t.clone().requires_grad_() for t in (a, x, b, y)]
        parts = [here.part(t).clone().requires_grad_() for t in (a, x, b, y)]
        compare(here, shared(*parts), loss(*whole), parts, whole)
    f, g = so.SamplesLoss(blur=0.1, potentials=True, group=here.group)(here.part(x), here.part(y))
    wanted = so.SamplesLoss(blur=0.1, potentials=True)(x, y)
    same(f, here.part(wanted[0]))
    same(g, here.part(wanted[1]))


def check_all_losses_by_name(here):
    x, y, _, _ = two(120, 100)
    for name in ("hausdorff", "gaussian", "laplacian", "energy"):
        loss, shared = (so.SamplesLoss(name, blur=0.2, group=g) for g in (None, here.group))
        whole, mine = x.clone().requires_grad_(), here.part(x).clone().requires_grad_()
        ours, theirs = shared(mine, here.part(y)), loss(whole, y)
        compare(here, ours, theirs, [mine], [whole], 1e-8)


def check_divergences_to_a_tolerance(here):
    for options in (
        {"blur": 0.1},
        {"blur": 0.1, "reach": 0.5},
        {"blur": 0.2, "p": 1},
        {"blur": 0.1, "debias": False},
    ):
        compare(here, *both(here, so.sinkhorn_divergence, two(d=7), **options))


def check_a_cost_that_is_a_function(here):
    def cost(x, y):
        return (x[:, :, None] - y[:, None]).abs().sum(-1)

    clouds = two(270, 250)
    compare(here, *both(here, so.sinkhorn_divergence, clouds, blur=0.3, cost=cost))


def check_small_clouds_and_arrays(here):
    clouds = [t.numpy() for t in two(20, 30)]
    parts = [here.part(t) for t in clouds]
    ours = so.sinkhorn_divergence(*parts, blur=0.1, group=here.group)
    assert type(ours) is float
    same(ours, so.sinkhorn_divergence(*clouds, blur=0.1), 1e-12)
    f, g = so.sinkhorn_divergence(*parts, blur=0.1, potentials=True, group=here.group)
    wanted = so.sinkhorn_divergence(*clouds, blur=0.1, potentials=True)
    same(f, here.part(wanted[0]))
    same(g, here.part(wanted[1]))


def check_only_one_rank_asks_for_a_gradient(here):
    x, y, _, _ = two(80, 70)
    mine, whole = here.part(x).clone(), x.clone().requires_grad_()
    if here.rank == 0:
        mine.requires_grad_()
    value = so.kernel_norm(mine, here.part(y), kernel=kernels.Energy(), group=here.group)
    value.backward()
    so.kernel_norm(whole, y, kernel=kernels.Energy()).backward()
    if here.rank == 0:
        same(mine.grad, here.part(whole.grad))


def check_bytes(here):
    """A sweep sends the potentials of a rank's rows to each of the others, and no points."""
    x, y, _, _ = two(400, 400, 8)
    with traffic() as sent:
        found = so.solve_sample(here.part(x), here.part(y), blur=0.2, group=here.group)
    others = here.size - 1
    most = max(400 * (k + 1) // here.size - 400 * k // here.size for k in range(here.size))
    half_steps = sent["potentials"] / (8 * most * others)
    assert half_steps == int(half_steps), (half_steps, found.n_iter)
    assert 2 * found.n_iter - 9 <= half_steps <= 2 * found.n_iter + 9, (half_steps, found.n_iter)
    rows = max(here.size, 2) / sum(range(1, here.size + 1)) * 400
    assert 0 < sent["points"] <= 8 * (8 + 1) * 2 * (rows + 400) * others


def check_distributed_tensors(here):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (here.size,))
    x, y, _, _ = two(90, 80)
    X, Y = (distribute_tensor(t.clone(), mesh, [Shard(0)]) for t in (x, y))
    X.requires_grad_()
    whole = x.clone().requires_grad_()
    value = so.sinkhorn_divergence(X, Y, blur=0.2)
    theirs = so.sinkhorn_divergence(whole, y, blur=0.2)
    same(value, theirs)
    value.backward()
    theirs.backward()
    assert isinstance(X.grad, DTensor)
    same(X.grad.full_tensor(), whole.grad)
    found = so.solve_sample(X.detach(), Y, blur=0.2)
    assert isinstance(found.potential_a, DTensor)
    same(found.potential_a.full_tensor(), so.solve_sample(x, y, blur=0.2).potential_a)
    same((so.KernelMatrix(kernels.Energy(), X.detach(), Y) @ found.potential_b).full_tensor(),
         so.KernelMatrix(kernels.Energy(), x, y) @ found.potential_b.full_tensor())  # fmt: skip
    with refused(ValueError, "placements"):
        so.sinkhorn_divergence(X.detach().redistribute(mesh, [Replicate()]), Y)


@contextlib.contextmanager
def refused(kind, *words):
    """An error of that kind, that says all of this."""
    try:
        yield
    except kind as error:
        assert all(word in str(error) for word in words), str(error)
    else:
        raise AssertionError(f"nothing was refused that is about {words}")


def check_no_room_on_one_rank(here):
    """All hear of it before they wait for rows that do not come."""
    ranks, nothing = Ranks(here.group, "a test"), torch.zeros(0, 3)
    coming = [2**50 * (here.rank == 0), *[0] * (here.size - 1)]
    with refused(RuntimeError, *([] if here.rank == 0 else ["rank 0 of"])), ranks.together():
        ranks.sent(nothing, [0] * here.size, coming, "points")
    assert ranks.told(here.rank) == [*range(here.size)], "and they go on"


def check_bad_input(here):
    x, y, a, b = two(40, 30)
    mine = [here.part(t).clone() for t in (x, y, a, b)]
    ok, last = {"blur": 0.1, "group": here.group}, here.size - 1
    bad = [t.clone() for t in mine]
    if here.rank == last and len(bad[0]):
        bad[0][0, 0] = torch.nan
    own = () if here.rank == last else (f"rank {last} of {here.size}",)
    with refused(ValueError, "NaN", *own):
        so.sinkhorn_divergence(*bad, **ok)
    flat = mine[0][:, :2] if here.rank == last else mine[0]
    with refused(ValueError, "x: got torch.float64 of shape (n, 2)", f"on rank {last}"):
        so.sinkhorn_divergence(flat, *mine[1:], **ok)
    single = [t.float() for t in mine] if here.rank == last else mine
    with refused(ValueError, "torch.float32", f"on rank {last}"):
        so.sinkhorn_divergence(*single, **ok)
    with refused(ValueError, "blur: got 0.2 on rank"):
        so.sinkhorn_divergence(*mine, blur=0.2 if here.rank == last else 0.1, group=here.group)
    with refused(ValueError, "total masses"):
        so.sinkhorn_divergence(*mine[:3], 2 * mine[3], **ok)
    with refused(ValueError, "empty cloud"):
        so.sinkhorn_divergence(mine[0][:0], mine[1], **ok)
    with refused(ValueError, "with group"):
        so.sinkhorn_divergence(mine[0][None], mine[1][None], **ok)
    with refused(TypeError, "ProcessGroup"):
        so.sinkhorn_divergence(*mine, group="all")
    with refused(ValueError, "torch.is_grad_enabled()"), torch.set_grad_enabled(here.rank != last):
        so.sinkhorn_divergence(*mine, **ok)
    same(so.sinkhorn_divergence(*mine, **ok), so.sinkhorn_divergence(x, y, a, b, blur=0.1), 1e-9)


def check_errors_of_one_rank(here):
    """Wherever they are: in a function of the caller's, in a progress function, in a part of the rows."""
    x, y, _, _ = two(300, 300)
    last = here.size - 1
    own = () if here.rank == last else (f"rank {last} of {here.size}",)

    def told(blur, error, tol):
        if here.rank == last:
            raise ZeroDivisionError("of mine")

    kind = ZeroDivisionError if here.rank == last else RuntimeError
    with refused(kind, "of mine", *own):
        how = so.Sinkhorn(progress=told, multilevel=False)
        so.solve_sample(here.part(x), here.part(y), blur=0.1, solver=how, group=here.group)

    def cost(x, y):
        if here.rank == last:
            raise ZeroDivisionError("of mine")
        return (x[:, :, None] - y[:, None]).square().sum(-1)

    with refused(kind, "of mine", *own):
        so.sinkhorn_divergence(
            here.part(x)[:50], here.part(y)[:50], blur=0.1, cost=cost, group=here.group
        )
    same_bits(here, so.sinkhorn_divergence(here.part(x), here.part(y), group=here.group))


def check_ranks_that_do_something_else(here):
    x, y, _, _ = two(300, 300)
    last = here.size - 1
    solver = so.Sinkhorn(multilevel=False, max_sweeps=1000)
    ranks = so.KernelMatrix(kernels.Energy(), here.part(x), group=here.group).spreads[0].ranks
    with refused(RuntimeError, "do not do the same"), ranks.together():
        if here.rank != last:
            ranks.rows(here.part(y))
    found = so.solve_sample(here.part(x), here.part(y), blur=0.1, solver=solver, group=here.group)
    assert found.converged


def check_groups(here):
    """A group of some processes; whoever is not in it is told so."""
    x, y, _, _ = two(50, 40)
    few = torch.distributed.new_group([0, 1])
    wanted = so.kernel_norm(x, y, kernel=kernels.Energy())
    if here.rank > 1:
        with refused(ValueError, "without this process"):
            so.kernel_norm(x[:0], y[:0], kernel=kernels.Energy(), group=few)
        return
    halves = [t[: len(t) // 2] if here.rank == 0 else t[len(t) // 2 :] for t in (x, y)]
    same(so.kernel_norm(*halves, kernel=kernels.Energy(), group=few), wanted)
