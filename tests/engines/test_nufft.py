"""The Fourier engine: its error stays below the tolerance, and who works on a transform."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import finufft
import pytest
import torch

from sparseot import KernelMatrix, kernels
from sparseot.engines import nufft
from sparseot.engines.choose import choose_engine, load
from tests.references.clouds import wide
from tests.references.elsewhere import Elsewhere, There


@pytest.mark.parametrize(("count", "threads"), [(50, 1), (5_000, 1), (30_000, None)])
def test_small_transforms_wake_no_threads(count, threads, monkeypatch):
    """Threads that spin for a hundred points wait for milliseconds on a busy machine."""
    asked, plan = [], finufft.Plan

    def watched(*args, nthreads, **options):
        asked.append(nthreads)
        return plan(*args, nthreads=nthreads, **options)

    monkeypatch.setattr(finufft, "Plan", watched)
    x = torch.rand(1, count, 2, dtype=torch.float64)
    load("nufft").bind(x, x).sum(kernels.Gaussian(0.2), x)
    assert asked == 2 * [threads or torch.get_num_threads()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_fourier_sums_keep_their_promise(dtype, offset):
    """Chosen for very many pairs; the error stays below tol, wherever the origin lies."""
    x = wide(40_000, offset, dtype=dtype)
    K = KernelMatrix(kernels.Gaussian(0.2), x, tol=1e-5)
    assert K.engine.name == "nufft" and "Fourier modes" in repr(K) and "tol 1e-05" in repr(K)
    assert K.error() < 1e-5
    exact = KernelMatrix(kernels.Gaussian(0.2), x, tol=0)
    assert exact.engine.name == "numba"
    found, wanted = K @ x[:, :2], exact @ x[:, :2]
    assert ((found - wanted).norm() / wanted.norm()) < 2e-5


@pytest.mark.parametrize(("dim", "sigma"), [(1, 1e-4), (2, 3e-3), (3, 0.05)])
@pytest.mark.parametrize("tol", [1e-4, 1e-6, 1e-8])
def test_fourier_sums_keep_it_for_single_weights_and_many_waves(dim, sigma, tol):
    """One weight meets no cancellation; fast waves multiply the rounding of the points."""
    x = torch.rand(40_000, dim, generator=torch.Generator().manual_seed(0))
    K = KernelMatrix(kernels.Gaussian(sigma), x, engine="nufft", tol=tol)
    v = torch.zeros(len(x), 2)
    v[7, 0] = v[20_000, 1] = 1
    squares = (x.double()[:, None] - x.double()[[7, 20_000]]).square().sum(-1)
    exact = kernels.Gaussian(sigma)(squares)
    assert (K @ v - exact).abs().max() < tol + 6e-8
    assert K.error() < tol + 6e-8 and K.error(v) < tol + 6e-8


def test_the_error_of_clouds_that_are_far_apart_is_a_number():
    x = torch.rand(500, 2)
    K = KernelMatrix(kernels.Gaussian(0.1), x, x + 30, engine="nufft")
    assert K.error() < 1e-6 and K.error(torch.zeros(500)) == 0


def test_fourier_sums_where_they_do_not_fit():
    """A long axis needs too many modes: "auto" sums otherwise, the name alone says what to do."""
    x = wide(40_000, stretch=1000.0)
    assert KernelMatrix(kernels.Gaussian(0.01), x).engine.name == "numba"
    K = KernelMatrix(kernels.Gaussian(0.01), x, engine="nufft")
    with pytest.raises(ValueError, match='Fourier grid of .* modes.*use engine="numba"'):
        K @ x[:, 0]
    with pytest.raises(ValueError, match="are for Gaussians"):
        KernelMatrix(kernels.Laplacian(0.1), x, engine="nufft")
    with pytest.raises(ValueError, match="at most 3 dimensions"):
        KernelMatrix(kernels.Gaussian(0.1), torch.rand(9, 4), engine="nufft")


def test_plans_are_kept_while_the_points_stay():
    engine, kernel, v = load("nufft"), kernels.Gaussian(0.3), torch.ones(1, 50, 1)
    x = torch.rand(1, 50, 2)
    first = engine.bind(x, x)
    before = first.sum(kernel, v)
    assert engine.bind(x.clone(), x) is first
    x.data += 1.0 * (x > 0.5)  # moved behind autograd's back
    assert engine.bind(x, x) is not first
    assert not torch.allclose(engine.bind(x, x).sum(kernel, v), before, rtol=1e-2)


class Plan:
    """cuFINUFFT's interface, whose transforms are FINUFFT's: tensors of the device in, such a tensor out."""

    asked: list[dict] = []

    def __init__(self, kind, modes, n_trans=1, eps=1e-6, isign=None, dtype="complex64", **options):
        assert not options.keys() - {"gpu_device_id", "gpu_stream", "upsampfac"}
        self.asked.append({"n_trans": n_trans, "dtype": dtype, **options})
        self.real = {"complex64": torch.float32, "complex128": torch.float64}[dtype]
        self.shape, kinds = modes, {"n_trans": n_trans, "eps": eps, "isign": isign, "dtype": dtype}
        self.kind, self.plan = kind, finufft.Plan(kind, modes, **kinds, nthreads=1, showwarn=0)

    def setpts(self, *angles):
        assert all(t.dtype == self.real and t.is_contiguous() for t in angles)
        self.plan.setpts(*(t.inner.numpy() for t in angles))
        self.shape = self.shape if self.kind == 1 else (len(angles[0]),)

    def execute(self, data):
        assert isinstance(data, There) and data.is_contiguous()
        found = torch.from_numpy(self.plan.execute(data.inner.numpy()))
        return There(found.view(len(data), *self.shape))


@pytest.fixture
def elsewhere(monkeypatch):
    """A device that is not there, where cuFINUFFT is installed."""
    module = ModuleType("cufinufft")
    module.Plan, module.__spec__ = Plan, ModuleSpec("cufinufft", None)
    monkeypatch.setitem(sys.modules, "cufinufft", module)
    monkeypatch.setattr(nufft, "DEVICES", ("cpu", "meta"))
    monkeypatch.setattr(Plan, "asked", [])
    with Elsewhere():
        yield


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transforms_of_a_device_stay_there(elsewhere, dtype):
    """The sums of a CPU, odd and even numbers of columns; what comes to the host is the box."""
    x, y = torch.rand(1, 200, 2, dtype=dtype), torch.rand(1, 150, 2, dtype=dtype)
    kernel = kernels.Gaussian(0.2)
    for columns in (1, 4):
        v = torch.randn(1, 150, columns, dtype=dtype)
        wanted = load("nufft", tol=1e-5).bind(x, y).sum(kernel, v)
        found = load("nufft", tol=1e-5).bind(There(x), There(y)).sum(kernel, There(v))
        assert isinstance(found, There) and max(There.moved) <= 2
        torch.testing.assert_close(found.inner, wanted, rtol=1e-4, atol=1e-4)
    single = "complex64" if dtype == torch.float32 else "complex128"
    assert [plan["n_trans"] for plan in Plan.asked] == [1, 1, 2, 2]
    assert {plan["dtype"] for plan in Plan.asked} == {single}


def test_what_to_install_is_said():
    class Points(SimpleNamespace):
        def __len__(self):
            return 1

    points = Points(device=torch.device("cuda"), shape=(1, 10, 3), dtype=torch.float32)
    with pytest.raises(ImportError, match=r'pip install "sparseot\[cufinufft\]"'):
        choose_engine("nufft", kernels.Gaussian(1.0), points)
