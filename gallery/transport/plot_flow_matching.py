r"""
Flow matching with one plan
===========================

A generative model is a velocity :math:`v_\theta(z, t)` that carries noise to data in unit time.
*Flow matching* (Lipman et al., 2023) fits it without solving any equation: draw noise :math:`x`,
data :math:`y` and a time :math:`t`, and regress the velocity of a straight line,

.. math:: \min_\theta \; \mathbb E \, \big| v_\theta\big((1 - t)\, x + t\, y, \, t\big) - (y - x) \big|^2 .

**Who is paired with whom** decides how the paths look. Pairs of optimal transport give straight
ones, which few steps can follow. The usual way solves a transport problem in each batch (Tong et
al., 2024; Pooladian et al., 2023). Here we solve one problem for *all* points, once, with a bound
on its error, and draw batches from its plan, which is never stored.
"""

# sphinx_gallery_thumbnail_number = 3
# sphinx_gallery_tags = ["transport", "flow matching", "generative models", "2D"]

import matplotlib.pyplot as plt
import torch
from matplotlib.collections import LineCollection
from scipy.optimize import linear_sum_assignment
from skimage import data
from torch.nn import Linear, Sequential, SiLU

import sparseot as so
from sparseot_widgets.figures import BLUE, GREY, ORANGE, place, scatter, use_style
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
    ax.set(title=title, xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[])


i, j = plan.sample(300, generator=torch.Generator().manual_seed(0))
fig, axes = plt.subplots(1, 2, figsize=(10, 4.8))
lines(axes[0], torch.stack((x[i], y[j.roll(1)])), "pairs by chance")
lines(axes[1], torch.stack((x[i], y[j])), "pairs by the plan")
plt.show()

# %%
# **What to see.** Noise is coloured by its place, lines lead to its partners over the data, in grey. By chance they
# cross everywhere: where two cross, one velocity has to serve both, and the paths of the model bend. By the plan
# of all 20,000 points, neighbours stay neighbours. A batch has pairs between both: each point gets the best of 64
# partners, which are farther than they need be. In many dimensions that falls as slowly as the power
# :math:`-2 / D` of its size (Weed and Bach, 2019), and the work grows as the cube.
#
# Three models, the same steps
# ----------------------------
# One small network for each way and seed, with equal numbers of gradient steps and batches of one size.
# Now and then fresh noise flows by Euler's method, and two things are measured: the Sinkhorn
# divergence between what arrives after *two* steps and data that nobody trained on, and how far velocities
# are from the mean of their path, :math:`\mathbb E \int |\dot z_t - (z_1 - z_0)|^2 dt`, which is zero where
# paths are straight.


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


def flow(model, z, euler):
    path = [z]
    for k in range(euler):
        t = torch.full((len(z), 1), k / euler)
        path.append(path[-1] + model(torch.cat((path[-1], t), 1)) / euler)
    return torch.stack(path)


@torch.no_grad()
def quality(model):
    path = flow(model, fresh, 16)
    bend = (16 * path.diff(dim=0) - (path[-1] - path[0])).square().sum(-1).mean()
    return so.sinkhorn_divergence(flow(model, fresh, 2)[-1], unseen, blur=0.05), bend


def train(way, seed):
    g, _ = torch.Generator().manual_seed(seed), torch.manual_seed(seed)
    model = Sequential(Linear(3, 128), SiLU(), Linear(128, 128), SiLU(), Linear(128, 2))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    found = []
    for step, (i, j) in enumerate(zip(*way(g), strict=True), 1):
        t, v = torch.rand(batch, 1, generator=g), y[j] - x[i]
        loss = (model(torch.cat((x[i] + t * v, t), 1)) - v).square().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step in times:
            found.append(quality(model))
    return model, found


ways = {"by chance": by_chance, f"by batches of {batch}": by_batch, "by one plan": by_plan}
colours = dict(zip(ways, (GREY, ORANGE, BLUE), strict=True))
fresh = torch.randn(1000, 2, generator=torch.Generator().manual_seed(1))
times = (100, 200, 400, 700, 1000)
models, found, threads = {}, {}, torch.get_num_threads()
torch.set_num_threads(1)  # a second one would only wait for so small a network
for name, way in ways.items():
    runs = [train(way, seed) for seed in range(3)]
    models[name], found[name] = runs[0][0], torch.tensor([run[1] for run in runs])
torch.set_num_threads(threads)

fig, axes = plt.subplots(1, 2, figsize=(10, 3.4))
labels = ("divergence after two steps", "bending of the paths")
for ax, label, k in zip(axes, labels, range(2), strict=True):
    for name, values in found.items():
        low, high = values[..., k].amin(0), values[..., k].amax(0)
        ax.fill_between(times, low, high, color=colours[name], alpha=0.25, lw=0)
        ax.plot(times, values[..., k].mean(0), "o-", color=colours[name], label=name, ms=4)
    ax.set(xlabel="gradient steps", ylabel=label, yscale="log")
axes[0].legend()
plt.show()

# %%
# Means of three seeds, and their range. By chance two steps cannot follow the bends, however long one trains.
# The plan is ahead of its batches from the first hundred steps to the last: the same network has
# straighter lines to learn.
#
# Where noise goes
# ----------------

fig, axes = plt.subplots(1, 3, figsize=(10, 3.6))
for ax, (name, model) in zip(axes, models.items(), strict=True):
    with torch.no_grad():
        lines(ax, flow(model, fresh[:250], 32), name)
plt.show()

# %%
# Where to go next: ``plan.sample_from(i)`` draws new partners of given points, the way from one snapshot
# of moving cells to the next. :doc:`/guide/coming-from-torchcfm` translates calls, and
# :ref:`sphx_glr_auto_gallery_transport_plot_choose_blur.py` says what the blur decides.
#
# **References.** Y. Lipman, R. T. Q. Chen, H. Ben-Hamu, M. Nickel and M. Le (2023), Flow matching for
# generative modeling, ICLR. A. Tong et al. (2024), Improving and generalizing flow-based generative models with
# minibatch optimal transport, TMLR. A.-A. Pooladian et al. (2023), Multisample flow matching: straightening
# flows with minibatch couplings, ICML. J. Weed and F. Bach (2019), Sharp asymptotic and finite-sample rates
# of convergence of empirical measures in Wasserstein distance, Bernoulli.
