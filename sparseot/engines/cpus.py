"""How many processors this process may use: fewer than the machine has, in a container."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

__all__ = ["available_cpus", "quota"]


def available_cpus() -> int:
    """The processors that this process is bound to, at most as many as its quota pays for."""
    return max(1, math.ceil(min(_bound(), _own_quota())))


def _bound() -> int:
    """Those that the scheduler may place its threads on."""
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _own_quota() -> float:
    """Read once: a running container keeps its quota, and the files take longer than small work."""
    return quota(Path("/"))


def quota(root: Path) -> float:
    """Processors that the control groups of this process allow, infinity where there are none.

    Both versions are read, from the group of this process up to the root: the least of them holds.
    A container may be shown its own group as the root of all.

    Args:
        root: where ``proc`` and ``sys`` are.

    References:
        The Linux kernel's documentation, "Control Group v2", section "CPU"; "CFS Bandwidth Control".
    """
    least = math.inf
    for line in _words(root / "proc/self/cgroup", "\n"):
        _, controllers, path = (line + "::").split(":")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = root / "sys/fs/cgroup" / (controllers and "cpu") / path.lstrip("/")
        for folder in (group, *group.parents)[: len(Path(path).parts)]:
            least = min(least, _limit(folder))
    return least


def _limit(folder: Path) -> float:
    """The quota that one group sets, in processors."""
    numbers = _words(folder / "cpu.max")  # version 2: "max 100000" or "150000 100000"
    if not numbers:  # version 1: two files, -1 for no quota
        numbers = [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        return math.inf
    return int(numbers[0]) / max(1, int(numbers[1]))


def _words(file: Path, separator: str | None = None) -> list[str]:
    """What a file holds, nothing if it cannot be read."""
    try:
        return [word for word in file.read_text().split(separator) if word]
    except (OSError, UnicodeDecodeError):
        return []
