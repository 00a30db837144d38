"""Many weights on one support, as histograms on a grid: a loop over the weights."""

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot import kernels
from sparseot.clouds import points_pair

torch.manual_seed(0)
X, Y = torch.rand(12, 2).double(), torch.rand(9, 2).double() + 0.3
A, B = torch.rand(4, 12).double() + 0.1, torch.rand(4, 9).double() + 0.1
A, B = A / A.sum(-1, keepdim=True), B / B.sum(-1, keepdim=True)
GAUSSIAN = kernels.Gaussian(0.3)
LOSSES = {
    **{kind: so.SamplesLoss(kind, blur=0.2)
       for kind in ("sinkhorn", "hausdorff", "gaussian", "laplacian", "energy")},
    "unbalanced": so.SamplesLoss("sinkhorn", blur=0.2, reach=0.5),
    "tol": so.SamplesLoss("sinkhorn", blur=0.2, tol=1e-9),
    "p = 1": so.SamplesLoss("sinkhorn", p=1, blur=0.2, tol=1e-9),
    "sinkhorn_divergence": lambda a, x, b, y: so.sinkhorn_divergence(
        x, y, a, b, blur=0.2, tol=1e-9, debias=False
    ),
    "hausdorff_divergence": lambda a, x, b, y: so.hausdorff_divergence(x, y, a, b, p=1, blur=0.2),
    "kernel_norm": lambda a, x, b, y: so.kernel_norm(x, y, a, b, kernel=GAUSSIAN),
    "kernel of a function": lambda a, x, b, y: so.kernel_norm(
        x, y, a, b, kernel=lambda x, y: (x @ y.mT + 1) ** 2
    ),
    "solve_sample": lambda a, x, b, y: so.solve_sample(
        x, y, a, b, blur=0.2, tol=1e-9, debias=True
    ).value,
    "potentials": lambda a, x, b, y: so.solve_sample(
        x, y, a, b, blur=0.2, tol=1e-9
    ).potential_a.square().sum(-1),
    "a cost": lambda a, x, b, y: so.sinkhorn_divergence(
        x, y, a, b, blur=0.3, debias=False, cost=lambda x, y: torch.cdist(x, y) ** 2
    ),
}  # fmt: skip
SHAPES = {
    "both": (A, X, B, Y),
    "the first": (A, X, B[0], Y),
    "the second": (A[0], X, B, Y),
    "the first, and uniform ones": (A, X, None, Y),
    "the second, and uniform ones": (None, X, B, Y),
    "beside a batch of points": (A, X, B, Y + torch.arange(4.0).double()[:, None, None] / 10),
    "after a batch of points": (A, X + torch.arange(4.0).double()[:, None, None] / 10, B, Y),
}


def _items(arguments):
    """The arguments of each item of the batch."""
    dims = (1, 2, 1, 2)
    for k in range(len(A)):
        yield [
            t if t is None or t.dim() == d else t[k] for t, d in zip(arguments, dims, strict=True)
        ]


def _leaves(arguments):
    fresh = [None if t is None else t.clone().requires_grad_() for t in arguments]
    return fresh, [t for t in fresh if t is not None]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_is_a_loop_over_its_weights(name, shapes):
    loss, factors = LOSSES[name], torch.arange(1.0, 5.0).double()
    given, leaves = _leaves(SHAPES[shapes])
    found = loss(*given)
    assert found.shape == (4,)
    gradients = torch.autograd.grad((factors * found).sum(), leaves)
    given, leaves = _leaves(SHAPES[shapes])
    exact = torch.stack([loss(*item) for item in _items(given)])
    # iterations that end for all items of a batch at once are a little longer in some of them
    factor = 100 if name == "hausdorff_divergence" else 1
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=factor * 1e-12)
    slopes = torch.autograd.grad((factors * exact).sum(), leaves)
    for gradient, slope, leaf in zip(gradients, slopes, leaves, strict=True):
        assert gradient.shape == leaf.shape
        torch.testing.assert_close(gradient, slope, rtol=1e-11, atol=factor * 1e-12)


