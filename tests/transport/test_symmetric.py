"""The potential of a cloud with itself: converged, differentiable, honest when it is not."""

import pytest
import torch
from torch.autograd import gradcheck

from sparseot.engines.choose import load
from sparseot.formulas import Opaque, ground_cost
from sparseot.points import Points
from sparseot.transport.marginals import Balanced, KullbackLeibler
from sparseot.transport.solvers.self_transport import self_potential

from ..clouds import cloud
from ..dense import cost_matrix

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
