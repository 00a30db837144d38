"""Costs whose two points are no equals: C(x, y) is asked for as it was given, whichever potential it is for."""

import pytest
import torch

import sparseot as so
from sparseot.formulas import Opaque, Pointwise, Symbolic
from sparseot.transport.solvers.annealing import AveragedAnnealing
from tests.references import dense
from tests.references.clouds import cloud

BLUR = 0.5
WAY = torch.tensor([[1.0, 0.7], [-0.4, 2.0]]).double()
STRING = "Square(Sum(X - Y)) + Elem(X,0) * Elem(Y,1) + IntCst(2) * Elem(Y,0)"
SCHEDULE = AveragedAnnealing(scaling=0.998)
LOOSE = 3e-3  # what a schedule leaves


def uneven(x, y):
    """Squares, with a term that tells who was first; it breaks where the clouds are exchanged."""
    squares = ((x[:, :, None] - y[:, None]) @ WAY.to(x)).square().sum(-1)
    return squares + x[:, :, None, 0] * y[:, None, :, 1]


def pointwise(x_i, y_j):
    return ((x_i - y_j) ** 2).sum(-1) + (x_i * (x_i - 2 * y_j)).sum(-1)


def as_string(x, y):
    """What ``STRING`` says."""
    squares = (x[:, :, None] - y[:, None]).sum(-1).square()
    return squares + x[:, :, None, 0] * y[:, None, :, 1] + 2 * y[:, None, :, 0]


def whole(x, y, a, b, cost, reach=None, eps=BLUR**2, steps=5000):
    """The dual value in float64, with the derivatives of the envelope theorem, and f, g, plan."""
    C = cost(x[None], y[None])[0]
    damping = 1 if reach is None else 1 / (1 + eps / reach**2)
    with torch.no_grad():
        f, g = torch.zeros_like(a), torch.zeros_like(b)
        for _ in range(steps):
            f = -damping * eps * ((g - C) / eps + b.log()).logsumexp(1)
            g = -damping * eps * ((f[:, None] - C) / eps + a.log()[:, None]).logsumexp(0)
    plan = a[:, None] * b * ((f[:, None] + g - C) / eps).exp()
    value = eps * (a.sum() * b.sum() - plan.sum())
    for w, h in ((a, f), (b, g)):
        worth = h if reach is None else -(reach**2) * (-h / reach**2).expm1()
        value = value + (w * worth).sum()
    return value, f, g, plan


def clouds(batch=(), grad=True):
    """x, y, a and b."""
    x, a = cloud(9, 2, batch=batch, grad=grad)
    y, b = cloud(7, 2, shift=0.2, batch=batch, grad=grad)
    return x, y, a, b


DOORS = {
    "solve_sample": lambda *c, **o: so.solve_sample(*c, blur=BLUR, tol=1e-9, **o).value,
    "sinkhorn_divergence": lambda *c, **o: so.sinkhorn_divergence(
        *c, blur=BLUR, tol=1e-9, debias=False, **o
    ),
    "SamplesLoss": lambda x, y, a, b, **o: so.SamplesLoss(
        blur=BLUR, debias=False, scaling=SCHEDULE.scaling, **o
    )(a, x, b, y),
    "SamplesLoss to a tolerance": lambda x, y, a, b, **o: so.SamplesLoss(
        blur=BLUR, debias=False, tol=1e-9, **o
    )(a, x, b, y),
}  # fmt: skip
COSTS = {"function": uneven, "Opaque": Opaque(uneven), "Pointwise": Pointwise(pointwise)}


def same(found, wanted, tol):
    """Gradients in the weights are known up to a constant where both masses are imposed."""
    torch.testing.assert_close(found, wanted, rtol=tol, atol=tol)


@pytest.mark.parametrize("reach", [None, 0.8])
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("door", DOORS)
def test_values_and_gradients(door, cost, reach):
    x, y, a, b = clouds()
    value = DOORS[door](x, y, a, b, cost=COSTS[cost], reach=reach)
    exact = whole(x, y, a, b, Pointwise(pointwise) if cost == "Pointwise" else uneven, reach)[0]
    tol = LOOSE if door == "SamplesLoss" else 1e-7
    same(value, exact, tol)
    found, wanted = (torch.autograd.grad(v, (x, y, a, b)) for v in (value, exact))
    for k, (one, two) in enumerate(zip(found, wanted, strict=True)):
        if reach is None and k > 1:
            one, two = one - one.mean(), two - two.mean()
        same(one, two, tol)


