"""What works where KeOps is not installed: everything but what asks for it."""

import sys

import pytest
import torch

import sparseot as so
from sparseot import Blocks, KernelMatrix, kernels, knn, nn
from tests.test_half_precision import DOORS, WITHOUT_GRADIENT

X, Y = torch.rand(60, 3), torch.rand(60, 3) + 0.2
CAUCHY = kernels.Pointwise(lambda x_i, y_j: 1 / (1 + ((x_i - y_j) ** 2).sum(-1)))
OTHERS = {
    "pairs of blocks": lambda x, y: (
        KernelMatrix(kernels.Gaussian(0.1), x, y, pairs=Blocks(0.3)) @ y
    ),
    "functions": lambda x, y: KernelMatrix(CAUCHY, x, y) @ y,
    "functions, pairs of blocks": lambda x, y: KernelMatrix(CAUCHY, x, y, pairs=Blocks(0.3, 8)) @ y,
    "KNNGraph": lambda x, y: nn.KNNGraph(4)(x) @ y,
    "RadiusGraph": lambda x, y: nn.RadiusGraph(0.4)(x) @ y,
    "GravNetConv": lambda x, y: nn.GravNetConv(3, 4, 2, 2, 5)(x),
    "40 dimensions": lambda x, y: so.SamplesLoss(blur=0.5)(x.repeat(1, 14), y.repeat(1, 14)),
}
INSTALL = r'pykeops is not\. Run: pip install "sparseot\[keops\]"'


@pytest.fixture(autouse=True)
def hidden(monkeypatch):
    """Nothing can import KeOps, and what has imported it is forgotten."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("keopscore", "pykeops"):
            monkeypatch.setitem(sys.modules, name, None)
        if name in ("sparseot.engines.keops", "sparseot.graphs.search.keops"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pykeops", None)
    monkeypatch.setitem(sys.modules, "keopscore", None)


@pytest.mark.parametrize("door", {**DOORS, **WITHOUT_GRADIENT, **OTHERS})
def test_doors(door):
    result = {**DOORS, **WITHOUT_GRADIENT, **OTHERS}[door](X, Y)
    assert torch.isfinite(result).all()


@pytest.mark.parametrize(
    "ask",
    [
        lambda: KernelMatrix(CAUCHY, X, Y, engine="keops"),
        lambda: so.SamplesLoss(blur=0.1, backend="keops")(X, Y),
        lambda: so.SamplesLoss(blur=0.1, cost="SqDist(X,Y) / IntCst(2)")(X, Y),
        lambda: so.solve_sample(X, Y, blur=0.1, cost="SqDist(X,Y)"),
        lambda: KernelMatrix(CAUCHY, X, Y).lazy_tensor(),
        lambda: knn(X, k=2, method="keops"),
    ],
)
def test_what_asks_for_it_says_what_to_install(ask):
    with pytest.raises(ImportError, match=INSTALL):
        ask()


def test_a_formula_says_why():
    with pytest.raises(ImportError, match=r'engine: got "keops" \(a KeOps formula\)'):
        so.sinkhorn_divergence(X, Y, blur=0.1, cost="SqDist(X,Y)")
