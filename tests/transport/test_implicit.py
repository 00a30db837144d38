"""Second derivatives of values and first ones of potentials, through autograd: the implicit rule."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.functional import hessian, hvp, jacobian, jvp

import sparseot as so
from sparseot.transport.derivatives import curvature

from .. import unrolled
from ..clouds import cloud

CASES = [(reach, debias) for reach in (None, 0.5) for debias in (True, False)]
CASES += [((None, 0.5), False), ((0.3, None), False), ((0.3, 0.6), False)]
NAMES = ("x", "y", "a", "b")


def simplex(t):
    return t.softmax(0)


def masses(t):
    return t.exp() / 5


def problem(n, m, d, reach=None):
    """Points, and parameters of weights: on the simplex where masses must be equal."""
    x, y = torch.rand(n, d).double(), torch.rand(m, d).double() + 0.2
    s, t = torch.randn(n).double(), torch.randn(m).double()
    weigh = simplex if reach is None else masses
    return [z.requires_grad_() for z in (x, y, s, t)], weigh


def value(x, y, a, b, *, blur=0.4, tol=1e-14, **options):
    return so.solve_sample(x, y, a, b, blur=blur, tol=tol, **options).value


@pytest.fixture
def iterative(monkeypatch):
    """No matrix is stored: kernel sums and conjugate gradients."""
    monkeypatch.setattr(curvature, "STORED", 0)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize(("reach", "debias"), CASES)
def test_all_blocks_are_those_of_the_unrolled_loop(d, reach, debias):
    """x, y, a and b against each other: sixteen blocks, each times a random direction."""
    inputs, weigh = problem(6, 7, d, reach)

    def products(function):
        x, y, s, t = inputs
        out = function(x, y, weigh(s), weigh(t))
        first = torch.autograd.grad(out, inputs, create_graph=True)
        return [
            torch.autograd.grad(g, inputs, v, retain_graph=True)
            for g, v in zip(first, directions, strict=True)
        ]

    directions = [torch.randn_like(z) for z in inputs]
    exact = unrolled.divergence if debias else unrolled.transport
    wanted = products(lambda *z: exact(*z, blur=0.4, reach=reach, steps=300))
    found = products(lambda *z: value(*z, reach=reach, debias=debias, tol=1e-13))
    for i, j in product(range(4), range(4)):
        error = (found[i][j] - wanted[i][j]).norm() / wanted[i][j].norm()
        assert error < 1e-9, f"block {NAMES[i]}{NAMES[j]}: {error:.1e}"


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.5])
def test_gradcheck_and_gradgradcheck(p, reach):
    inputs, weigh = problem(4, 3, 2, reach)

    def loss(x, y, s, t):
        return value(x, y, weigh(s), weigh(t), p=p, reach=reach, debias=True, tol=1e-13)

    assert gradcheck(loss, inputs) and gradgradcheck(loss, inputs)


@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize("reach", [None, 0.5])
def test_gradients_of_the_potentials(reach, debias):
    inputs, weigh = problem(4, 3, 2, reach)

    def potentials(x, y, s, t):
        found = so.solve_sample(
            x, y, weigh(s), weigh(t), blur=0.4, reach=reach, debias=debias, tol=1e-13
        )
        return found.potential_a, found.potential_b, *found.dual_potentials

    assert gradcheck(potentials, inputs)
    x, y, s, t = inputs
    found = so.solve_sample(x, y, weigh(s), weigh(t), blur=0.4, reach=reach, tol=1e-13)
    if reach is None:
        gap = weigh(s) @ found.potential_a - weigh(t) @ found.potential_b
        assert abs(gap) < 1e-14
    with pytest.raises(RuntimeError, match="no third derivative"):
        (first,) = torch.autograd.grad(found.potential_a.square().sum(), x, create_graph=True)
        torch.autograd.grad(first.sum(), x)


def test_products_that_differentiate_in_the_direction():
    """torch's ``hvp`` and ``jvp`` differentiate products of a vector in that vector."""
    (x, a), (y, b) = cloud(5, 2), cloud(4, 2)
    v = torch.randn_like(x)

    def loss(x):
        return value(x, y, a, b, debias=True)

    wanted = torch.einsum("idje,je->id", hessian(loss, x), v)
    torch.testing.assert_close(hvp(loss, x, v)[1], wanted)

    def potential(x):
        return so.solve_sample(x, y, a, b, blur=0.4, debias=True, tol=1e-13).dual_potentials[0]

    wanted = torch.einsum("ije,je->i", jacobian(potential, x), v)
    torch.testing.assert_close(jvp(potential, x, v)[1], wanted)


