"""Mixed precision ends at the doors: each gives the same numbers under autocast, gradients included."""

import inspect
import threading

import pytest
import torch

import sparseot as so
from sparseot import kernels, nn
from sparseot.precision import full_precision

X, Y = torch.rand(300, 3), torch.rand(200, 3) + 0.2
HIGH = torch.rand(150, 40)  # a dimension where engines multiply matrices
V = torch.randn(300, 4)
SMALL = so.kernels.Gaussian(0.3)


def _dot(x, y):
    """A kernel, and a cost, that autocast would round."""
    return x @ y.mT


def _matrix(points=X, **options):
    return so.KernelMatrix(SMALL, points, **options)


def _solved(**options):
    return so.solve_sample(X[:60], Y[:50], blur=0.2, **options)


def _grid(scale=1.0):
    return scale * torch.cartesian_prod(*[torch.arange(8.0)] * 2)


def _images():
    return torch.softmax(X[:64, :2].T.contiguous(), 1).view(2, 8, 8)


FUNCTIONS = {
    "barycenter": lambda: so.barycenter([X[:60], Y[:50]], support=20, blur=0.3).points,
    "conjugate_gradient": lambda: (
        so.conjugate_gradient(_matrix(HIGH) + so.Diagonal(torch.ones(150)), V[:150]).x
    ),
    "Pm": lambda: (so.Pm(V[0, :3]) * so.Vi(X) * so.Vj(Y)[0]).sum(1),
    "Vi": lambda: so.Vi(X).sqdist(so.Vj(Y)).logsumexp(1),
    "Vj": lambda: (so.Vi(HIGH) | so.Vj(HIGH)).exp().sum(1),
    "eigsh": lambda: so.eigsh(so.graph_laplacian(_matrix(), normed=True), 3, "SA").values,
    "graph_laplacian": lambda: so.graph_laplacian(so.KernelMatrix(_dot, HIGH)) @ V[:150],
    "grid_barycenter": lambda: so.grid_barycenter(_images(), blur=1.0).image,
    "hausdorff_divergence": lambda: so.hausdorff_divergence(X, Y),
    "hessian": lambda: so.hessian(_solved()).to_dense(),
    "kernel_norm": lambda: so.kernel_norm(X, Y, kernel=_dot),
    "knn": lambda: so.knn(HIGH, k=3, method="tiles").distances,
    "knn_graph": lambda: so.knn_graph(HIGH, 3, method="tiles"),
    "knn_recall": lambda: torch.tensor(so.knn_recall(HIGH, so.knn(HIGH, k=3).indices)),
    "nystrom": lambda: so.nystrom(_matrix(), 0.1, 50) @ V,
    "radius": lambda: so.radius(HIGH, None, 2.5, method="tiles").distances,
    "radius_graph": lambda: so.radius_graph(HIGH, 2.5, method="tiles"),
    "sinkhorn_divergence": lambda: so.sinkhorn_divergence(X, Y, blur=0.2),
    "solve_grid": lambda: so.solve_grid(*_images(), blur=1.0).value,
    "solve_sample": lambda: _solved(cost=lambda x, y: 2 - _dot(x, y)).value,
    "solve": lambda: so.solve((X[:60, None] - Y[:50]).abs().sum(-1), reg=0.1).value,
    "spectral_embedding": lambda: so.spectral_embedding(X, 2, 0.3).coordinates,
    "wasserstein_distance": lambda: torch.tensor(float(so.wasserstein_distance(X, X + 0.3).value)),
    "suggest_blur": lambda: torch.tensor(so.suggest_blur(_grid(), _grid() + 0.3).rows),
}
OTHERS = {
    "K @ v": lambda: so.KernelMatrix(_dot, HIGH) @ V[:150],
    "K @ v in half precision": lambda: _matrix() @ V.bfloat16(),
    "K.T @ v": lambda: so.KernelMatrix(_dot, X, Y).T @ V,
    "K.sum": lambda: so.KernelMatrix(_dot, HIGH).sum(),
    "K.to_dense": lambda: so.KernelMatrix(_dot, HIGH).to_dense(),
    "K.diagonal": lambda: so.KernelMatrix(_dot, HIGH).diagonal(),
    "K[rows, cols]": lambda: so.KernelMatrix(_dot, HIGH)[:5, :],
    "K.error": lambda: torch.tensor(so.KernelMatrix(_dot, HIGH).error()),
    "LazyTensor @ v": lambda: (so.Vi(HIGH) | so.Vj(HIGH)) @ V[:150].bfloat16(),
    "LazyTensor.solve": lambda: (-so.Vi(X).sqdist(so.Vj(X))).exp().solve(V, alpha=30.0),
    "algebra": lambda: (2 * _matrix() + so.Diagonal(torch.ones(300))) @ V,
    "KNNGraph": lambda: nn.KNNGraph(3, bandwidth=0.3)(X).to_dense(),
    "RadiusGraph": lambda: nn.RadiusGraph(0.3, bandwidth=0.3)(X).to_dense(),
    "A @ h": lambda: nn.KNNGraph(3)(X) @ V,
    "A @ h in half precision": lambda: nn.KNNGraph(3)(X) @ V.bfloat16(),
    "normalize": lambda: (
        nn.KNNGraph(4, symmetrize="union", loop=True, normalize="sinkhorn")(X) @ V
    ),
    "SparseHashedNNDistance": lambda: nn.SparseHashedNNDistance()(X) @ V,
    "pairwise_dist": lambda: nn.pairwise_dist(X, Y),
    "GravNetConv": lambda: nn.GravNetConv(3, 5, 2, 4, 3)(X).detach(),
    "DynamicEdgeConv": lambda: nn.DynamicEdgeConv(torch.nn.Linear(6, 5), 3)(X).detach(),
    "Transport.map": lambda: _solved().map(X),
    "Transport.plan": lambda: _solved().plan,
    "Transport.plan_operator": lambda: _solved().plan_operator @ V[:50],
    "Transport.lower": lambda: _solved(cost=kernels.Energy() * -1.0).lower,
    "Transport.gradient_error": lambda: _solved().gradient_error(),
    "Transport.hvp": lambda: _solved().hvp(V[:60, :3]),
    "Transport.potential_a": lambda: _solved(cost=lambda x, y: 2 - _dot(x, y)).potential_a,
    "hessian @ v": lambda: so.hessian(_solved()) @ torch.ones(180),
    "unrolled @ v": lambda: so.hessian(_solved(), method="unrolled", n_iter=3) @ torch.ones(180),
    **{f"SamplesLoss {kind}": (lambda kind=kind: so.SamplesLoss(kind, blur=0.2)(X, Y))
       for kind in ("sinkhorn", "hausdorff", "gaussian", "laplacian", "energy")},
}  # fmt: skip


