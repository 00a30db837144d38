"""The search for all pairs within a distance, as an operator that ``torch.compile`` need not look into."""

from __future__ import annotations

import torch
from torch import Tensor

from ...engines.openmp import one_thread
from ...precision import full_precision
from .search import METHODS, find, warn_of_cut

__all__ = ["within"]


@torch.library.custom_op("sparseot::within", mutates_args=())
def within(
    x: Tensor,
    y: Tensor | None,
    mask_x: Tensor | None,
    mask_y: Tensor | None,
    batch_x: Tensor | None,
    batch_y: Tensor | None,
    r: float,
    loop: bool,
    most: int | None,
    method: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """What the search finds, where it is wanted with rows and squares.

    Returns edges and squares of :class:`.search.Found`, and ``(3,)``: the pairs that were visited,
    the edges that were left out, and the number of the method. It warns where any was.
    """
    masks, batches = (
        mine if y is None else None if mine is None and theirs is None else (mine, theirs)
        for mine, theirs in ((mask_x, mask_y), (batch_x, batch_y))
    )
    with one_thread():
        found = full_precision(find)(x, y, r, loop, most, masks, batches, method)
    warn_of_cut(found, most)
    info = torch.tensor([found.evaluations, found.left_out, METHODS.index(found.method)])
    return found.edges, found.squares, info


@within.register_fake
def _shapes(x, y, mask_x, mask_y, batch_x, batch_y, r, loop, most, method):  # type: ignore[no-untyped-def]
    size = torch.library.get_ctx().new_dynamic_size()
    edges = x.new_empty((2, size), dtype=torch.int64)
    return edges, x.new_empty(size, dtype=torch.float64), torch.empty(3, dtype=torch.int64)
