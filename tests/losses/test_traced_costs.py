"""Costs and kernels that are Python functions, at every public door: traced, and as they are."""

import pytest
import torch

import sparseot as so
from sparseot import KernelMatrix
from sparseot.transport.solvers.annealing import AveragedAnnealing
from tests.references.clouds import cloud
from tests.references.functions import COSTS, SYMMETRIC, UNTRACEABLE, learnt, sorted_coordinates

OPTIONS = {"allow_unused": True, "materialize_grads": True}
TIGHT = 1e-13


@pytest.fixture(autouse=True)
def _all_are_traced(monkeypatch):
    """However few the pairs, and no problem is small enough to be stored."""
    monkeypatch.setattr("sparseot.engines.choose.WORTH_TRACING", 0)
    monkeypatch.setattr("sparseot.engines.choose.WORTH_A_PROGRAM", 0)
    monkeypatch.setattr("sparseot.transport.solvers.all_pairs.STORED_PAIRS", 0)


def clouds(grad=True):
    x, a = cloud(12, 3, grad=grad)
    y, b = cloud(9, 3, grad=grad, shift=0.2)
    return x, y, a, b


def _solve(cost, x, y, a, b, engine, **options):
    solver = so.Sinkhorn(engine=engine)
    result = so.solve_sample(x, y, a, b, blur=0.5, tol=TIGHT, cost=cost, solver=solver, **options)
    return result.value


def _losses(cost, x, y, a, b, engine):
    backend = {"auto": "auto", "tiles": "tensorized"}[engine]
    return so.SamplesLoss(blur=0.5, cost=cost, debias=False, backend=backend)(a, x, b, y)


def _divergence(cost, x, y, a, b, engine, **options):
    solver = AveragedAnnealing(engine=engine)
    return so.sinkhorn_divergence(x, y, a, b, blur=0.5, cost=cost, solver=solver, **options)


DOORS = {
    "solve_sample": _solve,
    "unbalanced": lambda *given: _solve(*given, reach=0.8),
    "debiased": lambda *given: _solve(*given, debias=True),
    "sinkhorn_divergence": _divergence,
    "SamplesLoss": _losses,
    "hausdorff": lambda cost, x, y, a, b, engine: so.hausdorff_divergence(
        x, y, a, b, blur=0.5, cost=cost, engine=engine
    ),
    "kernel_norm": lambda cost, x, y, a, b, engine: so.kernel_norm(
        x, y, a, b, kernel=lambda x, y: (-cost(x, y)).exp(), engine=engine
    ),
    "K @ v": lambda cost, x, y, a, b, engine: KernelMatrix(cost, x, y, engine=engine) @ b,
    "K.T @ v": lambda cost, x, y, a, b, engine: KernelMatrix(cost, x, y, engine=engine).T @ a,
}  # fmt: skip
SYMMETRIC_ONLY = ("debiased", "sinkhorn_divergence", "hausdorff")
FIXED_ONLY = ("hausdorff",)


@pytest.mark.parametrize(
    "name",
    [
        "mahalanobis",
        "uneven",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("cubes", "cosine", "bilinear")),
    ],
)
@pytest.mark.parametrize("door", DOORS)
def test_doors(door, name):
    """Values, and gradients in points, weights and what is learnt; asymmetric costs where they may be."""
    if door in SYMMETRIC_ONLY and name not in SYMMETRIC:
        return
    held = learnt()
    if door in FIXED_ONLY:
        held = [t.detach() for t in held]
    found = []
    for engine in ("auto", "tiles"):
        variables = clouds()
        value = DOORS[door](lambda x, y: COSTS[name](x, y, *held), *variables, engine)
        wanted = [t for t in (*variables, *held) if t.requires_grad]
        grads = torch.autograd.grad(value.square().sum(), wanted, **OPTIONS)
        if door in ("solve_sample", "SamplesLoss"):  # those in weights are known up to a constant
            grads = [g - g.mean() if k in (2, 3) else g for k, g in enumerate(grads)]
        found.append((value, *grads))
        torch.manual_seed(0)
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("function", UNTRACEABLE)
def test_functions_that_stay_functions(function):
    """Values are those of tiles, and the result says why."""
    x, y, a, b = clouds(grad=False)
    K = KernelMatrix(function, x, y)
    assert K.engine.name == "tiles" and UNTRACEABLE[function] in repr(K)
    torch.testing.assert_close(K @ b, function(x[None], y[None])[0] @ b)
    assert KernelMatrix(COSTS["huber"], x, y).engine.name == "compiled"


def test_results_say_how():
    x, y, *_ = clouds(grad=False)
    traced = so.solve_sample(x, y, blur=0.5, cost=COSTS["huber"])
    assert "compiled on all pairs (a Python function, traced" in repr(traced)
    plain = so.solve_sample(x, y, blur=0.5, cost=sorted_coordinates)
    assert "cannot be traced: it asks for .sort" in repr(plain)


def test_operators():
    """Laplacians, eigenpairs and linear systems of a function that is traced."""
    x, _, a, _ = clouds(grad=False)
    kernel = lambda x, y: (-COSTS["huber"](x, y) / 0.1).exp()  # noqa: E731
    K = KernelMatrix(kernel, x)
    assert K.engine.name == "compiled"
    exact = kernel(x[None], x[None])[0]
    L = so.graph_laplacian(K)
    torch.testing.assert_close(L @ a, torch.diag(exact.sum(1)) @ a - exact @ a)
    found = so.eigsh(K, k=3, which="LA")
    torch.testing.assert_close(
        torch.as_tensor(found.values).sort().values, torch.linalg.eigvalsh(exact)[-3:]
    )


@pytest.mark.parametrize("debias", [False, True])
def test_costs_that_are_refused(debias):
    """NaN, infinity and one-sided costs, as of functions that are not traced."""
    x, y, a, b = clouds(grad=False)
    y[5] = x[3]

    def singular(x, y):
        return 1 / (x[:, :, None] - y[:, None]).square().sum(-1)

    with pytest.raises(
        ValueError, match=r"cost: got a function that is inf between x\[3\] and y\[5\]"
    ):
        so.solve_sample(x, y, a, b, blur=0.5, cost=singular, debias=debias)
    if debias:
        with pytest.raises(ValueError, match=r"from x\[\d+\] to x\[\d+\] and .* back.*symmetric"):
            so.solve_sample(x, y, a, b, blur=0.5, cost=COSTS["uneven"], debias=True)
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        with pytest.raises(ValueError, match="parameters to learn, wanted a fixed cost"):
            so.hausdorff_divergence(x, y, cost=lambda x, y: scale * COSTS["huber"](x, y))


def test_plans_maps_and_intervals():
    x, y, a, b = clouds(grad=False)
    for cost in (COSTS["uneven"], COSTS["bilinear"]):
        one, two = (
            so.solve_sample(
                x, y, a, b, blur=0.5, tol=TIGHT, cost=cost, solver=so.Sinkhorn(engine=engine)
            )
            for engine in ("auto", "tiles")
        )
        for ask in (
            lambda t: t.plan,
            lambda t: t.plan_operator @ b,
            lambda t: t.map(),
            lambda t: t.map(x[:4] + 0.1),
            lambda t: t.map(inverse=True),
            lambda t: t.value_linear,
            lambda t: t.lower,
            lambda t: t.upper,
        ):
            torch.testing.assert_close(ask(one), ask(two), rtol=1e-8, atol=1e-9)
