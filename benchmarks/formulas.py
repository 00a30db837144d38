"""Sums over all pairs of points: built-in kernels, and formulas of one's own, beside KeOps and torch.

python benchmarks/formulas.py [--n 10000] [--repeats 5] [--peers keops torch] PART...

products   KernelMatrix, a built-in Gaussian, against KeOps
language   the same Gaussian as a LazyTensor, in times of the built-in one
table      thirteen formulas: pairs a second of processor time
costs      gradients and Hessian-vector products, in forwards
compiled   the first call of a process, and the first of a second process
clusters   Lloyd's algorithm, a million points, a thousand means
search     ten nearest neighbours of a hundred thousand points

But for ``products``, times are processor times: contestants run in turn, and medians are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from helpers.formulas import FORMULAS, Case
from helpers.timing import compare, header, machine

import sparseot
from sparseot import KernelMatrix, LazyTensor, kernels

Contestants = Mapping[str, Callable[[], Any]]


def in_turn(contestants: Contestants, repeats: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Results, and medians of processor times; the first call of each is not counted."""
    results = {name: run() for name, run in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return results, {name: statistics.median(t) for name, t in times.items()}


def title(question: str, *columns: str) -> None:
    """The head of a table."""
    print(f"\n{question} ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}", flush=True)


def row(*cells: Any) -> None:
    """A row of a table; numbers have three digits."""
    texts = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells)
    print(f"| {' | '.join(texts)} |", flush=True)


def lazy_of_keops() -> Any:
    """KeOps's class."""
    from pykeops.torch import LazyTensor as theirs

    return theirs


def products(n: int, repeats: int, peers: list[str]) -> None:
    """A built-in kernel, with one right-hand side and with eight."""
    header(f"Gaussian products with {n:,} points", "KeOps")
    generator = torch.Generator().manual_seed(0)
    for dimension in (3, 64):
        x = torch.rand(n, dimension, generator=generator)
        sigma = 0.2 * dimension**0.5
        K = KernelMatrix(kernels.Gaussian(sigma), x)
        for columns in (1, 8):
            v = torch.rand(n, columns, generator=generator)

            def theirs(x=x, sigma=sigma, v=v) -> torch.Tensor:
                x_i, x_j = lazy_of_keops()(x[:, None]), lazy_of_keops()(x[None])
                return (-((x_i - x_j) ** 2).sum(-1) / (2 * sigma**2)).exp() @ v

            label = f"D={dimension}, {columns} right-hand side{'s' if columns > 1 else ''}"
            found, wanted = compare(label, lambda K=K, v=v: K @ v, theirs, repeats)
            assert (found - wanted).norm() < 1e-5 * wanted.norm(), label


def language(n: int, repeats: int, peers: list[str]) -> None:
    """The Gaussian that is built in, and the same one written as a formula, in 1e9 pairs a second."""
    title(f"Gaussian products of {n:,} points, 1e9 pairs a second", "case", "built in", "LazyTensor",
          "times as long", "largest difference")  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    for dimension in (3, 10, 64):
        x = torch.rand(n, dimension, generator=generator)
        sigma = 0.2 * dimension**0.5
        x_i, x_j = LazyTensor(x[:, None] / sigma), LazyTensor(x[None] / sigma)
        K, F = KernelMatrix(kernels.Gaussian(sigma), x), (-((x_i - x_j) ** 2).sum(-1) / 2).exp()
        for columns in (1, 8):
            v = torch.rand(n, columns, generator=generator)
            both = {"built in": lambda K=K, v=v: K @ v, "LazyTensor": lambda F=F, v=v: F @ v}
            found, times = in_turn(both, repeats)
            rates = (n**2 / seconds / 1e9 for seconds in times.values())
            ratio = times["LazyTensor"] / times["built in"]
            label = f"D={dimension}, {columns} right-hand side{'s' if columns > 1 else ''}"
            row(label, *rates, ratio, difference(found["LazyTensor"], found["built in"]))


