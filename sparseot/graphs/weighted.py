"""What layers that weigh edges share: a function of their lengths, and its bandwidth."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import bad_input
from ..points import check_positive

__all__ = ["Weight", "Weighted", "one_of"]

WEIGHTS = ("gaussian", "exponential", "inverse", "cosine", "connectivity")
Weight = str | Callable[[Tensor], Tensor]


class Weighted(nn.Module):
    """A layer with a ``weight`` function, and ``log_bandwidth``, a parameter if it is learnt."""

    def __init__(self, weight: Weight, bandwidth: float, learnable_bandwidth: bool) -> None:
        super().__init__()
        self.weight = weight if callable(weight) else one_of("weight", weight, WEIGHTS)
        check_positive(bandwidth=bandwidth)
        log_bandwidth = torch.tensor(math.log(bandwidth), dtype=torch.get_default_dtype())
        if learnable_bandwidth:
            self.log_bandwidth = nn.Parameter(log_bandwidth)
        else:
            self.register_buffer("log_bandwidth", log_bandwidth)

    @property
    def bandwidth(self) -> Tensor:
        """The bandwidth h."""
        return self.log_bandwidth.exp()

    def profile(self, distances: Tensor, squares: Tensor | None) -> Tensor:
        """The weights of edges; the Gaussian reads squares, which are smooth at zero."""
        if callable(self.weight):
            return _finite(self.weight(distances), distances)
        h = self.bandwidth.to(distances.dtype)
        if self.weight == "gaussian":
            squares = distances.square() if squares is None else squares
            return (-squares / (2 * h.square())).exp()
        if self.weight == "exponential":
            return (-distances / h).exp()
        if self.weight == "inverse":
            return 1 / (1 + distances / h)
        return 1 - distances if self.weight == "cosine" else torch.ones_like(distances)


def _finite(weights: Tensor, distances: Tensor) -> Tensor:
    """What a function made of distances, refused where it is NaN or infinite."""
    if torch.compiler.is_compiling() or bool(weights.detach().isfinite().all()):
        return weights
    bad = ~weights.detach().isfinite()
    got = (
        f"a function that is {weights[bad][0].item()} at the distance {distances[bad][0].item():g}"
    )
    raise bad_input("weight", got, "finite values")


def one_of(name: str, value: Any, known: tuple[Any, ...]) -> Any:
    """The value, if it is among those that are known."""
    if value not in known:
        raise bad_input(name, repr(value), " or ".join(repr(v) for v in known))
    return value
