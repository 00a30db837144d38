"""``SamplesLoss``: its arguments, what it refuses, and what it says it ignores."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot.transport.solvers.annealing import AveragedAnnealing

X, Y = torch.rand(6, 2), torch.rand(5, 2)

BAD_ARGUMENTS = {
    "unknown loss": ({"loss": "wasserstein"}, ValueError, 'one of "sinkhorn", "hausdorff"'),
    "blur": ({"blur": 0.0}, ValueError, "blur: got 0, wanted a positive"),
    "blur NaN": ({"blur": float("nan")}, ValueError, "blur: got nan"),
    "blur a string": ({"blur": "0.1"}, TypeError, "blur: got '0.1', wanted a positive number"),
    "reach": ({"reach": -1.0}, ValueError, "reach: got -1"),
    "diameter": ({"diameter": 0.0}, ValueError, "diameter: got 0"),
    "p a bool": ({"p": True}, ValueError, "p: got True, wanted 1 or 2"),
    "kernel": ({"loss": "gaussian", "kernel": "gaussian"}, TypeError, "kernel: got 'gaussian'"),
    "p": ({"p": 3}, ValueError, "p: got 3, wanted 1 or 2"),
    "scaling": ({"scaling": 1.0}, ValueError, "scaling: got 1, wanted a ratio between 0 and 1"),
    "tol": ({"tol": 2.0}, ValueError, "tol: got 2, wanted a share of the mass"),
    "backend": ({"backend": "gpu"}, ValueError, "backend: got 'gpu', wanted one of"),
    "cost": ({"cost": 3}, TypeError, "cost: got 3, wanted a function"),
    "unknown keyword": ({"epsilon": 0.1}, TypeError, "epsilon"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments(case):
    options, kind, message = BAD_ARGUMENTS[case]
    with pytest.raises(kind, match=message):
        so.SamplesLoss(**options)


def test_bad_calls():
    loss = so.SamplesLoss()
    with pytest.raises(ValueError, match="labels.*Drop the cluster labels"):
        loss(None, None, X, None, None, Y)
    with pytest.raises(TypeError, match="3 arguments"):
        loss(X, Y, X)


def test_arguments_without_effect_are_named_once():
    for options in ({"truncate": 3}, {"cluster_scale": 0.1}, {"verbose": True}):
        (name,) = options
        with pytest.warns(UserWarning, match=f"{name} has no effect") as caught:
            so.SamplesLoss(**options)(X, Y)
        assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for backend in ("auto", "tensorized", "online", "multiscale"):
            so.SamplesLoss(backend=backend)(X, Y)


def test_arguments_that_a_loss_does_not_use_are_named():
    with pytest.warns(UserWarning, match='reach has no effect on the loss "energy"'):
        so.SamplesLoss("energy", reach=0.1)
    with pytest.warns(UserWarning, match='scaling has no effect on the loss "hausdorff"'):
        so.SamplesLoss("hausdorff", scaling=0.9)
    with pytest.warns(UserWarning, match='kernel has no effect on the loss "sinkhorn"'):
        so.SamplesLoss(kernel=lambda x, y: x @ y.mT)


def test_numbers_of_numpy_are_numbers():
    value = so.SamplesLoss(blur=0.05)(X, Y)
    for blur in (np.float64(0.05), np.float32(0.05)):
        torch.testing.assert_close(so.SamplesLoss(blur=blur)(X, Y), value)
    torch.testing.assert_close(so.SamplesLoss(blur=1)(X, Y), so.SamplesLoss(blur=1.0)(X, Y))


def linear(x, y, blur):
    return x @ y.mT / blur


def test_it_is_copied_and_pickled():
    for loss in (so.SamplesLoss(blur=0.1), so.SamplesLoss("gaussian", kernel=linear)):
        for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
            assert torch.equal(twin(X, Y), loss(X, Y))


def test_it_is_a_module():
    loss = so.SamplesLoss("sinkhorn", blur=0.1, reach=0.3)
    assert isinstance(loss, torch.nn.Module) and not list(loss.parameters())
    assert repr(loss) == (
        "SamplesLoss('sinkhorn', p=2, blur=0.1, reach=0.3, scaling=0.5, debias=True)"
    )


def test_it_is_the_functions():
    """The module adds nothing to the functional twins."""
    kernels = {"gaussian": so.kernels.Gaussian(0.2), "laplacian": so.kernels.Laplacian(0.2)}
    for name, kernel in (kernels | {"energy": so.kernels.Energy()}).items():
        twin = so.kernel_norm(X, Y, kernel=kernel)
        assert torch.equal(so.SamplesLoss(name, blur=0.2)(X, Y), twin)
    twin = so.hausdorff_divergence(X, Y, p=1, blur=0.2, reach=0.5)
    assert torch.equal(so.SamplesLoss("hausdorff", p=1, blur=0.2, reach=0.5)(X, Y), twin)
    twin = so.sinkhorn_divergence(X, Y, p=1, blur=0.2, solver=AveragedAnnealing())
    assert torch.equal(so.SamplesLoss(p=1, blur=0.2)(X, Y), twin)
    twin = so.sinkhorn_divergence(X, Y, p=1, blur=0.2, tol=1e-5)
    assert torch.equal(so.SamplesLoss(p=1, blur=0.2, tol=1e-5)(X, Y), twin)


@pytest.mark.parametrize("loss", ["sinkhorn", "hausdorff", "gaussian", "laplacian", "energy"])
def test_every_loss_on_every_device(loss, device):
    """A batch, with gradients, in single precision: finite, of the right shape and place."""
    x = torch.rand(3, 20, 2, device=device, requires_grad=True)
    y = torch.rand(3, 15, 2, device=device)
    value = so.SamplesLoss(loss)(x, y)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert value.shape == (3,) and value.device.type == gradient.device.type == device.type
    assert value.isfinite().all() and gradient.isfinite().all()
    cpu = so.SamplesLoss(loss)(x.cpu(), y.cpu())
    torch.testing.assert_close(value.cpu(), cpu, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("p", [1, 2])
def test_where_geomloss_goes_multiscale_the_loss_is_solved(p):
    x, y = torch.rand(300, 2), torch.rand(200, 2)
    found = so.SamplesLoss(p=p, blur=0.1, backend="multiscale")(x, y)
    assert torch.equal(found, so.SamplesLoss(p=p, blur=0.1, tol=1e-3)(x, y))


def test_the_plan_of_a_loss():
    """As docs/guide/coming-from-geomloss.md gives it: by solve_sample, and by hand from potentials."""
    x, y = X.double(), Y.double()
    a, b = torch.rand(6).double(), torch.rand(5).double()
    a, b = a / a.sum(), b / b.sum()
    result = so.solve_sample(x, y, a, b, p=2, blur=0.2, tol=1e-9)
    loss = so.SamplesLoss("sinkhorn", p=2, blur=0.2, debias=False, potentials=True, tol=1e-9)
    f, g = loss(a, x, b, y)
    cost = torch.cdist(x, y) ** 2 / 2
    plan = a[:, None] * b * ((f[:, None] + g - cost) / 0.2**2).exp()
    torch.testing.assert_close(plan, result.plan, atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(plan.sum(1), a, atol=1e-8, rtol=0)
    images = (plan @ y) / plan.sum(1, keepdim=True)
    torch.testing.assert_close(result.map(), images, atol=1e-6, rtol=0)
    torch.testing.assert_close(result.plan_operator @ y, plan @ y, atol=1e-8, rtol=1e-6)
    assert result.sparse_plan(k=5).toarray() == pytest.approx(result.plan.numpy(), abs=1e-8)
