"""Sinkhorn divergences against their definition, and what changes nothing."""

import pytest
import torch

import sparseot as so
from sparseot.transport.solvers.annealing import AveragedAnnealing
from tests.references.clouds import cloud
from tests.references.dense import sinkhorn_divergence, transport
from tests.references.solvers import Converged


def divergence(x, y, a=None, b=None, **options):
    """Converged, whatever the schedule would have left undone."""
    return so.sinkhorn_divergence(x, y, a, b, solver=Converged(), **options)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.5])
@pytest.mark.parametrize("debias", [True, False])
def test_values_are_those_of_the_definition(p, reach, debias):
    """The primal objective of the converged plan, masses unequal where they may be."""
    (x, a), (y, b) = cloud(15, 2), cloud(11, 2, shift=0.2)
    if reach:
        b = 2 * b
    options = {"p": p, "blur": 0.3, "reach": reach}
    exact = sinkhorn_divergence(x, y, a, b, **options)
    if not debias:
        exact = transport(x, y, a, b, **options)[0]
    found = divergence(x, y, a, b, debias=debias, **options)
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.4])
def test_gradients_are_those_of_the_converged_value(p, reach):
    """Finite differences of the definition in x, y, a and b, with the temperature near rho."""
    (x, a), (y, b) = cloud(5, 2, grad=True), cloud(4, 2, shift=0.3, grad=True)
    options = {"p": p, "blur": 0.35, "reach": reach}
    found = torch.autograd.grad(divergence(x, y, a, b, **options), (x, y, a, b))
    inputs = [t.detach() for t in (x, y, a, b)]
    for which, gradient in enumerate(found):
        direction = torch.randn_like(inputs[which])
        if which > 1 and reach is None:
            direction -= direction.mean()  # balanced weights move along the simplex
        values = []
        for step in (1e-5, -1e-5):
            moved = list(inputs)
            moved[which] = moved[which] + step * direction
            values.append(sinkhorn_divergence(*moved, **options))
        slope = (values[0] - values[1]) / 2e-5
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("reach", [None, 0.4])
def test_the_slow_schedule_tends_to_the_converged_gradient(reach):
    """At scaling .999, where the frozen potentials hardly move any more."""
    (x, a), (y, b) = cloud(20, 2, grad=True), cloud(15, 2, shift=0.2)
    results = []
    for solver in (Converged(), AveragedAnnealing(0.999), AveragedAnnealing(0.5)):
        value = so.sinkhorn_divergence(x, y, a, b, blur=0.1, reach=reach, solver=solver)
        results.append(torch.autograd.grad(value, x)[0])
    errors = [(r - results[0]).norm() / results[0].norm() for r in results[1:]]
    assert errors[0] < 5e-3 < 1e-2 < errors[1]


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.4])
def test_slow_schedules_differentiate_their_own_value(p, reach):
    """At scaling .999 the gradient is that of the number returned, by finite differences."""
    (x, a), (y, b) = cloud(6, 2, grad=True), cloud(5, 2, shift=0.3)
    loss = so.SamplesLoss(p=p, blur=0.3, reach=reach, scaling=0.999, diameter=3.0)
    (gradient,) = torch.autograd.grad(loss(a, x, b, y), x)
    v = torch.randn_like(x)
    up, down = (loss(a, (x + step * v).detach(), b, y) for step in (1e-5, -1e-5))
    torch.testing.assert_close((gradient * v).sum(), (up - down) / 2e-5, rtol=5e-3, atol=1e-4)


def test_far_from_the_origin_in_single_precision():
    """A shift by 1000 loses the digits of the points, none of the loss's."""
    (x, a), (y, b) = cloud(30, 2, dtype=torch.float32), cloud(20, 2, dtype=torch.float32)
    x, y = ((t * 4096).round() / 4096 for t in (x, y))
    near = so.sinkhorn_divergence(x, y, a, b)
    far = so.sinkhorn_divergence(x + 1024, y + 1024, a, b)
    torch.testing.assert_close(far, near, rtol=1e-5, atol=0)


def test_padding_with_zero_weights_makes_ragged_batches():
    """Clouds of unequal size in one batch: copies of a point with weight zero fill the rest."""
    (x, a), (y, b) = cloud(9, 2), cloud(7, 2)
    padded = torch.cat((x, x[:1].expand(3, 2)))[None], torch.cat((a, a.new_zeros(3)))[None]
    found = so.sinkhorn_divergence(padded[0], y[None], padded[1], b[None])
    torch.testing.assert_close(found[0], so.sinkhorn_divergence(x, y, a, b))


