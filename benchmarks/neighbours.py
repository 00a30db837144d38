"""Nearest neighbours against faiss, scikit-learn, pynndescent and SparseDistance, on a CPU.

python benchmarks/neighbours.py exact space approximate growth
python benchmarks/neighbours.py layer TENSORFLOW_PYTHON FOLDER_OF_SPARSEDISTANCE
python benchmarks/neighbours.py training TENSORFLOW_PYTHON FOLDER_OF_SPARSEDISTANCE
python benchmarks/neighbours.py radius
python benchmarks/neighbours.py first

Peers that are not installed are left out. Recall is measured on 256 queries against all points.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.radius_peers import contestants, reach
from helpers.timing import machine
from sklearn.neighbors import kneighbors_graph

from sparseot import knn, knn_recall
from sparseot.nn import Forest, SparseHashedNNDistance, sparse_dense_matmult_batch

HERE = Path(__file__).parent


def clouds(name: str, n: int, dimension: int) -> torch.Tensor:
    """Noise, noise through a random linear layer, or a hundred clusters; float32."""
    g = torch.Generator().manual_seed(0)
    noise = torch.randn(n, dimension, generator=g)
    if name == "noise":
        return noise
    if name == "layer":
        bound = (3 / dimension) ** 0.5
        return noise @ ((2 * torch.rand(dimension, dimension, generator=g) - 1) * bound)
    if name == "cube":
        return torch.rand(n, dimension, generator=g)
    centres = 3 * torch.randn(100, dimension, generator=g)
    return centres[torch.randint(0, 100, (n,), generator=g)] + 0.5 * noise


def in_turn(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, tuple[float, Any]]:
    """Median seconds and last result of each; the first call, which compiles, is not counted."""
    results: dict[str, Any] = {}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            results[name] = run()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: (statistics.median(times[name]), results[name]) for name in runs}


def row(*cells: Any) -> None:
    """A row of a Markdown table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def faiss_flat(x: torch.Tensor, k: int) -> np.ndarray:
    """faiss's exact index; the point itself is counted."""
    import faiss

    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x.numpy())
    return index.search(x.numpy(), k)[1]


def faiss_ivf(x: torch.Tensor, k: int, probes: int) -> np.ndarray:
    """faiss's inverted lists, 1024 of them."""
    import faiss

    quantizer = faiss.IndexFlatL2(x.shape[1])
    index = faiss.IndexIVFFlat(quantizer, x.shape[1], 1024)
    index.train(x.numpy())
    index.add(x.numpy())
    index.nprobe = probes
    return index.search(x.numpy(), k)[1]


def pynndescent(x: torch.Tensor, k: int, neighbours: int) -> np.ndarray:
    """Its graph, with the lists that it keeps on the way."""
    from pynndescent import NNDescent

    return NNDescent(x.numpy(), n_neighbors=neighbours, random_state=0).neighbor_graph[0][:, :k]


def exact() -> None:
    """Brute force against faiss's flat index, 16 neighbours, the point itself counted."""
    row("points", "dimension", "sparseot", "faiss flat", "ratio", "same neighbours")
    for n, dimension, repeats in ((20_000, 64, 5), (100_000, 32, 1)):
        x = clouds("noise", n, dimension)
        found = in_turn(
            {
                "ours": lambda x=x: knn(x, k=16, loop=True, method="brute").indices,
                "faiss": lambda x=x: faiss_flat(x, 16),
            },
            repeats,
        )
        (mine, a), (theirs, b) = found["ours"], found["faiss"]
        share = float((a.numpy() == b).mean())
        row(
            f"{n:,}",
            dimension,
            f"{mine:.2f} s",
            f"{theirs:.2f} s",
            f"{theirs / mine:.2f}",
            f"{share:.4f}",
        )


