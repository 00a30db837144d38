"""The tests; what is set here holds in all processes that they start."""

import os

# OpenMP's threads spin while they wait for one another. Where other processes want the cores, and
# two workers of the test command do, that makes sums of a few points a hundred times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
