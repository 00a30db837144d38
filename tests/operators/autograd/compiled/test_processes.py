"""Compiled losses in many processes: data parallel training, and the workers of a data loader."""

import os

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

import sparseot as so

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
STEPS = 2


class Model(nn.Module):
    """A layer and its loss."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2).double()
        self.loss = so.SamplesLoss("sinkhorn", blur=0.3, tol=1e-6)

    def forward(self, x, y):
        return self.loss(self.layer(x), y).mean()


def batches():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 2, 4, 10, 2, generator=generator, dtype=torch.float64)


def train(model, x, y):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(STEPS):
        optimiser.zero_grad()
        model(x, y).backward()
        optimiser.step()
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def one_of_two(rank, folder):
    """What runs in one of two processes: half of the batch, and the mean of both gradients."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    x, y = batches()[:, rank]
    model = torch.compile(DistributedDataParallel(Model()), backend="aot_eager")
    found = train(model, x, y)
    torch.save(found, os.path.join(folder, f"{rank}.pt"))
    dist.destroy_process_group()


def test_distributed_data_parallel(tmp_path):
    torch.multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    torch.manual_seed(0)
    x, y = (t.flatten(0, 1) for t in batches())
    wanted = train(Model(), x, y)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert len(found) == 2
        for name, p in wanted.items():
            torch.testing.assert_close(found[f"_orig_mod.module.{name}"], p)


class Distances(Dataset):
    """The distances of pairs of clouds, by a loss that came with the data set, compiled or not."""

    def __init__(self, compiled):
        self.loss, self.compiled = so.SamplesLoss("sinkhorn", blur=0.3, tol=1e-6), compiled

    def __len__(self):
        return 4

    def __getitem__(self, k):
        x, y = batches()[:, k % 2, k]
        loss = torch.compile(self.loss, backend="aot_eager", fullgraph=True)
        return loss(x, y) if self.compiled else self.loss(x, y)


@pytest.mark.parametrize(("way", "compiled"), [("fork", False), ("fork", True), ("spawn", True)])
def test_workers_of_a_data_loader(way, compiled):
    data = Distances(compiled)
    wanted = torch.stack([data[k] for k in range(len(data))])  # the parent has compiled before
    loader = DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context=way)
    torch.testing.assert_close(torch.cat(list(loader)), wanted)
