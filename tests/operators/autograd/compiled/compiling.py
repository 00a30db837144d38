"""Functions compiled beside eager ones, and the clouds that they are called with."""

import gc

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import sparseot as so
from sparseot.operators.autograd import compiled
from tests.references.clouds import cloud

TORCHS_OWN = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]
SLOW = pytest.mark.slow
CLOSE = {"rtol": 1e-12, "atol": 1e-14}
KERNEL = so.kernels.Gaussian(0.3)
(X, A), (Y, B) = cloud(12, 2, batch=(2,), grad=True), cloud(9, 2, batch=(2,), shift=0.2)


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
