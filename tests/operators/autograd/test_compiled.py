"""One operator for ``torch.compile``: graphs without a break, eager numbers and gradients, nothing that stays."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils.checkpoint import checkpoint

import sparseot as so
from sparseot.operators.autograd import compiled, packed
from tests.references.clouds import cloud

# torch's own
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]
SLOW = pytest.mark.slow
CLOSE = {"rtol": 1e-12, "atol": 1e-14}
KERNEL = so.kernels.Gaussian(0.3)
(X, A), (Y, B) = cloud(12, 2, batch=(2,), grad=True), cloud(9, 2, batch=(2,), shift=0.2)


@pytest.fixture(autouse=True)
def _afresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled_like(function, *inputs, backend="aot_eager", **options):
    """The function compiled, after it was compared: value, gradients, one graph with one operator."""
    counter = CompileCounterWithBackend(backend)
    other = torch.compile(function, fullgraph=True, backend=counter, **options)
    leaves = [t for t in inputs if t.requires_grad]
    for _ in range(2):
        found, wanted = (everything(f, inputs, leaves) for f in (other, function))
        torch.testing.assert_close(found, wanted, **CLOSE)
    with torch.no_grad():
        plain = other(*inputs)
    torch.testing.assert_close(plain, function(*inputs), **CLOSE)
    names = [str(node.target) for graph in counter.graphs for node in graph.graph.nodes]
    assert names.count("sparseot.call") == len(counter.graphs) == 2  # with gradients, and without
    gc.collect()
    assert not compiled._states
    return other


def everything(function, inputs, leaves):
    found = function(*inputs)
    found = found if isinstance(found, tuple) else (found,)
    weighed = [(t * torch.arange(1.0, 1 + t.numel()).to(t).view(t.shape)).sum() for t in found]
    options = {"allow_unused": True, "materialize_grads": True}
    gradients = torch.autograd.grad(sum(weighed), leaves, **options) if leaves else ()
    return (*found, *gradients)


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


class Metric(torch.nn.Module):
    """A cost that is learnt."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))

    def forward(self, x, y):
        return ((x[:, :, None] - y[:, None]).square() * self.weight).sum(-1)


def test_what_is_learnt_has_its_gradient():
    metric, sigma = Metric(), torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
    loss = so.SamplesLoss("sinkhorn", blur=0.3, cost=metric)
    compiled_like(lambda x, y, w: loss(x, y), X, Y, metric.weight)
    kernel = so.kernels.Gaussian
    compiled_like(lambda x, y, s: so.kernel_norm(x, y, kernel=kernel(s)), X, Y, sigma)


@SLOW
def test_what_functions_hold_has_its_gradient():
    metric, w = Metric(), torch.rand(2, dtype=torch.float64, requires_grad=True)

    def with_tensor(w, scale=2.0):
        return lambda x, y, scale=scale: scale * ((x * w) @ y.mT)

    held, of_module = with_tensor(w), (lambda net: lambda x, y: net(x, y))(metric)
    compiled_like(lambda x, y, w: so.kernel_norm(x, y, kernel=held), X, Y, w)
    options = {"blur": 0.3, "tol": 1e-8}
    compiled_like(
        lambda x, y, w: so.sinkhorn_divergence(x, y, cost=of_module, **options), X, Y, metric.weight
    )
    loss = so.SamplesLoss("laplacian", blur=torch.nn.Parameter(torch.tensor(0.3).double()))
    compiled_like(lambda x, y, s: loss(x, y), X, Y, loss.blur)
    step = torch.compile(
        lambda x, f: so.kernel_norm(x, Y, kernel=f), backend="eager", fullgraph=True
    )
    for kernel in (held, with_tensor(w, 3.0), with_tensor(torch.rand(2).double())):
        torch.testing.assert_close(step(X, kernel), so.kernel_norm(X, Y, kernel=kernel))


HIDDEN = torch.ones(2, dtype=torch.float64, requires_grad=True)


def test_no_gradient_is_lost_in_silence():
    """Of what a function takes from its module nobody knows before it is called."""
    step = torch.compile(
        lambda x: so.kernel_norm(x, Y, kernel=lambda x, y: (x * HIDDEN) @ y.mT), backend="eager"
    )
    with pytest.raises(
        RuntimeError, match=r"torch.compile: got a function or a loss that holds a tensor"
    ):
        step(X)
    with torch.no_grad():
        assert step(X).shape == (2,)


@SLOW
def test_functions_made_in_compiled_code_end_the_graph_and_are_right():
    def step(x, w):
        return so.kernel_norm(x, Y, kernel=lambda x, y: (x * w) @ y.mT)

    w = torch.rand(2, dtype=torch.float64, requires_grad=True)
    other = torch.compile(step, backend="aot_eager")
    torch.testing.assert_close(everything(other, (X, w), [X, w]), everything(step, (X, w), [X, w]))
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="closure"):
        torch.compile(step, backend="aot_eager", fullgraph=True)(X, w)