@pytest.mark.parametrize("name", ["tol", "kernel_norm", "gaussian"])
def test_second_derivatives(name):
    loss = LOSSES[name]
    x, v = X.clone().requires_grad_(), torch.randn(12, 2).double()

    def product(value):
        (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        return torch.autograd.grad((gradient * v).sum(), x)[0]

    loop = sum(product(loss(*item)) for item in _items((A, x, B, Y)))
    torch.testing.assert_close(product(loss(A, x, B, Y)), loop, rtol=1e-9, atol=1e-11)


def test_all_of_a_result():
    found = so.solve_sample(X, Y, A, B, blur=0.2, tol=1e-9)
    items = [so.solve_sample(X, Y, a, b, blur=0.2, tol=1e-9) for a, b in zip(A, B, strict=True)]
    for name in ("value", "value_linear", "potential_b", "plan", "marginal_a", "lower"):
        exact = torch.stack([getattr(item, name) for item in items])
        torch.testing.assert_close(getattr(found, name), exact, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(found.map(), torch.stack([item.map() for item in items]))
    v = torch.randn(4, 12, 2).double()
    products = [item.hvp(v[k]) for k, item in enumerate(items)]
    torch.testing.assert_close(found.hvp(v), torch.stack(products))


def test_potentials_of_losses():
    for name, options in (("sinkhorn", {}), ("hausdorff", {}), ("gaussian", {"blur": 0.3})):
        loss = so.SamplesLoss(name, potentials=True, **options)
        f, g = loss(A, X, B, Y)
        assert f.shape == A.shape and g.shape == B.shape
        for k, item in enumerate(_items((A, X, B, Y))):
            torch.testing.assert_close((f[k], g[k]), loss(*item), rtol=1e-11, atol=1e-12)


def test_the_support_is_not_copied():
    source, target, batched = points_pair(X, Y, A, B[0])
    assert batched and source.positions.shape == (4, 12, 2) and target.weights.shape == (4, 9)
    assert source.positions.data_ptr() == X.data_ptr() and source.positions.stride(0) == 0
    assert source.copy().positions.stride(0) == 0


def test_trailing_axes_and_lone_items():
    """(N, 1) is one cloud's weights, also of one point; (B, N, 1) are those of a batch."""
    loss = LOSSES["kernel_norm"]
    exact = loss(A, X, B, Y)
    assert torch.equal(loss(A[..., None], X, B[..., None], Y), exact)
    assert loss(A[0][:, None], X, B[0], Y).shape == ()
    assert loss(A[:1], X, B[0], Y).shape == (1,)
    one = X[:1]
    assert loss(torch.ones(1, 1).double(), one, None, Y).shape == ()
    assert loss(torch.ones(3, 1).double(), one, None, Y).shape == (3,)


def test_arrays_and_half_precision():
    found = so.kernel_norm(X.numpy(), Y.numpy(), A.numpy(), None, kernel=GAUSSIAN)
    assert isinstance(found, np.ndarray) and found.shape == (4,)
    half = so.kernel_norm(X.bfloat16(), Y.bfloat16(), A.bfloat16(), kernel=GAUSSIAN)
    assert half.dtype == torch.float32 and half.shape == (4,)


@pytest.mark.parametrize(("arguments", "message"), [
    ((A, X, B[:3], Y), r"b: got shape \(3, 9\), wanted as many batch items as a, \(4, 12\)"),
    ((A[:3], X, None, Y.expand(4, 9, 2)),
     r"y: got shape \(4, 9, 2\), wanted as many batch items as a, \(3, 12\)"),
    ((None, X.expand(4, 12, 2), B[:3], Y),
     r"b: got shape \(3, 9\), wanted as many batch items as x, \(4, 12, 2\)"),
    ((None, X.expand(4, 12, 2), B[0], Y), r"y: got shape \(9, 2\), wanted as many batch items as x"),
    ((A[:, :5], X, None, Y), r"a: got shape \(4, 5\), wanted shape \(12,\)"),
    ((A[0], X.expand(4, 12, 2), None, Y.expand(4, 9, 2)), r"a: got shape \(12,\), wanted shape \(4, 12\)"),
])  # fmt: skip
def test_unequal_batches_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LOSSES["kernel_norm"](*arguments)
