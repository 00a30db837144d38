"""What an operator may know of its smallest eigenvectors."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["CoarseSpace"]


class CoarseSpace(Protocol):
    """Where the smallest eigenvectors nearly lie: a start, and corrections of residuals."""

    def start(self, block: int) -> Tensor: ...

    def correct(self, residuals: Tensor) -> Tensor: ...