def space() -> None:
    """A million points in space, 16 neighbours, against scikit-learn with two jobs."""
    x = clouds("cube", 1_000_000, 3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    mine = knn(x, k=16)
    ours = time.perf_counter() - start
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    start = time.perf_counter()
    theirs = kneighbors_graph(x.numpy(), 16, mode="distance", n_jobs=2)
    other = time.perf_counter() - start
    start = time.perf_counter()
    knn(x, k=16)
    ours = min(ours, time.perf_counter() - start)
    distances = np.sort(theirs.data.reshape(-1, 16), 1)
    worst = np.abs(distances / mine.distances.numpy() - 1).max()
    print(
        f"{mine!r}: {ours:.2f} s, scikit-learn {other:.2f} s, ratio {other / ours:.1f}, peak of the "
    )
    print(f"process grew by {peak:.2f} GiB, largest relative difference of a distance {worst:.1e}")


def radius() -> None:
    """Points in space with 30 neighbours within r on average, against SciPy and scikit-learn."""
    row("points", "search", "seconds", "of ours", "edges")
    for n, repeats in ((100_000, 5), (1_000_000, 3)):
        x = clouds("cube", n, 3)
        found = in_turn(contestants(x, reach(n)), repeats)
        for label, (seconds, count) in found.items():
            ours = "radius_graph" if label.endswith(("graph", "pairs")) else "radius"
            times = seconds / found[f"sparseot, {ours}"][0]
            row(f"{n:,}", label, f"{seconds:.2f} s", f"{times:.1f}", f"{count:,}")


def approximate() -> None:
    """100,000 points in 32 dimensions, 5 neighbours (itself counted): seconds and recall."""
    for name in ("layer", "noise", "clusters"):
        x = clouds(name, 100_000, 32)
        trees = {"14 trees": Forest(), "32 trees, 2 passes": Forest(32, 256, 2)}
        runs: dict[str, Callable[[], Any]] = {
            f"sparseot, {label}": lambda x=x, f=f: knn(x, k=5, loop=True, method=f).indices
            for label, f in trees.items()
        }
        for probes in (8, 32, 64):
            runs[f"faiss IVF, {probes} of 1024"] = lambda x=x, p=probes: faiss_ivf(x, 5, p)
        for neighbours in (16, 30):
            runs[f"pynndescent, {neighbours}"] = lambda x=x, m=neighbours: pynndescent(x, 5, m)
        for label, (seconds, indices) in in_turn(runs, 1).items():
            recall = knn_recall(x, indices, loop=True)
            row(name, label, f"{seconds:.2f} s", f"{recall:.3f}")


def growth() -> None:
    """Ten times the points."""
    for method, dimension in (("kdtree", 3), ("forest", 32)):
        seconds = []
        for n in (100_000, 1_000_000):
            x = clouds("cube" if dimension == 3 else "clusters", n, dimension)
            knn(x[:5000], k=16, method=method)
            start = time.perf_counter()
            found = knn(x, k=16, method=method)
            seconds.append(time.perf_counter() - start)
            recall = knn_recall(x, found.indices)
        times = ", ".join(f"{s:.2f} s" for s in seconds)
        row(method, dimension, times, f"{seconds[1] / seconds[0]:.1f}", f"recall {recall:.3f}")


def first() -> None:
    """First search of a fresh process, with nothing compiled and with everything on the disk."""
    row("search", "nothing compiled", "compiled before")
    code = (
        "import time, torch, sparseot; x = torch.randn({}, 32); start = time.perf_counter();"
        "sparseot.knn(x, k=5, method={!r}); print(time.perf_counter() - start)"
    )
    for method, n in (("forest", 20_000), ("brute", 2000)):
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-c", code.format(n, method)]
            env = os.environ | {"NUMBA_CACHE_DIR": cache}
            seconds = [float(subprocess.check_output(command, env=env)) for _ in range(2)]
        row(method, *(f"{s:.1f} s" for s in seconds))


def our_step(x: torch.Tensor, w: torch.Tensor, layer: torch.nn.Module) -> Any:
    """Linear layer, graph, product, gradient."""
    w = w.clone().requires_grad_()
    features = x @ w
    graph = layer(features)
    torch.autograd.grad(sparse_dense_matmult_batch(graph, x).sum(), w)
    return features.detach(), graph.indices


def layer(python: str, folder: str) -> None:
    """Training steps beside SparseDistance, its README's and its claim's, 5 neighbours."""
    beside(python, folder, 5, ((10, 1000, 128), (1, 10_000, 32), (1, 100_000, 32)))


def training(python: str, folder: str) -> None:
    """Training steps of the tutorial on learnt adjacencies, 10 neighbours, beside SparseDistance."""
    beside(python, folder, 10, [(1, n, 16) for n in (1000, 3000, 10_000, 30_000, 100_000)])


def beside(python: str, folder: str, k: int, cases: Sequence[tuple[int, int, int]]) -> None:
    """Steps of both in turn, after one that compiles: batch, points, features after the layer."""
    row("case", "sparseot", "recall", "SparseDistance", "recall", "ratio")
    command = [python, str(HERE / "helpers" / "sparsedistance_peer.py"), folder]
    with (
        tempfile.TemporaryDirectory() as place,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer,
    ):
        assert peer.stdin and peer.stdout
        for batch, n, width in cases:
            g = torch.Generator().manual_seed(0)
            x = torch.randn(batch, n, 32, generator=g)
            w = (2 * torch.rand(32, width, generator=g) - 1) * (6 / (32 + width)) ** 0.5
            files = [f"{place}/{name}" for name in ("x.npy", "w.npy", "out.npz")]
            np.save(files[0], x.numpy())
            np.save(files[1], w.numpy())
            graph = SparseHashedNNDistance(num_neighbors=k, bin_size=256)
            mine, theirs = [], []
            for turn in range(6):
                start = time.perf_counter()
                features, indices = our_step(x, w, graph)
                seconds = time.perf_counter() - start
                peer.stdin.write(f"{files[0]} {files[1]} {k} 500 {files[2]}\n")
                peer.stdin.flush()
                answer = float(peer.stdout.readline())
                if turn:
                    mine.append(seconds)
                    theirs.append(answer)
            saved = np.load(files[2])
            order = np.lexsort(saved["indices"].T[::-1])
            claimed = torch.from_numpy(saved["indices"][order, 2].reshape(batch, n, k))
            ours = knn_recall(features, indices, loop=True)
            other = knn_recall(features, claimed, loop=True)
            a, b = statistics.median(mine), statistics.median(theirs)
            case = f"{batch} x {n:,} x 32 to {width}"
            row(case, f"{a:.3f} s", f"{ours:.3f}", f"{b:.3f} s", f"{other:.3f}", f"{b / a:.2f}")
        peer.stdin.close()


def main() -> None:
    """The cases that were named."""
    print(f"{machine()}, {time.strftime('%Y-%m-%d')}")
    names = sys.argv[1:]
    if names[:1] in (["layer"], ["training"]):
        globals()[names[0]](*names[1:3])
        return
    for name in names or ["exact", "space", "approximate", "growth"]:
        print(f"\n{name}: {globals()[name].__doc__}\n")
        globals()[name]()


if __name__ == "__main__":
    main()
