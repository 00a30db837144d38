"""The tests; what is set here holds in all processes that they start."""

import os
from pathlib import Path

# OpenMP's threads spin while they wait for one another. Where other processes want the cores, and
# two workers of the test command do, that makes sums of a few points a hundred times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Two workers that compile one KeOps program at once would write the same files: each has its own.
if "PYTEST_XDIST_WORKER" in os.environ:
    programs = os.environ.get("KEOPS_CACHE_FOLDER", Path(__file__).parents[1] / "build" / "keops")
    os.environ["KEOPS_CACHE_FOLDER"] = str(Path(programs) / os.environ["PYTEST_XDIST_WORKER"])
