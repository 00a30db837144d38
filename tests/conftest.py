"""What all tests share: the device, the seed, and the rule for what may be missing."""

import os
import shutil

import pytest
import torch


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
    if shutil.which("g++") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("g++ is missing in CI: KeOps cannot be tested")
        pytest.skip("g++ is missing: KeOps cannot compile")
