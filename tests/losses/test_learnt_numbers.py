"""Numbers that are tensors: a gradient is exact, or the tensor is refused; none is lost in silence."""

import pytest
import torch

import sparseot as so
from sparseot import kernels, nn
from sparseot.transport.solvers.annealing import AveragedAnnealing
from tests.references.clouds import cloud

X, Y = cloud(12, 2)[0], cloud(9, 2, shift=0.2)[0]
KERNELS = (kernels.Gaussian, kernels.Laplacian, kernels.InverseMultiquadric)


def learnt(value=0.4, **options):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True, **options)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_norms_in_the_length_of_their_kernel(kernel):
    """Both orders, beside those in points and weights; potentials too."""
    x, a = cloud(5, 2, grad=True)
    y, b = cloud(4, 2, shift=0.3, grad=True)

    def norm(x, y, a, b, sigma):
        return so.kernel_norm(x, y, a, b, kernel=2.0 * kernel(sigma), engine="tiles")

    def potentials(*arguments):
        x, y, a, b, sigma = arguments
        return so.kernel_norm(x, y, a, b, kernel=kernel(sigma), potentials=True, engine="tiles")

    arguments = (x, y, a, b, learnt())
    for function in (norm, potentials):
        assert torch.autograd.gradcheck(function, arguments)
        assert torch.autograd.gradgradcheck(function, arguments)
    fixed = so.kernel_norm(x, y, a, b, kernel=2.0 * kernel(0.4))
    torch.testing.assert_close(norm(*arguments), fixed)


@pytest.mark.parametrize("potentials", [False, True])
def test_arrays_beside_a_kernel_that_is_learnt(potentials):
    """Numbers and arrays have no gradient: none is lost, unless none is asked for."""
    arrays, sigma = (X.numpy(), Y.numpy()), learnt()
    losses = [
        lambda x, y: so.kernel_norm(x, y, kernel=kernels.Gaussian(sigma), potentials=potentials),
        lambda x, y: so.kernel_norm(x, y, kernel=lambda x, y: sigma * (x @ y.mT)),
        so.SamplesLoss("gaussian", blur=sigma, potentials=potentials),
    ]
    for loss in losses:
        with pytest.raises(
            TypeError, match="x, y: got arrays, beside a kernel .*from_numpy.*no_grad"
        ):
            loss(*arrays)
        with torch.no_grad():
            found, exact = loss(*arrays), loss(X, Y)
        for ours, theirs in zip(
            *(v if type(v) is tuple else (v,) for v in (found, exact)), strict=True
        ):
            torch.testing.assert_close(torch.as_tensor(ours).to(theirs), theirs)


@pytest.mark.parametrize("debias", [True, False])
def test_arrays_beside_a_cost_that_is_learnt(debias):
    """All doors of transport refuse them before they solve, as a loss does."""
    arrays, scale = (X.numpy(), Y.numpy()), learnt()
    options = {"blur": 0.3, "debias": debias, "cost": lambda x, y: scale * torch.cdist(x, y)}
    doors = [
        lambda x, y: so.solve_sample(x, y, **options).value,
        lambda x, y: so.sinkhorn_divergence(x, y, **options),
        lambda x, y: so.sinkhorn_divergence(x, y, potentials=True, **options)[0],
        lambda x, y: so.SamplesLoss("sinkhorn", **options)(x, y),
        lambda x, y: so.SamplesLoss("sinkhorn", tol=1e-3, **options)(x, y),
    ]
    for door in doors:
        with pytest.raises(TypeError, match="x, y: got arrays, beside .*a cost .*no_grad"):
            door(*arrays)
        with torch.no_grad():
            found, exact = torch.as_tensor(door(*arrays)), door(X, Y)
        torch.testing.assert_close(found.to(exact), exact)
    scale.requires_grad_(False)
    assert isinstance(so.sinkhorn_divergence(*arrays, **options), float)


@pytest.mark.parametrize("loss", ["gaussian", "laplacian"])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_losses_in_their_blur(loss, batch):
    (x, a), (y, b) = cloud(6, 2, batch=batch), cloud(5, 2, shift=0.3, batch=batch)
    blur = torch.nn.Parameter(learnt())
    door = so.SamplesLoss(loss, blur=blur)
    assert list(door.parameters()) == [blur] and "blur=0.4" in repr(door)
    (found,) = torch.autograd.grad(door(a, x, b, y).sum(), blur)
    values = [so.SamplesLoss(loss, blur=0.4 + h)(a, x, b, y).sum() for h in (1e-5, -1e-5)]
    torch.testing.assert_close(found, (values[0] - values[1]) / 2e-5, rtol=1e-6, atol=1e-9)
    with torch.no_grad():
        blur.mul_(2)  # as an optimiser does
    torch.testing.assert_close(door(a, x, b, y), so.SamplesLoss(loss, blur=0.8)(a, x, b, y))


def test_kernels_of_the_users_in_their_blur():
    def kernel(x, y, blur):
        return (-(nn.pairwise_dist(x, y) ** 2) / (2 * blur**2)).exp()

    gradients = []
    for given in (kernel, None):
        blur = learnt()
        so.SamplesLoss("gaussian", blur=blur, kernel=given)(X, Y).backward()
        gradients.append(blur.grad)
    torch.testing.assert_close(*gradients)


