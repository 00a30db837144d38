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
from tests.references import unrolled
from tests.references.clouds import cloud

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
    data = np.load(Path(__file__).parents[2] / "data" / "hessian_ott.npz")
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


def bilinear(x, y):
    return 4 - x @ y.mT


def untraceable(x, y):
    return torch.baddbmm(x.new_tensor(4.0), x, y.mT, alpha=-1)


def test_functions_that_are_no_formulas_have_the_same_first_derivatives():
    """Weights of equal masses too, whose gradients are less their mean; potentials have none, which is said."""
    (x, a), (y, b) = cloud(6, 2, grad=True), cloud(5, 2)
    a = a.requires_grad_()
    found = [
        so.solve_sample(x, y, a, b, blur=0.3, tol=1e-12, cost=c) for c in (bilinear, untraceable)
    ]
    wanted, got = (torch.autograd.grad(result.value, (x, a)) for result in found)
    torch.testing.assert_close(got, wanted)
    assert abs(got[1].mean()) < 1e-12
    with pytest.raises(RuntimeError, match="Potentials have derivatives where the cost is"):
        found[1].potential_a.sum().backward()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own rules
def test_forward_derivatives():
    """Those of a dual level are those of gradients; frozen potentials say that they have none."""
    (x, _), (y, _) = cloud(6, 2), cloud(5, 2)
    way = torch.randn_like(x)
    level = torch.autograd.forward_ad

    def along(loss):
        with level.dual_level():
            return level.unpack_dual(loss(level.make_dual(x, way))).tangent

    for loss in (
        lambda x: so.solve_sample(x, y, blur=0.3, tol=1e-12).value,
        lambda x: so.sinkhorn_divergence(x, y, blur=0.3, solver=so.Sinkhorn(tol=1e-12)),
    ):
        moved = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(moved), moved)
        torch.testing.assert_close(along(loss), (slope * way).sum())
    with pytest.raises(RuntimeError, match="no forward derivative"):
        along(lambda x: so.SamplesLoss("sinkhorn", blur=0.3)(x, y))


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
        twice(so.solve_sample(x, y, blur=0.3, cost=untraceable).value)
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
