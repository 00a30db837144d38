"""Compiled code refuses what holds a tensor whose gradient would be lost, and only that."""

import pytest
import torch

import sparseot as so

torch.manual_seed(0)
X, Y = torch.rand(12, 2), torch.rand(10, 2)
SCALE = torch.ones((), requires_grad=True)
PLAIN = torch.ones(())


class Cost:
    """A cost that is an object."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x, y):
        return self.scale * torch.cdist(x, y)


class Learned(torch.nn.Module):
    """A module, whose parameters are arguments of the operator."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, y):
        return self.scale * torch.cdist(x, y)


def solved(cost):
    return so.SamplesLoss(blur=0.2, tol=1e-3, debias=False, cost=cost)


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch._dynamo.reset()


HIDDEN = {
    "a global of a function": lambda: solved(lambda x, y: SCALE * torch.cdist(x, y)),
    "an object": lambda: solved(Cost(SCALE)),
    "a blur that is no parameter": lambda: so.SamplesLoss("gaussian", blur=SCALE),
}


@pytest.mark.parametrize("points", [X, X.clone().requires_grad_()], ids=["plain", "learnt"])
@pytest.mark.parametrize("name", HIDDEN)
def test_a_gradient_that_would_be_lost_is_refused(name, points):
    loss = HIDDEN[name]()
    compiled = torch.compile(lambda x: loss(x, Y), backend="aot_eager", fullgraph=True)
    with pytest.raises(RuntimeError, match=r"a function or a loss that holds a tensor \(\)"):
        compiled(points)
    with torch.no_grad():
        torch.testing.assert_close(compiled(points), loss(points, Y))


def test_what_needs_none_is_taken():
    loss = solved(Cost(PLAIN))
    compiled = torch.compile(lambda x: loss(x, Y), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(X), loss(X, Y))


def test_parameters_of_modules_have_gradients():
    learned = Learned()
    loss = solved(learned)
    gradients = []
    for call in (loss, torch.compile(lambda x, y: loss(x, y), backend="aot_eager", fullgraph=True)):
        gradients += torch.autograd.grad(call(X, Y), [learned.scale])
    assert gradients[0] != 0
    torch.testing.assert_close(*gradients)
