"""Checks that several processes of one group run together, each of them told apart in the report.

A module of checks has functions that take a :class:`Rank`. Processes are started once for all of them:
``outcomes(module, size)`` says of each check what went wrong on which rank, or nothing.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
WAIT = 60  # seconds that ranks wait for each other
LONGEST = 1500  # seconds of all checks, one or two minutes where nothing else runs


@dataclass(frozen=True)
class Rank:
    """One process of the group, and which rows of an array it has."""

    rank: int
    size: int
    group: object

    def part(self, whole, empty=1):
        """Its rows: shares of 3 : 2 : 1 ..., and none for one rank if there are three or more."""
        first, last = self.ends(len(whole), empty)
        return whole[first:last]

    def ends(self, count, empty=1):
        """Where its rows begin and end."""
        shares = [0 if self.size > 2 and k == empty else self.size - k for k in range(self.size)]
        sums = [sum(shares[:k]) * count // sum(shares) for k in range(self.size + 1)]
        return sums[self.rank], sums[self.rank + 1]


def checks(modules):
    """The names of the checks of some modules, joined by commas."""
    found = {}
    for module in modules.split(","):
        found |= vars(importlib.import_module(module))
    return {name: check for name, check in found.items() if name.startswith("check_")}


def outcomes(modules: str, size: int) -> dict[str, str]:
    """What went wrong in each check, an empty string where all ranks passed it."""
    with tempfile.TemporaryDirectory() as folder:
        processes = start(modules, size, folder)
        try:
            for process in processes:  # which end together
                process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            pass  # what a rank has told until then is in its files
        finally:
            for process in processes:
                process.kill()
                process.wait()
        logs = [Path(folder, f"log{k}").read_text() for k in range(size)]
        found = [Path(folder, f"{k}.json") for k in range(size)]
        told = [json.loads(p.read_text()) if p.exists() else {} for p in found]
    said = {}
    for name in checks(modules):
        parts = []
        for k in range(size):
            if (text := told[k].get(name, f"did not get here\n{logs[k][-2000:]}")) is not None:
                parts.append(f"rank {k} of {size}: {text}")
        said[name] = "\n".join(parts)
    return said


def start(modules: str, size: int, folder: str) -> list[subprocess.Popen]:
    """The processes of a group, one thread each."""
    few = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = []
    for k in range(size):
        command = [
            sys.executable,
            "-m",
            "tests.references.processes",
            modules,
            str(k),
            str(size),
            folder,
        ]
        with open(Path(folder, f"log{k}"), "w") as log:
            processes.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=os.environ | few, stdout=log, stderr=subprocess.STDOUT
                )
            )
    return processes


def _run(modules: str, rank: int, size: int, folder: str) -> None:
    """All checks, in one process of a group."""
    import torch
    import torch.distributed as dist
    from torch.distributed.constants import default_pg_timeout  # half an hour

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=size,
        timeout=default_pg_timeout * WAIT / 1800,
    )
    told = {}
    for name, check in checks(modules).items():
        faulthandler.dump_traceback_later(4 * WAIT, exit=True)  # of each check, on a busy machine
        torch.manual_seed(0)
        try:
            check(Rank(rank, size, dist.group.WORLD))
            told[name] = None
        except BaseException:
            told[name] = traceback.format_exc(limit=-6)
        Path(folder, f"{rank}.json").write_text(json.dumps(told))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
