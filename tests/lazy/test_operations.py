"""Each operation against stored tensors, with its first and second derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sparseot import LazyTensor, Pm, Vi, Vj
from sparseot.engines.trees import compiled
from tests.references.stored import Stored

ONES = {
    "exp": lambda x, y: (x - y).exp(),
    "log": lambda x, y: (x * y + 5).log(),
    "sqrt": lambda x, y: (x * y + 5).sqrt(),
    "rsqrt": lambda x, y: (x * y + 5).rsqrt(),
    "sin": lambda x, y: (x - 2 * y).sin(),
    "cos": lambda x, y: (x - 2 * y).cos(),
    "asin": lambda x, y: (x * y / 9).asin(),
    "acos": lambda x, y: (x * y / 9).acos(),
    "atan": lambda x, y: (x - y).atan(),
    "tanh": lambda x, y: (x - y).tanh(),
    "abs": lambda x, y: (x - y).abs(),
    "relu": lambda x, y: (x - y).relu(),
    "square": lambda x, y: (x - y).square(),
    "xlogx": lambda x, y: (x * y + 5).xlogx(),
    "sinxdivx": lambda x, y: (x - y).sinxdivx(),
    "sinc": lambda x, y: (x - y).sinc(),
    "step": lambda x, y: (x - y).step() * x,
    "sign": lambda x, y: (x - y).sign() * y,
    "floor": lambda x, y: (x - y).floor() * x,
    "round": lambda x, y: (x - y).round(1) * x,
    "mod": lambda x, y: (x - y).mod(0.7, 0.1),
    "clamp": lambda x, y: (x - y).clamp(-0.5, 0.5),
    "ifelse": lambda x, y: (x - y).ifelse(x * 2, y),
    "minimum": lambda x, y: (x * 2).minimum(y),
    "maximum": lambda x, y: x.maximum(y * 3),
    "atan2": lambda x, y: x.atan2(y + 0.3),
    "compare": lambda x, y: ((x < y) + 2 * (x >= y) + (x > 0.1) * (y <= 0.2)) * x,
    "equal": lambda x, y: ((x.round() == y.round()) + (x != y)) * x,
    "powers": lambda x, y: (x - y) ** 3 + (x * y + 5) ** -2 + (x * y + 5) ** 1.5,
    "roots": lambda x, y: (x * y + 5) ** 0.5 + (x * y + 5) ** -0.5 + (x * y + 5) ** 0.3,
    "arithmetic": lambda x, y: 3 - x * 2 + (1 / (y + 7)) / 2 - (-x) + 1 * y,
}
VECTORS = {
    "scalar product": lambda x, y: x | y,
    "norms": lambda x, y: (x - y).norm2() + (x.normalize() | y),
    "sqdist": lambda x, y: x.sqdist(y) * x,
    "elements": lambda x, y: x[0] * y[2] + x[1:3].sum(-1) * y,
    "concat": lambda x, y: x.concat(y)[1:5],
    "tensorprod": lambda x, y: x.tensorprod(y),
    "matvecmult": lambda x, y: x.tensorprod(y).matvecmult(x),
    "vecmatmult": lambda x, y: x.vecmatmult(y.tensorprod(x)),
    "weighted": lambda x, y: x.weightedsqnorm(y * y) + x.weightedsqnorm(y.tensorprod(y)),
    "difference_matrix": lambda x, y: x.difference_matrix(y).square(),
    "one_hot": lambda x, y: (x[0] * y[0] + 2).one_hot(4) * x[1],
    "coordinates": lambda x, y: (x * y).min() + (x - y).argmin() * x,
}


def clouds(n=4, m=5):
    return [torch.randn(k, 3, dtype=torch.float64).requires_grad_() for k in (n, m)]


@pytest.mark.parametrize("name", [*ONES, *VECTORS])
def test_values_and_gradients(name):
    operation = {**ONES, **VECTORS}[name]
    x, y = clouds()
    stored = operation(Stored(x[:, None]), Stored(y[None])).values
    wanted = stored.expand(4, 5, stored.shape[-1]).sum(1)
    weights = torch.randn_like(wanted)
    slopes = torch.autograd.grad((wanted * weights).sum(), (x, y), materialize_grads=True)
    for engine in ("compiled", "tiles"):
        x_i, y_j = Vi(x), Vj(y)
        x_i.engine = engine
        found = operation(x_i, y_j).sum(1)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
        mine = torch.autograd.grad((found * weights).sum(), (x, y), materialize_grads=True)
        torch.testing.assert_close(mine, slopes, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["exp", "acos", "atan2", "roots", "norms", "matvecmult", "mod"])
def test_second_derivatives(name):
    operation = {**ONES, **VECTORS}[name]

    def function(x, y):
        return operation(Vi(x), Vj(y)).sum(1)

    assert gradgradcheck(function, clouds(2, 3), fast_mode=True)


REDUCTIONS = {
    "sum": lambda F, y: F.sum(0),
    "mean": lambda F, y: F.mean(1),
    "logsumexp": lambda F, y: F.logsumexp(1),
    "weighted": lambda F, y: F.logsumexp(1, weight=Vj(y) ** 2 + 0.1),
    "softmax": lambda F, y: F.sumsoftmaxweight(Vj(y), dim=1),
    "min": lambda F, y: F.min(1),
    "max": lambda F, y: F.max(0),
    "Kmin": lambda F, y: F.Kmin(2, dim=1),
    "product": lambda F, y: F @ y,
    "turned": lambda F, y: F.T @ (F @ y),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_derivatives_of_reductions(name):
    """In rows, columns and a parameter, twice."""
    p = torch.tensor([0.8], dtype=torch.float64, requires_grad=True)

    def function(x, y, p):
        F = ((Vi(x) - Vj(y)) ** 2).sum(-1) * Pm(p) + (Vi(x) | Vj(y))
        return REDUCTIONS[name](F, y)

    points = (*clouds(2, 3), p)
    assert gradcheck(function, points, fast_mode=True)
    assert gradgradcheck(function, points, fast_mode=True)


def test_a_derivative_is_a_formula():
    """The gradient of a kernel in a variable, times a vector, as KeOps's ``grad``."""
    x, y = clouds()
    x_i, y_j = Vi(x), Vj(y)
    found = (-x_i.sqdist(y_j)).exp().grad(x_i, 1).sum(1)
    K = (-(x[:, None] - y[None]).square().sum(-1, keepdim=True)).exp()
    torch.testing.assert_close(found, (-2 * K * (x[:, None] - y[None])).sum(1))
    with pytest.raises(
        ValueError, match=r"variable: got the formula .*what LazyTensor\(array\) gave"
    ):
        x_i.exp().grad(x_i.exp(), 1)