def difference(found: torch.Tensor, wanted: torch.Tensor) -> str:
    """How far two results are apart: relative, or the part of indices that differ."""
    if not wanted.is_floating_point():
        return f"{(found != wanted).float().mean():.0e} of the indices"
    return f"{(found - wanted).abs().max() / wanted.abs().max():.0e}"


def contestants(case: Case, data: dict[str, torch.Tensor], peers: list[str]) -> Contestants:
    """Ours, and the peers that were asked for."""
    found = {"sparseot": lambda: case.reduced(LazyTensor, data)}
    if "keops" in peers:
        found["keops"] = lambda: case.reduced(lazy_of_keops(), data)
    if "torch" in peers:
        found["torch"] = lambda: case.blockwise(data)
    return found


def table(n: int, repeats: int, peers: list[str]) -> None:
    """One row a formula, in 1e9 pairs a second of processor time."""
    title(f"Formulas of {n:,} points, 1e9 pairs a second", "formula", "sparseot", *peers,
          *(f"over {peer}" for peer in peers), "largest difference")  # fmt: skip
    for case in FORMULAS:
        results, times = in_turn(contestants(case, case.draw(n), peers), repeats)
        rates = [n * n / times[name] / 1e9 for name in times]
        ratios = [times[peer] / times["sparseot"] for peer in peers]
        last = difference(results["sparseot"], results[peers[-1]]) if peers else "-"
        row(case.name, *rates, *ratios, last)


def costs(n: int, repeats: int, peers: list[str]) -> None:
    """A gradient in all variables together, and a Hessian-vector product, with what they need of the forward."""
    title(
        f"Derivatives at {n:,} points, in forwards", "formula", "gradient", "Hessian times vector"
    )
    smooth = [case for case in FORMULAS if case.reduction in ("sum", "logsumexp")]
    for case in smooth:
        data = {name: t.requires_grad_() for name, t in case.draw(n).items()}
        variables = list(data.values())

        def gradient(create: bool = False, case=case, data=data, variables=variables) -> Any:
            value = case.reduced(LazyTensor, data).square().sum()
            return torch.autograd.grad(value, variables, create_graph=create)

        def curvature(gradient=gradient, variables=variables) -> Any:
            first = gradient(True)[0]
            return torch.autograd.grad((first * variables[0].detach()).sum(), variables)

        runs = {
            "forward": lambda case=case, data=data: case.reduced(LazyTensor, data).detach(),
            "gradient": gradient,
            "curvature": curvature,
        }
        _, times = in_turn(runs, repeats)
        one = times["forward"]
        row(case.name, times["gradient"] / one, times["curvature"] / one)


PROGRAM = """
import time, torch, sys
sys.path.insert(0, {folder!r})
from helpers.formulas import FORMULAS
from {module} import LazyTensor
case = FORMULAS[{number}]
data = case.draw(1000)  # fewer pairs are not compiled
start = time.process_time(), time.perf_counter()
case.reduced(LazyTensor, data)
print(time.perf_counter() - start[1])
"""