def test_the_reference_of_ott():
    """Positions and centred weights within its accuracy; its own test allows ten per cent."""
    data = np.load(Path(__file__).parent.parent / "data" / "hessian_ott.npz")
    x, y, a, b = (torch.from_numpy(data[k]).double() for k in NAMES)
    a, b = a / a.sum(), b / b.sum()
    blur = (float(data["epsilon"]) / 2) ** 0.5
    loss = so.SamplesLoss("sinkhorn", blur=blur, tol=1e-8)
    in_x, in_a = hessian(lambda x: loss(a, x, b, y), x), hessian(lambda a: loss(a, x, b, y), a)
    centre = torch.eye(15).double() - 1 / 15
    theirs = torch.from_numpy(data["hess_a"]).double() / 2
    for ours, wanted in (
        (in_x, torch.from_numpy(data["hess_x"]).double() / 2),
        (in_a, centre @ theirs @ centre),
    ):
        assert (ours - wanted).norm() < 1e-3 * wanted.norm()


@pytest.mark.parametrize("debias", [True, False])
def test_moving_all_points_together(debias):
    """``H (1 (x) v) = a (x) v`` with y held; nothing when y moves along; rotations too."""
    (x, a), (y, b) = cloud(9, 3), cloud(8, 3, shift=0.2)
    x.requires_grad_(), y.requires_grad_()
    out = value(x, y, a, b, debias=debias, blur=0.2, tol=1e-14)
    gx, gy = torch.autograd.grad(out, (x, y), create_graph=True)
    v = torch.randn(3).double()
    (moved,) = torch.autograd.grad(gx, x, v.expand(9, 3), retain_graph=True)
    torch.testing.assert_close(moved, a[:, None] * v, rtol=1e-10, atol=1e-12)
    both = (v.expand(9, 3), v.expand(8, 3))
    still = torch.autograd.grad((gx, gy), (x, y), both, retain_graph=True)
    assert max(t.abs().max() for t in still) < 1e-12
    torque = x.T @ gx + y.T @ gy
    torch.testing.assert_close(torque, torque.T, rtol=0, atol=1e-12)
    turn = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 0]]).double()
    turned = torch.autograd.grad((gx, gy), (x, y), (x @ turn, y @ turn))
    for second, first in zip(turned, (gx, gy), strict=True):
        torch.testing.assert_close(second, first @ turn, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("debias", [True, False])
def test_the_hessian_in_the_weights(debias):
    """Symmetric, positive on the simplex, zero along the constants."""
    (x, a), (y, b) = cloud(9, 2), cloud(8, 2)
    found = hessian(lambda a: value(x, y, a, b, debias=debias, blur=0.2), a)
    torch.testing.assert_close(found, found.T, rtol=0, atol=1e-13)
    assert found.sum(0).abs().max() < 1e-13
    assert torch.linalg.eigvalsh(found).min() > -1e-13


def test_one_target_point():
    """All mass goes there: the Hessian is the cost's."""
    (x, a), (y, b) = cloud(5, 2), cloud(1, 2)
    found = hessian(lambda x: value(x, y, a, b), x).reshape(10, 10)
    torch.testing.assert_close(found, a.repeat_interleave(2).diag(), rtol=0, atol=1e-13)


def test_scaling():
    """Twice the lengths, four times the value: the Hessian in x stays, that in a is four times it."""
    (x, a), (y, b) = cloud(5, 2), cloud(6, 2)
    for k, factor in ((0, 1), (2, 4)):
        inputs = [x, y, a, b]

        def loss(z, k, scale, inputs=inputs):
            now = [*inputs[:k], z, *inputs[k + 1 :]]
            now = (
                [scale * t for t in now[:2]] + now[2:] if k else [now[0], scale * now[1], *now[2:]]
            )
            return value(*now, blur=0.3 * scale, debias=True)

        one = hessian(lambda z, k=k, loss=loss: loss(z, k, 1.0), inputs[k])
        two = hessian(lambda z, k=k, loss=loss: loss(z, k, 2.0), inputs[k] * (1 if k else 2))
        torch.testing.assert_close(two, factor * one, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("debias", [True, False])
def test_a_split_point(debias):
    """Two halves at one place are the whole: values agree, derivatives sum."""
    (x, a), (y, b) = cloud(5, 2), cloud(6, 2)
    halves = torch.tensor([0, 0, 1, 2, 3, 4])
    share = torch.tensor([0.5, 0.5, 1, 1, 1, 1]).double()

    def whole(x):
        return value(x, y, a, b, debias=debias)

    def split(x):
        return value(x, y, share * a[halves], b, debias=debias)

    one, two = hessian(whole, x), hessian(split, x[halves])
    summed = torch.zeros(5, 2, 6, 2).double().index_add_(0, halves, two)
    summed = torch.zeros(5, 2, 5, 2).double().index_add_(2, halves, summed)
    torch.testing.assert_close(summed, one, rtol=1e-10, atol=1e-12)


def test_equal_clouds():
    """The divergence is zero with its gradient, and its Hessian is positive."""
    x, a = cloud(8, 2)
    moving = x.clone().requires_grad_()
    out = value(moving, x, a, a, debias=True, blur=0.2)
    (first,) = torch.autograd.grad(out, moving, create_graph=True)
    assert abs(out) < 1e-14 and first.abs().max() < 1e-14
    found = hessian(lambda x: value(x, x.detach(), a, a, debias=True, blur=0.2), x).reshape(16, 16)
    assert torch.linalg.eigvalsh(found).min() > -1e-12


def test_a_long_reach_is_no_reach():
    (x, a), (y, b) = cloud(6, 2), cloud(5, 2)
    found = hessian(lambda x: value(x, y, a, b, debias=True, reach=1e3), x)
    wanted = hessian(lambda x: value(x, y, a, b, debias=True), x)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def products(inputs, **options):
    """The Hessian in all arguments times random directions."""
    torch.manual_seed(3)
    x, y, a, b = inputs
    out = so.solve_sample(x, y, a, b, blur=0.3, tol=1e-13, **options).value
    first = torch.autograd.grad(out, inputs, create_graph=True)
    return torch.autograd.grad(first, inputs, [torch.randn_like(z) for z in inputs])


@pytest.mark.parametrize("zero", [None, 2])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.5, (0.3, None)])
def test_factored_and_iterated_systems_agree(p, reach, zero, monkeypatch):
    """Also where points have no weight."""
    inputs = [z for n in (12, 9) for z in cloud(n, 2, zero=zero, shift=0.03 * n)]
    inputs = [z.requires_grad_() for z in (inputs[0], inputs[2], inputs[1], inputs[3])]
    options = {"p": p, "reach": reach, "debias": not isinstance(reach, tuple)}
    stored = products(inputs, **options)
    monkeypatch.setattr(curvature, "STORED", 0)
    iterated = products(inputs, **options)
    for one, other in zip(stored, iterated, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-8)


