"""What costs, kernels and losses learn has its gradient in compiled code, or is refused."""

import pytest
import torch

import sparseot as so

from .compiling import SLOW, TORCHS_OWN, X, Y, compiled_like, everything

pytestmark = TORCHS_OWN


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
