"""How exact the solves of an average are: as the step that is left wants it, and at the end as was asked for."""

import pytest

import sparseot as so
from sparseot.averages import descent
from tests.references.clouds import cloud

CLOUDS = [cloud(60, 2)[0], cloud(70, 2, shift=0.5)[0]]
START = cloud(50, 2, shift=2)[0]
COMMON = {"support": START, "blur": 0.1}


@pytest.mark.parametrize("free", ["points", "both"])
def test_the_last_solves_are_as_exact_as_was_asked_for(free):
    found = so.barycenter(CLOUDS, free=free, tol=0.1, **COMMON)
    assert found.converged and all(one.residual <= 1e-3 for one in found.transports)
    exact = so.barycenter(CLOUDS, free=free, tol=0.1, solver=so.Sinkhorn(tol=1e-6), **COMMON)
    assert exact.converged and all(one.residual <= 1e-6 for one in exact.transports)


@pytest.mark.filterwarnings("ignore:The average would move")
def test_so_are_those_of_steps_that_were_too_few():
    found = so.barycenter(CLOUDS, tol=1e-4, max_steps=1, **COMMON)
    assert len(found.report) == 2 and all(one.residual <= 1e-6 for one in found.transports)
    value = sum(
        float(so.sinkhorn_divergence(found.points, y, found.weights, blur=0.1, tol=1e-8)) / 2
        for y in CLOUDS
    )
    assert found.value == pytest.approx(value, rel=1e-6)


def test_the_first_ones_are_coarse(monkeypatch):
    """Where a long step is left, solves take fewer sweeps than exact ones."""

    def stop(value, error, tol):
        raise KeyboardInterrupt

    def first():
        with pytest.warns(RuntimeWarning, match="interrupted"):
            found = so.barycenter(
                CLOUDS, support=CLOUDS[0], blur=0.05, debias=False, tol=1e-3, progress=stop
            )
        assert len(found.report) == 1 and found.report[0].error > 1
        return found.report[0].sweeps, max(one.residual for one in found.transports)

    sweeps, residual = first()
    monkeypatch.setattr(descent, "COARSEST", 0.0)
    exact_sweeps, exact_residual = first()
    assert sweeps < exact_sweeps and exact_residual <= 1e-5 < residual <= 1e-2
