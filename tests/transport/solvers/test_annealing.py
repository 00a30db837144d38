"""The schedule: its temperatures, and one schedule per batch item."""

import math

import pytest
import torch

from sparseot.engines.choose import load
from sparseot.formulas import ground_cost
from sparseot.points import Points, bounding_diameter
from sparseot.transport.marginals import Balanced, KullbackLeibler
from sparseot.transport.problem import Problem
from sparseot.transport.solvers.annealing import AveragedAnnealing, _schedule
from tests.references.clouds import cloud
from tests.references.dense import transport


def test_temperatures_fall_from_the_diameter_to_the_blur():
    """diameter^p twice, then by scaling^p, then blur^p: 2 + ceil(log(diameter / blur) / log 2)."""
    schedule, start = _schedule(2, (1.0,), 0.05, 0.5)
    assert len(schedule) == 2 + math.ceil(math.log2(1 / 0.05)) and start.tolist() == [[0]]
    assert schedule[0] == schedule[1] == 1.0
    torch.testing.assert_close(
        schedule[2:-1, 0, 0], torch.tensor([4.0**-k for k in range(1, 5)]).double()
    )
    assert schedule[-1] == 0.05**2


def test_short_schedules_wait_for_long_ones():
    schedule, start = _schedule(1, (1.0, 0.1, 0.01), 0.05, 0.5)
    assert start.tolist() == [[0], [3], [5]]
    assert schedule[:, 1, 0].tolist()[:4] == [pytest.approx(0.1)] * 4
    assert (schedule[-1] == 0.05).all()


def test_the_diameter_is_that_of_the_joint_box():
    x = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    y = torch.tensor([[[3.0, 4.0]]])
    one = Points(x, torch.ones(1, 2)), Points(y, torch.ones(1, 1))
    assert bounding_diameter(*one).item() == 5.0


@pytest.mark.parametrize("reach", [None, 0.5])
def test_slow_schedules_converge(reach):
    """At scaling .999 the potentials are those of the converged problem."""
    (x, a), (y, b) = cloud(12, 2), cloud(9, 2, shift=0.2)
    _, f, g, _ = transport(x, y, a, b, blur=0.2, reach=reach)
    source, target = Points(x[None], a[None]), Points(y[None], b[None])
    penalty = Balanced() if reach is None else KullbackLeibler(reach**2)
    problem = Problem(source, target, ground_cost(2), penalty, 2, 0.2, load("numba"))
    found = AveragedAnnealing(0.999).solve(problem)
    shift = 0 if reach else (f - found.f[0]).mean()
    torch.testing.assert_close(found.f[0] + shift, f, rtol=0, atol=2e-4)
    torch.testing.assert_close(found.g[0] - shift, g, rtol=0, atol=2e-4)
