"""Torch's threads: asleep inside of the library, and afterwards as they were, whoever else is there."""

import os
import subprocess
import sys
import threading

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sparseot as so
from sparseot import kernels
from sparseot.engines import openmp, threads
from sparseot.engines.choose import load
from sparseot.engines.openmp import all_threads, on_one_thread, one_thread, thread_count

TOLD = openmp._library()[0] is not openmp._nothing
pytestmark = pytest.mark.skipif(not TOLD, reason="OpenMP's symbols are not found on this system")


@pytest.fixture(autouse=True)
def three(monkeypatch):
    """Three threads, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setattr(openmp, "available_cpus", lambda: 8)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def in_a_thread(function):
    """What a function returns in a new thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def of_mkl():
    """MKL's own number for this thread, 0 if it follows OpenMP's."""
    tell = openmp._library()[1]
    number = tell(0)
    tell(number)
    return number


def test_one_thread_inside_and_all_again_afterwards():
    mkl = of_mkl()
    with one_thread():
        assert (torch.get_num_threads(), thread_count()) == (1, 3)
        assert of_mkl() == min(mkl, 1)
        with all_threads():
            assert (torch.get_num_threads(), thread_count()) == (3, 3)
            assert of_mkl() == mkl
            with one_thread():
                assert (torch.get_num_threads(), thread_count()) == (1, 3)
        assert (torch.get_num_threads(), thread_count()) == (1, 3)
    assert (torch.get_num_threads(), of_mkl()) == (3, mkl)


def test_no_more_threads_than_processors(monkeypatch):
    monkeypatch.setattr(openmp, "available_cpus", lambda: 2)
    assert thread_count() == 2
    with one_thread(), all_threads():
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_leave_the_users_setting(error):
    @on_one_thread
    def fails():
        assert torch.get_num_threads() == 1
        raise error

    with pytest.raises(error):
        fails()
    with pytest.raises(ValueError, match="blur"):
        so.solve_sample(torch.rand(3, 2), torch.rand(3, 2), blur=-1.0)
    assert torch.get_num_threads() == thread_count() == 3


def test_other_threads_see_nothing_of_it():
    """A thread that starts meanwhile would keep a number that torch.set_num_threads wrote down."""
    with one_thread():
        assert in_a_thread(lambda: (torch.get_num_threads(), thread_count())) == (3, 3)

    def first_call_of_a_thread():
        with one_thread():
            inside = torch.get_num_threads()
            torch.rand(10) @ torch.rand(10)
            return inside, torch.get_num_threads()

    assert in_a_thread(first_call_of_a_thread) == (1, 1)


def test_where_torch_cannot_be_told_it_keeps_its_threads(monkeypatch):
    monkeypatch.setattr(openmp, "_library", lambda: (openmp._nothing, openmp._nothing))
    with one_thread():
        assert torch.get_num_threads() == thread_count() == 3
        assert thread_count(of_torch=True) == 1
    assert thread_count() == 3
    x = torch.rand(1, 600, 30)
    found = load("tiles").bind(x, x).sum(kernels.Gaussian(1.0), x)
    torch.testing.assert_close(found, (-(torch.cdist(x, x) ** 2) / 2).exp() @ x)


def step(x, y):
    """What a training step and a notebook do."""
    x = x.clone().requires_grad_()
    value = so.SamplesLoss()(x, y) + so.SamplesLoss(tol=1e-4)(x, y)
    (gradient,) = torch.autograd.grad(value, x)
    plan = so.solve_sample(x, y, blur=0.3, debias=True)
    K = so.KernelMatrix(kernels.Gaussian(0.2), x.detach())
    return gradient, plan.hvp(y, "x"), plan.upper, so.eigsh(K, k=3).values, so.knn(x, k=3)[0]


