"""OTT-JAX's half of hessians.py: run by a Python that has ott-jax, prints medians as JSON.

python hessians_ott.py clouds.npz a|x REPEATS
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from ott.solvers.linear import implicit_differentiation
from ott.tools import sinkhorn_divergence


def loss(a: jax.Array, x: jax.Array, b: jax.Array, y: jax.Array, epsilon: float) -> jax.Array:
    """The debiased divergence with an implicit Hessian, at OTT's marginal error of 1e-3."""
    options = {
        "implicit_diff": implicit_differentiation.ImplicitDiff(),
        "use_danskin": False,  # with it, second derivatives are wrong
        "threshold": 1e-3,
    }
    out, _ = sinkhorn_divergence.sinkdiv(x, y, epsilon=epsilon, a=a, b=b, solve_kwargs=options)
    return out


def main(path: str, wrt: str, repeats: int) -> None:
    """Times the jitted Hessian; its first call compiles."""
    data = {k: jnp.asarray(v) for k, v in np.load(path).items()}
    epsilon = float(data.pop("epsilon"))
    function = jax.jit(jax.hessian(lambda *z: loss(*z, epsilon), argnums="ax".index(wrt)))
    inputs = [data[k] for k in "axby"]
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        found = function(*inputs).block_until_ready()
        times.append(time.perf_counter() - start)
    np.save(f"{path}.{wrt}.npy", np.asarray(found))
    print(json.dumps({"compile": times[0], "median": statistics.median(times[1:])}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
