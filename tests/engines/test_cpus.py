"""Processors of a container: the files that say so are made by hand, the affinity is set for real."""

import math
import os
import subprocess
import sys

import pytest

from sparseot.engines import cpus

UNIFIED = {"proc/self/cgroup": "0::/\n"}
NESTED = {"proc/self/cgroup": "0::/user.slice/job\n"}
DIVIDED = {"proc/self/cgroup": "5:cpuset:/\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/\n"}
TREES = {
    "one": (UNIFIED | {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1.0),
    "one and a half": (UNIFIED | {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
    "no quota": (UNIFIED | {"sys/fs/cgroup/cpu.max": "max 100000\n"}, math.inf),
    "a group's own": (NESTED | {"sys/fs/cgroup/user.slice/job/cpu.max": "50000 100000"}, 0.5),
    "the least of a group and those above it": (
        NESTED
        | {
            "sys/fs/cgroup/cpu.max": "max 100000",
            "sys/fs/cgroup/user.slice/cpu.max": "200000 100000",
            "sys/fs/cgroup/user.slice/job/cpu.max": "300000 100000",
        },
        2.0,
    ),
    "a group next to it": (NESTED | {"sys/fs/cgroup/other/cpu.max": "100000 100000"}, math.inf),
    "version 1": (
        DIVIDED
        | {
            "sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us": "100000\n",
        },
        3.0,
    ),
    "version 1, which shows a container its group as the root": (
        DIVIDED
        | {
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "20000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "10000",
        },
        2.0,
    ),
    "version 1 without quota": (
        DIVIDED
        | {
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        math.inf,
    ),
    "both versions": (
        {"proc/self/cgroup": "2:cpu:/a\n0::/a\n"}
        | {"sys/fs/cgroup/a/cpu.max": "400000 100000"}
        | {"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "250000"}
        | {"sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000"},
        2.5,
    ),
    "nothing to read": ({}, math.inf),
    "nonsense": ({"proc/self/cgroup": "0\n::\n", "sys/fs/cgroup/cpu.max": "many"}, math.inf),
}


@pytest.mark.parametrize("name", TREES)
def test_the_quota_of_the_control_groups(tmp_path, name):
    files, wanted = TREES[name]
    for path, text in files.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert cpus.quota(tmp_path) == wanted


@pytest.mark.parametrize(
    ("bound", "quota", "wanted"),
    [(8, math.inf, 8), (8, 1.0, 1), (8, 0.2, 1), (8, 2.5, 3), (2, 64.0, 2), (1, math.inf, 1)],
)
def test_the_lesser_of_affinity_and_quota(monkeypatch, bound, quota, wanted):
    monkeypatch.setattr(cpus, "_bound", lambda: bound)
    monkeypatch.setattr(cpus, "_own_quota", lambda: quota)
    assert cpus.available_cpus() == wanted


BOUND = """
import os, torch, sparseot
from sparseot.engines import cpus, openmp, threads
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
torch.set_num_threads(4)
x = torch.rand(3000, 3)
sparseot.solve_sample(x, x + 0.1, blur=0.05)
sparseot.kernel_norm(x, x + 0.1, kernel=sparseot.kernels.Gaussian(0.1))
print(cpus.available_cpus(), openmp.thread_count(), threads._pool, torch.get_num_threads())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_bound_to_one_processor_starts_no_threads():
    command = [sys.executable, "-c", BOUND]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found.strip() == "1 1 None 4"
