"""Functions of two clouds as formulas of two points: values, derivatives, and what cannot be one."""

import math

import pytest
import torch

from sparseot import kernels
from sparseot.formulas import Opaque, Pointwise
from sparseot.formulas.trees.algebra import ONE
from sparseot.formulas.trees.axes import Untraceable
from sparseot.formulas.trees.dense import values
from sparseot.formulas.trees.derivatives import gradients
from sparseot.formulas.trees.expressions import I, J
from sparseot.formulas.trees.slots import leaves
from tests.references.clouds import cloud
from tests.references.functions import COSTS, UNTRACEABLE, learnt


def stored(tree):
    """The values of a formula between all points."""
    known = {
        leaf: {I: leaf.attr.tensor[:, :, None], J: leaf.attr.tensor[:, None]}.get(
            leaf.on, leaf.attr.tensor
        )
        for leaf in leaves(tree)
    }
    (found,) = values([tree], known, next(iter(known.values())))
    return found[..., 0]


def clouds(batch=2, grad=True):
    return (cloud(n, 3, batch=(batch,), grad=grad, shift=s)[0] for n, s in ((5, 0.0), (4, 0.2)))


@pytest.mark.parametrize("name", COSTS)
def test_formulas_equal_their_functions(name):
    x, y = clouds()
    held = learnt()
    cost = Opaque(lambda x, y: COSTS[name](x, y, *held))
    wanted, found = cost(x, y), stored(cost.tree(x, y))
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-13)
    weights = torch.randn_like(wanted)
    options = {"allow_unused": True, "materialize_grads": True}
    for one, two in zip(
        *(
            torch.autograd.grad((v * weights).sum(), (x, y, *held), **options)
            for v in (found, wanted)
        ),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", COSTS)
def test_transposes_multiples_and_products(name):
    x, y = clouds(grad=False)
    held = learnt()
    cost = Opaque(lambda x, y: COSTS[name](x, y, *held))
    product = cost.T.scaled(3.0).times(kernels.Laplacian(0.4)).times(kernels.InverseMultiquadric(1))
    for formula in (cost.T, product, cost.weighted_gibbs(0.3)):
        found = stored(formula.tree(y, x) if formula is not product else product.tree(y, x))
        torch.testing.assert_close(found, formula(y, x), rtol=1e-13, atol=1e-13)


def test_functions_of_two_points():
    x, y = clouds()
    kernel = Pointwise(lambda x_i, y_j: 1 / (1 + ((x_i - 2 * y_j) ** 2).sum(-1)))
    for formula, pair in ((kernel, (x, y)), (kernel.T, (y, x)), (kernel.scaled(2.0), (x, y))):
        torch.testing.assert_close(stored(formula.tree(*pair)), formula(*pair))


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_distances(p):
    """Torch differentiates them once."""
    x, y = clouds()
    found, wanted = (
        stored(Opaque(lambda x, y: torch.cdist(x, y, p=p)).tree(x, y)),
        torch.cdist(x, y, p),
    )
    torch.testing.assert_close(found, wanted)
    for one, two in zip(
        *(torch.autograd.grad(v.square().sum(), (x, y)) for v in (found, wanted)), strict=True
    ):
        torch.testing.assert_close(one, two)


LETTERS = {
    "products": lambda x, y: torch.einsum("bnd,bmd->bnm", x, y),
    "turned": lambda x, y: torch.einsum("bmd, bnd -> bnm", y, x),
    "weighted": lambda x, y: torch.einsum("bnd,bmd,d->bnm", x, y, HELD[:3] / 3),
    "sums": lambda x, y: torch.einsum("bnmd->bnm", (x[:, :, None] - y[:, None]) ** 2),
}


@pytest.mark.parametrize("name", LETTERS)
def test_letters_of_einsum(name):
    x, y = clouds(grad=False)
    found = stored(Opaque(LETTERS[name]).tree(x, y))
    torch.testing.assert_close(found, LETTERS[name](x, y))


HELD = torch.ones(4, dtype=torch.float64)
APART = {
    "sigmoid": lambda d: torch.sigmoid(d).prod(-1) + torch.sigmoid(-d).prod(-1),
    "softplus": lambda d: torch.nn.functional.softplus(d).sum(-1),
    "tanh": lambda d: torch.tanh(d).sum(-1),
    "silu": lambda d: torch.nn.functional.silu(d).sum(-1),
    "leaky": lambda d: torch.nn.functional.leaky_relu(d - 0.1, 0.2).sum(-1),
    "smallest": lambda d: torch.linalg.vector_norm(d, -math.inf, dim=-1),
    "roots": lambda d: d.square().sum(-1) ** 1.5,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", APART)
def test_derivatives_where_points_meet_and_far_away(name, dtype):
    """They are numbers, and those of torch, for differences that are zero, and hundreds."""
    x = torch.tensor([[0.0, 0.0], [90.0, -800.0], [0.3, 0.2]], dtype=dtype)[None].requires_grad_()
    y = torch.tensor([[0.0, 0.0], [0.1, -0.2]], dtype=dtype)[None]
    cost = Opaque(lambda x, y: APART[name](x[:, :, None] - y[:, None]))
    tree = cost.tree(x, y)
    where = next(leaf for leaf in leaves(tree) if leaf.on == I)
    slope = gradients([tree], [ONE], [where])[0]
    known = {
        leaf: {I: leaf.attr.tensor[:, :, None], J: leaf.attr.tensor[:, None]}.get(
            leaf.on, leaf.attr.tensor
        )
        for leaf in leaves(tree)
    }
    found = values([slope], known, x)[0].sum(2)
    (wanted,) = torch.autograd.grad(cost(x, y).sum(), x)
    torch.testing.assert_close(stored(tree), cost(x, y), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.expand_as(wanted), wanted, rtol=1e-4, atol=1e-6)


def _doubled(x, y):
    apart = x[:, :, None] - y[:, None]
    same = apart
    apart *= 2  # and what has another name
    return (same * apart).sum(-1)


WHY = {
    "letters of einsum to be guessed": lambda x, y: torch.einsum("bnd,bmd", x, y),
    "einsum's 'bnn' is no name of 3 axes": lambda x, y: torch.einsum("bnn,bmd->bnm", x, y),
    "does not fit": lambda x, y: torch.einsum("bnd->bnm", x @ y.mT),
    "asks for .sort": lambda x, y: (x @ y.mT).sort(-1).values,
    "torch.lgamma is not known": lambda x, y: torch.lgamma(x @ y.mT),
    "torch.stack is not known": lambda x, y: torch.stack([x, x], -1).sum((-1, -2)),
    "takes a decision": lambda x, y: x @ y.mT if x[..., 0] > 0 else x @ y.mT * 2,
    "loops over points": lambda x, y: sum(a @ b.mT for a, b in zip(x, y, strict=True)),
    "reduces over rows": lambda x, y: x @ y.mT - x.sum(1, keepdim=True) @ y.mT,
    "rows and columns stand on one axis": lambda x, y: (x - y).sum(-1),
    "coordinates on two axes": lambda x, y: (x[..., None] * x[..., None, :]).sum(-1) @ y.mT,
    "columns and coordinates stand on one axis": lambda x, y: x @ y.mT * HELD,
    "joins points with str": lambda x, y: x @ y.mT + "1",
    "converts points to torch.float32": lambda x, y: (x @ y.mT).float(),
    "takes the rows 0": lambda x, y: x[:, 0] @ y.mT,
    "takes the columns slice": lambda x, y: (x @ y.mT)[:, :, :2],
    "asks for coordinate 7 of 3": lambda x, y: x[..., None, 7] + y[:, None, :, 0],
    "reduces the axes None": lambda x, y: (x @ y.mT).sum(),
    "takes truth values for numbers": lambda x, y: (x @ y.mT > 0) + (x @ y.mT),
    "chooses by what is no comparison": lambda x, y: (x @ y.mT).where(x @ y.mT, 1.0),
    "joins bits of numbers": lambda x, y: (x @ y.mT) & True,
    "sums a product over rows": lambda x, y: x.mT @ x @ y.mT,
    "multiplies coordinates by a matrix 4 x 4": lambda x, y: x @ torch.diag(HELD) @ y.mT,
    "returns a batch, rows$": lambda x, y: x.sum(-1),
    "raises points to a power that is a tensor": lambda x, y: (x @ y.mT) ** HELD[0],
    "raises points to the power 1.2": lambda x, y: torch.cdist(x, y) ** 1.2,
    "raises points to the power 66": lambda x, y: (x @ y.mT) ** 66,
    "takes a norm of order 3": lambda x, y: torch.cdist(x, y, p=3.0),
    "changes a tensor in place": _doubled,
    "returns Tensor": lambda x, y: HELD,
    "raises ZeroDivisionError": lambda x, y: x @ y.mT / (1 // 0),
}


@pytest.mark.parametrize("why", WHY)
def test_what_no_formula_says(why):
    x, y = clouds(grad=False)
    with pytest.raises(Untraceable, match=why):
        Opaque(WHY[why]).tree(x, y)


@pytest.mark.parametrize("function", UNTRACEABLE)
def test_functions_that_stay_functions(function):
    with pytest.raises(Untraceable, match=UNTRACEABLE[function]):
        Opaque(function).tree(*clouds())


def test_tensors_of_less_precision_and_of_more():
    """What a function holds is taken in the precision of the points, if that loses nothing."""
    x, y = clouds(grad=False)
    narrow, wide = torch.rand(3), torch.rand(3).double()
    cost = Opaque(lambda x, y: ((x[:, :, None] - y[:, None]) * narrow).sum(-1))
    torch.testing.assert_close(stored(cost.tree(x, y)), cost(x, y))
    lost = Opaque(lambda x, y: ((x[:, :, None] - y[:, None]) * wide).sum(-1))
    with pytest.raises(Untraceable, match="holds a tensor of torch.float64"):
        lost.tree(x.float(), y.float())
    number = Opaque(lambda x, y: x @ y.mT * wide[0])
    torch.testing.assert_close(
        stored(number.tree(x.float(), y.float())), number(x.float(), y.float())
    )