@SLOW
def test_options_that_change():
    """Attributes of a module are those of the moment; numbers of a call are a part of the program."""
    loss, counter = so.SamplesLoss("sinkhorn", blur=0.3), CompileCounterWithBackend("aot_eager")
    step = torch.compile(lambda x: loss(x, Y), fullgraph=True, backend=counter)
    for blur in (0.3, 0.2, 0.1):
        loss.blur = blur
        torch.testing.assert_close(step(X), loss(X, Y))
    assert counter.frame_count == 1
    loss.potentials = True
    torch.testing.assert_close(step(X), loss(X, Y))
    assert counter.frame_count == 2
    step = torch.compile(
        lambda x, blur: so.hausdorff_divergence(x, Y, blur=blur), fullgraph=True, backend="eager"
    )
    for blur in (0.3, 0.2, 0.1):
        torch.testing.assert_close(step(X, blur), so.hausdorff_divergence(X, Y, blur=blur))


@SLOW
def test_sizes_that_change():
    loss, counter = so.SamplesLoss("sinkhorn", blur=0.3), CompileCounterWithBackend("aot_eager")
    step = torch.compile(lambda x, y: loss(x, y), fullgraph=True, backend=counter)
    for n in (20, 21, 22, 30):
        x, y = torch.rand(n, 2, requires_grad=True), torch.rand(n + 3, 2)
        torch.testing.assert_close(everything(step, (x, y), [x]), everything(loss, (x, y), [x]))
    assert counter.frame_count == 2  # the first size, and all others


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


@SLOW
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_modes_of_a_training_loop():
    """Recomputed, offloaded, looked for anomalies, without gradients, and twice backward."""
    net, loss = torch.nn.Linear(2, 2).double(), so.SamplesLoss("sinkhorn", blur=0.3)

    def step(x):
        return loss(net(x), Y).sum()

    def gradient(step):
        return torch.autograd.grad(step(X), net.weight)[0]

    wanted, one = gradient(step), torch.compile(step, backend="aot_eager", fullgraph=True)
    inside = torch.compile(
        lambda x: checkpoint(step, x, use_reentrant=False), backend="aot_eager", fullgraph=True
    )
    for other in (inside, lambda x: checkpoint(one, x, use_reentrant=False)):
        assert torch.equal(gradient(other), wanted)
    with torch.autograd.graph.save_on_cpu():
        assert torch.equal(gradient(one), wanted)
    with torch.autograd.detect_anomaly():
        assert torch.equal(gradient(one), wanted)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert torch.equal(one(X), step(X))


@SLOW
def test_second_derivatives_are_refused():
    """Torch compiles first ones only."""
    loss, x = so.SamplesLoss("sinkhorn", blur=0.3, tol=1e-6), X[0].detach().clone().requires_grad_()
    for backend in ("eager", "aot_eager"):
        step = torch.compile(lambda x: loss(x, Y[0]), backend=backend, fullgraph=True)
        (gradient,) = torch.autograd.grad(step(x), x, create_graph=True)
        with pytest.raises(RuntimeError, match="double backward|no autograd formula"):
            torch.autograd.grad(gradient.square().sum(), x)


@SLOW
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_inductor(mode):
    net, loss = torch.nn.Linear(2, 2).double(), so.SamplesLoss("sinkhorn", blur=0.3)

    def step(x):
        return loss(net(x), Y).sum()

    other = torch.compile(step, fullgraph=True, mode=mode)
    wanted = everything(step, (X,), [net.weight])
    torch.testing.assert_close(everything(other, (X,), [net.weight]), wanted)


def test_nothing_stays_of_calls_without_a_backward_pass():
    loss = so.SamplesLoss("gaussian", blur=0.3)
    step = torch.compile(lambda x: loss(x, Y).sum(), backend="aot_eager", fullgraph=True)
    values = [step(X) for _ in range(3)]
    assert len(compiled._states) == 3
    values[0].backward()
    assert len(compiled._states) == 2  # the memory is freed as autograd's is
    del values
    gc.collect()
    assert not compiled._states
    X.grad = None


def test_modules_and_matrices_are_not_kept_alive():
    def once():
        loss = so.SamplesLoss("gaussian", blur=0.3)
        torch.compile(lambda x: loss(x, Y), backend="eager", fullgraph=True)(X)
        return next(reversed(packed._calls)), weakref.ref(loss)

    name, alive = once()
    assert "SamplesLoss.forward" in name
    torch._dynamo.reset()
    gc.collect()
    assert alive() is None
    with pytest.raises(RuntimeError, match="outlived what it was made of"):
        torch.ops.sparseot.call([X, Y], name, [False, False], True)


def test_names_of_calls_are_the_same_in_every_process():
    """Torch looks for compiled code by its text."""
    structure, constants = packed.pack((X, 0.5, 3, "auto", so.Sinkhorn(tol=1e-4)), [], [])[:2], []
    assert packed.remember("door", structure) == packed.remember("door", structure)
    other = packed.pack((X, 0.25, 3, "auto", so.Sinkhorn(tol=1e-4)), [], constants)
    assert packed.remember("door", other, *constants) != packed.remember("door", structure)
    with pytest.raises(RuntimeError, match="a graph of another process"):
        torch.ops.sparseot.call([X], "door of nobody", [False], True)
