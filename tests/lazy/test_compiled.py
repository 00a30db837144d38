"""Compiled code calls LazyTensors eagerly; inside of torch.func they say what there is instead."""

import pytest
import torch

import sparseot as so
from sparseot import LazyTensor, Vi, Vj

torch.manual_seed(0)
X, Y = torch.rand(60, 3, dtype=torch.float64), torch.rand(50, 3, dtype=torch.float64)
V = torch.rand(50, 2, dtype=torch.float64)
WAYS = {
    "product": lambda K: K @ V,
    "sum over j": lambda K: K.sum(1),
    "sum over i": lambda K: K.sum(0),
    "logsumexp": lambda K: K.logsumexp(1),
    "min": lambda K: K.min(1),
    "argKmin": lambda K: K.argKmin(3, dim=1),
    "transposed": lambda K: K.T @ K.sum(1)[:, 0],
}


def kernel(x, y=Y):
    return (-((Vi(x) - Vj(y)) ** 2).sum(-1) / 0.1).exp()


@pytest.mark.parametrize("way", WAYS)
def test_compiled_code_has_the_numbers_of_eager_code(way):
    made_before = kernel(X)
    for inside in (False, True):

        def reduced(x, inside=inside):
            return WAYS[way](kernel(x) if inside else made_before) + 0 * x.sum()

        compiled = torch.compile(reduced, backend="eager")
        for x in (X, X) if not inside else (X, 2 * X, X[:40]):
            torch.testing.assert_close(compiled(x), reduced(x), rtol=1e-12, atol=1e-12)


def test_gradients_of_compiled_code():
    def loss(x):
        return (kernel(x) @ V).square().sum()

    x = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(x), x)
    (found,) = torch.autograd.grad(torch.compile(loss, backend="eager")(x), x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("transform", [
    lambda f: torch.func.grad(f)(X), lambda f: torch.vmap(f)(X[None]), lambda f: torch.func.jacrev(f)(X),
])  # fmt: skip
def test_transforms_are_refused(transform):
    with pytest.raises(
        ValueError, match=r"LazyTensor: got a tensor inside of torch\.func.*autograd"
    ):
        transform(lambda x: (kernel(x) @ V).sum())


@pytest.mark.parametrize("reduction", ["sum", "logsumexp"])
def test_derivatives_of_many_results_at_once_are_refused(reduction):
    """Torch's older maps are over cotangents alone."""
    x = X.clone().requires_grad_()
    found = getattr(kernel(x), reduction)(dim=1)
    with pytest.raises(ValueError, match=r"torch\.autograd: got derivatives of many results"):
        torch.autograd.grad(found, x, torch.ones(2, *found.shape).to(found), is_grads_batched=True)
    with pytest.raises(ValueError, match="vectorize=True"):
        torch.autograd.functional.jacobian(
            lambda x: getattr(kernel(x), reduction)(dim=1), X, vectorize=True
        )
    one_by_one = torch.autograd.functional.jacobian(
        lambda x: getattr(kernel(x), reduction)(dim=1), X
    )
    assert one_by_one.shape == (*found.shape, *X.shape)


def test_methods_keep_their_names():
    assert LazyTensor.sum.__doc__.startswith("Sums") and LazyTensor.__name__ == "LazyTensor"
    assert so.LazyTensor is LazyTensor
