"""POT and OTT-JAX against solve_sample: 5,000 points, raw value and potentials, equal errors.

cd benchmarks && PYTHONPATH=. python transport/peers.py [pot] [lazy] [ott PYTHON_WITH_OTT]

All stop where the L1 error of the marginals is 1e-3 of the mass or below: OTT by its own threshold,
which is that error; POT after the fewest twenties of its sweeps that suffice, so that its own test of
convergence costs nothing. The first call of each, which compiles, is not counted. OTT runs in a
process of its own, this script's with the word "peer".
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

N, BLUR, TOL = 5_000, 0.05, 1e-3
PROBLEM = f"n = {N:,}, D = 3, blur {BLUR}"


def median(run: Callable[[], object], repeats: int) -> tuple[float, object]:
    """Median seconds, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def ours(repeats: int = 9) -> tuple[float, float]:
    """Seconds and the error of the marginals."""
    from losses import clouds

    import sparseot

    x, y = clouds(N, 3)

    def run() -> sparseot.Transport:
        return sparseot.solve_sample(x, y, blur=BLUR, tol=TOL)

    run()
    seconds, found = median(run, repeats)
    return seconds, found.residual


def pot(lazy: bool) -> tuple[float, float]:
    """``ot.solve_sample``, with as few sweeps, in twenties, as bring the L1 error to TOL."""
    import ot
    import torch
    from losses import clouds

    x, y = clouds(N, 3)
    options = {"lazy": True, "batch_size": 1000} if lazy else {"lazy": False}
    for sweeps in range(100, 500, 20):  # it needs some 130

        def run(sweeps: int = sweeps) -> object:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it was not to converge, but to sweep
                return ot.solve_sample(
                    x, y, reg=2 * BLUR**2, tol=0, max_iter=sweeps, grad="detach", **options
                )

        seconds, found = median(run, 1)
        rows = (found.lazy_plan if lazy else found.plan)[:]
        error = max(float((rows.sum(k) - 1 / N).abs().sum()) for k in (0, 1))
        if error <= TOL:
            break
    return seconds, error


def ott_peer() -> None:
    """OTT's half: prints seconds and errors as JSON."""
    import jax
    import numpy as np
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    random = np.random.default_rng(0)
    x = random.random((N, 3), np.float32)
    y = 0.5 * random.random((N, 3), np.float32) + np.float32(0.4)

    def solve(x: jax.Array, y: jax.Array) -> object:
        # with a batch_size, OTT 0.6.0 needs an older JAX than the one it installs
        geometry = pointcloud.PointCloud(x, y, epsilon=2 * BLUR**2)
        return sinkhorn.Sinkhorn(threshold=TOL)(linear_problem.LinearProblem(geometry))

    jitted = jax.jit(solve)
    jax.block_until_ready(jitted(x, y))
    seconds, out = median(lambda: jax.block_until_ready(jitted(x, y)), 3)
    errors = np.asarray(out.errors)
    print(json.dumps({"point cloud": (seconds, float(errors[errors > 0][-1]))}))


def main(asked: list[str]) -> None:
    """One row a contestant; ours in turn with each of them."""
    print(f"\n{PROBLEM} ({time.strftime('%Y-%m-%d')})\n")
    print("| peer | its seconds | its error | sparseot | error | ratio |\n|" + " --- |" * 6)
    while asked:
        name = asked.pop(0)
        if name == "ott":
            command = [asked.pop(0), __file__, "peer"]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rows = {f"OTT-JAX, {k}": v for k, v in json.loads(out.splitlines()[-1]).items()}
        else:
            rows = {f"POT, {'lazy' if name == 'lazy' else 'log'}": pot(name == "lazy")}
        for peer, (theirs, error) in rows.items():
            mine, residual = ours()
            times = f"{theirs:.2f} s | {error:.1e} | {1e3 * mine:.0f} ms | {residual:.1e}"
            print(f"| {peer} | {times} | {theirs / mine:.0f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["peer"]:
        ott_peer()
    else:
        main(sys.argv[1:] or ["pot", "lazy"])
