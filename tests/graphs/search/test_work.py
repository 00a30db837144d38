"""Work and memory of a search, counted at 100,000 points, where a hidden N^2 would take minutes."""

import tracemalloc

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sparseot import knn
from sparseot.nn import KNNGraph

N, K = 100_000, 5


class Allocated(TorchDispatchMode):
    """Bytes of all tensors that operations return, whether or not they are freed again."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(t, torch.Tensor):
                self.total += t.numel() * t.element_size()
        return out


def bytes_of(run):
    """The result, and the peak of NumPy's arrays plus the sum of torch's, which is no less."""
    tracemalloc.start()
    try:
        with Allocated() as tensors:
            result = run()
        return result, tracemalloc.get_traced_memory()[1] + tensors.total
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("method", "dimension", "distances", "room"),
    [("forest", 16, 4000, 5000), ("kdtree", 3, 20, 2500)],
)
def test_distances_and_bytes_of_100000_points(method, dimension, distances, room):
    """Per point: a row of the matrix has 100,000 distances, in one byte each 100,000 bytes."""
    x = torch.rand(N, dimension)
    knn(x[:1000], k=K, method=method)  # compiles
    found, peak = bytes_of(lambda: knn(x, k=K, method=method))
    assert N * K < found.evaluations < distances * N
    assert N * K * 16 < peak < room * N


def test_bytes_of_a_step():
    """Forward, product and gradient: a few times the points, their features and the edges."""
    x, h = torch.rand(N, 3, requires_grad=True), torch.rand(N, 4)

    def step():
        (KNNGraph(K, bandwidth=0.01)(x) @ h).square().sum().backward()

    _, peak = bytes_of(step)
    assert x.grad.abs().sum() > 0
    assert peak < 3000 * N