def test_units():
    """Points, blur and reach times c: the value times c^p."""
    (x, a), (y, b) = cloud(12, 2), cloud(14, 2)
    for p in (1, 2):
        one = so.sinkhorn_divergence(x, y, a, b, p=p, blur=0.1, reach=0.5)
        scaled = so.sinkhorn_divergence(7 * x, 7 * y, a, b, p=p, blur=0.7, reach=3.5)
        torch.testing.assert_close(scaled, 7.0**p * one)


def test_batches_are_loops():
    """Items of very different size follow their own schedules."""
    x, a = cloud(10, 2, batch=(4,))
    y, b = cloud(8, 2, batch=(4,))
    sizes = torch.tensor([1.0, 10.0, 0.01, 1e-4]).double()[:, None, None]
    x, y = (x * sizes).requires_grad_(), y * sizes
    for p in (1, 2):
        values = so.sinkhorn_divergence(x, y, a, b, p=p, solver=AveragedAnnealing())
        gradient = torch.autograd.grad(values.sum(), x)[0]
        for k in range(4):
            item = x[k].detach().requires_grad_()
            value = so.sinkhorn_divergence(item, y[k], a[k], b[k], p=p, solver=AveragedAnnealing())
            torch.testing.assert_close(values[k], value, rtol=1e-12, atol=0)
            torch.testing.assert_close(
                gradient[k], torch.autograd.grad(value, item)[0], rtol=1e-10, atol=1e-14
            )


def test_zero_weights_are_as_if_absent():
    (x, a), (y, b) = cloud(9, 2, zero=3), cloud(7, 2)
    keep = a > 0
    torch.testing.assert_close(
        so.sinkhorn_divergence(x, y, a, b, diameter=1.0),
        so.sinkhorn_divergence(x[keep], y, a[keep], b, diameter=1.0),
    )
    x.requires_grad_(), a.requires_grad_()
    gradients = torch.autograd.grad(so.sinkhorn_divergence(x, y, a, b), (x, a))
    assert all(g.isfinite().all() for g in gradients) and gradients[0][3].abs().max() == 0


def test_splitting_a_point_changes_nothing():
    (x, a), (y, b) = cloud(9, 2), cloud(7, 2)
    twice = torch.cat((x, x[:1])), torch.cat((a[:1] / 2, a[1:], a[:1] / 2))
    torch.testing.assert_close(
        so.sinkhorn_divergence(twice[0], y, twice[1], b), so.sinkhorn_divergence(x, y, a, b)
    )


def test_swapping_and_shuffling_change_nothing():
    (x, a), (y, b) = cloud(9, 2), cloud(7, 2)
    value = so.sinkhorn_divergence(x, y, a, b)
    torch.testing.assert_close(so.sinkhorn_divergence(y, x, b, a), value)
    order = torch.randperm(9)
    torch.testing.assert_close(so.sinkhorn_divergence(x[order], y, a[order], b), value)


@pytest.mark.parametrize("p", [1, 2])
def test_identical_and_coincident_clouds(p):
    """Equal clouds, and all points in one place: value 0, gradient 0, nothing that is NaN."""
    x, a = cloud(9, 2)
    for points in (x, torch.ones(9, 2).double(), torch.ones(1, 2).double()):
        weights = a if len(points) == 9 else None
        moving = points.clone().requires_grad_()
        value = so.sinkhorn_divergence(moving, points, weights, weights, p=p)
        (gradient,) = torch.autograd.grad(value, moving)
        assert value.abs() < 1e-12 and gradient.abs().max() < 1e-12


@pytest.mark.parametrize("dimension", [1, 2, 7, 20, 21, 64])
def test_single_precision(dimension):
    """Value to 1e-5 and gradient to 1e-4 of the double-precision ones, in every dimension."""
    (x, a), (y, b) = cloud(60, dimension), cloud(50, dimension, shift=0.3)
    results = []
    for dtype in (torch.float64, torch.float32):
        moving = x.to(dtype).requires_grad_()
        value = so.sinkhorn_divergence(moving, y.to(dtype), a.to(dtype), b.to(dtype))
        results.append((value.double(), torch.autograd.grad(value, moving)[0].double()))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-5, atol=0)
    error = (results[1][1] - results[0][1]).norm() / results[0][1].norm()
    assert error < 1e-4


