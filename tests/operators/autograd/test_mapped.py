"""``torch.vmap`` of losses: loops over their items, and one call for all of them."""

import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

import sparseot as so
from sparseot.losses import kernel_norms
from tests.references.clouds import cloud

# torch's own: its forward mode still compiles by torch.jit
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
CLOSE = {"rtol": 1e-9, "atol": 1e-11}
torch.manual_seed(0)
(X, A), (Y, B) = cloud(6, 2, batch=(3,)), cloud(5, 2, batch=(3,), shift=0.2)
SOLVED = so.SamplesLoss("sinkhorn", blur=0.4, tol=1e-13)
LOSSES = {
    "sinkhorn": so.SamplesLoss("sinkhorn", blur=0.4, diameter=2.0),
    "tol": SOLVED,
    "unbalanced": so.SamplesLoss("sinkhorn", blur=0.4, reach=0.5, tol=1e-13),
    "hausdorff": so.SamplesLoss("hausdorff", blur=0.4),
    "gaussian": so.SamplesLoss("gaussian", blur=0.4),
    "energy": so.SamplesLoss("energy"),
    "function": lambda x, y: so.kernel_norm(x, y, kernel=lambda x, y: (x @ y.mT + 1) ** 2),
}

SMOOTH = {name: LOSSES[name] for name in ("tol", "gaussian", "energy")}


def loop(function, *batches):
    return torch.stack([function(*items) for items in zip(*batches, strict=True)])


@pytest.mark.parametrize("name", LOSSES)
def test_maps_are_loops(name):
    """Over both clouds, one of them, axes other than the first, and maps of maps."""
    loss = LOSSES[name]
    batch = loop(loss, X, Y)
    torch.testing.assert_close(vmap(loss)(X, Y), batch, **CLOSE)
    torch.testing.assert_close(
        vmap(loss, (1, -1))(X.movedim(0, 1), Y.movedim(0, -1)), batch, **CLOSE
    )
    one = loop(lambda y: loss(X[0], y), Y)
    torch.testing.assert_close(vmap(loss, (None, 0))(X[0], Y), one, **CLOSE)
    torch.testing.assert_close(vmap(lambda y: loss(X[0], y), chunk_size=2)(Y), one, **CLOSE)
    every = loop(lambda x: loop(lambda y: loss(x, y), Y), X)
    torch.testing.assert_close(vmap(vmap(loss, (None, 0)), (0, None))(X, Y), every, **CLOSE)
    torch.testing.assert_close(vmap(vmap(loss, (0, None)), (None, 0))(X, Y), every.T, **CLOSE)
    batches = torch.stack([X, X + 1])
    found = vmap(loss, (0, None))(batches, Y)
    torch.testing.assert_close(found, loop(lambda x: loss(x, Y), batches), **CLOSE)


@pytest.mark.parametrize("name", ["sinkhorn", "tol", "hausdorff", "gaussian"])
def test_maps_over_weights(name):
    loss = LOSSES[name]
    found = vmap(loss, (0, None, None, None))(A, X[0], B[0], Y[0])
    torch.testing.assert_close(found, loop(lambda a: loss(a, X[0], B[0], Y[0]), A), **CLOSE)
    found = vmap(loss, (0, None, 0, 0))(A[..., None], X[0], B, Y)
    torch.testing.assert_close(found, loop(lambda *k: loss(k[0], X[0], *k[1:]), A, B, Y), **CLOSE)
    found = vmap(lambda a: loss(a, X, B, Y))(torch.stack([A, A]))
    torch.testing.assert_close(found, loss(A, X, B, Y).expand(2, 3), **CLOSE)


