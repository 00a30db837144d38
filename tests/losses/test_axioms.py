"""The axioms of a divergence: positive, zero at equality only, convex in each argument."""

import pytest
import torch

import sparseot as so
from tests.references.clouds import cloud
from tests.references.dense import sinkhorn_divergence

SCHEDULES = {
    "averaged": {"scaling": 0.95},
    "all pairs": {"tol": 1e-10},
}
MASSES = torch.logspace(-1, 1, 9).tolist()


def random_problem(seed):
    """Two clouds of other masses, and the options of a loss."""
    torch.manual_seed(seed)
    n, m, dim = (int(torch.randint(1, top, ())) for top in (12, 12, 4))
    (x, a), (y, b) = cloud(n, dim), cloud(m, dim, shift=0.3)
    ma, mb = (MASSES[int(torch.randint(9, ()))] for _ in range(2))
    p, reach = 1 + seed % 2, (0.1, 0.5, 3.0)[seed % 3]
    options = {"p": p, "reach": reach, "blur": (0.05, 0.3, 2.0)[seed // 3 % 3]}
    return x, ma * a, y, mb * b, options


@pytest.mark.parametrize("block", range(4))
def test_positive_and_convex(block):
    """200 random problems, masses from 0.1 to 10, segments of weights on common points."""
    for seed in range(50 * block, 50 * block + 50):
        x, a, y, b, options = random_problem(seed)
        loss = so.SamplesLoss(tol=1e-10, **options)
        scale = 1e-9 * float(a.sum() + b.sum()) ** 2
        assert loss(a, x, b, y) >= -scale, seed
        z = torch.cat((x, y))
        ends = [torch.cat((t, 0 * b)) for t in (a, torch.rand_like(a) * a.sum())]
        values = [loss((1 - t) * ends[0] + t * ends[1], z, b, y) for t in (0.0, 0.3, 0.5, 1.0)]
        one, third, half, other = (v.item() for v in values)
        assert third <= 0.7 * one + 0.3 * other + scale, seed
        assert half <= (one + other) / 2 + scale, seed


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("p", [1, 2])
def test_zero_at_equality_only(schedule, p):
    """A cloud and itself: zero for one mass, and positive for every other."""
    x, a = cloud(8, 2)
    loss = so.SamplesLoss(p=p, blur=0.5, reach=0.3, **SCHEDULES[schedule])
    assert abs(loss(a, x, a, x)) < 1e-12
    for mass in (0.1, 0.9, 1.1, 2.0, 10.0):
        assert loss(a, x, mass * a, x) > 1e-3 * (1 - mass) ** 2
    moved = x + torch.tensor([0.1, 0.0]).double()
    assert loss(a, x, a, moved) > 1e-4


@pytest.mark.parametrize("multilevel", [False, True], ids=["all pairs", "kept pairs"])
@pytest.mark.parametrize("masses", [(1.0, 2.0), (0.1, 10.0)])
def test_values_and_intervals_of_other_masses(multilevel, masses):
    """The value of the definition, in an interval around it."""
    (x, a), (y, b) = cloud(15, 2), cloud(11, 2, shift=0.2)
    a, b = masses[0] * a, masses[1] * b
    options = {"blur": 0.3, "reach": 0.4}
    exact = sinkhorn_divergence(x, y, a, b, **options)
    solver = so.Sinkhorn(multilevel=multilevel)
    for tol, bar in ((1e-10, 1e-9), (1e-2, 1e-2)):
        found = so.solve_sample(x, y, a, b, debias=True, tol=tol, solver=solver, **options)
        torch.testing.assert_close(found.value, exact, rtol=bar, atol=0)
        assert found.lower <= exact <= found.upper
    assert found.lower.dtype == found.upper.dtype == found.gradient_error().dtype == torch.float64


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("p", [1, 2])
def test_gradients_in_the_weights(schedule, p):
    """Finite differences of the definition, in both weights, in directions that change the mass."""
    (x, a), (y, b) = cloud(7, 2, grad=True), cloud(6, 2, shift=0.3, grad=True)
    a, b = (2 * a).detach().requires_grad_(), (0.7 * b).detach().requires_grad_()
    options = {"p": p, "blur": 0.4, "reach": 0.5}
    extra = SCHEDULES[schedule] | ({"scaling": 0.995} if schedule == "averaged" else {})
    value = so.SamplesLoss(**options, **extra)(a, x, b, y)
    gradients = torch.autograd.grad(value, (a, b))
    for which, gradient in enumerate(gradients):
        weights = [a.detach(), b.detach()]
        direction = torch.rand_like(weights[which])
        values = []
        for step in (1e-5, -1e-5):
            moved = list(weights)
            moved[which] = moved[which] + step * direction
            values.append(sinkhorn_divergence(x.detach(), y.detach(), *moved, **options))
        slope = (values[0] - values[1]) / 2e-5
        bar = 1e-6 if schedule == "all pairs" else 1e-3
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=bar, atol=1e-8)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own forward mode
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("masses", [(1.0, 1.0), (2.0, 0.7)])
def test_second_derivatives_in_the_weights(p, masses):
    """Blocks (a, a), (a, b), (b, b): autograd, the operator, products, unrolled: differences."""
    (x, a), (y, b) = cloud(6, 2), cloud(5, 2, shift=0.3)
    a, b = masses[0] * a, masses[1] * b
    options = {"p": p, "blur": 0.4, "reach": 0.5, "debias": True, "tol": 1e-12}

    def gradient(a, b):
        a, b = (t.detach().clone().requires_grad_() for t in (a, b))
        value = so.solve_sample(x, y, a, b, **options).value
        return torch.cat(torch.autograd.grad(value, (a, b)))

    def value(w):
        return so.solve_sample(x, y, w[:6], w[6:], **options).value

    step, columns = 1e-5, []
    for k in range(11):
        move = torch.zeros(11).double()
        move[k] = step
        up, down = (gradient(a + s * move[:6], b + s * move[6:]) for s in (1, -1))
        columns.append((up - down) / (2 * step))
    exact, close = torch.stack(columns, 1), {"rtol": 1e-5, "atol": 1e-6}
    both = torch.cat((a, b))
    torch.testing.assert_close(torch.func.hessian(value)(both), exact, **close)
    torch.testing.assert_close(torch.autograd.functional.hessian(value, both), exact, **close)
    found = so.solve_sample(x, y, a, b, **options)
    v = torch.randn(6, 3).double()
    for wrt, block in (("a", exact[:6, :6]), ("b", exact[6:, 6:])):
        dense = so.hessian(found, wrt).to_dense()
        torch.testing.assert_close(dense, block, **close)
        torch.testing.assert_close(
            so.hessian(found, wrt) @ v[: len(block)], block @ v[: len(block)], **close
        )
        torch.testing.assert_close(
            found.hvp(v[: len(block)], wrt), block @ v[: len(block)], **close
        )
        unrolled = so.hessian(found, wrt, method="unrolled", n_iter=300).to_dense()
        torch.testing.assert_close(unrolled, block, **close)
