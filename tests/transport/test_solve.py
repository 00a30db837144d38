"""``solve_sample``: values, gradients, plans and maps against dense references, and its honesty."""

import warnings

import pytest
import torch

import sparseot as so
from tests.references.clouds import cloud
from tests.references.dense import cost_matrix, sinkhorn_divergence, transport

REACHES = [None, 0.5, (None, 0.5), (0.3, None), (0.3, 0.6)]


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", REACHES)
def test_everything_is_that_of_the_converged_problem(p, reach):
    """Value, linear cost, plan, marginals and map; unequal masses where they may be."""
    (x, a), (y, b) = cloud(15, 2), cloud(11, 2, shift=0.2)
    if reach:
        b = 2 * b
    value, f, g, plan = transport(x, y, a, b, p=p, blur=0.3, reach=reach)
    found = so.solve_sample(x, y, a, b, p=p, blur=0.3, reach=reach, tol=1e-11)
    assert found.converged and found.residual <= 1e-11
    close = {"rtol": 1e-8, "atol": 1e-11}
    torch.testing.assert_close(found.value, value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.plan, plan, **close)
    torch.testing.assert_close(found.plan_operator.T @ x, plan.T @ x, **close)
    torch.testing.assert_close(found.plan_operator.diagonal(), plan.diagonal(), **close)
    torch.testing.assert_close(found.marginal_a, plan.sum(1), **close)
    torch.testing.assert_close(found.marginal_b, plan.sum(0), **close)
    torch.testing.assert_close(found.value_linear, (plan * cost_matrix(x, y, p)).sum(), **close)
    torch.testing.assert_close(found.map(), plan @ y / plan.sum(1)[:, None], **close)
    back = plan.T @ x / plan.sum(0)[:, None]
    torch.testing.assert_close(found.map(inverse=True), back, **close)
    torch.testing.assert_close(found.map(x[3:5]), found.map()[3:5], **close)
    if reach:
        torch.testing.assert_close(found.potential_a, f, **close)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reach", REACHES)
def test_gradients_are_exact(p, reach):
    """Finite differences of the definition in x, y, a and b, off the simplex where masses are free."""
    (x, a), (y, b) = cloud(5, 2, grad=True), cloud(4, 2, shift=0.3, grad=True)
    options = {"p": p, "blur": 0.35, "reach": reach}
    debias = not isinstance(reach, tuple)
    exact = sinkhorn_divergence if debias else lambda *args, **rest: transport(*args, **rest)[0]
    found = so.solve_sample(x, y, a, b, debias=debias, tol=1e-11, **options)
    gradients = torch.autograd.grad(found.value, (x, y, a, b))
    inputs = [t.detach() for t in (x, y, a, b)]
    for which, gradient in enumerate(gradients):
        direction = torch.randn_like(inputs[which])
        if which > 1 and reach is None:
            direction -= direction.mean()
        values = []
        for step in (1e-5, -1e-5):
            moved = list(inputs)
            moved[which] = moved[which] + step * direction
            values.append(exact(*moved, **options))
        slope = (values[0] - values[1]) / 2e-5
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("reach", [None, 0.3])
def test_the_error_of_the_value_is_the_square_of_the_tolerance(reach):
    (x, a), (y, b) = cloud(60, 2), cloud(50, 2, shift=0.2)
    exact = transport(x, y, a, b, blur=0.05, reach=reach)[0]
    for tol in (1e-2, 1e-4):
        found = so.solve_sample(x, y, a, b, blur=0.05, reach=reach, tol=tol)
        assert found.residual <= tol
        assert 0 <= exact - found.value < tol * 0.05**2
        wanted = a if reach is None else a * (-found.potential_a / reach**2).exp()
        assert (found.marginal_a - wanted).abs().sum() <= 1.01 * tol


def test_plain_sweeps_are_beaten():
    (x, _), (y, _) = cloud(400, 2), cloud(400, 2, shift=0.4)
    fast = so.solve_sample(x, y, blur=0.02)
    plain = so.solve_sample(x, y, blur=0.02, solver=so.Sinkhorn(accelerate=False))
    torch.testing.assert_close(fast.value, plain.value, rtol=1e-6, atol=0)
    assert 3 * fast.levels[-1].sweeps < plain.levels[-1].sweeps


