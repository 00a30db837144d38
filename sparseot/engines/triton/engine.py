"""The engine of CUDA devices for radial formulas; Triton itself is loaded at the first sum."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from ...errors import bad_input
from ...formulas import Radial
from ...pairs import BlockPairs
from ..base import Engine, Formula, Reductions

__all__ = ["Triton", "unfit"]

HALVES = {"float32": 2, "float16": 1}
CAPABILITY = 8, 0  # of a device, at least
FEWEST = 1 << 25  # pairs, which take less than the launches of a batch more
RECORDED = 1 << 26  # pairs of a step, above which they take longer than its launches
HELD = 1 << 22  # coordinates, above which a recording would hold much memory


class Triton(Engine):
    r"""Every radial formula on CUDA tensors, in any dimension.

    Up to dimension 6, for formulas of the distance itself, and in float64, squares are taken from
    differences of coordinates. Else float32 points are multiplied on matrix units, as a high and a
    low half in float16 each.

    Args:
        precision: "float32", three products of halves, which lose about :math:`2^{-20} |x_i| |y_j|`
            of :math:`x_i \cdot y_j` for points about their common centre, some times what float32
            loses; or "float16", one product, at up to three times the rate, which loses up to
            :math:`2^{-10} |x_i| |y_j|`. In the exponents of a softmin this is divided by the
            temperature. Sums of float64 points are in float64 whatever is asked for.
        recorded: whether schedules that come again may be replayed from CUDA graphs.
        tuned: whether sums of :math:`2^{32}` pairs and more are taken in tiles that were the fastest on this
            card; a few are timed at the first sum of a kind, and that is kept in a file. Without, sums over all
            pairs have equal bits on all cards of one kind. Sums over kept pairs, searches for neighbours and
            ``LazyTensor`` are handed no options of an engine; ``SPARSEOT_TUNED=0`` in the environment is for them, too.

    Raises:
        ValueError: if there is no such precision.
    """

    name = "triton"
    sloped = True

    def __init__(
        self, precision: str = "float32", recorded: bool = True, tuned: bool = True
    ) -> None:
        if precision not in HALVES:
            raise bad_input("precision", repr(precision), '"float32" or "float16"')
        self.precision, self.recorded, self.tuned = precision, recorded, tuned

    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        """Refuses all but whole powers of the distance, and devices on which the kernels cannot run."""
        if not isinstance(formula, Radial) or formula.between:
            return 'These kernels know whole powers of the distance; leave engine="auto".'
        why = unfit(x.device)
        return why and f'{why}; use engine="tiles".'

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        """Packs the clouds into blocks when the first sum is taken."""
        from .reductions import TritonReductions

        return TritonReductions(x, y, HALVES[self.precision], pairs, self.tuned)

    def pads(self, count: int, items: int, programs: int, device: torch.device) -> bool:
        """Where launches take longer than the pairs, or one kernel takes all steps and leaves padding out."""
        from .small import fits

        return items * count**2 <= FEWEST or fits(count, items, programs, device)

    def repeated(
        self, steps: Callable[..., Tensor], x: Tensor, y: Tensor, *tensors: Tensor
    ) -> Tensor | None:
        """From a CUDA graph, where launches take longer than the pairs and the task has come before."""
        large = x.numel() + y.numel() > HELD or len(x) * x.shape[1] * y.shape[1] > RECORDED
        if not self.recorded or large:
            return None
        from .card.replays import RECORDINGS

        return RECORDINGS.run(steps, (x, y, *tensors))

    def __repr__(self) -> str:
        return f"<engine {self.name}, {self.precision}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Triton) and self._options == other._options

    def __hash__(self) -> int:
        return hash(self._options)

    @property
    def _options(self) -> tuple[str, str, bool, bool]:
        return self.name, self.precision, self.recorded, self.tuned


def unfit(device: torch.device) -> str | None:
    """None, or why kernels cannot run on a device. Triton's interpreter takes any."""
    if find_spec("triton") is None:
        return "Triton is not installed (pip install triton)"
    if os.environ.get("TRITON_INTERPRET") == "1":
        return None
    if device.type != "cuda":
        return f"Points are on {device}, and Triton's kernels run on CUDA devices"
    capability = torch.cuda.get_device_capability(device)
    if torch.version.hip is None and capability < CAPABILITY:
        found, least = (".".join(map(str, pair)) for pair in (capability, CAPABILITY))
        return f"{torch.cuda.get_device_name(device)} has compute capability {found}, below {least}"
    return None