def test_non_contiguous_input_and_grad_mode():
    (x, a), (y, b) = cloud(9, 2), cloud(7, 2)
    value = so.sinkhorn_divergence(x, y, a, b)
    strided = x.T.contiguous().T
    torch.testing.assert_close(so.sinkhorn_divergence(strided, y, a, b), value)
    with torch.no_grad():
        so.SamplesLoss()(x.requires_grad_(), y)
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("loss", ["sinkhorn", "hausdorff"])
@pytest.mark.parametrize("reach", [None, 0.5])
@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("second", range(4))
def test_second_derivatives_name_the_remedy(loss, reach, first, second):
    """In every pair of x, a, y and b: an error, never a wrong number."""
    (x, a), (y, b) = cloud(5, 2, grad=True), cloud(4, 2, grad=True)
    inputs = (x, a, y, b)
    value = so.SamplesLoss(loss, blur=0.3, reach=reach)(a, x, b, y)
    (gradient,) = torch.autograd.grad(value, inputs[first], create_graph=True)
    with pytest.raises(RuntimeError, match="tol=|not have been used|does not require grad"):
        torch.autograd.grad(gradient.square().sum(), inputs[second])


@pytest.mark.parametrize("engine", ["tiles", "numba"])
@pytest.mark.parametrize("dimension", [2, 32])
@pytest.mark.parametrize("loss", ["sinkhorn", "hausdorff", "energy"])
def test_far_padding_carries_nothing(loss, dimension, engine):
    """Points of weight zero anywhere, in both clouds: values and gradients stay."""
    (x, a), (y, b) = cloud(6, dimension), cloud(5, dimension, shift=0.3)
    far = torch.full((2, dimension), 3.0).double()
    padded = [torch.cat((x, far)), torch.cat((a, a.new_zeros(2)))]
    padded += [torch.cat((y, -far)), torch.cat((b, b.new_zeros(2)))]
    results = []
    for clouds in ((x, a, y, b), padded):
        moving = [t.clone().requires_grad_() for t in clouds]
        options = {"blur": 0.5} | ({"diameter": 9.0} if loss == "sinkhorn" else {})
        options |= {"backend": engine}
        value = so.SamplesLoss(loss, **options)(moving[1], moving[0], moving[3], moving[2])
        results.append((value, *torch.autograd.grad(value, moving)))
    for plain, extended in zip(*results, strict=True):
        assert extended.isfinite().all()
        kept = extended[: len(plain)] if plain.dim() else extended
        torch.testing.assert_close(kept, plain, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("engine", ["tiles", "numba"])
@pytest.mark.parametrize("blur", [1e-3, 1e-5, 1e-6])
def test_single_precision_at_tiny_blurs(blur, engine):
    """Where exponents have no digits left, the sums are taken in double precision."""
    x, y = (cloud(n, 2, dtype=torch.float32)[0] for n in (32, 64))
    for loss in ("sinkhorn", "hausdorff"):
        results = []
        for dtype in (torch.float64, torch.float32):
            moving = x.to(dtype).requires_grad_()
            make = so.SamplesLoss(loss, blur=blur, backend=engine)
            value = make(moving, y.to(dtype))
            (gradient,) = torch.autograd.grad(value, moving)
            assert value.dtype == gradient.dtype == dtype
            results.append((value.double(), gradient.double()))
        torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-6)


def test_mixed_precision_does_not_reach_the_distances():
    (x, a), (y, b) = (cloud(50, 40, dtype=torch.float32) for _ in range(2))
    exact = so.sinkhorn_divergence(x, y, a, b)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(so.sinkhorn_divergence(x, y, a, b), exact)


def test_costs_that_are_no_costs_are_refused():
    x = torch.rand(3, 2)
    for cost in (so.kernels.Gaussian(0.1), so.kernels.Energy()):
        with pytest.raises(ValueError, match="wanted a multiple of the distance"):
            so.sinkhorn_divergence(x, x, cost=cost)
    with pytest.raises(TypeError, match="cost: got 3, wanted a function"):
        so.sinkhorn_divergence(x, x, cost=3)
    plain = so.sinkhorn_divergence(x, x + 1, cost=lambda x, y: torch.cdist(x, y) ** 2 / 2)
    torch.testing.assert_close(plain, so.sinkhorn_divergence(x, x + 1))
    with pytest.raises(ValueError, match="scaling: got 1"):
        AveragedAnnealing(1.0)
