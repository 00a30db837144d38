"""Convolutions against plain statements of their formulas on dense graphs."""

import pytest
import torch
from torch import nn

from sparseot.graphs import convolutions, edges
from sparseot.graphs.linear import Linear
from sparseot.nn import DynamicEdgeConv, GravNetConv


def dense_neighbours(s, k):
    squares = torch.cdist(s, s).square()
    return squares.sort(dim=1, stable=True)[1][:, :k], squares


def dense_gravnet(conv, x, k):
    index, squares = dense_neighbours(conv.lin_s(x), k)
    weight = torch.exp(-10 * squares.gather(1, index))
    messages = weight[..., None] * conv.lin_h(x)[index]
    both = torch.cat((messages.mean(1), messages.amax(1)), 1)
    return conv.lin_out1(x) + conv.lin_out2(both)


def dense_edge_conv(conv, x, k, aggr):
    index, _ = dense_neighbours(x, k)
    pairs = torch.cat((x[:, None].expand(-1, k, -1), x[index] - x[:, None]), -1)
    messages = conv.nn(pairs)
    return {"max": messages.amax(1), "mean": messages.mean(1), "add": messages.sum(1)}[aggr]


@pytest.mark.parametrize("blocks", [False, True])
def test_gravnet_is_its_formula(monkeypatch, blocks):
    if blocks:
        monkeypatch.setattr(edges, "CHUNK", 500)
    torch.set_default_dtype(torch.float64)
    try:
        conv = GravNetConv(5, 7, space_dimensions=3, propagate_dimensions=4, k=6)
        x = torch.randn(40, 5)
    finally:
        torch.set_default_dtype(torch.float32)
    wanted = {"lin_s.weight", "lin_s.bias", "lin_h.weight", "lin_h.bias", "lin_out1.weight"}
    assert set(conv.state_dict()) == wanted | {"lin_out2.weight", "lin_out2.bias"}
    torch.testing.assert_close(conv(x), dense_gravnet(conv, x, 6))
    parameters = tuple(conv.parameters())
    ours = torch.autograd.grad(conv(x).square().sum(), parameters)
    theirs = torch.autograd.grad(dense_gravnet(conv, x, 6).square().sum(), parameters)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("aggr", ["max", "mean", "add"])
def test_edge_convolution_is_its_formula(aggr):
    conv = DynamicEdgeConv(nn.Sequential(nn.Linear(6, 8), nn.ReLU()), k=5, aggr=aggr)
    x = torch.randn(40, 3)
    torch.testing.assert_close(conv(x), dense_edge_conv(conv, x, 5, aggr))


@pytest.mark.parametrize("kind", ["gravnet", "edge"])
def test_batch_vectors_masks_and_pairs_agree(kind):
    if kind == "gravnet":
        conv = GravNetConv(3, 8, space_dimensions=2, propagate_dimensions=4, k=4)
    else:
        conv = DynamicEdgeConv(nn.Linear(6, 8), k=4)
    x, mask = torch.randn(3, 20, 3), torch.arange(20) < torch.tensor([[20], [11], [2]])
    x[~mask] = float("nan")
    padded = conv(x, mask=mask)
    flat, batch = x[mask], torch.arange(3)[:, None].expand(3, 20)[mask]
    torch.testing.assert_close(padded[mask], conv(flat, batch))
    torch.testing.assert_close(padded[1, :11], conv(x[1, :11]))
    for other in (flat, flat.clone()):
        torch.testing.assert_close(conv((flat, other), (batch, batch)), conv(flat, batch))
    padded[mask].sum().backward()
    assert all(p.grad.isfinite().all() for p in conv.parameters())


@pytest.mark.parametrize("aggr", ["max", "mean", "add"])
def test_blocks_of_rows_are_computed_again_with_the_same_gradients(monkeypatch, aggr):
    conv = DynamicEdgeConv(nn.Sequential(nn.Linear(6, 8), nn.Tanh()), k=5, aggr=aggr).double()
    x = torch.randn(40, 3).double().requires_grad_()
    inputs = (x, *conv.parameters())
    whole = torch.autograd.grad(conv(x).square().sum(), inputs)
    monkeypatch.setattr(convolutions, "CHUNK", 100)
    calls = []
    conv.nn[1].register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(torch.autograd.grad(conv(x).square().sum(), inputs), whole)
    assert len(calls) == 2 * 7  # of six rows each


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_gravnet_compiles_without_a_break():
    conv, x = GravNetConv(5, 7, 3, 4, k=6), torch.rand(50, 5, requires_grad=True)
    compiled, inputs = torch.compile(lambda x: conv(x), fullgraph=True), (x, *conv.parameters())
    torch.testing.assert_close(compiled(x), conv(x))
    fast = torch.autograd.grad(compiled(x).square().sum(), inputs)
    torch.testing.assert_close(fast, torch.autograd.grad(conv(x).square().sum(), inputs))


@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers_are_torchs(bias):
    ours, theirs = Linear(3, 4, bias=bias).double(), nn.Linear(3, 4, bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    for shape in ((3,), (5, 3), (2, 5, 3), (0, 3)):
        x = torch.randn(shape).double().requires_grad_()
        torch.testing.assert_close(ours(x), theirs(x))
    x = torch.randn(5, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: ours(x), (x, *ours.parameters()))
    assert torch.autograd.gradgradcheck(lambda x, *_: ours(x), (x, *ours.parameters()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(x).dtype == theirs(x).dtype


def test_unknown_reductions_are_refused():
    with pytest.raises(ValueError, match="aggr: got 'median'"):
        DynamicEdgeConv(nn.Linear(6, 8), k=4, aggr="median")
