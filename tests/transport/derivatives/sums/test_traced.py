"""Second derivatives for costs that are functions: against the built-in ones, and autograd through a loop."""

import pytest
import torch

import sparseot as so
from tests.references.clouds import cloud
from tests.references.functions import COSTS, WAY, learnt, sorted_coordinates

BLUR = 0.5


def halves(x, y):
    return (x[:, :, None] - y[:, None]).square().sum(-1) / 2


def distances(x, y):
    return torch.cdist(x, y)


def clouds(n=6, m=5, **options):
    x, a = cloud(n, 3, grad=True, **options)
    y, b = cloud(m, 3, grad=True, shift=0.2, **options)
    return x, y, a, b


def unrolled(cost, x, y, a, b, rho=None, eps=BLUR**2, steps=600):
    """The dual value of many updates, which autograd sees through."""
    C = cost(x[None], y[None])[0]
    damping = 1 if rho is None else 1 / (1 + eps / rho)
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(steps):
        f = -damping * eps * ((g - C) / eps + b.log()).logsumexp(1)
        g = -damping * eps * ((f[:, None] - C) / eps + a.log()[:, None]).logsumexp(0)
    plan = a[:, None] * b * ((f[:, None] + g - C) / eps).exp()
    value = eps * (a.sum() * b.sum() - plan.sum())
    for w, h in ((a, f), (b, g)):
        value = value + (w * (h if rho is None else -rho * (-h / rho).expm1())).sum()
    return value


def along(value, variables, directions):
    """The Hessian times some directions; in weights of mass one, up to constants."""
    grads = torch.autograd.grad(value, variables, create_graph=True)
    product = sum((g * d).sum() for g, d in zip(grads, directions, strict=True))
    return torch.autograd.grad(product, variables)


def same(found, wanted, imposed, tol=1e-7):
    for k, (one, two) in enumerate(zip(found, wanted, strict=True)):
        if imposed and k > 1:
            one, two = one - one.mean(), two - two.mean()
        torch.testing.assert_close(one, two, rtol=tol, atol=tol)


def directions(variables):
    found = [torch.randn_like(t) for t in variables]
    return [d - d.mean() if d.dim() == 1 else d for d in found]


@pytest.mark.parametrize("reach", [None, 0.8])
@pytest.mark.parametrize(
    "name",
    [
        "uneven",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("cubes", "bilinear", "periodic", "clipped")
        ),
    ],
)
def test_against_an_unrolled_loop(name, reach):
    variables, cost = clouds(), COSTS[name]
    ways = directions(variables)
    value = so.solve_sample(*variables, blur=BLUR, tol=1e-12, reach=reach, cost=cost).value
    exact = unrolled(cost, *variables, rho=None if reach is None else reach**2)
    torch.testing.assert_close(value, exact, rtol=1e-9, atol=1e-9)
    same(along(value, variables, ways), along(exact, variables, ways), reach is None)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("cost", "p"), [(halves, 2), (distances, 1)])
@pytest.mark.parametrize("debias", [False, True])
def test_against_built_in_costs(cost, p, debias, large, monkeypatch):
    """Also of divergences, in batches, and where the plan is not stored."""
    if large:
        monkeypatch.setattr("sparseot.transport.derivatives.curvature.STORED", 0)
        monkeypatch.setattr("sparseot.transport.derivatives.curvature.STORED_PAIRS", 0)
        monkeypatch.setattr("sparseot.engines.choose.WORTH_A_PROGRAM", 0)
    if debias and p == 1:
        return  # a point and itself have no derivative
    variables = clouds(batch=(2,)) if not large else clouds()
    ways = directions(variables)
    found = []
    for given in ({"cost": cost}, {}):
        result = so.solve_sample(*variables, blur=BLUR, p=p, tol=1e-12, debias=debias, **given)
        found.append(along(result.value.sum(), variables, ways))
        weights = [torch.linspace(-1, 1, h.shape[-1]).double() for h in result.dual_potentials]
        heights = sum((h * w).sum() for h, w in zip(result.dual_potentials, weights, strict=True))
        found[-1] += torch.autograd.grad(heights, variables[:2])
    same(found[0][:4], found[1][:4], True, 1e-6)
    same(found[0][4:], found[1][4:], False, 1e-6)


def test_points_without_weight():
    """Both clouds have some, and exponents between these know no bound."""
    x, y, a, b = clouds()
    a.data[2], b.data[1] = 0, 0
    a.data /= a.data.sum()
    b.data /= b.data.sum()
    ways = directions((x, y, a, b))
    results = (
        so.solve_sample(x, y, a, b, blur=BLUR, tol=1e-12, **given).value
        for given in ({"cost": halves}, {})
    )
    same(*(along(value, (x, y, a, b), ways) for value in results), True)


@pytest.mark.parametrize("debias", [False, True])
def test_hessians_as_matrices(debias):
    x, y, a, b = (t.detach() for t in clouds())
    one, two = (
        so.solve_sample(x, y, a, b, blur=BLUR, tol=1e-12, debias=debias, **given)
        for given in ({"cost": halves}, {})
    )
    for wrt in "xyab":
        found, wanted = (so.hessian(result, wrt).to_dense() for result in (one, two))
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)


def test_what_has_none():
    """What a cost learns, and functions that are not traced, have first derivatives."""
    variables, held = clouds(), learnt()

    def learning(x, y):
        return COSTS["lengths"](x, y, *held)

    for cost in (learning, sorted_coordinates):
        value = so.solve_sample(*variables, blur=BLUR, tol=1e-9, cost=cost).value
        (grad,) = torch.autograd.grad(value, variables[:1], create_graph=True)
        with pytest.raises(RuntimeError, match="no second derivative"):
            grad.sum().backward()
    with torch.no_grad():
        x, y = (t.detach() for t in variables[:2])
        with pytest.raises(ValueError, match="asks for .sort"):
            so.hessian(so.solve_sample(x, y, blur=BLUR, cost=sorted_coordinates)) @ x.view(-1)


def test_single_precision():
    """Held numbers of single precision are taken in double where the points are."""
    way = WAY.float()

    def cost(x, y):
        return ((x[:, :, None] - y[:, None]) @ way).square().sum(-1)

    variables = [t.detach().float().requires_grad_() for t in clouds()]
    ways = directions(variables)
    value = so.solve_sample(*variables, blur=BLUR, tol=1e-4, cost=cost).value
    doubled = [t.detach().double().requires_grad_() for t in variables]
    wide = way.double()
    exact = so.solve_sample(
        *doubled, blur=BLUR, tol=1e-12,
        cost=lambda x, y: ((x[:, :, None] - y[:, None]) @ wide).square().sum(-1),
    )  # fmt: skip
    wanted = along(exact.value, doubled, [d.double() for d in ways])
    for one, two in zip(along(value, variables, ways)[:2], wanted[:2], strict=True):
        torch.testing.assert_close(one.double(), two, rtol=1e-3, atol=1e-3)