def test_functions_of_torch_are_methods():
    x, y = clouds()
    x_i, y_j = Vi(x.detach()), Vj(y.detach())
    found = (torch.exp(-x_i.sqdist(y_j)) * 2).sum(1)
    torch.testing.assert_close(found, ((-x_i.sqdist(y_j)).exp() * 2).sum(1))
    p = torch.tensor([2.0], dtype=torch.float64)
    for one, other in (
        (p * x_i, 2.0 * x_i),
        (p - x_i, 2.0 - x_i),
        (p / y_j, 2.0 / y_j),
        (p + x_i, x_i + 2.0),
    ):
        F, G = (one - y_j).sum(1), (other - y_j).sum(1)
        torch.testing.assert_close(F, G)
    with pytest.raises(TypeError, match=r"torch.svd: got a LazyTensor"):
        torch.svd(x_i)


def test_vectors_longer_than_registers():
    x, y = (torch.randn(n, 40, dtype=torch.float64).requires_grad_() for n in (7, 9))
    F = ((Vi(x) | Vj(y)) / 7).exp() * Vj(y)
    wanted = ((x @ y.T / 7).exp()[..., None] * y).sum(1)
    torch.testing.assert_close(F.sum(1), wanted)
    weights = torch.randn(7, 40, dtype=torch.float64)
    pairs = zip(
        torch.autograd.grad((F.sum(1) * weights).sum(), (x, y)),
        torch.autograd.grad((wanted * weights).sum(), (x, y)),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other)
    assert isinstance(F, LazyTensor)


def test_one_pass_over_the_pairs_gives_the_gradient_in_all_variables(monkeypatch):
    """And a Hessian-vector product takes one more."""
    passes = []

    def share(loop, ends, *args):
        passes.append(1)
        return real(loop, ends, *args)

    real = compiled.share
    monkeypatch.setattr(compiled, "share", share)
    x, y = clouds(6, 7)
    p = torch.tensor([0.8], dtype=torch.float64, requires_grad=True)
    v = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    x_i = Vi(x)
    x_i.engine = "compiled"
    value = (-x_i.sqdist(Vj(y)) * Pm(p)).exp() @ v
    assert len(passes) == 1
    grads = torch.autograd.grad(value.sum(), (x, y, p, v), create_graph=True)
    assert len(passes) == 2
    torch.autograd.grad(sum(g.square().sum() for g in grads), (x, y, p, v))
    assert len(passes) == 3
