"""Several processes share the pairs of two clouds: processor time of each, memory, and what they send.

python benchmarks/machines.py [kept N] [dense N] [knn N] [memory N] [--ranks 1,2]

Each name is a table; N is the number of points of a cloud. The script starts itself once for each number of
ranks, by torchrun, with one thread a rank; seconds are those of the processor that a rank used, without the
first call, and bytes are counted where they are handed to torch.distributed.
``memory`` is what each process grows by in a solve over kept pairs and its gradient, with few sweeps at the last temperature.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import torch
import torch.distributed as dist
from helpers.growth import growth
from helpers.timing import machine

import sparseot as so
from sparseot.engines.ranks.group import traffic

TABLES = {"kept": 300_000, "dense": 10_000, "knn": 200_000, "memory": 300_000}
FEW = so.Sinkhorn(max_sweeps=4, multilevel=True)  # sweeps, after which memory does not grow


def clouds(n: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Uniform clouds in the unit cube, and in one of half of its side around its corner."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, n, dim, generator=generator)
    return x, 0.4 + 0.5 * y


def kept(n: int, rank: int, size: int) -> Callable[[], str]:
    """A solve over kept pairs, blur 0.01, and its gradient."""
    x, y = (z.tensor_split(size)[rank] for z in clouds(n, 3))

    def run() -> str:
        moving = x.clone().requires_grad_()
        found = so.solve_sample(moving, y, blur=0.01, group=dist.group.WORLD)
        found.value.backward()
        return f"{found.value.item():.9f} after {found.n_iter} sweeps"

    return run


def dense(n: int, rank: int, size: int) -> Callable[[], str]:
    """A debiased divergence in dimension 8, over all pairs, and its gradient."""
    x, y = (z.tensor_split(size)[rank] for z in clouds(n, 8))

    def run() -> str:
        moving = x.clone().requires_grad_()
        value = so.sinkhorn_divergence(moving, y, blur=0.1, group=dist.group.WORLD)
        value.backward()
        return f"{value.item():.9f}"

    return run


def knn(n: int, rank: int, size: int) -> Callable[[], str]:
    """16 neighbours of each point, where each rank has a slab of the cube."""
    x = clouds(n, 3)[0]
    x = x[x[:, 0].argsort()].tensor_split(size)[rank].contiguous()

    def run() -> str:
        found = so.knn(x, k=16, group=dist.group.WORLD)
        total = found.distances.double().sum()
        dist.all_reduce(total)
        return f"{total.item():.4f}, {found.evaluations:,} distances"

    return run


def memory(n: int) -> None:
    """What each rank grows by, in bytes for a point of both clouds; blur as it falls with the spacing."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    group = dist.group.WORLD if size > 1 else None
    x, y = (z.tensor_split(size)[rank].clone() for z in clouds(n, 3))
    blur, few = 0.01 * (1e6 / n) ** (1 / 3), min(4000, len(x))
    small = x[:few].clone().requires_grad_()  # what is loaded at the first call
    so.solve_sample(small, y[:few], blur=0.1, group=group).value.backward()
    moving = x.clone().requires_grad_()
    with warnings.catch_warnings(), growth() as solve:
        warnings.simplefilter("ignore")  # four sweeps are not enough
        found = so.solve_sample(moving, y, blur=blur, solver=FEW, group=group)
    with growth() as gradient:
        found.value.backward()
    left = gradient.before - solve.before
    grown = solve.most / n, left / n, max(solve.most, left + gradient.most) / n
    parts = [None] * size
    dist.all_gather_object(parts, grown)
    if rank == 0:
        cells = (" and ".join(f"{part[k]:.0f}" for part in parts) for k in range(3))
        print(f"| {size} | {' | '.join(cells)} | {found.value.item():.9f} |", flush=True)
    dist.destroy_process_group()


def measure(name: str, n: int) -> None:
    """One row, of the slowest rank; runs on all of them."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    run = {"kept": kept, "dense": dense, "knn": knn}[name](n, rank, size)
    run()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with traffic() as sent:
        start = time.process_time()
        answer = run()
        seconds = time.process_time() - start
    found = [None] * size
    dist.all_gather_object(found, (seconds, dict(sent), before / 2**10, answer))
    if rank == 0:
        slowest = max(part[0] for part in found)
        peak = max(part[2] for part in found)
        kinds = {kind: max(part[1].get(kind, 0) for part in found) for kind in found[0][1]}
        words = ", ".join(f"{kind} {_bytes(count)}" for kind, count in kinds.items() if count)
        assert len({part[3] for part in found}) == 1, "ranks with different answers"
        print(
            f"| {size} | {slowest:.2f} | {peak:.0f} MiB | {_bytes(sum(kinds.values()))} | {words} | {answer} |",
            flush=True,
        )
    dist.destroy_process_group()


def _bytes(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count = count / 1000
    return f"{count:.3g} GB"


def main() -> None:
    """All tables that were asked for."""
    words = sys.argv[1:]
    ranks = words[words.index("--ranks") + 1] if "--ranks" in words else "1,2"
    asked = [k for k, word in enumerate(words) if word in TABLES]
    numbers = {words[k]: int(words[k + 1]) if words[k + 1 : k + 2] and words[k + 1].isdigit() else 0 for k in asked}  # fmt: skip
    for name in numbers or TABLES:
        n = numbers.get(name, 0) or TABLES[name]
        print(f"\n{name}, {n:,} points ({machine()}, {time.strftime('%Y-%m-%d')})\n")
        heads = ["ranks", "processor s", "peak memory", "sent by a rank", "of these", "answer"]
        if name == "memory":
            heads = ["ranks", "solve: bytes a point", "what stays", "with the gradient", "answer"]
        print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}", flush=True)
        for size in ranks.split(","):
            command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", size]
            command = [sys.executable, *command, __file__, "one", name, str(n)]
            subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        name, count = sys.argv[2], int(sys.argv[3])
        memory(count) if name == "memory" else measure(name, count)
    else:
        main()