def test_two_threads_at_once_disturb_neither_results_nor_settings():
    """As a viewer's worker and the notebook, with settings of their own."""
    clouds = [torch.rand(2, 150, 3).double().unbind() for _ in range(4)]
    alone = [step(*pair) for pair in clouds]
    together, counts, ready = [None] * 4, [None] * 4, threading.Barrier(4)

    def run(k):
        torch.get_num_threads()  # at the first call a thread takes the last number of any thread
        torch.set_num_threads(k + 1)
        ready.wait()
        for _ in range(3):
            together[k] = step(*clouds[k])
        counts[k] = torch.get_num_threads()

    workers = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert counts == [1, 2, 3, 4]
    for mine, other in zip(alone, together, strict=True):
        for one, two in zip(mine, other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def jobs():
    """Small work, by the doors that do it; each is a function of nothing."""
    x, y = torch.rand(2, 40, 3).unbind()
    moving, features = x.clone().requires_grad_(), torch.rand(60, 16, requires_grad=True)
    wide, far = torch.rand(2, 90, 40).unbind()
    gravnet, graph = so.nn.GravNetConv(16, 8, 4, 22, k=5), so.nn.KNNGraph(5)
    cloud = torch.rand(300, 3).double()
    moved, batches = cloud + 0.1, (x.view(4, 10, 3), y.view(4, 10, 3))
    K = so.KernelMatrix(kernels.Gaussian(0.3), cloud)
    A = K + so.Diagonal(torch.full((300,), 0.1).double())
    plan = so.solve_sample(wide, far, blur=2.0, debias=True)
    few, P = so.solve_sample(x, y, blur=0.3, debias=True), plan.plan_operator
    losses = {
        "schedule": so.SamplesLoss(),
        "tolerance": so.SamplesLoss(tol=1e-6),
        "penalty": so.SamplesLoss(reach=0.5),
        "distances": so.SamplesLoss(p=1),
        "tiles": so.SamplesLoss(backend="tiles"),
        "norm": so.SamplesLoss("gaussian", blur=0.3),
        "energy": so.SamplesLoss("energy"),
        "hausdorff": so.SamplesLoss("hausdorff"),
    }
    solver = so.Sinkhorn(multilevel=True, certificate="tight")
    return {
        **{
            f"loss, {name}": lambda of=of: torch.autograd.grad(of(moving, y).sum(), moving)
            for name, of in losses.items()
        },
        "loss, many dimensions": lambda: so.SamplesLoss()(wide, far),
        "loss, batches": lambda: so.SamplesLoss()(*batches),
        "bounds": lambda: (plan.lower, plan.gradient_error(), plan.map(), P @ far),
        "kept pairs": lambda: so.solve_sample(cloud, moved, blur=0.1, solver=solver).upper,
        "hvp": lambda: plan.hvp(far, "y"),
        "hessians": lambda: [so.hessian(few, wrt).to_dense() for wrt in "ya"],
        "matrix": lambda: (K @ cloud, K.sum(), K.to_dense(), K.error()),
        "matrix, both gradients": lambda: torch.autograd.grad(
            (so.KernelMatrix(kernels.Gaussian(1.0), features) @ features).sum(), features
        ),
        "eigenpairs": lambda: so.eigsh(so.graph_laplacian(K, normed=True), k=4, which="SA"),
        "embedding": lambda: so.spectral_embedding(cloud, 2, 0.3),
        "system": lambda: so.conjugate_gradient(
            A, cloud, preconditioner=so.nystrom(K, 0.1, rank=40)
        ),
        "neighbours": lambda: [
            so.knn(features, k=5, method=m) for m in ("brute", "tiles", "forest", "kdtree")
        ],
        "radius": lambda: [so.radius(features, None, 3.0, method=m) for m in ("cells", "tiles")],
        "recall": lambda: so.knn_recall(wide, so.knn(wide, k=5).indices),
        "graph": lambda: torch.autograd.grad((graph(features) @ features).sum(), features),
        "gravnet": lambda: gravnet(features).square().sum().backward(),
        "blur": lambda: so.suggest_blur(x, y),
    }


class Counted(TorchDispatchMode):
    """The most threads that torch would have had for any of its operations."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.most = max(self.most, torch.get_num_threads())
        return func(*args, **(kwargs or {}))


FORWARD = [  # their backward passes have small operations of torch's own in between
    *(
        "loss, many dimensions",
        "loss, batches",
        "bounds",
        "kept pairs",
        "hvp",
        "hessians",
        "matrix",
    ),
    *("eigenpairs", "embedding", "neighbours", "recall", "blur"),
]


@pytest.mark.parametrize("name", FORWARD)
def test_every_operation_of_small_work_has_one_thread(name):
    run = jobs()[name]
    with Counted() as counted:
        run()
    assert counted.most == 1
    with Counted() as counted:
        torch.rand(3).exp()
    assert counted.most == 3


def test_small_work_asks_our_pool_for_nothing(monkeypatch):
    def refuse():
        raise AssertionError("a thread for small work")

    monkeypatch.setattr(threads, "threads", refuse)
    for run in jobs().values():
        run()
    x = torch.rand(1, 3000, 3)
    with pytest.raises(AssertionError, match="a thread for small work"):
        load("numba").bind(x, x).sum(kernels.Gaussian(0.1), x)


WAKES = """
import os, sys, threading, torch
sys.path.insert(0, {root!r})
torch.set_num_threads(4)
from tests.engines.test_openmp import jobs
for run in jobs().values():
    run()
print([thread.name for thread in threading.enumerate() if "sparseot" in thread.name])
before = len(os.listdir("/proc/self/task"))
torch.rand(10**6).sigmoid()
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no list of threads here")
def test_small_work_wakes_none_of_torchs_threads():
    """OpenMP starts its threads when work is shared for the first time: after all that, they are new.

    Forward and backward passes.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [sys.executable, "-c", WAKES.format(root=root)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == ["[]", "3"]


def test_functions_of_the_callers_have_the_callers_threads():
    """A progress function always; a cost where it is worth it; what a layer calls, if it is large or unknown."""
    seen = set()

    def note(*given):
        if all(isinstance(one, (torch.Tensor, float)) for one in given):  # no stand-ins for points
            seen.add(torch.get_num_threads())

    def found():
        numbers = set(seen)
        seen.clear()
        return numbers

    small, large = torch.rand(50, 2), torch.rand(2100, 2)
    for options in ({}, {"p": 1}, {"debias": True}, {"reach": 1.0}):
        so.solve_sample(small, small + 0.1, blur=0.3, solver=so.Sinkhorn(progress=note), **options)
        assert found() == {3}
    with one_thread():
        so.sinkhorn_divergence(small, small + 0.1, blur=0.3, solver=so.Sinkhorn(progress=note))
    assert found() == {3}

    def cost(x, y):
        note(x, y)
        return torch.baddbmm(x.new_tensor(4.0), x, y.mT, alpha=-1)  # of which there is no formula

    so.solve_sample(small, small + 0.1, blur=0.3, cost=cost)
    assert found() == {1}
    result = so.solve_sample(large, large + 0.1, blur=1.0, cost=cost)
    result.map()
    assert found() == {3}

    class Noting(torch.nn.Linear):
        def forward(self, x):
            note()
            return super().forward(x)

    deep = torch.nn.Sequential(Noting(4, 3000), torch.nn.Linear(3000, 300))

    def unknown(x):
        note()
        return x.sum(-1, keepdim=True)

    for network, numbers in ((Noting(4, 3), {1}), (deep, {3}), (unknown, {3})):
        so.nn.DynamicEdgeConv(network, 3)(small)
        assert found() == numbers