@pytest.mark.parametrize(("name", "options"), [("sinkhorn", {"tol": 1e-13}), ("hausdorff", {})])
def test_potentials(name, options):
    loss = so.SamplesLoss(name, blur=0.4, potentials=True, **options)
    wanted = [loss(*item) for item in zip(X, Y, strict=True)]
    for k, found in enumerate(vmap(loss)(X, Y)):
        torch.testing.assert_close(found, torch.stack([pair[k] for pair in wanted]), **CLOSE)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_through_a_map_from_outside(name):
    loss, weights = LOSSES[name], torch.arange(1.0, 4.0).double()
    x, y = X.clone().requires_grad_(), Y[0].clone().requires_grad_()
    found = torch.autograd.grad((weights * vmap(loss, (0, None))(x, y)).sum(), (x, y))
    wanted = torch.autograd.grad((weights * loop(lambda x: loss(x, y), x)).sum(), (x, y))
    torch.testing.assert_close(found, wanted, **CLOSE)


def test_one_call_for_all(monkeypatch):
    """Nothing is solved twice, and the points of one support are one in memory."""
    calls, true = [], kernel_norms.points_pair

    def counted(*args):
        source, target, batched = true(*args)
        calls.append((source.positions.shape, source.positions.stride(0)))
        return source, target, batched

    monkeypatch.setattr(kernel_norms, "points_pair", counted)
    vmap(LOSSES["gaussian"], (0, None, 0, None))(A, X[0], B, Y[0])
    assert calls == [((3, 6, 2), 0)]
    vmap(vmap(LOSSES["gaussian"], (0, None, None, None)), (None, None, 0, None))(A, X[0], B, Y[0])
    assert calls[1:] == [((9, 6, 2), 0)]


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_inside_of_maps(name):
    """Of each item, also in what is not mapped over."""
    loss = SMOOTH[name]
    gradient = grad(loss)
    torch.testing.assert_close(vmap(gradient)(X, Y), loop(gradient, X, Y), **CLOSE)
    shared = vmap(gradient, (None, 0))(X[0], Y)
    torch.testing.assert_close(shared, loop(lambda y: gradient(X[0], y), Y), **CLOSE)
    every = vmap(vmap(gradient, (None, 0)), (0, None))(X, Y)
    wanted = loop(lambda x: loop(lambda y: gradient(x, y), Y), X)
    torch.testing.assert_close(every, wanted, **CLOSE)
    of_weights = vmap(gradient, (0, None, None, None))(A, X[0], B[0], Y[0])
    wanted = loop(lambda a: gradient(a, X[0], B[0], Y[0]), A)
    torch.testing.assert_close(of_weights, wanted, **CLOSE)
    along = vmap(lambda x, y, v: jvp(lambda x: loss(x, y), (x,), (v,))[1])(X, Y, X)
    torch.testing.assert_close(along, (loop(gradient, X, Y) * X).sum((1, 2)), **CLOSE)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("derivative", [jacrev, jacfwd, hessian])
def test_jacobians_inside_of_maps_and_around_them(derivative, name):
    loss = SMOOTH[name]
    one = derivative(loss)
    torch.testing.assert_close(vmap(one)(X, Y), loop(one, X, Y), **CLOSE)

    def of_map(x):
        return vmap(loss)(x, Y).square().sum()

    found = derivative(of_map)(X)
    torch.testing.assert_close(found, derivative(lambda x: loss(x, Y).square().sum())(X), **CLOSE)


@pytest.mark.parametrize("name", ["gaussian", "laplacian", "energy"])
def test_kernel_norms_are_differentiated_as_autograd_does(name):
    """In points, weights, and the length of a kernel; twice, too."""
    kernel = {"gaussian": so.kernels.Gaussian, "laplacian": so.kernels.Laplacian}.get(name)
    sigma = torch.tensor(0.4, dtype=torch.float64)

    def loss(x, y, a, b, sigma):
        return so.kernel_norm(x, y, a, b, kernel=kernel(sigma) if kernel else so.kernels.Energy())

    given = X[0], Y[0], A[0], B[0], sigma
    leaves = [t.clone().requires_grad_() for t in given]
    wanted = torch.autograd.grad(loss(*leaves), leaves, materialize_grads=True, create_graph=True)
    found = grad(loss, (0, 1, 2, 3, 4))(*given)
    torch.testing.assert_close(found, wanted, **CLOSE)
    along = [torch.rand_like(t) for t in given]
    _, moved = jvp(loss, given, tuple(along))
    parts = [(g * v).sum() for g, v in zip(wanted, along, strict=True)]
    torch.testing.assert_close(moved, sum(parts).detach(), **CLOSE)
    second = torch.autograd.grad(sum(parts), leaves, materialize_grads=True)
    _, turned = jvp(grad(loss, (0, 1, 2, 3, 4)), given, tuple(along))
    torch.testing.assert_close(turned, second, **CLOSE)


