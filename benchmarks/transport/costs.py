"""Other costs beside peers who call a function or store a matrix: OTT, GeomLoss and POT.

cd benchmarks && PYTHONPATH=. python transport/costs.py [cosine] [geodesic] [matrix] [N ...]

``cosine`` and ``geodesic``: value and gradient of entropic transport between two clouds on the sphere, at a temperature of 0.01, to
an L1 error of the marginals of 1e-2, beside OTT's ``Cosine`` cost (where OTT is installed; the geodesic is a cost function
there) and GeomLoss with a Python function (``backend="tensorized"``, scaling 0.9, which ends where it ends). ``matrix``:
``so.solve`` beside POT's ``ot.sinkhorn`` (method "sinkhorn_log", the same error) on one matrix. The error of a plan's
marginals is printed for each. A call of each, which compiles, is not counted; the median of three is.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from helpers.timing import machine

import sparseot as so

EPS, TOL = 0.01, 1e-2
Found = tuple[float, float]  # value, and error of the marginals


def clouds(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points around two ends of an axis, n each, in single precision."""
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 3, generator=random) for _ in range(2))
    return x + torch.tensor([0.5, 0, 0]), y - torch.tensor([0.5, 0, 0])


def cosine(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The cost as a function."""
    unit = torch.nn.functional.normalize
    return 1 - unit(x, dim=-1) @ unit(y, dim=-1).mT


def arcs(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Half of the squared angle, as a function."""
    return (1 - cosine(x, y)).clamp(-1 + 1e-6, 1 - 1e-6).acos().square() / 2


def ours(name: str, x: torch.Tensor, y: torch.Tensor) -> Found:
    """Value, gradient and error."""
    cost = {"cosine": so.costs.Cosine, "geodesic": so.costs.Geodesic}[name]()
    x = x.clone().requires_grad_()
    found = so.solve_sample(x, y, blur=EPS**0.5, cost=cost, tol=TOL)
    found.value.backward()
    return float(found.value.detach()), found.residual


def geomloss(name: str, x: torch.Tensor, y: torch.Tensor) -> Found:
    """The same; the error is that of its last potentials."""
    with contextlib.redirect_stdout(io.StringIO()):
        loss = import_module("geomloss").SamplesLoss
    function = {"cosine": cosine, "geodesic": arcs}[name]
    how = {"blur": EPS**0.5, "debias": False, "scaling": 0.9, "cost": function, "diameter": 2.0}
    x = x.clone().requires_grad_()
    value = loss(backend="tensorized", **how)(x, y)
    value.backward()
    with torch.no_grad():
        f, g = loss(backend="tensorized", potentials=True, **how)(x, y)
        plan = ((f.view(-1, 1) + g.view(1, -1) - function(x, y)) / EPS).exp() / len(x) / len(y)
        return float(value.detach()), _error(plan)


def ott(name: str, x: torch.Tensor, y: torch.Tensor) -> Callable[[], Found]:
    """The same, compiled by JAX."""
    jax, pointcloud = import_module("jax"), import_module("ott.geometry.pointcloud")
    sinkhorn = import_module("ott.solvers.linear.sinkhorn")
    linear, costs = (
        import_module("ott.problems.linear.linear_problem"),
        import_module("ott.geometry.costs"),
    )

    @jax.tree_util.register_pytree_node_class
    class Arcs(costs.CostFn):
        def __call__(self, x: Any, y: Any) -> Any:
            np = jax.numpy
            c = np.vdot(x, y) / np.linalg.norm(x) / np.linalg.norm(y)
            return np.arccos(np.clip(c, -1 + 1e-6, 1 - 1e-6)) ** 2 / 2

    cost = costs.Cosine() if name == "cosine" else Arcs()

    @jax.jit
    def run(x: Any, y: Any) -> Any:
        def value(x: Any) -> Any:
            geometry = pointcloud.PointCloud(x, y, cost_fn=cost, epsilon=EPS)
            out = sinkhorn.Sinkhorn(threshold=TOL)(linear.LinearProblem(geometry))
            return out.reg_ot_cost, out.errors

        return jax.value_and_grad(value, has_aux=True)(x)

    given = [jax.numpy.asarray(t.numpy()) for t in (x, y)]

    def call() -> Found:
        (value, errors), slope = run(*given)
        slope.block_until_ready()
        return float(value), float(errors[errors > -1][-1])

    return call


def matrix(n: int) -> dict[str, Callable[[], Found]]:
    """A stored matrix: ours and POT's."""
    x, y = clouds(n)
    C = cosine(x, y)
    pot = import_module("ot")

    def mine() -> Found:
        found = so.solve(C, reg=EPS, tol=TOL)
        return float(found.value_linear), _error(found.plan)

    def theirs() -> Found:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # POT's threshold is an L2 error of one marginal: of points with equal shares, TOL / sqrt(n)
            how = {"method": "sinkhorn_log", "stopThr": TOL / n**0.5, "numItermax": 2000}
            plan = pot.sinkhorn([], [], C.numpy(), EPS, **how)
        return float((plan * C.numpy()).sum()), _error(torch.as_tensor(plan))

    return {"sparseot": mine, "POT": theirs}


def _error(plan: torch.Tensor) -> float:
    plan = plan.detach().double()
    sums = plan.sum(0), plan.sum(1)
    return max(float((s - 1 / len(s)).abs().sum()) for s in sums)


def contestants(name: str, n: int) -> dict[str, Callable[[], Found]]:
    """Who is asked."""
    if name == "matrix":
        return matrix(n)
    x, y = clouds(n)
    found: dict[str, Callable[[], Found]] = {"sparseot": lambda: ours(name, x, y)}
    if find_spec("ott"):
        found["OTT"] = ott(name, x, y)
    if find_spec("geomloss"):
        found["GeomLoss"] = lambda: geomloss(name, x, y)
    return found


def compare(name: str, n: int) -> None:
    """A row for each contestant, in turn."""
    asked = contestants(name, n)
    found = {who: run() for who, run in asked.items()}
    times: dict[str, list[float]] = {who: [] for who in asked}
    for _ in range(3):
        for who, run in asked.items():
            start = time.perf_counter()
            found[who] = run()
            times[who].append(time.perf_counter() - start)
    mine = statistics.median(times["sparseot"])
    for who, taken in times.items():
        seconds, (value, error) = statistics.median(taken), found[who]
        print(
            f"| {name} | {n:,} | {who} | {seconds:.3g} s | {seconds / mine:.2g} | {value:.6f} | {error:.1e} |",
            flush=True,
        )


def main(asked: list[str]) -> None:
    """All costs that are asked for, at all sizes."""
    names = [a for a in asked if not a.isdigit()] or ["cosine", "geodesic", "matrix"]
    sizes = [int(a) for a in asked if a.isdigit()] or [2_000]
    print(f"\nOther costs ({machine()}, {time.strftime('%Y-%m-%d')})\n")
    print("| cost | points | | time | ratio | value | marginals |\n" + "|" + " --- |" * 7)
    for name in names:
        for size in sizes:
            compare(name, size)


if __name__ == "__main__":
    main(sys.argv[1:])