def test_both_sides_may_be_eliminated():
    """Exchanging the clouds exchanges the system's sides."""
    (x, a), (y, b) = cloud(9, 2), cloud(5, 2)
    inputs = [z.requires_grad_() for z in (x, y, a, b)]
    directions = [torch.randn_like(z) for z in inputs]

    def times(*order):
        now = [inputs[k] for k in order]
        first = torch.autograd.grad(value(*now), now, create_graph=True)
        return torch.autograd.grad(first, now, [directions[k] for k in order])

    for one, other in zip(
        times(0, 1, 2, 3), [times(1, 0, 3, 2)[k] for k in (1, 0, 3, 2)], strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_points_without_weight_change_nothing():
    """And their own derivatives are those of new points."""
    (x, a), (y, b) = cloud(8, 2, zero=3), cloud(6, 2, zero=2)
    keep, keep_y = a > 0, b > 0
    found = hessian(lambda x: value(x, y, a, b, debias=True), x)
    kept = hessian(lambda x: value(x, y[keep_y], a[keep], b[keep_y], debias=True), x[keep])
    torch.testing.assert_close(found[keep][:, :, keep], kept, rtol=1e-9, atol=1e-11)
    assert found[3].abs().max() == 0 and found.isfinite().all()
    assert hessian(lambda a: value(x, y, a, b, debias=True, reach=0.5), a).isfinite().all()


def test_batches_are_loops():
    x, a = cloud(6, 2, batch=(3,), grad=True)
    y, b = cloud(5, 2, batch=(3,))
    whole = value(x, y, a, b, debias=True)
    first = torch.autograd.grad(whole.sum(), x, create_graph=True)[0]
    direction = torch.randn_like(x)
    found = torch.autograd.grad(first, x, direction)[0]
    for k in range(3):
        item = x[k].detach().requires_grad_()
        one = value(item, y[k], a[k].detach(), b[k], debias=True)
        first = torch.autograd.grad(one, item, create_graph=True)[0]
        second = torch.autograd.grad(first, item, direction[k])[0]
        torch.testing.assert_close(found[k], second, rtol=1e-10, atol=1e-12)


def test_single_precision():
    (x, a), (y, b) = cloud(30, 3), cloud(20, 3)
    exact = hessian(lambda x: value(x, y, a, b, debias=True, blur=0.2), x)
    x, y, a, b = (t.float() for t in (x, y, a, b))
    found = hessian(lambda x: value(x, y, a, b, debias=True, blur=0.2, tol=1e-6), x)
    assert found.dtype == torch.float32
    assert (found - exact).norm() < 1e-3 * exact.norm()


def test_the_system_is_symmetric_on_clouds_that_are_not_stored(iterative):
    """``<u, H v> = <v, H u>``, and moving all points together is exact whatever the residual."""
    (x, a), (y, b) = cloud(600, 3, grad=True), cloud(500, 3, shift=0.2)
    out = so.solve_sample(x, y, a, b, blur=0.1, debias=True, tol=1e-8).value
    (first,) = torch.autograd.grad(out, x, create_graph=True)
    u, v = torch.randn(2, 600, 3).double()
    hu, hv = (torch.autograd.grad(first, x, w, retain_graph=True)[0] for w in (u, v))
    torch.testing.assert_close((u * hv).sum(), (v * hu).sum(), rtol=1e-5, atol=1e-8)
    (moved,) = torch.autograd.grad(first, x, torch.ones_like(x))
    torch.testing.assert_close(moved, a.detach()[:, None].expand(600, 3), rtol=1e-4, atol=1e-8)


def test_what_has_no_second_derivative():
    """Frozen schedules, distances between points that meet, plans that have not converged."""
    (x, a), (y, b) = cloud(6, 2), cloud(5, 2)
    x.requires_grad_()

    def twice(out):
        (first,) = torch.autograd.grad(out, x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    for loss in (so.SamplesLoss("sinkhorn", blur=0.3), so.SamplesLoss("hausdorff", blur=0.3)):
        with pytest.raises(RuntimeError, match="tol="):
            twice(loss(x, y))
    with pytest.raises(ValueError, match="x = y: move one"):
        twice(value(x, x.detach()[:5], p=1, a=None, b=None))
    with pytest.raises(RuntimeError, match="no second derivative"):
        twice(so.solve_sample(x, y, blur=0.3, cost=lambda x, y: torch.cdist(x, y) ** 2 / 2).value)
    with pytest.warns(RuntimeWarning, match="max_sweeps"):
        poor = so.solve_sample(x, y, blur=0.05, tol=1e-9, solver=so.Sinkhorn(max_sweeps=3))
    with pytest.warns(RuntimeWarning, match="has not converged are off"):
        twice(poor.value)
    with pytest.raises(RuntimeError, match="no third derivative"):
        out = value(x, y, a, b)
        (first,) = torch.autograd.grad(out, x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x, create_graph=True)
        torch.autograd.grad(second.sum(), x)


def test_a_plan_in_pieces_is_refused():
    """No mass moves between clusters far apart: their potentials do not know each other."""
    x = torch.tensor([[0.0], [0.1], [100.0], [100.1]]).double().requires_grad_()
    out = value(x, x.detach() + 0.05, None, None, blur=0.2)
    (first,) = torch.autograd.grad(out, x, create_graph=True)
    with pytest.raises(ValueError, match="falls into parts"):
        torch.autograd.grad(first.sum(), x)
