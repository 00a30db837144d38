"""Laws of second derivatives: what moves together, splits, scales, or weighs nothing."""

import pytest
import torch
from torch.autograd.functional import hessian

import sparseot as so
from tests.references.clouds import cloud


def value(x, y, a, b, *, blur=0.4, tol=1e-14, **options):
    return so.solve_sample(x, y, a, b, blur=blur, tol=tol, **options).value


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