def test_products_with_a_matrix_are_mapped_over_columns():
    """As many columns, of one matrix."""
    K, v = so.KernelMatrix(so.kernels.Gaussian(0.4), X[0], Y[0]), torch.rand(4, 5).double()
    torch.testing.assert_close(vmap(lambda v: K @ v)(v), (K @ v.T).T, **CLOSE)


def test_a_map_inside_of_a_derivative_inside_of_a_map():
    def total(x, ys):
        return vmap(SOLVED, (None, 0))(x, ys).square().sum()

    found = vmap(grad(total), (0, None))(X, Y)
    wanted = loop(lambda x: grad(lambda x: loop(lambda y: SOLVED(x, y), Y).square().sum())(x), X)
    torch.testing.assert_close(found, wanted, **CLOSE)


def test_half_precision():
    x, y = X.bfloat16(), Y.bfloat16()
    found = vmap(LOSSES["gaussian"])(x, y)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, LOSSES["gaussian"](x, y))


def test_what_cannot_be_mapped():
    with pytest.raises(ValueError, match="x: got 36 NaN or infinite coordinates"):
        vmap(SOLVED)(X * torch.nan, Y)
    for function in (
        lambda x, y: so.solve_sample(x, y, blur=0.4).value,
        lambda x, y: so.KernelMatrix(so.kernels.Gaussian(0.4), x, y) @ y[:, 0],
    ):
        with pytest.raises(ValueError, match=r"torch.vmap: got a map over clouds.*\(B, N, D\)"):
            vmap(function)(X, Y)
    for name in ("sinkhorn", "hausdorff"):
        with pytest.raises(ValueError, match="torch.func: got a loss that is not.*tol=1e-3"):
            vmap(grad(LOSSES[name]))(X, Y)
    with pytest.raises(
        ValueError, match="torch.func: got a kernel that is a function, wanted a form"
    ):
        vmap(grad(LOSSES["function"]))(X, Y)


HELD = {
    "a length": (lambda s: so.kernel_norm(X[0], Y[0], kernel=so.kernels.Gaussian(s)), "sigma, the length"),
    "a loss": (lambda s: so.SamplesLoss("laplacian", blur=s)(X[0], Y[0]), "blur"),
    "a kernel's own": (lambda s: so.kernel_norm(X[0], Y[0], kernel=lambda x, y: s * (x @ y.mT)), "function"),
    "a cost's own": (lambda s: so.sinkhorn_divergence(X[0], Y[0], cost=lambda x, y: s * torch.cdist(x, y)), "function"),
    "beside clouds": (lambda s: so.kernel_norm(s * X[0], Y[0], kernel=lambda x, y: s * (x @ y.mT)), "function"),
    "a matrix": (lambda s: so.KernelMatrix(so.kernels.Laplacian(s), X[0]) @ A[0], "sigma, the length"),
}  # fmt: skip


@pytest.mark.parametrize("case", HELD)
def test_what_is_neither_points_nor_weights_cannot_be_mapped(case):
    function, word = HELD[case]
    with pytest.raises(
        ValueError, match=f"torch.vmap: got a map over .*{word}.*points .N, D.*Loop"
    ):
        vmap(function)(torch.tensor([0.3, 0.5]).double())
