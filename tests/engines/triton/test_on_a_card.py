"""What only a card can show: the numbers of a CPU, wherever the points are and whoever runs beside."""

import os
import subprocess
import sys

import pytest
import torch

import sparseot as so
from sparseot import kernels
from sparseot.engines.choose import choose_engine, load
from tests.references.clouds import cloud
from tests.references.dense import squared_distances

pytestmark = pytest.mark.gpu


def on(device, function, *shapes):
    """What a function gives for random clouds, on the CPU."""
    torch.manual_seed(0)
    found = function(
        *(cloud(*shape, shift=0.2 * k)[0].to(device) for k, shape in enumerate(shapes))
    )
    assert all(t.device.type == device for t in found)
    return [t.detach().cpu() for t in found]


def loss(kind, p):
    def run(x, y):
        x.requires_grad_()
        value = so.SamplesLoss(kind, p=p, blur=0.1)(x, y)
        return value, torch.autograd.grad(value, x)[0]

    return run


def product(x, y):
    return (so.KernelMatrix(kernels.Laplacian(0.3), x, y) @ torch.ones_like(y),)


def solved(x, y):
    found = so.solve_sample(x, y, blur=0.1, tol=1e-6, debias=True)
    H = so.hessian(found)
    return found.value, found.potential_a, H @ torch.ones_like(x).flatten()


def neighbours(x, y):
    return so.knn(x, y, k=10)


CASES = {
    "sinkhorn": (loss("sinkhorn", 2), 1e-7),
    "sinkhorn, p = 1": (loss("sinkhorn", 1), 1e-7),
    "energy": (loss("energy", 1), 1e-10),
    "product": (product, 1e-10),
    "solve and Hessian": (solved, 1e-4),
    "neighbours": (neighbours, 1e-12),
}


@pytest.mark.parametrize("name", CASES)
def test_results_are_those_of_a_cpu(name):
    run, tol = CASES[name]
    for shapes in (((300, 3), (200, 3)), ((70, 20), (90, 20))):
        for here, there in zip(*(on(d, run, *shapes) for d in ("cpu", "cuda")), strict=True):
            torch.testing.assert_close(here, there, rtol=tol, atol=tol)


def test_auto_takes_kernels():
    x = torch.zeros(1, 4, 3, device="cuda")
    assert choose_engine("auto", kernels.Gaussian(1.0), x)[0].name == "triton"


def test_precision_on_matrix_units():
    """Which may round otherwise than the interpreter; sums of a million entries stay exact."""
    x, y = (cloud(n, 64, batch=(1,), dtype=torch.float32, device="cuda")[0] for n in (500, 400))
    exact = squared_distances(x.double(), y.double())
    v = torch.eye(400, device="cuda")[None]
    lengths = torch.maximum(*(z.square().sum(-1).amax() for z in (x, y)))
    for precision, bound in (("float32", 2**-20), ("float16", 2**-10)):
        kernel = kernels.Gaussian(4.0)
        found = load("triton", precision=precision).bind(x, y).sum(kernel, v)
        assert (found - kernel(exact)).abs().max() < bound * float(lengths)
    x = torch.rand(1, 64, 3, device="cuda")
    y = torch.rand(1, 1_000_000, 3, device="cuda")
    v, kernel = torch.rand(1, 1_000_000, 32, device="cuda"), kernels.Gaussian(0.3)
    total = kernel(squared_distances(x[:, :4].double(), y.double())) @ v.double()
    found = load("triton").bind(x, y).sum(kernel, v)[:, :4]
    assert ((found - total) / total).abs().max() < 2e-6


def test_streams_and_inference_mode():
    """A sum is taken on the stream of the caller, and equal input gives equal bits."""
    x = torch.rand(1, 3000, 3, device="cuda")
    bound, v = load("triton").bind(x, x), torch.rand(1, 3000, 2, device="cuda")
    first = bound.sum(kernels.Gaussian(0.1), v)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()), torch.inference_mode():
        second = bound.sum(kernels.Gaussian(0.1), v)
    torch.cuda.synchronize()
    assert torch.equal(first, second)


def test_another_device_than_the_current_one():
    if torch.cuda.device_count() < 2:
        pytest.skip("one card")
    x = torch.rand(1, 100, 3, device="cuda:1")
    found = load("triton").bind(x, x).sum(kernels.Gaussian(0.1), x)
    assert found.device == x.device and found.isfinite().all()


def test_kept_pairs():
    """The multilevel solve of a CPU."""
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        (x, a), (y, b) = cloud(3000, 3, device=device), cloud(2500, 3, device=device, shift=0.2)
        one = so.solve_sample(x, y, a, b, blur=0.05, solver=so.Sinkhorn(multilevel=True))
        assert one.lower <= one.value <= one.upper
        found.append((one.value.cpu(), one.map().cpu()))
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-8)


def schedule(x, y):
    """Values and gradients of a schedule that is launched step by step."""
    x = x.clone().requires_grad_()
    value = so.SamplesLoss(blur=0.05, diameter=2.0)(x, y)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