def _matrix(sigma=0.4, **options):
    return so.KernelMatrix(kernels.Gaussian(sigma), X, **options)


def _solved(**options):
    return so.solve_sample(X, Y, **{"blur": 0.4, **options})


def _samples(loss, name):
    return lambda t: so.SamplesLoss(loss, **{name: t})(X, Y)


ONES = torch.ones(12, dtype=torch.float64)
REFUSED = {
    "solve_sample blur": lambda t: _solved(blur=t),
    "solve_sample p": lambda t: _solved(p=2 * t),
    "solve_sample reach": lambda t: _solved(reach=t),
    "solve_sample reaches": lambda t: _solved(reach=(None, t)),
    "solve_sample tol": lambda t: _solved(tol=t),
    "Sinkhorn tol": lambda t: so.Sinkhorn(tol=t),
    "Sinkhorn max_sweeps": lambda t: so.Sinkhorn(max_sweeps=t),
    "Sinkhorn memory": lambda t: so.Sinkhorn(memory=t),
    "AveragedAnnealing scaling": lambda t: AveragedAnnealing(scaling=t),
    "AveragedAnnealing diameter": lambda t: AveragedAnnealing(diameter=t),
    "sinkhorn_divergence blur": lambda t: so.sinkhorn_divergence(X, Y, blur=t),
    "sinkhorn_divergence p": lambda t: so.sinkhorn_divergence(X, Y, p=2 * t),
    "sinkhorn_divergence reach": lambda t: so.sinkhorn_divergence(X, Y, reach=t),
    "sinkhorn_divergence tol": lambda t: so.sinkhorn_divergence(X, Y, tol=t),
    "sinkhorn_divergence diameter": lambda t: so.sinkhorn_divergence(X, Y, diameter=t),
    "hausdorff_divergence blur": lambda t: so.hausdorff_divergence(X, Y, blur=t),
    "hausdorff_divergence p": lambda t: so.hausdorff_divergence(X, Y, p=2 * t),
    "hausdorff_divergence reach": lambda t: so.hausdorff_divergence(X, Y, reach=t),
    **{
        f"SamplesLoss {loss} {name}": _samples(loss, name)
        for loss in ("sinkhorn", "hausdorff", "energy", "gaussian", "laplacian")
        for name in ("p", "blur", "reach", "diameter", "scaling", "tol")
        if name != "blur" or loss not in ("gaussian", "laplacian")
    },
    "KernelMatrix tol": lambda t: _matrix(tol=t),
    "Blocks radius": lambda t: so.Blocks(t),
    "conjugate_gradient tol": lambda t: so.conjugate_gradient(_matrix(), ONES, tol=t),
    "nystrom noise": lambda t: so.nystrom(_matrix(), t, 5),
    "eigsh tol": lambda t: so.eigsh(_matrix(), 2, tol=t),
    "spectral_embedding sigma": lambda t: so.spectral_embedding(X, 2, t),
    "spectral_embedding tol": lambda t: so.spectral_embedding(X, 2, 0.4, tol=t),
    "sparse_plan mass": lambda t: _solved().sparse_plan(mass=t),
    "KNNGraph bandwidth": lambda t: nn.KNNGraph(3, bandwidth=t),
    "KNNGraph max_distance": lambda t: nn.KNNGraph(3, max_distance=t),
    "SparseHashedNNDistance dist_mult": lambda t: nn.SparseHashedNNDistance(dist_mult=t),
    "kernel * t": lambda t: kernels.Gaussian(0.4) * t,
    "K * t": lambda t: _matrix() * t,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_derivative_takes_no_tensor(name):
    with pytest.raises((TypeError, ValueError)) as found:
        REFUSED[name](learnt(1.0 if name.split()[-1] == "p" else 0.4))
    if "*" not in name:
        assert " got " in str(found.value) and "item()" in str(found.value)


DERIVED = {
    "KernelMatrix": lambda t: _matrix(t) @ ONES,
    "graph_laplacian": lambda t: so.graph_laplacian(_matrix(t)) @ ONES.cumsum(0),
    "graph_laplacian normed": lambda t: so.graph_laplacian(_matrix(t), normed=True) @ ONES,
    "Diagonal": lambda t: so.Diagonal(t * ONES) @ ONES,
    "kernel_norm": lambda t: so.kernel_norm(X, Y, kernel=kernels.Laplacian(t)),
    "a cost": lambda t: _solved(cost=lambda x, y: t * nn.pairwise_dist(x, y)).value,
    "a weight": lambda t: nn.KNNGraph(3, weight=lambda d: (-t * d).exp())(X) @ ONES,
}  # fmt: skip


@pytest.mark.parametrize("name", DERIVED)
def test_all_others_are_exact(name):
    def total(t):
        return (DERIVED[name](t) * torch.linspace(0, 1, 12).double()).sum()

    t = learnt()
    (found,) = torch.autograd.grad(total(t), t)
    with torch.no_grad():
        exact = (total(t + 1e-5) - total(t - 1e-5)) / 2e-5
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-6)


def test_spectral_coordinates_have_no_gradient():
    """Not a part of one, of their degrees alone."""
    found = so.spectral_embedding(X.clone().requires_grad_(), 2, torch.tensor(0.4).item())
    assert not any(t.requires_grad for t in (found.coordinates, found.values, found.residuals))
