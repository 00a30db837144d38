"""Which ranks of a group do not answer any more, when exchanges have failed.

Each rank that finds an exchange failed says so in the store by which the group met, and looks who else does.
"""

from __future__ import annotations

import time
from typing import Any

import torch

__all__ = ["WAIT", "silent_ranks"]

WAIT = 3  # seconds that the others have to say that they are there
LOOK = 0.05  # seconds from look to look


def silent_ranks(group: Any) -> list[int]:
    """Ranks of the group from which nothing is heard; none where the store is out of reach too."""
    distributed = torch.distributed
    try:
        store = distributed.distributed_c10d._get_default_store()
        members = distributed.get_process_group_ranks(group)
        store.set(_key(distributed.get_rank()), "here")
        end, missing = time.monotonic() + WAIT, list(members)
        while True:
            missing = [rank for rank in missing if not store.check([_key(rank)])]
            if not missing or time.monotonic() > end:
                return [members.index(rank) for rank in missing]
            time.sleep(LOOK)
    except (AttributeError, RuntimeError, ValueError):  # the store ended with another rank
        return []


def _key(rank: int) -> str:
    return f"sparseot/lost/{rank}"
