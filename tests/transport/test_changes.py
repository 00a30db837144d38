"""Clouds that are changed in place after a solve, and users who end one."""

import pickle
import signal

import pytest
import torch

import sparseot as so
from tests.references.clouds import cloud

SCHEDULES = [{"tol": 1e-3}, {}]


@pytest.mark.parametrize("multilevel", [False, True], ids=["all pairs", "kept pairs"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_result_is_that_of_the_clouds_that_were_solved(multilevel, dtype):
    """Rows, interval, map, plan, Hessian products: untouched by what happens to x, y, a and b."""
    (x, a), (y, b) = (cloud(n, 2, dtype=dtype) for n in (1500, 1100))
    solver = so.Sinkhorn(multilevel=multilevel)

    def seen(found):
        rows = found.plan_operator @ torch.ones(1100, dtype=dtype)
        v = torch.ones(1500, 2, dtype=dtype)
        new = found.map(torch.full((3, 2), 0.5, dtype=dtype))
        sparse = torch.from_numpy(found.sparse_plan(3).toarray())
        ends = found.lower, found.upper, found.gradient_error()
        return [rows, found.map(), new, found.value_linear, found.hvp(v), sparse, *ends]

    wanted = seen(so.solve_sample(x, y, a, b, blur=0.1, debias=True, solver=solver))
    found = so.solve_sample(x, y, a, b, blur=0.1, debias=True, solver=solver)
    for t in (x, y):
        t += 0.02
    for t in (a, b):
        t *= 2
    for one, other in zip(seen(found), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["tol", "schedule"])
@pytest.mark.parametrize("reach", [None, 0.5])
@pytest.mark.parametrize("changed", range(4), ids=list("xyab"))
def test_a_backward_pass_after_a_change_is_an_error(schedule, reach, changed):
    """As autograd's own, with and without a tolerance."""
    (x, a), (y, b) = cloud(9, 2), cloud(7, 2)
    tensors = [x.requires_grad_(), y, a.requires_grad_(), b]
    value = so.SamplesLoss(blur=0.3, reach=reach, **schedule)(a, x, b, y)
    with torch.no_grad():
        tensors[changed].mul_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_values_are_read_and_potentials_refused_after_a_change():
    (x, _), (y, _) = cloud(9, 2), cloud(7, 2)
    x.requires_grad_()
    found = so.solve_sample(x, y, blur=0.3)
    value = found.value.item()
    with torch.no_grad():
        x += 1
    assert found.value.item() == value
    with pytest.raises(RuntimeError, match="changed in place after it was made"):
        _ = found.potential_a
    with torch.no_grad():
        assert found.potential_a.isfinite().all()


PHASES = [  # where Ctrl-C may come: a function, and the call of it
    ("solvers.multilevel.Cells.__init__", 1),
    ("solvers.multilevel.Cells.__init__", 3),
    ("pruned.softmins.PrunedSoftmins.build", 1),
    ("pruned.softmins.PrunedSoftmins.step", 2),
    ("pruned.softmins.PrunedSoftmins.step", 40),
    ("solvers.multilevel.Multilevel._carried", 4),
    ("solvers.multilevel.Multilevel._check", 1),
    ("solvers.multilevel.Multilevel._check_own", 1),
    ("solvers.all_pairs.DenseSoftmins._softmin", 1),
    ("solvers.all_pairs.DenseSoftmins._softmin", 30),
    ("solvers.relaxation.close", 1),
    ("posed.choose_engine", 1),
]


@pytest.mark.parametrize("phase", PHASES, ids=str)
def test_an_interruption_leaves_a_result_wherever_it_comes(monkeypatch, phase):
    """A true signal, in each phase; the interval still holds."""
    path, count = phase
    parts = path.split(".")
    names = parts[2:] if len(parts) > 2 and parts[0] in ("solvers", "pruned") else parts[1:]
    module = path.removesuffix("." + ".".join(names))
    owner = __import__(f"sparseot.transport.{module}", fromlist=[module])
    for name in names[:-1]:
        owner = getattr(owner, name)
    usual, calls = getattr(owner, names[-1]), []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            signal.raise_signal(signal.SIGINT)
        return usual(*args, **kwargs)

    (x, _), (y, _) = cloud(600, 2), cloud(500, 2, shift=0.4)
    kept = "all_pairs" not in module and "relaxation" not in module
    options = {"blur": 0.02, "debias": True, "solver": so.Sinkhorn(multilevel=kept)}
    exact = so.solve_sample(x, y, **options).value
    monkeypatch.setattr(owner, names[-1], interrupted)
    with pytest.warns(RuntimeWarning, match="The marginals are off"):
        found = so.solve_sample(x, y, **options)
    assert len(calls) >= count and not found.converged
    assert found.lower <= exact <= found.upper and found.map().isfinite().all()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interruption_is_not_waited_with():
    def impatient(blur, error, tol):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second signal must raise")

    (x, _), (y, _) = cloud(50, 2), cloud(50, 2)
    with pytest.warns(RuntimeWarning, match="The marginals are off"):
        found = so.solve_sample(x, y, blur=0.01, solver=so.Sinkhorn(progress=impatient))
    assert not found.converged


def test_losses_are_interrupted_as_python_is():
    """A training loop that is interrupted ends: no loss of it returns a number."""
    seen = []

    def cost(x, y):
        seen.append(1)
        if len(seen) == 5:
            signal.raise_signal(signal.SIGINT)
        return (x[:, :, None] - y[:, None]).square().sum(-1)

    (x, _), (y, _) = cloud(50, 2), cloud(50, 2)
    with pytest.raises(KeyboardInterrupt):
        so.sinkhorn_divergence(x, y, blur=0.01, cost=cost)


def test_gradients_are_the_same_each_time():
    """Without a tolerance for chance: the same bits from the same clouds."""
    (x, _), (y, _) = cloud(14, 2), cloud(12, 2)
    loss = so.SamplesLoss(blur=0.3, tol=1e-9)
    assert torch.autograd.gradcheck(loss, (x.requires_grad_(), y.requires_grad_()), nondet_tol=0.0)


def test_an_interruption_that_comes_too_late_is_raised(monkeypatch):
    """After the last sweep there is nothing to end: it is not swallowed."""
    solve = __import__("sparseot.transport.solve", fromlist=["solve"])
    usual = solve.say_what_failed
    monkeypatch.setattr(
        solve, "say_what_failed", lambda s: (signal.raise_signal(signal.SIGINT), usual(s))
    )
    (x, _), (y, _) = cloud(20, 2), cloud(20, 2)
    with pytest.raises(KeyboardInterrupt):
        so.solve_sample(x, y, blur=0.3)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_small_cloud_and_itself_can_be_watched_and_ended():
    x, _ = cloud(30, 2)
    seen = []
    so.solve_sample(x, x, blur=0.1, solver=so.Sinkhorn(progress=lambda *told: seen.append(told)))
    assert seen

    def impatient(*told):
        raise KeyboardInterrupt

    found = so.solve_sample(x, x, blur=0.1, solver=so.Sinkhorn(progress=impatient))
    assert found.value.isfinite()
    with pytest.raises(KeyboardInterrupt):
        so.sinkhorn_divergence(x, x + 1, blur=0.1, solver=so.Sinkhorn(progress=impatient))


@pytest.mark.parametrize("function", [True, False])
def test_numbers_are_read_from_the_copies(function):
    """Potentials of a function, and the gauge of all: whatever has become of clouds and weights."""
    (x, a), (y, b) = cloud(12, 2), cloud(9, 2)
    cost = (lambda x, y: (x[:, :, None] - y[:, None]).square().sum(-1)) if function else None
    wanted = so.solve_sample(x, y, a, b, blur=0.3, cost=cost).potential_a
    found = so.solve_sample(x, y, a, b, blur=0.3, cost=cost)
    x *= 3
    a.copy_(a.sort().values)
    torch.testing.assert_close(found.potential_a, wanted)


def test_results_can_be_pickled():
    x, y = torch.rand(1, 30, 2).double(), torch.rand(1, 20, 2).double()
    x.mul_(1.1)
    found = so.solve_sample(x, y, blur=0.1)
    again = pickle.loads(pickle.dumps(found))
    torch.testing.assert_close(again.potential_a, found.potential_a)
    torch.testing.assert_close(again.map(), found.map())


def test_solvers_are_solvers():
    from tests.references.solvers import Converged

    (x, a), (y, b) = cloud(12, 2), cloud(9, 2)
    values = [
        so.sinkhorn_divergence(x, y, a, b, blur=0.3, solver=solver, engine=engine)
        for solver in (Converged(), so.Sinkhorn(tol=1e-9))
        for engine in ("auto", "tiles")
    ]
    for value in values:
        torch.testing.assert_close(value, values[0], rtol=1e-6, atol=0)
    with pytest.raises(TypeError, match="solver: got str, wanted a solver"):
        so.sinkhorn_divergence(x, y, solver="sinkhorn")
    with pytest.raises(TypeError, match=r"wanted Sinkhorn\(\.\.\.\)"):
        so.solve_sample(x, y, blur=0.1, solver=Converged())