def test_no_convergence_is_a_warning_and_a_flag():
    (x, _), (y, _) = cloud(60, 2), cloud(50, 2, shift=0.4)
    with pytest.warns(RuntimeWarning, match="off by .* of the mass after .*max_sweeps"):
        found = so.solve_sample(x, y, blur=0.03, tol=1e-9, solver=so.Sinkhorn(max_sweeps=3))
    assert not found.converged and found.residual > 1e-9 and "NOT CONVERGED" in repr(found)
    exact = transport(x, y, *(torch.full((n,), 1 / n).double() for n in (60, 50)), blur=0.03)[0]
    assert found.value <= exact


@pytest.mark.parametrize("debias", [True, False])
def test_batches_are_loops(debias):
    (x, a), (y, b) = (cloud(n, 2, batch=(3,)) for n in (9, 7))
    sizes = torch.tensor([1.0, 5.0, 0.01]).double()[:, None, None]
    x, y = (x * sizes).requires_grad_(), y * sizes
    found = so.solve_sample(x, y, a, b, blur=0.2, debias=debias)
    (gradient,) = torch.autograd.grad(found.value.sum(), x)
    for k in range(3):
        item = x[k].detach().requires_grad_()
        one = so.solve_sample(item, y[k], a[k], b[k], blur=0.2, debias=debias)
        torch.testing.assert_close(one.value, found.value[k], rtol=0, atol=0)
        torch.testing.assert_close(one.plan, found.plan[k], rtol=1e-12, atol=0)
        torch.testing.assert_close(one.map(), found.map()[k])
        torch.testing.assert_close(torch.autograd.grad(one.value, item)[0], gradient[k])
    assert "3 times 9 x 7 points" in repr(found)


@pytest.mark.parametrize("blur", [0.3, 0.03])
def test_single_precision(blur):
    (x, a), (y, b) = cloud(80, 3), cloud(70, 3, shift=0.3)
    exact = so.solve_sample(x, y, a, b, blur=blur, debias=True, tol=1e-8)
    x32, y32, a32, b32 = (t.float().requires_grad_() for t in (x, y, a, b))
    found = so.solve_sample(x32, y32, a32, b32, blur=blur, debias=True, tol=1e-5)
    assert found.value.dtype == found.potential_a.dtype == found.plan.dtype == torch.float32
    torch.testing.assert_close(found.value.double(), exact.value, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.map().double(), exact.map(), rtol=0, atol=1e-4)
    found.value.backward()
    assert x32.grad.dtype == torch.float32


def test_a_cloud_and_itself():
    """Value and gradient are exactly zero; the plan is symmetric."""
    x, a = cloud(20, 2)
    moving = x.clone().requires_grad_()
    found = so.solve_sample(moving, x, a, a, blur=0.1, debias=True)
    (gradient,) = torch.autograd.grad(found.value, moving)
    assert found.value == 0 and gradient.abs().max() == 0
    torch.testing.assert_close(found.plan, found.plan.T)
    torch.testing.assert_close(found.potential_a, found.potential_aa)


def test_it_starts_from_an_earlier_result():
    (x, _), (y, _) = cloud(100, 2), cloud(100, 2, shift=0.3)
    first = so.solve_sample(x, y, blur=0.05)
    again = so.solve_sample(x, y, blur=0.05, init=first)
    near = so.solve_sample(x + 1e-3 * torch.randn_like(x), y, blur=0.05, init=first)
    assert again.n_iter <= 3 and near.n_iter < first.n_iter / 2 and near.converged
    with pytest.raises(ValueError, match="init: got potentials of shapes"):
        so.solve_sample(x[:50], y, blur=0.05, init=first)


def test_points_without_weight_have_potentials():
    """Those of the softmin, as new points would have."""
    (x, a), (y, b) = cloud(20, 2, zero=3), cloud(15, 2, zero=2)
    found = so.solve_sample(x, y, a, b, blur=0.1, tol=1e-9)
    keep = a > 0
    kept = so.solve_sample(x[keep], y, a[keep], b, blur=0.1, tol=1e-9)
    torch.testing.assert_close(found.value, kept.value)
    torch.testing.assert_close(found.map()[3], kept.map(x[3:4])[0], rtol=1e-6, atol=1e-8)


def test_other_costs():
    (x, a), (y, b) = cloud(12, 2), cloud(9, 2)
    plain = so.solve_sample(x, y, a, b, blur=0.2, debias=True, tol=1e-8)
    made = so.solve_sample(
        x, y, a, b, blur=0.2, debias=True, tol=1e-8, cost=lambda x, y: torch.cdist(x, y) ** 2 / 2
    )
    torch.testing.assert_close(made.value, plain.value)
    torch.testing.assert_close(made.plan, plan := plain.plan)
    torch.testing.assert_close(made.value_linear, plain.value_linear)
    torch.testing.assert_close(made.map(x[:3]), plan[:3] @ y / plan[:3].sum(1)[:, None])


