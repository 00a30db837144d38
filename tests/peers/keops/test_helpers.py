"""KeOps's third tutorial: Vi, Vj and Pm, functions of symbolic variables, sums of kernels."""

import torch

from .agreement import assert_equals, tensor

M, N, D = 20, 30, 4
X, Y, B = tensor(M, D), tensor(N, D, 1), tensor(N, 3, 2)
SQUARES = ((X[:, None] - Y[None]) ** 2).sum(-1, keepdim=True)
SIGMAS = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)


def of_widths(squares, sigmas):
    """A sum of Gaussians of several widths, as a whole matrix."""
    return (-squares / sigmas**2).exp().sum(-1, keepdim=True)


WANTED = (of_widths(SQUARES, SIGMAS) * B[None]).sum(1)


def test_two_axes_are_enough(lazy):
    x_i, y_j = lazy.torch.Vi(X), lazy.torch.Vj(Y)
    squares = ((x_i - y_j) ** 2).sum()
    assert_equals(squares.sum_reduction(dim=1), SQUARES.sum(1))
    assert_equals(squares.argmin(axis=0), SQUARES.argmin(0))


def test_products_powers_and_slices(lazy):
    x_i, y_j = lazy.torch.Vi(X), lazy.torch.Vj(Y)
    found = (abs(x_i | y_j) ** 1.5).sumsoftmaxweight(x_i, axis=1)
    softmax = torch.softmax((X @ Y.T).abs() ** 1.5, 1)
    assert_equals(found, softmax.sum(1, keepdim=True) * X, 1e-6)
    found = (x_i[:2] * y_j[2:] - x_i[2:] * y_j[:2]).sqnorm2().sum(axis=1)
    crossed = X[:, None, :2] * Y[None, :, 2:] - X[:, None, 2:] * Y[None, :, :2]
    assert_equals(found, (crossed**2).sum((1, 2))[:, None])


def test_a_kernel_is_inverted(lazy):
    LazyTensor, b = lazy.torch.LazyTensor, tensor(M, D, 5)
    squares = LazyTensor.sum((lazy.torch.Vi(X) - lazy.torch.Vj(X)) ** 2)
    K = (-squares / 0.25**2).exp()
    found = LazyTensor.solve(K, lazy.torch.Vi(b), alpha=0.1)
    whole = (-((X[:, None] - X[None]) ** 2).sum(-1) / 0.25**2).exp()
    assert_equals(found, torch.linalg.solve(whole + 0.1 * torch.eye(M), b), 1e-4)


def test_sums_of_kernels_by_loops_and_by_vectors(lazy):
    LazyTensor = lazy.torch.LazyTensor
    squares = ((lazy.torch.Vi(X) - lazy.torch.Vj(Y)) ** 2).sum()
    looped = 0
    for sigma in SIGMAS:
        looped += LazyTensor.exp(-squares / sigma**2)
    assert_equals((looped * lazy.torch.Vj(B)).sum_reduction(axis=1), WANTED)
    at_once = LazyTensor.exp(-squares / SIGMAS**2).sum()
    assert_equals((at_once * lazy.torch.Vj(B)).sum_reduction(axis=1), WANTED)


def test_reductions_that_are_called_later_read_what_then_stands_in_memory(lazy):
    b = B.clone()
    squares = ((lazy.torch.Vi(X) - lazy.torch.Vj(Y)) ** 2).sum(-1)
    K = lazy.torch.LazyTensor.exp(-squares / SIGMAS**2).sum()
    later = (K * lazy.torch.Vj(b)).sum_reduction(axis=1, call=False)
    assert_equals(later(), WANTED)
    b *= 2
    assert_equals(later(), 2 * WANTED)


def test_functions_of_symbolic_variables(lazy):
    Vi, Vj, Pm, LazyTensor = (getattr(lazy.torch, n) for n in ("Vi", "Vj", "Pm", "LazyTensor"))
    squares = LazyTensor.sum((Vi(0, D) - Vj(1, D)) ** 2)
    K = LazyTensor.exp(-squares / Pm(3, 4) ** 2).sum()
    function = (K * Vj(2, 3)).sum_reduction(axis=1)
    assert_equals(function(X, Y, B, SIGMAS), WANTED)
    assert_equals(function(Y, X, B[:M], 2 * SIGMAS), symbolic_reference())


def symbolic_reference():
    """The same function of other clouds."""
    squares = ((Y[:, None] - X[None]) ** 2).sum(-1, keepdim=True)
    return (of_widths(squares, 2 * SIGMAS) * B[None, :M]).sum(1)


def test_symbolic_variables_beside_tensors(lazy):
    LazyTensor = lazy.torch.LazyTensor
    squares = LazyTensor.sum((lazy.torch.Vi(X) - lazy.torch.Vj(0, D)) ** 2)
    K = LazyTensor.exp(-squares / SIGMAS**2).sum() * lazy.torch.Vj(B)
    function = K.sum_reduction(axis=1)
    y = Y.clone().requires_grad_()
    found = function(y)
    assert_equals(found, WANTED)
    wanted = of_widths(((X[:, None] - y[None]) ** 2).sum(-1, keepdim=True), SIGMAS) * B[None]
    gradients = [torch.autograd.grad(z.sum(), y)[0] for z in (found, wanted)]
    assert_equals(*gradients)
