"""The potential of a cloud with itself: converged, differentiable, honest when it is not."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from sparseot.engines.choose import load
from sparseot.formulas import Opaque, ground_cost
from sparseot.points import Points
from sparseot.transport.marginals import Balanced, KullbackLeibler
from sparseot.transport.solvers.self_transport import self_potential
from tests.references.clouds import cloud
from tests.references.dense import cost_matrix

ENGINE = load("numba")


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", [None, 0.4])
@pytest.mark.parametrize("blur", [0.01, 0.1, 1.0])
def test_it_solves_the_problem(p, reach, blur):
    x, a = cloud(30, 2)
    eps = blur**p
    penalty = Balanced() if reach is None else KullbackLeibler(reach**p)
    f = self_potential(Points(x[None], a[None]), ground_cost(p), penalty, eps, engine=ENGINE)[0]
    plan = a[:, None] * a * ((f[:, None] + f - cost_matrix(x, x, p)) / eps).exp()
    wanted = a if reach is None else a * (-f / reach**p).exp()
    torch.testing.assert_close(plan.sum(1), wanted, rtol=1e-9, atol=0)


@pytest.mark.parametrize("penalty", [Balanced(), KullbackLeibler(0.3)], ids=repr)
def test_its_derivative_is_exact(penalty):
    x, a = cloud(6, 2, grad=True, batch=(1,))

    def potential(x, a):
        return self_potential(Points(x, a), ground_cost(2), penalty, 0.05, engine=ENGINE)

    assert gradcheck(potential, (x, a))


def test_no_convergence_is_a_warning():
    """A cost whose Gibbs kernel is not positive makes the fixed point unstable."""
    x, a = cloud(4, 1, batch=(1,))
    repelling = Opaque(lambda x, y: -3 * torch.cdist(x, y))
    with pytest.warns(RuntimeWarning, match="did not converge in 100 steps"):
        self_potential(Points(x, a), repelling, Balanced(), 0.01, engine=load("tiles"))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_has_not_converged(bad):
    """Nor is it looked at a hundred times."""
    x, a = cloud(4, 1, batch=(1,))
    calls = []

    def cost(x, y):
        calls.append(1)
        return bad * torch.ones_like(torch.cdist(x, y))

    with pytest.warns(RuntimeWarning, match="self potential did not converge in 1 steps.*nan"):
        f = self_potential(Points(x, a), Opaque(cost), Balanced(), 0.1, engine=load("tiles"))
    assert not f.isfinite().any() and len(calls) < 5


def test_gradients_that_are_no_numbers_have_not_converged():
    """Of the adjoint system, whose tolerance is relative to the gradient that comes in."""
    x, a = cloud(6, 2, grad=True, batch=(1,))
    f = self_potential(Points(x, a), ground_cost(2), Balanced(), 0.05, engine=ENGINE)
    for bad in (math.nan, math.inf):
        with pytest.warns(RuntimeWarning, match="adjoint of the self potential did not converge"):
            (gradient,) = torch.autograd.grad(f, x, torch.full_like(f, bad), retain_graph=True)
        assert not gradient.isfinite().all()
