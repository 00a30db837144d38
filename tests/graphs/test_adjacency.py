"""Adjacencies multiply, transpose and export like their dense matrices, with exact gradients."""

import math
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sparseot import eigsh, graph_laplacian
from sparseot.nn import KNNGraph

KINDS = [None, "union", "mutual"]


def graph(batch=(), symmetrize=None, **options):
    x = torch.rand(*batch, 40, 3, dtype=torch.float64)
    return KNNGraph(5, bandwidth=0.3, symmetrize=symmetrize, **options)(x)


class Largest(TorchDispatchMode):
    """The largest tensor that any operation returns, in numbers."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(t, torch.Tensor):
                self.numbers = max(self.numbers, t.numel())
        return out


@pytest.mark.parametrize("symmetrize", KINDS)
@pytest.mark.parametrize("batch", [(), (1,), (3,)])
def test_products_and_exports_equal_the_dense_matrix(batch, symmetrize):
    A = graph(batch, symmetrize)
    dense, h = A.to_dense(), torch.randn(*batch, 4, 40, dtype=torch.float64).mT
    torch.testing.assert_close(A @ h, dense @ h)
    torch.testing.assert_close(torch.matmul(A, h), dense @ h)
    torch.testing.assert_close(A.t() @ h, dense.mT @ h)
    torch.testing.assert_close(A.T.T @ h[..., 0], (dense @ h)[..., 0])
    torch.testing.assert_close(A.degree(), dense.sum(-1))
    torch.testing.assert_close(A.sum(-2), dense.sum(-2))
    torch.testing.assert_close(A.diagonal(), dense.diagonal(dim1=-2, dim2=-1))
    torch.testing.assert_close(A.to_sparse_coo().to_dense(), dense)
    block = torch.block_diag(*dense.view(-1, 40, 40))
    torch.testing.assert_close(A.to_sparse_csr().to_dense(), block)
    torch.testing.assert_close(torch.from_numpy(A.to_scipy().toarray()), block)
    target, source = A.edge_index("target_to_source")
    rebuilt = torch.zeros_like(block).index_put((target, source), A.edge_weight())
    torch.testing.assert_close(rebuilt, block)
    assert torch.equal(A.edge_index(), torch.stack((source, target)))


def test_an_adjacency_between_two_clouds():
    A = KNNGraph(3)(torch.rand(20, 2), torch.rand(30, 2))
    assert A.shape == (20, 30)
    h = torch.randn(20, 4)
    torch.testing.assert_close(A.T @ h, A.to_dense().mT @ h)


def test_symmetric_graphs():
    A = graph()
    dense = A.to_dense()
    linked = dense > 0
    union, mutual = A.symmetrize("union").to_dense(), A.symmetrize("mutual").to_dense()
    assert torch.equal(union, union.mT) and torch.equal(union > 0, linked | linked.mT)
    assert torch.equal(mutual, mutual.mT) and torch.equal(mutual > 0, linked & linked.mT)
    assert torch.equal(union, torch.maximum(dense, dense.mT))
    assert torch.equal(mutual, torch.minimum(dense, dense.mT))
    looped = graph(loop=True).symmetrize("mutual")
    assert torch.equal(looped.diagonal(), torch.ones(40, dtype=torch.float64))


@pytest.mark.parametrize("batch", [(), (3,)])
def test_normalised_graphs(batch):
    one = torch.ones(*batch, 40, dtype=torch.float64)
    torch.testing.assert_close(graph(batch).normalize("row").sum(), one)
    A = graph(batch, "union")
    d = A.to_dense().sum(-1).rsqrt()
    expected = d[..., :, None] * A.to_dense() * d[..., None, :]
    torch.testing.assert_close(A.normalize("symmetric").to_dense(), expected)
    P = graph(batch, "union", loop=True).normalize("sinkhorn")
    torch.testing.assert_close(P.sum(-1), one)
    torch.testing.assert_close(P.sum(-2), one)


def test_a_graph_without_a_doubly_stochastic_scaling_is_said():
    star = torch.tensor([[0.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    with pytest.warns(UserWarning, match="no doubly stochastic scaling"):
        KNNGraph(1, symmetrize="union", normalize="sinkhorn")(star)


@pytest.mark.parametrize("normalize", [None, "row", "symmetric", "sinkhorn"])
@pytest.mark.parametrize("symmetrize", KINDS)
def test_gradients_of_products(symmetrize, normalize):
    if normalize == "sinkhorn" and symmetrize is None:
        pytest.skip("needs a symmetric graph")
    layer = KNNGraph(
        3, bandwidth=0.5, loop=True, symmetrize=symmetrize, normalize=normalize,
        learnable_bandwidth=True,
    ).double()  # fmt: skip
    x = torch.rand(8, 2, dtype=torch.float64, requires_grad=True)
    h = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    bandwidth = layer.log_bandwidth.detach().clone().requires_grad_()

    def product(x, h, log_bandwidth):
        A = torch.func.functional_call(layer, {"log_bandwidth": log_bandwidth}, (x,))
        return A @ h, A.T @ h

    assert torch.autograd.gradcheck(product, (x, h, bandwidth))
    if normalize != "sinkhorn":  # once differentiable
        assert torch.autograd.gradgradcheck(product, (x, h, bandwidth))


def test_nothing_of_the_size_edges_times_features_is_stored():
    n, k, features = 20_000, 16, 64
    x, h = torch.rand(n, 3, requires_grad=True), torch.randn(n, features, requires_grad=True)
    layer = KNNGraph(k, bandwidth=0.05)
    with Largest() as largest:
        (layer(x) @ h).square().sum().backward()
    assert n * k <= largest.numbers < n * k * features / 8
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0


def test_spectra_of_neighbour_graphs():
    """An adjacency is a matrix to the rest of the library: two components, two zero eigenvalues."""
    x = torch.cat((torch.rand(60, 2), torch.rand(60, 2) + 5)).double()
    L = graph_laplacian(KNNGraph(6, symmetrize="union", bandwidth=0.5)(x), normed=True)
    values = eigsh(L, 3, "SA").values
    assert values[1] < 1e-6 < 1e-3 < values[2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda A: A @ torch.ones(3), r"v: got shape \(3,\)"),
        (lambda A: A.symmetrize("both"), "symmetrize: got 'both'"),
        (lambda A: A.normalize("l2"), "normalize: got 'l2'"),
        (lambda A: A.normalize("sinkhorn"), "directed graph.*Symmetrise first"),
        (lambda A: A.edge_index("up"), "flow: got 'up'"),
        (lambda _: KNNGraph(1)(torch.rand(3, 2), torch.rand(4, 2)).symmetrize(), "a square one"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(graph())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_weights_that_have_no_scaling(bad):
    A = graph().symmetrize()
    A.weights.fill_(bad)
    with pytest.raises(ValueError, match="weights that are negative, NaN or infinite"):
        A.normalize("sinkhorn")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_gradients_that_are_no_numbers_pass_through_a_scaling(bad):
    """Those of a loss scaler that was too bold: it looks for them, and goes on."""
    x = torch.rand(10, 2, dtype=torch.float64, requires_grad=True)
    A = KNNGraph(3, bandwidth=0.5, loop=True, symmetrize="union", normalize="sinkhorn")(x)
    (bad * A.sum().sum()).backward()
    assert not x.grad.isfinite().any()


def test_adjacencies_can_be_pickled():
    A = graph()
    again = pickle.loads(pickle.dumps(A))
    assert torch.equal(again.to_dense(), A.to_dense()) and again.method == "brute"
    assert repr(again) == "KNNAdjacency(40 x 40, k=5, method brute: exact)"
    assert repr(A.symmetrize()).startswith("EdgeAdjacency(40 x 40, ")
