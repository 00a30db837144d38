"""Sums and softmins of functions that are traced, against those of the functions themselves."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual

from sparseot.engines.choose import load
from sparseot.formulas import Opaque
from sparseot.operators.autograd.kernel_sums import kernel_sum
from sparseot.operators.autograd.quadratic_forms import quadratic_form
from sparseot.operators.autograd.softmin import softmin
from tests.references.clouds import cloud
from tests.references.functions import COSTS, UNTRACEABLE, learnt

TOL = {"rtol": 1e-10, "atol": 1e-10}
OPTIONS = {"allow_unused": True, "materialize_grads": True}
NAMES = [  # of the others each is like one of these
    name
    if name in ("cubes", "mahalanobis", "cosine", "mixture")
    else pytest.param(name, marks=pytest.mark.slow)
    for name in COSTS
]
ENGINES = [load("compiled"), load("tiles")]


@pytest.fixture(params=["programs", "torch"], autouse=True)
def way(request, monkeypatch):
    """Trees are compiled, however few the pairs; or reduced by torch."""
    if request.param == "programs":
        monkeypatch.setattr("sparseot.engines.choose.WORTH_A_PROGRAM", 0)
    return request.param


def clouds(grad=True):
    x, a = cloud(9, 3, batch=(2,), grad=grad)
    y, b = cloud(7, 3, batch=(2,), grad=grad, shift=0.2)
    return x, y, a, b


def compared(function, variables):
    """Values, gradients and Hessian-vector products by both engines."""
    found = []
    for engine in ENGINES:
        torch.manual_seed(1)
        value = function(engine)
        weights = torch.randn(value.shape).to(value)
        first = torch.autograd.grad(
            (value * weights).sum(), variables, create_graph=True, **OPTIONS
        )
        along = sum((g * torch.randn(g.shape).to(g)).sum() for g in first)
        second = torch.autograd.grad(along, variables, **OPTIONS)
        found.append((value, *first, *second))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, **TOL)


@pytest.mark.parametrize("name", NAMES)
def test_sums_and_their_derivatives(name):
    x, y, *_ = clouds()
    held = learnt()
    kernel = Opaque(lambda x, y: (-COSTS[name](x, y, *held)).exp())
    v = torch.randn(2, 7, 2, dtype=torch.float64, requires_grad=True)
    compared(lambda engine: kernel_sum(kernel, x, y, v, engine=engine), (x, y, v, *held))


@pytest.mark.parametrize("name", ["mixture", "bilinear"])
def test_quadratic_forms(name):
    x, _, a, _ = clouds()
    held = learnt()
    kernel = Opaque(lambda x, y: COSTS[name](x, y, *held))
    compared(lambda engine: quadratic_form(kernel, x, a, engine=engine), (x, a, *held))


@pytest.mark.parametrize("name", NAMES)
def test_softmins_and_their_derivatives(name):
    """A zero weight has a derivative, too; what is learnt takes its share."""
    x, y, _, b = clouds()
    b.data[:, 2] = 0
    held, g = learnt(), torch.randn_like(b).requires_grad_()
    cost = Opaque(lambda x, y: COSTS[name](x, y, *held))
    f = torch.zeros(2, 9).double()
    found = []
    for engine in ENGINES:
        value = softmin(cost, x, y, b, g, f, 0.3, engine=engine, learnt=0.5)
        weights = torch.randn(2, 9, generator=torch.Generator().manual_seed(0)).double()
        grads = torch.autograd.grad((value * weights).sum(), (x, y, b, g, *held), **OPTIONS)
        found.append((value, *grads))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, **TOL)


def test_scalings_are_differentiated(way):
    """They are not of a function that is not traced; exponents are added before they are taken."""
    x, y, a, b = clouds()
    cost = Opaque(lambda x, y: COSTS["mahalanobis"](x, y, *held))
    held = learnt()
    kernel, engine = cost.weighted_gibbs(1e-5), ENGINES[0]
    exact = cost(x, y)
    row = torch.randn_like(a) + exact.detach().amin() / 1e-5
    assert row.min() > 1000
    found = kernel_sum(kernel, x, y, b[..., None], row, torch.zeros_like(b), engine=engine)
    exponents = (row[..., None] - exact / 1e-5).exp()
    torch.testing.assert_close(found, (exact * exponents) @ b[..., None], rtol=1e-6, atol=0)
    if way == "torch":
        cut = [t[:1, :3].detach().requires_grad_() for t in (x, y, a, b)]
        weights = cut[3][..., None]

        def sums(x, y, row, col):
            return kernel_sum(cost.gibbs(0.5), x, y, weights, row, col, engine=engine)

        assert gradcheck(sums, (*cut[:2], *cut[2:]))
        assert gradgradcheck(sums, (*cut[:2], *cut[2:]))


@pytest.mark.parametrize("function", UNTRACEABLE)
def test_functions_that_stay_functions(function):
    """An engine that was given all the same sums them as they are."""
    x, y, _, b = clouds()
    kernel = Opaque(function)
    one, two = (kernel_sum(kernel, x, y, b[..., None], engine=engine) for engine in ENGINES)
    torch.testing.assert_close(one, two)
    assert UNTRACEABLE[function] in ENGINES[0].refuses(kernel, x)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # of torch, by torch
def test_transforms_see_the_function():
    """Maps, forward derivatives and ``torch.func`` have no rule for reductions of trees."""
    x, y, _, b = clouds(grad=False)
    kernel = Opaque(lambda x, y: COSTS["huber"](x, y).exp())

    def value(x, engine):
        return kernel_sum(kernel, x, y, b[..., None], engine=engine).square().sum()

    one, two = (torch.func.jacfwd(value)(x, engine) for engine in ENGINES)
    torch.testing.assert_close(one, two, **TOL)
    with dual_level():
        along = [unpack_dual(value(make_dual(x, x), engine)).tangent for engine in ENGINES]
    torch.testing.assert_close(*along, **TOL)


def test_what_is_not_finite_is_refused():
    x, y, _, b = clouds(grad=False)
    y[0, 3] = x[0, 4]
    kernel = Opaque(lambda x, y: 1 / (x[:, :, None] - y[:, None]).square().sum(-1))
    with pytest.raises(ValueError, match=r"inf between x\[4\] and y\[3\]"):
        kernel_sum(kernel, x, y, b[..., None], engine=ENGINES[0])