def _mixed(door, enabled=True):
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
        return door()


@pytest.mark.parametrize("name", FUNCTIONS | OTHERS)
def test_autocast_changes_no_number(name):
    door = (FUNCTIONS | OTHERS)[name]
    exact, found = _mixed(door, False), _mixed(door)
    assert found.dtype == exact.dtype and exact.abs().sum() > 0
    torch.testing.assert_close(found, exact)


def test_no_function_is_forgotten():
    public = {name for name in so.__all__ if inspect.isfunction(getattr(so, name))}
    assert public == set(FUNCTIONS)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: so.sinkhorn_divergence(x, Y, blur=0.2),
        lambda x: so.SamplesLoss("sinkhorn", blur=0.2)(x, Y),
        lambda x: so.hausdorff_divergence(x, Y, blur=0.2),
        lambda x: so.kernel_norm(x, Y, kernel=SMALL),
        lambda x: so.solve_sample(x[:60], Y[:50], blur=0.2).potential_a.square().sum(),
        lambda x: (_matrix(x) @ V).square().sum(),
        lambda x: (_matrix(x.repeat(1, 8)) @ V).square().sum(),
        lambda x: (nn.KNNGraph(3, bandwidth=0.3)(x) @ V).square().sum(),
        lambda x: so.knn(x, k=3).distances.sum(),
        lambda x: (so.Vi(x) | so.Vj(x)).exp().sum(1).sum(),
    ],
    ids=lambda loss: inspect.getsource(loss).strip(),
)
def test_backward_passes_that_run_under_autocast(loss):
    gradients = []
    for mixed in (False, True):
        x = X.clone().requires_grad_()
        _mixed(lambda x=x: loss(x).backward(), mixed)
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("kind", ["GravNetConv", "DynamicEdgeConv"])
def test_layers_take_what_autocast_hands_them(kind):
    """Half precision of a layer before is brought to that of the parameters; backward runs too."""
    torch.manual_seed(0)
    layer = (
        nn.GravNetConv(8, 5, 2, 4, 3)
        if kind == "GravNetConv"
        else nn.DynamicEdgeConv(torch.nn.Linear(16, 5), 3)
    )
    first, second = torch.nn.Linear(3, 8), torch.nn.Linear(3, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h, g = first(X), second(Y)
        assert h.dtype == torch.bfloat16
        for given, same in ((h, h.float()), ((g, h), (g.float(), h.float()))):
            out = layer(given)
            assert out.dtype == torch.float32
            torch.testing.assert_close(out, layer(same))
            out.square().sum().backward(retain_graph=True)
    assert all(p.grad.abs().sum() > 0 for p in (first.weight, layer.parameters().__next__()))


def test_points_in_half_precision_have_gradients_too():
    h = X.bfloat16().requires_grad_()
    for mixed in (False, True):
        A = _mixed(lambda: nn.KNNGraph(3, bandwidth=0.3)(h), mixed)
        out = _mixed(lambda A=A: A @ h, mixed)
        assert out.dtype == torch.float32
        torch.testing.assert_close(out.double(), A.to_dense().double() @ h.double())
        (gradient,) = torch.autograd.grad(out.square().sum(), h)
        assert gradient.dtype == torch.bfloat16 and gradient.isfinite().all()


def test_the_decorator_leaves_what_it_finds():
    """Names, signatures and docstrings; the mode outside; results and errors."""

    @full_precision
    def door(x, *, fail=False):
        """What it does."""
        if fail:
            raise ValueError("bad")
        return torch.is_autocast_enabled("cpu"), x @ x.mT

    assert (door.__name__, door.__doc__) == ("door", "What it does.")
    assert str(inspect.signature(door)) == "(x, *, fail=False)"
    assert door(X)[0] is False
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, product = door(X)
        assert inside is False and product.dtype == torch.float32
        with pytest.raises(ValueError, match="bad"):
            door(X, fail=True)
        assert torch.is_autocast_enabled("cpu") and (X @ X.mT).dtype == torch.bfloat16


@pytest.fixture
def products():
    """Sets torch's precision of products, and puts it back."""
    yield torch.set_float32_matmul_precision
    torch.set_float32_matmul_precision("highest")


LAYERS = ("GravNetConv", "DynamicEdgeConv")  # whose own products are as fast as their user wants


@pytest.mark.parametrize("name", [n for n in FUNCTIONS | OTHERS if n not in LAYERS])
def test_fast_products_change_no_number(name, products):
    """Those in bfloat16 or TF32, which may be allowed for the whole process."""
    door = (FUNCTIONS | OTHERS)[name]
    exact = _mixed(door, False)
    for level in ("medium", "high"):
        products(level)
        assert torch.equal(_mixed(door, False), exact)
        assert torch.get_float32_matmul_precision() == level


@pytest.mark.parametrize("loss", [
    lambda x: so.sinkhorn_divergence(x, Y, blur=0.2, cost=lambda x, y: nn.pairwise_dist(x, y)),
    lambda x: so.hausdorff_divergence(x, Y, blur=0.2),
    lambda x: so.kernel_norm(x, Y, kernel=SMALL),
    lambda x: (_matrix(x) @ V).square().sum(),
    lambda x: (so.KernelMatrix(lambda x, y: (-nn.pairwise_dist(x, y)).exp(), x) @ V).square().sum(),
    lambda x: (_matrix(x.repeat(1, 8)) @ V).square().sum(),
    lambda x: so.knn(x, k=3).distances.sum(),
], ids=range(7))  # fmt: skip
def test_backward_passes_have_all_digits(loss, products):
    """But for those of products in a function of the user's, which autograd runs as it is told to."""
    gradients = []
    for level in ("highest", "medium"):
        products(level)
        x = X.clone().requires_grad_()
        loss(x).backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-7)


