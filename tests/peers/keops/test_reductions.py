"""KeOps's second tutorial: all reductions, of scalars and of vectors, and linear systems."""

import pytest
import torch

from .agreement import assert_equals, tensor

M, N, D = 25, 35, 3
X, Y = tensor(M, D), tensor(N, D, 1)
VECTORS = X[:, None] - Y[None]
SQUARES = (VECTORS**2).sum(-1, keepdim=True)


def formulas(lazy):
    """Squared distances, and vectors of differences."""
    V = lazy.torch.LazyTensor(X[:, None, :]) - lazy.torch.LazyTensor(Y[None, :, :])
    return (V**2).sum(-1), V


@pytest.mark.parametrize("dim", [0, 1])
def test_sums_and_logarithms_of_sums(lazy, dim):
    S, V = formulas(lazy)
    assert_equals(S.sum(dim=dim), SQUARES.sum(dim))
    assert_equals(V.sum(axis=dim), VECTORS.sum(dim))
    assert_equals(S.logsumexp(dim=dim), SQUARES.logsumexp(dim))
    weighted = (SQUARES.exp() * VECTORS**2).sum(dim).log()
    assert_equals(S.logsumexp(dim=dim, weight=V**2), weighted)
    softmax = torch.softmax(SQUARES, dim)
    assert_equals(S.sumsoftmaxweight(V, dim=dim), (softmax * VECTORS).sum(dim))


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("name", ["min", "max"])
def test_extrema_and_where_they_are(lazy, dim, name):
    for lazily, whole in zip(formulas(lazy), (SQUARES, VECTORS), strict=True):
        wanted = getattr(whole, name)(dim)
        assert_equals(getattr(lazily, name)(dim=dim), wanted.values)
        assert_equals(getattr(lazily, f"arg{name}")(dim=dim), wanted.indices)
        values, indices = getattr(lazily, f"{name}_arg{name}")(dim=dim)
        assert_equals(values, wanted.values)
        assert_equals(indices, wanted.indices)


@pytest.mark.parametrize("dim", [0, 1])
def test_the_five_least(lazy, dim):
    S, V = formulas(lazy)
    for lazily, whole in ((S, SQUARES[..., 0]), (V, VECTORS)):
        order = whole.movedim(1 - dim, 0).sort(dim=1)  # one row for each that remains
        values, indices = order.values[:, :5], order.indices[:, :5]
        assert_equals(lazily.Kmin(K=5, dim=dim), values)
        assert_equals(lazily.argKmin(K=5, dim=dim), indices)
        both = lazily.Kmin_argKmin(K=5, dim=dim)
        assert_equals(both[0], values)
        assert_equals(both[1], indices)


def test_solutions_of_linear_systems_have_gradients(lazy):
    x, b, alpha = tensor(M, D, 3).requires_grad_(), tensor(M, 4, 4), 0.1
    x_i, x_j = lazy.torch.LazyTensor(x[:, None, :]), lazy.torch.LazyTensor(x[None, :, :])
    K = (-((x_i - x_j) ** 2).sum(-1)).exp()
    a = K.solve(b, alpha=alpha, eps=1e-12)
    whole = (-((x[:, None] - x[None]) ** 2).sum(-1)).exp() + alpha * torch.eye(M)
    wanted = torch.linalg.solve(whole, b)
    assert_equals(a, wanted, 1e-6)
    assert_equals(alpha * a + K @ a, b, 1e-6)
    gradients = [torch.autograd.grad((z**2).sum(), [x])[0] for z in (a, wanted)]
    assert_equals(*gradients, 1e-5)