@pytest.mark.parametrize("reach", [None, 0.8])
def test_potentials_and_plan(reach):
    x, y, a, b = clouds(grad=False)
    _, f, g, plan = whole(x, y, a, b, uneven, reach)
    if reach is None:
        shift = ((a * f).sum() - (b * g).sum()) / 2
        f, g = f - shift, g + shift
    result = so.solve_sample(x, y, a, b, blur=BLUR, reach=reach, tol=1e-9, cost=uneven)
    assert result.converged and result.lower <= result.value <= result.upper
    same(result.potential_a, f, 1e-7)
    same(result.potential_b, g, 1e-7)
    same(result.plan, plan, 1e-8)
    same(result.plan_operator @ torch.ones_like(b), plan.sum(1), 1e-8)
    same(result.plan_operator.T @ torch.ones_like(a), plan.sum(0), 1e-8)
    same(result.plan_operator.T.to_dense(), plan.T, 1e-8)
    same(result.map(), plan @ y / plan.sum(1, keepdim=True), 1e-7)
    same(result.map(inverse=True), plan.T @ x / plan.sum(0)[:, None], 1e-7)
    same(result.map(y, inverse=True), result.map(inverse=True), 1e-7)
    if reach is None:
        for marginal, wanted in ((result.plan.sum(1), a), (result.plan.sum(0), b)):
            same(marginal, wanted, 1e-8)
    for solver, tol in ((None, 1e-7), (SCHEDULE, LOOSE)):
        options = {"reach": reach, "cost": uneven, "solver": solver, "tol": 1e-9}
        pair = so.sinkhorn_divergence(
            x, y, a, b, blur=BLUR, debias=False, potentials=True, **options
        )
        same(pair[0] - pair[0].mean(), f - f.mean(), tol)
        same(pair[1] - pair[1].mean(), g - g.mean(), tol)


@pytest.mark.parametrize("door", DOORS)
def test_batches(door):
    x, y, a, b = clouds(batch=(3,))
    values = DOORS[door](x, y, a, b, cost=uneven)
    gradients = torch.autograd.grad(values.sum(), (x, y))
    for k in range(3):
        one = tuple(t[k].detach().requires_grad_() for t in (x, y, a, b))
        value = DOORS[door](*one, cost=uneven)
        same(values[k], value, 1e-8)
        for some, exact in zip(gradients, torch.autograd.grad(value, one[:2]), strict=True):
            same(some[k], exact, 1e-7)


@pytest.mark.parametrize("door", DOORS)
def test_one_cloud_and_itself_without_debiasing(door):
    """Equal clouds have no equal potentials."""
    x, _, a, _ = clouds(grad=False)
    value, f, g, _ = whole(x, x, a, a, uneven)
    same(DOORS[door](x, x, a, a, cost=uneven), value, 1e-3)
    result = so.solve_sample(x, x, a, a, blur=BLUR, tol=1e-9, cost=uneven)
    assert (f - f.mean() - g + g.mean()).abs().max() > 0.1
    same(result.potential_a - result.potential_a.mean(), f - f.mean(), 1e-7)
    same(result.potential_b - result.potential_b.mean(), g - g.mean(), 1e-7)


def test_many_tiles():
    """Costs that are not kept, and are evaluated in blocks."""
    x, y = torch.rand(1500, 2).double(), torch.rand(1100, 2).double()
    result = so.solve_sample(x, y, blur=BLUR, tol=1e-6, cost=uneven)
    same(result.plan.sum(0), torch.full((1100,), 1 / 1100).double(), 1e-6)
    same(result.plan.sum(1), torch.full((1500,), 1 / 1500).double(), 1e-6)


def test_a_matrix_as_a_cost():
    """A function that knows one pair of clouds only; its gradient in the matrix is the plan."""
    x, y, a, b = clouds(grad=False)
    matrix = uneven(x[None], y[None]).requires_grad_()
    for how, digits in (({"tol": 1e-9}, 1e-8), ({"solver": SCHEDULE}, LOOSE)):
        value = so.sinkhorn_divergence(
            x, y, a, b, blur=BLUR, debias=False, cost=lambda x, y: matrix, **how
        )
        (plan,) = torch.autograd.grad(value, matrix)
        same(plan[0], whole(x, y, a, b, uneven)[3].detach(), digits)


@pytest.mark.parametrize("reach", [None, 0.8])
@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("solver", [None, SCHEDULE])
def test_what_a_cost_learns(solver, debias, reach):
    """Its gradient is the derivative of the value: half of GeomLoss's, which counts both potentials."""
    x, y, a, b = clouds(grad=False)
    factor = torch.tensor(1.3).double().requires_grad_()

    def value(factor):
        def cost(x, y):
            return factor * dense.squared_distances(x, y)

        options = {"blur": BLUR, "tol": 1e-10, "debias": debias, "reach": reach, "solver": solver}
        return so.sinkhorn_divergence(x, y, a, b, cost=cost, **options)

    (found,) = torch.autograd.grad(value(factor), factor)
    h = 1e-4
    exact = (value(factor.detach() + h) - value(factor.detach() - h)) / (2 * h)
    same(found, exact, 1e-6 if solver is None else LOOSE)


SELF = {
    "solve_sample": lambda cost, x, y: so.solve_sample(x, y, blur=BLUR, cost=cost, debias=True),
    "sinkhorn_divergence": lambda cost, x, y: so.sinkhorn_divergence(x, y, blur=BLUR, cost=cost),
    "SamplesLoss": lambda cost, x, y: so.SamplesLoss(cost=cost)(x, y),
    "Hausdorff": lambda cost, x, y: so.hausdorff_divergence(x, y, cost=cost),
}  # fmt: skip


