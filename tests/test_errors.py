"""Warnings point at the line of the user; where a device has no room, the error says for what."""

import inspect
import warnings

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sparseot as so

FEW = so.Sinkhorn(max_sweeps=1)
X = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)).double()


def solve():
    return so.solve_sample(X, X + 0.5, blur=0.01, solver=FEW)


CALLS = {
    "a solve": solve,
    "a loss": lambda: so.sinkhorn_divergence(X, X + 0.5, blur=0.01, solver=FEW),
    "an argument": lambda: so.SamplesLoss("gaussian", reach=1.0),
    "eigenpairs": lambda: so.eigsh(
        so.KernelMatrix(so.kernels.Gaussian(0.1), torch.rand(400, 2).double()), k=5, max_products=8
    ),
    "a linear system": lambda: so.conjugate_gradient(
        so.KernelMatrix(so.kernels.Gaussian(0.3), X), X[:, 0], max_products=2
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_warnings_point_at_the_user(case):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        CALLS[case]()
    assert said and all(warning.filename == inspect.getfile(solve) for warning in said)


class NoRoom(TorchDispatchMode):
    """An allocator of a small device: tensors of more numbers are refused, in the words of CUDA's."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for t in found if isinstance(found, tuple | list) else [found]:
            if isinstance(t, torch.Tensor) and t.numel() > self.most:
                size = t.numel() * t.element_size() / 2**20
                raise torch.OutOfMemoryError(
                    f"CUDA out of memory. Tried to allocate {size:.2f} MiB. GPU 0 has less."
                )
        return found


def test_what_had_no_room_is_named():
    """In a forward pass and in a backward one; then all goes on with what was given."""
    x, y = X.clone().requires_grad_(), X + 0.5
    before, loss = x.detach().clone(), so.SamplesLoss(blur=0.3, backend="tiles")
    wanted = torch.autograd.grad(loss(x, y), x)[0]
    words = (
        r"SamplesLoss.forward: cpu has no room for 0.0\d MiB, beside \(40, 2\) in float64 and \(40, 2\) .*"
        r"Take fewer points or float32; .*multilevel=True"
    )
    with NoRoom(1000), pytest.raises(torch.OutOfMemoryError, match=words) as caught:
        loss(x, y)
    assert "Tried to allocate" in str(caught.value.__cause__)
    value = loss(x, y)
    with NoRoom(1000), pytest.raises(torch.OutOfMemoryError, match="has no room for 0.0"):
        value.backward()
    assert torch.equal(x.detach(), before) and x.grad is None
    assert torch.equal(torch.autograd.grad(loss(x, y), x)[0], wanted)
    with (
        NoRoom(100),
        pytest.raises(torch.OutOfMemoryError, match="fewer items of a batch or float32"),
    ):
        so.kernel_norm(X[None], y[None], kernel=so.kernels.Energy(), engine="tiles")
