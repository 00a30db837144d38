"""Nothing of the size of the matrix is ever stored: peaks of fresh processes, in bytes."""

import subprocess
import sys

import pytest

PEAK = """
import resource, torch, sparseot
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
x = torch.rand({n}, {d}, requires_grad=True)
y = torch.rand({n}, {d})
before = peak()
for loss in ("sinkhorn", "energy"):
    torch.autograd.grad(sparseot.SamplesLoss(loss)(x, y), x)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
@pytest.mark.parametrize("d", [3, 32])
def test_peak_memory_of_20000_points(d):
    """One matrix would take 1.6 GB: compiled loops and tiles both stay under 1 GB."""
    command = [sys.executable, "-c", PEAK.format(n=20_000, d=d)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(found.stdout) < 1e9