@pytest.mark.parametrize("door", SELF)
def test_divergences_want_a_symmetric_cost(door):
    x, y, *_ = clouds(grad=False)
    wanted = r"cost: got one that is .* from x\[\d\] to x\[\d\] and .* back, wanted a symmetric one"
    with pytest.raises(ValueError, match=wanted):
        SELF[door](uneven, x, y)

    def rounded(x, y):
        """Symmetric, but for its last digits."""
        return dense.squared_distances(x, y) + 1e-9 * uneven(x, y)

    SELF[door](rounded, x, y)
    x, y = (torch.stack((t, t)) for t in (x, y))
    with pytest.raises(ValueError, match="symmetric"):
        SELF[door](uneven, x, y)


def test_a_hausdorff_divergence_between_clouds_of_two_kinds():
    """A cost may tell the clouds apart: it is asked for from x to y, on both sides."""
    x, y, *_ = clouds(grad=False)
    y = y + 5

    def cost(one, two):
        """Points beyond 3 pay double to arrive, which no pair of one cloud tells."""
        squares = dense.squared_distances(one, two)
        between = (one[..., :1] < 3) & (two[..., 0] > 3)[:, None]
        back = (one[..., :1] > 3) & (two[..., 0] < 3)[:, None]
        assert not back.any()
        return squares * (1 + between.double())

    f, g = so.hausdorff_divergence(x, y, cost=cost, blur=0.01, potentials=True)
    nearest = 2 * dense.squared_distances(x[None], y[None])[0]
    torch.testing.assert_close(f, nearest.amin(1) / 2, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(g, nearest.amin(0) / 2, rtol=1e-3, atol=1e-3)


def test_hausdorff_divergences_learn_no_cost():
    """Whether the cost is a module or a function of a tensor."""
    x, y, *_ = clouds(grad=False)
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)

    def cost(x, y):
        return factor * dense.squared_distances(x, y)

    with pytest.raises(ValueError, match="parameters to learn, wanted a fixed cost"):
        so.hausdorff_divergence(x, y, cost=cost)
    with torch.no_grad():
        so.hausdorff_divergence(x, y, cost=cost)


def test_transposes():
    x, y, *_ = (t[None] for t in clouds(grad=False))
    for cost in (Opaque(uneven), Pointwise(pointwise)):
        assert torch.equal(cost.T(y, x), cost(x, y).mT)
        assert torch.equal(cost.T.T(x, y), cost(x, y))
        assert type(cost.T) is type(cost) and cost.T.clouds == ("y", "x")
    assert Symbolic("X").T.turned and not Symbolic("X").T.T.turned


@pytest.mark.slow
@pytest.mark.parametrize("tol", [1e-9, None])
def test_formulas_of_keops(needs_compiler, tol):
    x, y, a, b = clouds()
    how = {"solver": SCHEDULE} if tol is None else {"tol": tol}
    value = so.sinkhorn_divergence(x, y, a, b, blur=BLUR, debias=False, cost=STRING, **how)
    exact, *_ = whole(x, y, a, b, as_string)
    digits = LOOSE if tol is None else 1e-6
    same(value, exact, digits)
    for one, two in zip(*(torch.autograd.grad(v, (x, y)) for v in (value, exact)), strict=True):
        same(one, two, digits)
    for door in SELF.values():
        with pytest.raises(ValueError, match=r"from x\[0\] to x\[\d\] and .* back.*symmetric"):
            door(STRING, x.detach(), y.detach())


@pytest.mark.slow
@pytest.mark.parametrize(("value", "sign"), [("inf", ""), ("-inf", "-"), ("nan", "")])
def test_formulas_of_keops_that_are_not_finite(needs_compiler, value, sign):
    """Only sums of them are seen; the pair is looked for where these are no numbers."""
    x, y, *_ = clouds(grad=False)
    x, y = (torch.stack((t, t)) for t in (x, y))
    x[1, 4] = y[1, 2]
    bad = f"{sign}Inv(SqDist(X,Y))" if value != "nan" else "SqDist(X,Y) * Inv(SqDist(X,Y))"
    wanted = rf"cost: got a function that is {value} between x\[4\] and y\[2\], item 1"
    for door in (SELF["sinkhorn_divergence"], SELF["solve_sample"], SELF["Hausdorff"]):
        with pytest.raises(ValueError, match=wanted):
            door(bad, x, y)
    with pytest.raises(ValueError, match=rf"{value} between x\[0\] and x\[0\]"):
        so.sinkhorn_divergence(x[0], y[0], cost=bad)


def test_gradients_beyond_the_first_are_refused():
    """Of functions that cannot be traced: what ``torch.stack`` does is no formula."""
    x, y, a, b = clouds()

    def cost(x, y):
        return torch.stack((uneven(x, y),), -1)[..., 0]

    loss = so.sinkhorn_divergence(x, y, a, b, blur=BLUR, debias=False, cost=cost)
    gradient = torch.autograd.grad(loss, (x, y), create_graph=True)
    for one in gradient:
        with pytest.raises(RuntimeError, match="no second derivative"):
            one.square().sum().backward(retain_graph=True)
