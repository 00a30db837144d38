"""How a kernel is run, and how many programs a device takes at once."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import triton.language as tl

__all__ = ["PROGRAMS", "launch", "programs", "real"]

PROGRAMS = {"cpu": 1}  # that a device runs at once, where it is not asked


def real(dtype: torch.dtype) -> Any:
    """Triton's name for a dtype."""
    return {torch.float32: tl.float32, torch.float64: tl.float64}[dtype]


def programs(device: torch.device) -> int:
    """How many programs a device runs at once: two for each multiprocessor."""
    known = PROGRAMS.get(device.type)
    return known or 2 * torch.cuda.get_device_properties(device).multi_processor_count


def launch(
    kernel: Any, grid: tuple[int, ...], warps: int, *args: Any, most: int | None = None, **switches: Any
) -> None:  # fmt: skip
    """Runs a kernel on the device of its first argument, whichever is the current one, with ``most`` registers."""
    device = args[0].device
    options = {"maxnreg": most} if most and torch.version.hip is None else {}
    options |= {"num_warps": warps, "enable_fp_fusion": True}  # Triton 3.10 will not fuse by itself
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[grid](*args, **switches, **options)
