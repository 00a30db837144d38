"""Triton's kernels: interpreted in a process of their own, compiled without a card, or on one (``-m gpu``)."""

import os

import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# what tests over all engines add to their tables
HERE = ["triton"] if INTERPRETED or torch.cuda.is_available() else []
