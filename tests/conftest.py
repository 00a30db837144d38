"""What all tests share: the device, the seed, and the rule for what may be missing."""

import pytest
import torch

from . import missing


def pytest_collectstart(collector):
    """Points that a file of tests draws while it is imported are the same whatever was imported before."""
    torch.manual_seed(0)


@pytest.hookimpl(trylast=True)  # after tests were left out by their marks
def pytest_collection_modifyitems(config, items):
    missing.tell_once(config, items)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """The CPU, and CUDA with ``-m gpu``."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def shared(monkeypatch):
    """Work of any size is shared among as many threads as torch has, whatever the machine has."""
    monkeypatch.setattr("sparseot.engines.openmp.available_cpus", lambda: 8)
    monkeypatch.setattr("sparseot.engines.threads.WORTH", 0)


@pytest.fixture
def needs_compiler():
    """KeOps tests skip without g++, and fail in CI."""
    missing.required("needs_compiler")
