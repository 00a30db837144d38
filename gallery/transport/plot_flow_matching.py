r"""
Flow matching with one plan
===========================

*Flow matching* learns a velocity that carries noise to data along straight lines between pairs. **Which noise is
paired with which data** decides how the paths look: pairs of optimal transport give straight ones, which few
steps can follow. The usual way solves a transport problem in each batch. Here we solve one for *all* points,
once, with a bound on its error, and draw batches from its plan, which is never stored.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["transport", "flow matching", "generative models", "2D"]

import matplotlib.pyplot as plt
import torch
from matplotlib.collections import LineCollection
from scipy.optimize import linear_sum_assignment
from skimage import data
from torch.nn import Linear, Sequential, SiLU

import sparseot as so
from sparseot_widgets import PlanViewer
from sparseot_widgets.figures import GREY, place, scatter, use_style
from sparseot_widgets.figures.style import PLACE_MAP

use_style()
n, batch, steps = 20_000, 64, 1000
horse = so.datasets.sample_image(~data.horse(), n + 1000, seed=1)
horse = (horse - horse.mean(0)) / horse.std(0).mean()
y, unseen = horse[:n], horse[n:]
x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))

plan = so.solve_sample(x, y, blur=0.05)
print(plan)


def lines(ax, paths, title):
    """Paths (T, K, 2) with the colours of their starts, over the data."""
    scatter(ax, unseen, GREY, alpha=0.5)
    colours = PLACE_MAP(place(paths[0]))
    ax.add_collection(LineCollection(paths.transpose(0, 1).numpy(), colors=colours, lw=0.7))
    scatter(ax, paths[0], place(paths[0]), size=5)
    ax.set(title=title, xlim=(-3, 3), ylim=(-3, 3))
    ax.set_axis_off()


i, j = plan.sample(300, generator=torch.Generator().manual_seed(0))
fig, axes = plt.subplots(1, 2, figsize=(10, 4.8))
lines(axes[0], torch.stack((x[i], y[j.roll(1)])), "pairs by chance")
lines(axes[1], torch.stack((x[i], y[j])), "pairs by the plan")
plt.show()

# %%
# **What to see.** Noise is coloured by its place, lines lead to its partners over the data, in grey. By chance they
# cross everywhere: where two cross, one velocity has to serve both, and the paths of the model bend. By the plan of all
# 20,000 points, neighbours stay neighbours. Pairs of a batch lie between: each point gets the best of 64 partners. In
# many dimensions these come near the best of all as slowly as the power :math:`-2 / D` of their number (Weed and Bach, 2019).
#
# Three models, the same steps
# ----------------------------
# Draw noise :math:`x`, data :math:`y` and a time :math:`t`, and regress the velocity of a straight line (Lipman et al.,
# 2023; with pairs of batches Tong et al., 2024, and Pooladian et al., 2023),
#
# .. math:: \min_\theta \; \mathbb E \, \big| v_\theta\big((1 - t)\, x + t\, y, \, t\big) - (y - x) \big|^2 .
#
# One small network for each way, with equal numbers of gradient steps and batches of one size. Then fresh noise flows by
# Euler's method, and two things are measured: the Sinkhorn divergence between what arrives after *two* steps
# and data that nobody trained on, and how far velocities are from the mean of their path,
# :math:`\mathbb E \int |\dot z_t - (z_1 - z_0)|^2 dt`, which is zero where paths are straight.


def by_chance(g):
    return [torch.randint(n, (steps, batch), generator=g) for _ in "xy"]


def by_batch(g):
    i, j = by_chance(g)
    for row, col in zip(i, j, strict=True):  # torchcfm's way
        cost = torch.cdist(x[row], y[col]).square()
        col[:] = col[linear_sum_assignment(cost)[1]]
    return i, j


def by_plan(g):
    return [k.view(steps, batch) for k in plan.sample(steps * batch, generator=g)]


@torch.no_grad()
def flow(model, z, euler):
    path = [z]
    for k in range(euler):
        t = torch.full((len(z), 1), k / euler)
        path.append(path[-1] + model(torch.cat((path[-1], t), 1)) / euler)
    return torch.stack(path)


def train(way):
    g, _ = torch.Generator().manual_seed(0), torch.manual_seed(0)
    model = Sequential(Linear(3, 128), SiLU(), Linear(128, 128), SiLU(), Linear(128, 2))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for i, j in zip(*way(g), strict=True):
        t, v = torch.rand(batch, 1, generator=g), y[j] - x[i]
        loss = (model(torch.cat((x[i] + t * v, t), 1)) - v).square().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model


threads = torch.get_num_threads()
torch.set_num_threads(1)  # a second one would only wait for so small a network
fresh = torch.randn(1000, 2, generator=torch.Generator().manual_seed(1))
fig, axes = plt.subplots(1, 3, figsize=(10, 3.6))
print("                     divergence after two steps    bending")
for ax, way in zip(axes, (by_chance, by_batch, by_plan), strict=True):
    model, name = train(way), way.__name__.replace("_", " ")
    path = flow(model, fresh, 32)
    bend = (32 * path.diff(dim=0) - (path[-1] - path[0])).square().sum(-1).mean()
    missed = so.sinkhorn_divergence(flow(model, fresh, 2)[-1], unseen, blur=0.05)
    print(f"{name:>20} {missed:27.4f} {bend:10.3f}")
    lines(ax, path[:, :250], name)
torch.set_num_threads(threads)
plt.show()

# %%
# **What to see.** By chance two steps cannot follow the bends. Batches straighten them, and one plan does so best: the
# same network has straighter lines to learn.
#
# Try it
# ------
# The plan of fewer points, and what the blur does to it: the pairs that are drawn spread over about one blur.

PlanViewer(x[:500], y[:500], blur=0.05, title="Noise and a horse")

# %%
# **What to try next.** ``plan.sample_from(i)`` draws new partners of given points, the way from one snapshot
# of moving cells to the next. :doc:`/guide/coming-from-torchcfm` translates calls.
#
# References
# ----------
# - Lipman, Chen, Ben-Hamu, Nickel, Le (2023). Flow matching for generative modeling. *ICLR*.
# - Pooladian et al. (2023). Multisample flow matching: straightening flows with minibatch couplings.
#   *ICML*.
# - Tong et al. (2024). Improving and generalizing flow-based generative models with minibatch optimal
#   transport. *TMLR*.
# - Weed, Bach (2019). Sharp asymptotic and finite-sample rates of convergence of empirical measures in
#   Wasserstein distance. *Bernoulli* 25.