@pytest.fixture
def recordings(monkeypatch):
    """Those of this test alone."""
    from sparseot.engines.triton.card import replays

    found = replays.Recordings(replays.CudaGraphs())
    monkeypatch.setattr(replays, "RECORDINGS", found)
    return found


@pytest.mark.parametrize("sizes", [(1000, 1000), (1200, 900)])
def test_a_schedule_is_replayed_from_a_graph(monkeypatch, recordings, sizes):
    """With the bits of its steps, on streams of the caller, and within inference mode."""
    from sparseot.engines.triton.card.replays import AFTER

    clouds = [[torch.rand(n, 3, device="cuda") for n in sizes] for _ in range(8)]
    side = torch.cuda.Stream()
    found = []
    for k, (x, y) in enumerate(clouds):
        if k % 2:
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                found.append(schedule(x, y))
            torch.cuda.current_stream().wait_stream(side)
        else:
            found.append(schedule(x, y))
    assert recordings.why_not is None and len(recordings.known) == 1
    with torch.inference_mode():
        again = so.SamplesLoss(blur=0.05, diameter=2.0)(*clouds[0])
    torch.testing.assert_close(again, found[0][0], rtol=1e-5, atol=1e-7)  # without a gradient
    monkeypatch.setattr(recordings, "why_not", "plain steps are wanted")
    for (x, y), answers in zip(clouds[AFTER:], found[AFTER:], strict=True):
        assert all(map(torch.equal, answers, schedule(x, y)))


def test_recordings_give_their_memory_back(recordings):
    recordings.kept = 2
    used = []
    for n in range(900, 1200, 50):
        for _ in range(4):
            schedule(torch.rand(n, 3, device="cuda"), torch.rand(n, 3, device="cuda"))
        torch.cuda.synchronize()
        used.append(torch.cuda.memory_allocated())
    assert len(recordings.known) == 2 and recordings.why_not is None
    assert used[-1] < used[1] + (8 << 20)


def test_a_recording_around_a_schedule(recordings):
    """Is that of the caller: nothing is recorded inside."""
    from sparseot.engines.triton.card.replays import AFTER

    x = torch.rand(1, 1000, 3, device="cuda")
    for _ in range(AFTER + 1):
        assert recordings.run(torch.neg, (x,)) is None or len(recordings.known) == 1
    with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=torch.cuda.Stream()):
        assert recordings.run(torch.neg, (x,)) is None
        x + 1
    assert torch.equal(recordings.run(torch.neg, (x,)), -x) and recordings.why_not is None


@pytest.mark.parametrize("sizes", [(64, 300, 200), (64, 1200, 1000)])
def test_schedules_of_batches_are_one_kernel(monkeypatch, sizes):
    """Of different sizes, and large ones: with the numbers of steps."""
    from sparseot.engines.triton import small

    x, y = (torch.rand(sizes[0], n, 3, device="cuda", dtype=torch.float64) for n in sizes[1:])
    found = schedule(x, y)[0]
    monkeypatch.setattr(small, "MOST", 0)
    torch.testing.assert_close(found, schedule(x, y)[0], rtol=1e-10, atol=1e-10)


def test_a_large_sum_is_timed_once(monkeypatch, tmp_path):
    """By all candidates; what was kept serves a second engine, with equal bits."""
    from sparseot.engines.triton.card import tuning

    monkeypatch.setattr(tuning, "ENOUGH", 1 << 24)
    monkeypatch.setattr(tuning, "TRIED", 1 << 24)
    x, v = torch.rand(1, 5000, 3, device="cuda"), torch.rand(1, 5000, 1, device="cuda")
    kernel, found, times = kernels.Gaussian(0.3), [], []
    clock = tuning.CardClock()
    milliseconds = clock.milliseconds
    monkeypatch.setattr(
        clock, "milliseconds", lambda *task: times.append(milliseconds(*task)) or times[-1]
    )
    for _ in range(2):
        monkeypatch.setattr(tuning, "CHOICES", tuning.Choices(clock, lambda: tmp_path))
        found.append(load("triton").bind(x, x).sum(kernel, v))
    assert len(times) == 3 and all(0 < t < 1000 for t in times)
    assert len(list(tmp_path.iterdir())) == 1 and torch.equal(*found)
    usual = load("triton", tuned=False).bind(x, x).sum(kernel, v)
    torch.testing.assert_close(found[0], usual, rtol=1e-5, atol=1e-6)


PROCESS = """
import torch, sparseot as so
torch.manual_seed(0)
x, y = (torch.rand(3000, 3, device="cuda") for _ in range(2))
print(so.SamplesLoss(blur=0.05)(x, y).item(), so.knn(x, k=5).indices.sum().item())
"""


def test_two_processes_on_one_card(tmp_path):
    """Both compile at once, and give the same numbers."""
    where = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "SPARSEOT_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", PROCESS]
    running = [
        subprocess.Popen(command, env=where, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    found = [one.communicate()[0] for one in running]
    assert [one.returncode for one in running] == [0, 0]
    assert found[0] == found[1] != ""