def compiled(n: int, repeats: int, peers: list[str]) -> None:
    """First calls, in fresh processes: with empty caches, and with what the first left there."""
    title("First calls, s", "library", "formula", "first process", "second process")
    folder = os.path.dirname(os.path.abspath(__file__))
    modules = {"sparseot": "sparseot"} | ({"keops": "pykeops.torch"} if "keops" in peers else {})
    for number in (0, 4, 9, 12):
        for name, module in modules.items():
            program = PROGRAM.format(folder=folder, module=module, number=number)
            pairs = []
            for _ in range(max(1, repeats // 2)):
                with tempfile.TemporaryDirectory() as cache:
                    env = os.environ | {"KEOPS_CACHE_FOLDER": cache, "NUMBA_CACHE_DIR": cache}
                    pairs.append([_seconds(program, env) for _ in range(2)])
            medians = [statistics.median(t) for t in zip(*pairs, strict=True)]
            row(name, FORMULAS[number].name, *medians)


def _seconds(program: str, env: Mapping[str, str]) -> float:
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def lloyd(Lazy: Any, x: torch.Tensor, k: int, steps: int) -> torch.Tensor:
    """As KeOps's tutorial writes it."""
    n, d = x.shape
    c = x[:k].clone()
    x_i, c_j = Lazy(x.view(n, 1, d)), Lazy(c.view(1, k, d))
    for _ in range(steps):
        labels = ((x_i - c_j) ** 2).sum(-1).argmin(dim=1).long().view(-1)
        c.zero_().scatter_add_(0, labels[:, None].repeat(1, d), x)
        c /= labels.bincount(minlength=k).clamp_min(1).view(k, 1)
    return c


def clusters(n: int, repeats: int, peers: list[str]) -> None:
    """A million points where n is ten thousand, five steps."""
    from sklearn.cluster import KMeans

    x, k, steps = torch.rand(100 * n, 3, generator=torch.Generator().manual_seed(0)), n // 10, 5
    options: dict[str, Any] = {"init": x[:k].numpy(), "n_init": 1, "max_iter": steps, "tol": 0}
    runs = {"sparseot": lambda: lloyd(LazyTensor, x, k, steps)}
    if "keops" in peers:
        runs["keops"] = lambda: lloyd(lazy_of_keops(), x, k, steps)
    runs["scikit-learn, lloyd"] = lambda: torch.from_numpy(
        KMeans(k, algorithm="lloyd", **options).fit(x.numpy()).cluster_centers_
    )
    title(f"k-means: {len(x):,} points in 3-D, {k:,} means, {steps} steps", "library", "s", "ratio")
    results, times = in_turn(runs, repeats)
    for name in runs:
        row(name, times[name], times[name] / times["sparseot"])
    if "keops" in runs:
        print("means agree:", difference(results["sparseot"], results["keops"]))


def search(n: int, repeats: int, peers: list[str]) -> None:
    """A hundred thousand points where n is ten thousand, in three and in ten dimensions."""
    from sklearn.neighbors import NearestNeighbors

    for dimension in (3, 10):
        x = torch.rand(10 * n, dimension, generator=torch.Generator().manual_seed(0))

        def lazily(Lazy: Any, x=x) -> torch.Tensor:
            return ((Lazy(x[:, None]) - Lazy(x[None])) ** 2).sum(-1).argKmin(10, dim=1)

        def sklearn(method: str, x=x) -> torch.Tensor:
            searcher = NearestNeighbors(n_neighbors=10, algorithm=method, n_jobs=2).fit(x.numpy())
            return torch.from_numpy(searcher.kneighbors(x.numpy(), return_distance=False))

        runs = {"sparseot, LazyTensor": lambda lazily=lazily: lazily(LazyTensor)}
        if "keops" in peers:
            runs["keops"] = lambda lazily=lazily: lazily(lazy_of_keops())
        for method in ("brute", "kd_tree"):
            runs[f"scikit-learn, {method}"] = lambda s=sklearn, method=method: s(method)
        runs["sparseot, knn"] = lambda x=x: sparseot.knn(x, k=10).indices
        title(f"10 nearest of {len(x):,} points, D = {dimension}", "library", "s", "ratio")
        _, times = in_turn(runs, repeats)
        for name in runs:
            row(name, times[name], times[name] / times["sparseot, LazyTensor"])


PARTS = {
    "products": products, "language": language, "table": table, "costs": costs, "compiled": compiled,
    "clusters": clusters, "search": search,
}  # fmt: skip


def main() -> None:
    """The parts that were asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["table"], choices=[*PARTS, []])
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="how names of formulas of the table begin")
    parser.add_argument("--peers", nargs="*", default=["keops", "torch"])
    given = parser.parse_args()
    if given.only and {*given.parts} != {"table"}:
        parser.error("--only chooses formulas of the table")
    FORMULAS[:] = [case for case in FORMULAS if case.name.startswith(given.only)]
    for part in given.parts:
        PARTS[part](given.n, given.repeats, given.peers)


if __name__ == "__main__":
    main()
