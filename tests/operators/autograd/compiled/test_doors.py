"""One operator for ``torch.compile``: graphs without a break, eager numbers, gradients and errors."""

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import sparseot as so

from .compiling import KERNEL, SLOW, TORCHS_OWN, A, B, X, Y, compiled_like

pytestmark = TORCHS_OWN


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("sinkhorn", {}),
        ("sinkhorn", {"potentials": True, "tol": 1e-6}),
        pytest.param("sinkhorn", {"tol": 1e-6, "reach": 0.5}, marks=SLOW),
        pytest.param("sinkhorn", {"potentials": True}, marks=SLOW),
        pytest.param("hausdorff", {}, marks=SLOW),
        pytest.param("hausdorff", {"potentials": True}, marks=SLOW),
        pytest.param("gaussian", {}, marks=SLOW),
        pytest.param("laplacian", {"potentials": True}, marks=SLOW),
        pytest.param("energy", {}, marks=SLOW),
    ],
)
def test_samples_loss(loss, options):
    module = so.SamplesLoss(loss, blur=0.3, **options)
    compiled_like(lambda a, x, b, y: module(a, x, b, y), A, X, B, Y)


FUNCTIONS = {
    "sinkhorn_divergence": lambda x, y, a, b: so.sinkhorn_divergence(
        x, y, a, b, blur=0.3, solver=so.Sinkhorn(tol=1e-5), reach=(0.4, None), debias=False
    ),
    "kernel_norm": lambda x, y, a, b: so.kernel_norm(x, y, a, b, kernel=KERNEL),
    "a new kernel": lambda x, y, a, b: so.kernel_norm(x, y, kernel=2 * so.kernels.Laplacian(0.2)),
    "hausdorff_divergence": lambda x, y, a, b: so.hausdorff_divergence(x, y, a, b, blur=0.3),
    "one cloud": lambda x, y, a, b: so.hausdorff_divergence(x[0], y[0], a[0], blur=0.3),
    "one support": lambda x, y, a, b: so.kernel_norm(x[0], y[0], a, b, kernel=KERNEL),
    "half precision": lambda x, y, a, b: so.kernel_norm(x.bfloat16(), y.bfloat16(), kernel=KERNEL),
    "a function": lambda x, y, a, b: so.kernel_norm(x, y, kernel=lambda x, y: (x @ y.mT).square()),
}


@pytest.mark.parametrize(
    "name", [name if k < 2 else pytest.param(name, marks=SLOW) for k, name in enumerate(FUNCTIONS)]
)
def test_functions(name):
    compiled_like(FUNCTIONS[name], X, Y, A, B)


MATRICES = {
    "made before": lambda K, x, y, v: torch.matmul(K, v),
    "its transpose": lambda K, x, y, v: v @ K.T,
    "made in compiled code": lambda K, x, y, v: so.KernelMatrix(KERNEL, x, y) @ v,
    "its own transpose": lambda K, x, y, v: v @ so.KernelMatrix(KERNEL, y, x),
    "a sum, from the right": lambda K, x, y, v: torch.matmul(v, so.KernelMatrix(KERNEL, y)).sum(),
}


@pytest.mark.parametrize(
    "name", [name if k == 0 else pytest.param(name, marks=SLOW) for k, name in enumerate(MATRICES)]
)
def test_kernel_matrices(name):
    x, y = (z.detach()[0].requires_grad_() for z in (X, Y))
    K, v = so.KernelMatrix(KERNEL, x, y), torch.rand(9, dtype=x.dtype, requires_grad=True)
    compiled_like(lambda v, x, y: MATRICES[name](K, x, y, v), v, x, y)


@SLOW
def test_operators_whose_points_stand_in_two_places():
    """The sum of two matrices of one cloud; vectors are on either side of what is symmetric."""
    x, v = X.detach()[0].requires_grad_(), torch.rand(12, dtype=X.dtype, requires_grad=True)
    both = so.KernelMatrix(KERNEL, x) + 0.5 * so.KernelMatrix(so.kernels.Energy(), x)
    compiled_like(lambda v, x: both @ v, v, x)
    L = so.graph_laplacian(so.KernelMatrix(KERNEL, x.detach()))
    compiled_like(lambda v: v @ L, v)


@SLOW
def test_products_that_could_be_either():
    """Torch does not say which side the matrix was on."""
    K = so.KernelMatrix(KERNEL, torch.rand(5, 2), torch.rand(5, 2))
    v = torch.rand(5)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="NotImplemented"):
        torch.compile(lambda v: K @ v, backend="eager", fullgraph=True)(v)
    torch.testing.assert_close(torch.compile(lambda v: K @ v, backend="eager")(v), K @ v)
    torch.testing.assert_close(torch.matmul(K, v), K @ v)
    torch.testing.assert_close(torch.matmul(v, K), v @ K)


@SLOW
def test_a_matrix_that_compiled_code_made_is_whole_outside():
    x = torch.rand(7, 2)
    K = torch.compile(lambda x: so.KernelMatrix(KERNEL, x), backend="eager", fullgraph=True)(x)
    wanted = so.KernelMatrix(KERNEL, x)
    assert repr(K) == repr(wanted)
    torch.testing.assert_close(K.to_dense(), wanted.to_dense())
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        K.colour  # noqa: B018


@SLOW
def test_bad_input_is_refused_by_the_same_sentences():
    loss = so.SamplesLoss("sinkhorn", blur=0.3)
    step = torch.compile(lambda x: loss(x, Y), backend="aot_eager", fullgraph=True)
    with pytest.raises(ValueError, match="x: got 48 NaN or infinite coordinates"):
        step(X * torch.nan)
    with pytest.raises(ValueError, match="dimension 2, shape .*, wanted dimension 1"):
        step(X[..., :1])


@SLOW
@pytest.mark.parametrize(
    "function",
    [
        lambda x: so.solve_sample(x, Y[0], blur=0.3).value,
        lambda x: so.knn(x, k=3).distances.sum(),
        lambda x: so.knn_graph(x, k=3).sum(),
        lambda x: so.radius(x, None, 0.5).distances.sum(),
    ],
)
def test_what_returns_more_than_tensors_is_left_to_eager_code(function):
    """The graph breaks, and the compiler does not look into what is called there."""
    x, counter = X.detach()[0], CompileCounterWithBackend("aot_eager")
    found = torch.compile(lambda x: 2 * function(x + 1), backend=counter)(x)
    torch.testing.assert_close(found, 2 * function(x + 1))
    assert 2 <= counter.op_count <= 4  # those that are written here


@SLOW
def test_arrays_are_left_to_eager_code():
    loss = so.SamplesLoss("sinkhorn", blur=0.3)
    x, y = (z.detach().numpy() for z in (X, Y))
    found = torch.compile(lambda: loss(x, y), backend="eager")()
    assert np.array_equal(found, loss(x, y))
