"""The compiled engine: threads, forks, and a choice that is refused."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from sparseot import kernels
from sparseot.engines.choose import load


def _large_sum(seed):
    x = torch.rand(1, 600, 3, generator=torch.Generator().manual_seed(seed))
    return load("numba").bind(x, x).sum(kernels.Gaussian(0.1), x)


def test_two_threads_may_enter_at_once():
    """As a viewer's worker does beside the notebook; the results are those of one thread."""
    alone = [_large_sum(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(_large_sum, range(4)))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes():
    """A DataLoader forks: the child must not wait for threads it did not inherit."""
    expected = _large_sum(0)
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(_large_sum(0), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_choice_is_refused_in_a_sentence():
    from sparseot import SamplesLoss

    x = torch.rand(3, 2)
    with pytest.raises(ValueError, match="engine: got 'numba'.*leave engine=\"auto\""):
        SamplesLoss(cost=lambda x, y: torch.cdist(x, y), backend="numba")(x, x)
