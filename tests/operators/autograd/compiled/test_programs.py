"""Compiled programs: what makes a new one, in which modes they run, and that nothing stays of them."""

import gc
import weakref

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils.checkpoint import checkpoint

import sparseot as so
from sparseot.operators.autograd import compiled, packed

from .compiling import SLOW, TORCHS_OWN, X, Y, everything

pytestmark = TORCHS_OWN


@SLOW
def test_options_that_change():
    """Attributes of a module are those of the moment; numbers of a call are a part of the program."""
    loss, counter = so.SamplesLoss("sinkhorn", blur=0.3), CompileCounterWithBackend("aot_eager")
    step = torch.compile(lambda x: loss(x, Y), fullgraph=True, backend=counter)
    for blur in (0.3, 0.2, 0.1):
        loss.blur = blur
        torch.testing.assert_close(step(X), loss(X, Y))
    assert counter.frame_count == 1
    loss.potentials = True
    torch.testing.assert_close(step(X), loss(X, Y))
    assert counter.frame_count == 2
    step = torch.compile(
        lambda x, blur: so.hausdorff_divergence(x, Y, blur=blur), fullgraph=True, backend="eager"
    )
    for blur in (0.3, 0.2, 0.1):
        torch.testing.assert_close(step(X, blur), so.hausdorff_divergence(X, Y, blur=blur))


@SLOW
def test_sizes_that_change():
    loss, counter = so.SamplesLoss("sinkhorn", blur=0.3), CompileCounterWithBackend("aot_eager")
    step = torch.compile(lambda x, y: loss(x, y), fullgraph=True, backend=counter)
    for n in (20, 21, 22, 30):
        x, y = torch.rand(n, 2, requires_grad=True), torch.rand(n + 3, 2)
        torch.testing.assert_close(everything(step, (x, y), [x]), everything(loss, (x, y), [x]))
    assert counter.frame_count == 2  # the first size, and all others


@SLOW
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_modes_of_a_training_loop():
    """Recomputed, offloaded, looked for anomalies, without gradients, and twice backward."""
    net, loss = torch.nn.Linear(2, 2).double(), so.SamplesLoss("sinkhorn", blur=0.3)

    def step(x):
        return loss(net(x), Y).sum()

    def gradient(step):
        return torch.autograd.grad(step(X), net.weight)[0]

    wanted, one = gradient(step), torch.compile(step, backend="aot_eager", fullgraph=True)
    inside = torch.compile(
        lambda x: checkpoint(step, x, use_reentrant=False), backend="aot_eager", fullgraph=True
    )
    for other in (inside, lambda x: checkpoint(one, x, use_reentrant=False)):
        assert torch.equal(gradient(other), wanted)
    with torch.autograd.graph.save_on_cpu():
        assert torch.equal(gradient(one), wanted)
    with torch.autograd.detect_anomaly():
        assert torch.equal(gradient(one), wanted)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert torch.equal(one(X), step(X))


@SLOW
def test_second_derivatives_are_refused():
    """Torch compiles first ones only."""
    loss, x = so.SamplesLoss("sinkhorn", blur=0.3, tol=1e-6), X[0].detach().clone().requires_grad_()
    for backend in ("eager", "aot_eager"):
        step = torch.compile(lambda x: loss(x, Y[0]), backend=backend, fullgraph=True)
        (gradient,) = torch.autograd.grad(step(x), x, create_graph=True)
        with pytest.raises(RuntimeError, match="double backward|no autograd formula"):
            torch.autograd.grad(gradient.square().sum(), x)


@SLOW
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_inductor(mode):
    net, loss = torch.nn.Linear(2, 2).double(), so.SamplesLoss("sinkhorn", blur=0.3)

    def step(x):
        return loss(net(x), Y).sum()

    other = torch.compile(step, fullgraph=True, mode=mode)
    wanted = everything(step, (X,), [net.weight])
    torch.testing.assert_close(everything(other, (X,), [net.weight]), wanted)


def test_nothing_stays_of_calls_without_a_backward_pass():
    loss = so.SamplesLoss("gaussian", blur=0.3)
    step = torch.compile(lambda x: loss(x, Y).sum(), backend="aot_eager", fullgraph=True)
    values = [step(X) for _ in range(3)]
    assert len(compiled._states) == 3
    values[0].backward()
    assert len(compiled._states) == 2  # the memory is freed as autograd's is
    del values
    gc.collect()
    assert not compiled._states
    X.grad = None


def test_modules_and_matrices_are_not_kept_alive():
    def once():
        loss = so.SamplesLoss("gaussian", blur=0.3)
        torch.compile(lambda x: loss(x, Y), backend="eager", fullgraph=True)(X)
        return next(reversed(packed._calls)), weakref.ref(loss)

    name, alive = once()
    assert "SamplesLoss.forward" in name
    torch._dynamo.reset()
    gc.collect()
    assert alive() is None
    with pytest.raises(RuntimeError, match="outlived what it was made of"):
        torch.ops.sparseot.call([X, Y], name, [False, False], True)


def test_names_of_calls_are_the_same_in_every_process():
    """Torch looks for compiled code by its text."""
    structure, constants = packed.pack((X, 0.5, 3, "auto", so.Sinkhorn(tol=1e-4)), [], [])[:2], []
    assert packed.remember("door", structure) == packed.remember("door", structure)
    other = packed.pack((X, 0.25, 3, "auto", so.Sinkhorn(tol=1e-4)), [], constants)
    assert packed.remember("door", other, *constants) != packed.remember("door", structure)
    with pytest.raises(RuntimeError, match="a graph of another process"):
        torch.ops.sparseot.call([X], "door of nobody", [False], True)