X = torch.rand(4, 2)
BAD = {
    "one-sided divergence": ({"reach": (None, 1.0), "debias": True}, ValueError, "reach: got the"),
    "reach of three": ({"reach": (1.0, 2.0, 3.0)}, ValueError, "reach: got 3 lengths"),
    "reach": ({"reach": (1.0, -2.0)}, ValueError, r"reach\[1\]: got -2"),
    "blur": ({"blur": -1.0}, ValueError, "blur: got -1"),
    "tol": ({"tol": 0.0}, ValueError, "tol: got 0"),
    "init": ({"init": 3}, TypeError, "init: got int"),
    "mass": ({"a": torch.ones(4)}, ValueError, "total masses 4 and 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        so.solve_sample(X, X + 1, **({"blur": 0.1} | options))


def test_bad_use_of_a_result():
    found = so.solve_sample(X, X + 1, blur=0.1)
    with pytest.raises(ValueError, match="Solve with debias=True"):
        _ = found.potential_aa
    with pytest.raises(ValueError, match="points: got shape"):
        found.map(torch.rand(3, 3))
    with pytest.raises(ValueError, match="a share of the mass"):
        so.Sinkhorn(tol=2.0)


def test_extreme_blurs_do_not_fail():
    (x, a), (y, b) = cloud(30, 2, dtype=torch.float32), cloud(20, 2, dtype=torch.float32)
    for blur in (1e-5, 1e3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of no convergence, at tiny blurs
            found = so.solve_sample(x, y, a, b, blur=blur, solver=so.Sinkhorn(max_sweeps=50))
        assert found.value.isfinite() and found.map().isfinite().all()


def interrupt_after(sweeps):
    """A class that stands for a user who presses Ctrl-C."""
    from sparseot.transport.solvers.progress import Bar

    class Impatient(Bar):
        count = 0

        def _show(self, blur, error, tol):
            Impatient.count += 1
            if Impatient.count == sweeps:
                raise KeyboardInterrupt

    return Impatient


@pytest.mark.parametrize("multilevel", [True, False])
@pytest.mark.parametrize("sweeps", [3, 30])
def test_an_interruption_leaves_a_result(monkeypatch, multilevel, sweeps):
    """At a coarse temperature or at the last one; the interval still holds."""
    (x, _), (y, _) = cloud(300, 2), cloud(300, 2, shift=0.4)
    exact = so.solve_sample(x, y, blur=0.02, tol=1e-8).value
    monkeypatch.setattr("sparseot.transport.solvers.sinkhorn.Bar", interrupt_after(sweeps))
    with pytest.warns(RuntimeWarning, match="The marginals are off"):
        found = so.solve_sample(x, y, blur=0.02, solver=so.Sinkhorn(multilevel=multilevel))
    assert not found.converged and found.map().isfinite().all()
    assert found.lower <= exact <= found.upper


def test_progress_is_shown(capsys):
    (x, _), (y, _) = cloud(50, 2), cloud(50, 2)
    so.solve_sample(x, y, blur=0.1, solver=so.Sinkhorn(progress=True))
    assert "sweeps" in capsys.readouterr().err


def test_progress_can_be_watched_and_ended_by_a_function():
    (x, _), (y, _) = cloud(50, 2), cloud(50, 2)
    errors = []

    def watch(blur, error, tol):
        errors.append(error)
        if len(errors) == 4:
            raise KeyboardInterrupt

    with pytest.warns(RuntimeWarning, match="The marginals are off"):
        found = so.solve_sample(x, y, blur=0.01, solver=so.Sinkhorn(progress=watch))
    assert len(errors) >= 4 and not found.converged


def test_the_report_has_a_picture():
    (x, _), (y, _) = cloud(50, 2), cloud(40, 2)
    found = so.solve_sample(x, y, blur=0.1)
    page = found._repr_html_()
    assert page.count("<rect") > 20 and page.endswith("</svg>") and "converged" in page


def test_suggested_blurs():
    (x, _), (y, _) = cloud(2000, 2), cloud(1000, 2)
    report = so.suggest_blur(x, y)
    assert 0.01 < report.spacing < 0.02 and 1.3 < report.diameter < 1.5
    kept = [row[2] for row in report.rows]
    assert kept == sorted(kept) and "spacing" in repr(report)
    assert so.suggest_blur(x[:1], x[:1]).rows  # one place only
