"""Kept pairs for powers of the distance without a compiler, on any device, in double precision."""

from __future__ import annotations

import torch
from torch import Tensor

from ...kept import Biases, Blocks, Boxes
from ..kept_torch import TorchLoops

__all__ = ["TorchPowers", "of_squares"]

NEAR = 1e-6  # relative difference of two squares below which a chord is a tangent
TINY = 1e-300


class TorchPowers(TorchLoops):
    """Those of ``|x - y|^q / q``, 1 < q < 2."""

    def __init__(self, q: float) -> None:
        self.q = q

    def _exponents(
        self, rows: Blocks, cols: Blocks, biases: Biases, I: Tensor, J: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Costs are large beside what matters of them, so all is double until it is added."""
        x, y = rows.offsets[I].double(), cols.offsets[J].double()
        seen, square = x + (rows.centres[I] - cols.centres[J])[..., None], None
        for d in range(y.shape[1]):
            part = (seen[:, d, :, None] - y[:, d, None]).square_()
            square = part if square is None else square.add_(part)
        assert square is not None
        here = biases[0][I].double() + (rows.slopes[I][:, None] @ x)[:, 0]
        there = biases[1][J].double() + (cols.slopes[J][:, None] @ y)[:, 0]
        there = there + (rows.heights[I] + cols.heights[J])[:, None]
        exponents = here[:, :, None] + there[:, None] - square.pow(self.q / 2) / self.q
        return exponents.to(biases[0]), square.sqrt_().to(biases[0])

    def _bounds(self, rows: Boxes, cols: Boxes) -> Tensor:
        """The best of three, see :func:`.screens._of_powers`."""
        gap, s, t = rows.centres - cols.centres, rows.slopes, cols.slopes
        q, reach = self.q, rows.sides + cols.sides
        low = (gap.abs() - reach).clamp(min=0).square().sum(0)
        high, far = (gap.abs() + reach).square().sum(0), gap.square().sum(0)
        first, last = low ** (q / 2) / q, high ** (q / 2) / q
        even = high - low <= NEAR * high
        chord = 2 * (last - first) / (high - low).where(~even, 1.0)
        b = chord.where(~even, q * last / high.clamp(min=TINY)).clamp(min=TINY)
        best = b * of_squares(gap, rows.sides, s / b, cols.sides, t / b) - (first - b * low / 2)
        pull = far.where(far > 0, 1.0) ** (q / 2 - 1)
        middle = (s - t) / 2
        steep = middle.norm(dim=0)
        turn = (high ** ((q - 1) / 2) / steep.clamp(min=TINY)).clamp(max=1.0)
        ends = far ** (q / 2) * (1 - 1 / q), (turn * steep) ** (q / (q - 1)) * (1 - 1 / q)
        for u, end in zip((pull * gap, turn * middle), ends, strict=True):
            edge = rows.sides * (s - u).abs() + cols.sides * (t + u).abs() - u * gap
            best = torch.minimum(best, edge.sum(0) + end)
        return rows.heights + cols.heights + best


def of_squares(gap: Tensor, r: Tensor, s: Tensor, c: Tensor, t: Tensor) -> Tensor:
    """The largest ``s dx + t dy - |gap + dx - dy|^2 / 2`` in two boxes: on an edge of the rectangle of each axis."""
    edges = []
    for side in (1, -1):
        dy = torch.clamp(gap + side * r + t, -c, c)
        edges.append(side * s * r + t * dy - (gap + side * r - dy) ** 2 / 2)
        dx = torch.clamp(side * c - gap + s, -r, r)
        edges.append(s * dx + side * t * c - (gap + dx - side * c) ** 2 / 2)
    return torch.stack(edges).amax(0).sum(0)
