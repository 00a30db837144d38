"""Other libraries' searches, for those who have them: faiss and pynndescent, on a CPU."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from ...errors import bad_input
from .candidates import scaled
from .clouds import Clouds
from .dense import by_candidates
from .methods import Found, Options

__all__ = ["faiss", "pynndescent"]


def faiss(clouds: Clouds, options: Options) -> Found:
    """faiss's flat index: exact, with its scores checked as those of :mod:`.dense` are."""
    library = _load("faiss", clouds)

    def propose(x: Tensor, y: Tensor, width: int) -> tuple[Tensor, Tensor]:
        centre, factor = y.mean(0), scaled(x, y)
        here, there = (factor * (x - centre)).float(), (factor * (y - centre)).float()
        index = library.IndexFlatL2(y.shape[1])
        index.add(there.numpy())
        scores, candidates = index.search(here.numpy(), width)
        slack = (x.shape[1] + 8) * torch.finfo(torch.float32).eps
        longest = there.square().sum(1).max().sqrt()
        error = slack * (here.square().sum(1).sqrt() + longest).double().square()
        last = torch.from_numpy(scores).amax(1).double()
        return torch.from_numpy(candidates), (last - error) / factor**2

    return by_candidates(clouds, options, propose)


def pynndescent(clouds: Clouds, options: Options) -> Found:
    """pynndescent's graph: approximate; its candidates are ranked by exact distances."""
    library = _load("pynndescent", clouds)

    def propose(x: Tensor, y: Tensor, width: int) -> tuple[Tensor, Tensor]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wide = min(max(width, 20), len(y) - 1)
            index = library.NNDescent(y.numpy(), n_neighbors=wide, random_state=options.seed)
            indices = index.neighbor_graph[0] if clouds.same else index.query(x.numpy(), width)[0]
        return torch.from_numpy(indices).long(), x.new_full((len(x),), torch.inf).double()

    return by_candidates(clouds, options, propose)


def _load(name: str, clouds: Clouds) -> Any:
    if clouds.x.points.device.type != "cpu":
        raise bad_input("method", repr(name), "points on a CPU", 'Use method="tiles" or "keops".')
    return import_module(name)
