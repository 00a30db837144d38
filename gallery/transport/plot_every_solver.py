r"""
One task, every solver
======================

Where does each point of the heart go on the knot? Solvers of entropic transport differ in how long they take
for how many digits of the answer, so the only fair picture is one of **error against time**, each solver asked for more
and more. After this page you know which one to ask, and what it takes.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "scaling", "registration", "3D"]

import io
import time
from contextlib import redirect_stdout
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import torch

import sparseot as so
from sparseot_widgets import PlanViewer
from sparseot_widgets.figures import BLUE, GREEN, ORANGE, PURPLE, RED, use_style

use_style()
BLUR, rng = 0.025, np.random.default_rng(0)


def heart(n):
    """Points in a heart (Taubin, 1994): where a polynomial of degree six is negative."""
    box = rng.uniform(-1.4, 1.4, (20 * n, 3))
    u, v, w = (box**2).T
    inside = (u + 2.25 * v + w - 1) ** 3 < (u + 0.1125 * v) * w * box[:, 2]
    return torch.from_numpy(0.4 * box[inside][:n]).float()


def knot(n):
    """Points in a tube around a trefoil knot."""
    t = rng.uniform(0, 2 * np.pi, n)
    line = (np.sin(t) + 2 * np.sin(2 * t), -np.sin(3 * t), np.cos(t) - 2 * np.cos(2 * t))
    return torch.from_numpy(np.stack(line, 1) / 6 + 0.03 * rng.normal(size=(n, 3))).float()


def to_tolerance(multilevel):
    solver = so.Sinkhorn(multilevel=multilevel)
    return lambda x, y, tol: so.solve_sample(x, y, blur=BLUR, tol=tol, solver=solver).map()


def by_gradient(make_loss):
    """A point goes against N times the gradient of the entropic cost."""

    def solve(x, y, scaling):
        z, loss = x.clone().requires_grad_(), make_loss(blur=BLUR, scaling=scaling, debias=False)
        return x - len(x) * torch.autograd.grad(loss(z, y), z)[0]

    return solve


tolerances, ratios = (1e-1, 1e-2, 1e-3), (0.5, 0.7, 0.85)
solvers = {
    "sparseot, all pairs": (to_tolerance(False), tolerances, "o-", BLUE),
    "sparseot, multilevel": (to_tolerance(True), tolerances, "s-", GREEN),
    "sparseot, annealing": (by_gradient(so.SamplesLoss), ratios, "^-", PURPLE),
}
if find_spec("geomloss"):
    with redirect_stdout(io.StringIO()):  # KeOps looks for CUDA, and says so
        from geomloss import SamplesLoss
    theirs = by_gradient(lambda **how: SamplesLoss(backend="tensorized", **how))
    solvers["GeomLoss, annealing"] = theirs, ratios, "v--", ORANGE
if find_spec("ot"):
    import ot

    def pot(x, y, steps):
        a, x, y = np.full(len(x), 1 / len(x)), x.double().numpy(), y.double().numpy()
        how = {"numItermax": steps, "stopThr": 0, "warn": False}
        plan = ot.sinkhorn(a, a, ot.dist(x, y), 2 * BLUR**2, **how)
        return torch.from_numpy(plan @ y / plan.sum(1)[:, None])

    solvers["POT, Sinkhorn"] = pot, (10, 30, 100, 300), "x--", RED


def race(ax, x, y, names, exact):
    """Error, in blurs, against seconds; what is quick is timed as the best of some runs."""
    for name in names:
        solve, asked, marker, colour = solvers[name]
        solve(x[:100], y[:100], asked[0])  # what is compiled or loaded at first use
        seconds, errors = [], []
        for value in asked:
            runs = []
            while not runs or (len(runs) < 5 and sum(runs) < 0.3):
                start = time.perf_counter()
                found = solve(x, y, value)
                runs.append(time.perf_counter() - start)
            seconds.append(min(runs))
            errors.append((found - exact).square().sum(1).mean().sqrt() / BLUR)
        ax.loglog(seconds, errors, marker, color=colour, label=name)
    ax.set(xlabel="seconds", ylabel="error of where points go (blurs)")


x, y = heart(1_000), knot(1_000)
exact = so.solve_sample(x.double(), y.double(), blur=BLUR, tol=1e-7).map()

fig = plt.figure(figsize=(10, 3.6))
grid = fig.add_gridspec(1, 4, width_ratios=(1, 1, 1, 2.6))
for k, share in enumerate((0.0, 0.5, 1.0)):
    ax = fig.add_subplot(grid[k], projection="3d")
    ax.scatter(*((1 - share) * x + share * exact).T, c=x[:, 2], s=3, alpha=1, cmap="viridis")
    ax.set(xlim=(-0.6, 0.6), ylim=(-0.6, 0.6), zlim=(-0.6, 0.6))
    ax.view_init(elev=10, azim=-80)
    ax.set_box_aspect((1, 1, 1), zoom=1.9)
    ax.set_axis_off()
ax = fig.add_subplot(grid[3])
race(ax, x, y, solvers, exact)
ax.set_title("1,000 points: a million pairs")
ax.legend(fontsize=8.5)
plt.show()

# %%
# **What to see.** Left and below is better: sooner, and nearer to the answer, a solve in double precision to seven
# digits. Two kinds of solvers are drawn. *Annealing* (Feydy, 2020) lets the temperature fall by a ratio a step and stops when
# its schedule ends, about a blur from the answer. That is a direction to walk in, enough for a step of training; slower
# schedules buy little. The others go on until the **marginals** of the plan are right to a tolerance, or for a given
# number of steps, and get as near as you ask. POT's are those of Sinkhorn's algorithm with a stored
# matrix (Cuturi, 2013); GeomLoss's schedule is the same as ours, in torch. Neither is needed here: what is not installed
# is not drawn.
#
# A hundred times the pairs
# -------------------------
# Ten thousand points. A plan at a small blur lives on part of the pairs: the multilevel solver finds that part from
# coarse clouds, and visits no other (:ref:`sphx_glr_auto_gallery_transport_plot_multilevel.py` shows how).

x, y = heart(10_000), knot(10_000)
found = so.solve_sample(x.double(), y.double(), blur=BLUR, tol=1e-5)
print(f"the plan lives on {found.kept_fraction:.1%} of the pairs")

fig, ax = plt.subplots(figsize=(6, 3.4))
race(ax, x, y, [name for name in solvers if "sparseot" in name], found.map())
ax.set_title("10,000 points: a hundred million pairs")
ax.legend()
plt.show()

# %%
# **What to see.** What was a tie has a winner, and the more points, the more clearly. You need not choose: ``so.solve_sample``
# takes the multilevel solver where there are many points in few dimensions, all pairs elsewhere, and
# ``so.SamplesLoss`` anneals, as GeomLoss does, until you give it a ``tol``.
#
# Try it
# ------
# The plan of fewer points, over the blur. Below the picture stands the interval that contains the value.

PlanViewer(x[:400], y[:400], blur=0.05, title="A heart and a knot")

# %%
# **What to try next.** ``BLUR = 0.1``, and ``BLUR = 0.01``: which lines move, and how far? :doc:`/performance` has more
# clouds, and larger ones.
#
# References
# ----------
# - Cuturi (2013). Sinkhorn distances: lightspeed computation of optimal transport. *NeurIPS* 26.
# - Feydy (2020). *Geometric data analysis, beyond convolutions*. PhD thesis, algorithm 3.5; the
#   comparison is one of GeomLoss's tutorials, "Wasserstein distances between large point clouds".
# - Taubin (1994). Rasterizing algebraic curves and surfaces. *IEEE Computer Graphics and Applications* 14.