def test_layers_search_in_full_precision(products):
    """Their graphs are those of their features, rounded or not."""
    products("medium")
    graph = nn.KNNGraph(3, method="tiles")
    products("highest")
    exact = graph(HIGH).to_dense()
    products("medium")
    assert torch.equal(graph(HIGH).to_dense(), exact)
    compiled = torch.compile(lambda x: graph(x).weights, backend="eager")
    torch.testing.assert_close(compiled(HIGH), graph(HIGH).weights)


def _precision():
    """All that torch knows of it: an old name, and new ones for each device."""
    new = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    try:
        old = torch.get_float32_matmul_precision()
    except RuntimeError:
        old = None
    return old, *(getattr(module, "fp32_precision", None) for module in new)


def test_the_precision_of_products_is_put_back(products):
    """Whatever it was set by, also after an error, and where it was set inside."""

    @full_precision
    def door(inner=None):
        if inner:
            inner()
        return HIGH @ HIGH.mT

    def fail():
        raise ValueError("bad")

    exact = HIGH @ HIGH.mT
    products("medium")
    rounded, before = HIGH @ HIGH.mT, _precision()
    assert torch.equal(door(), exact) and _precision() == before
    assert torch.equal(HIGH @ HIGH.mT, rounded)
    assert torch.equal(door(door), exact) and _precision() == before
    with pytest.raises(ValueError, match="bad"):
        door(fail)
    assert _precision() == before
    products("highest")
    door(lambda: products("high"))
    assert torch.get_float32_matmul_precision() == "high"
    products("highest")
    torch.backends.cuda.matmul.allow_tf32 = True
    before = _precision()
    door()
    assert _precision() == before and torch.backends.cuda.matmul.allow_tf32


def test_new_names_of_the_precision_of_products(products):
    module = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(module, "fp32_precision"):
        pytest.skip("torch has them since 2.9")
    exact = full_precision(lambda: HIGH @ HIGH.mT)
    first = exact()
    try:
        module.fp32_precision = "bf16"
        assert torch.equal(exact(), first) and module.fp32_precision == "bf16"
    finally:
        module.fp32_precision = "none"
    try:  # what is set for all is followed afterwards, too
        torch.backends.fp32_precision = "tf32"
        assert torch.equal(exact(), first) and module.fp32_precision == "tf32"
        torch.backends.fp32_precision = "ieee"
        assert module.fp32_precision == "ieee"
    finally:
        torch.backends.fp32_precision = "none"


def test_threads_do_not_round_each_other(products):
    """The last one to leave puts back what the first one found."""
    entered, left = threading.Event(), threading.Event()
    seen = []

    @full_precision
    def first():
        entered.set()
        left.wait(10)

    @full_precision
    def second(thread):
        left.set()
        thread.join()
        seen.append(torch.get_float32_matmul_precision())

    products("medium")
    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    second(thread)
    assert seen == ["highest"] and torch.get_float32_matmul_precision() == "medium"
