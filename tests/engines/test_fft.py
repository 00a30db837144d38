"""The Fourier engine: who works on a transform."""

import finufft
import pytest
import torch

from sparseot import kernels
from sparseot.engines.choose import load


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
