r"""
Cells in fifty dimensions
=========================

What will a young cell become? Nobody can follow it, for to read its genes is to destroy it. But one can read
many cells early and many others late, and ask how the first population turns into the second with the least
change: a transport plan between two clouds of fifty principal components (Schiebinger et al., 2019). This page
solves it on simulated cells, whose fates are known, and says what is fast and what is not in so many dimensions.

Look for the fork: late cells (middle) have four branches. Early ones (right) are told by the plan which of them
they are bound for; where it cannot know, they stay grey.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "high dimension", "interval", "map"]

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import to_rgb

import sparseot as so
from sparseot.datasets import cells
from sparseot_widgets import PlanViewer
from sparseot_widgets.figures import scatter, use_style

use_style()
n = 9_000
early, _, fate = cells(n, stage=0.4, seed=0)  # the solver is not told the fates
late, _, becomes = cells(n, stage=0.85, seed=1)
cost = (torch.cdist(early[:2000], late[:2000]) ** 2 / 2).mean()
blur = float((0.05 * cost).sqrt())  # epsilon is 5 % of the mean cost
found = so.solve_sample(early, late, blur=blur, tol=1e-2)

fates = torch.nn.functional.one_hot(becomes, 8).float()
chances = found.plan_operator @ fates
chances /= chances.sum(1, keepdim=True)

grey = np.array(to_rgb("#9a9a9a"))
colours = np.array([to_rgb(c) for c in ("#3b7dd8", "#e08214", "#1b9e77", "#c2549d")])


def branch_colours(shares):
    """The colour of the likeliest of four branches, the greyer the less likely it is."""
    branch = shares.view(-1, 4, 2).sum(2)
    sure = ((branch.amax(1) - 0.25) / 0.75).numpy()[:, None]
    return sure * colours[branch.argmax(1)] + (1 - sure) * grey


plane, shown = [1, 2], slice(0, 4000)  # the two components in which the branches part most
fig, axes = plt.subplots(1, 3, figsize=(10, 3.3), sharex=True, sharey=True)
panels = {
    "early cells": (early, np.tile(grey, (n, 1))),
    "late cells, by branch": (late, branch_colours(fates)),
    "early cells, by the plan": (early, branch_colours(chances)),
}
for ax, (title, (cloud, shades)) in zip(axes, panels.items(), strict=True):
    dots = scatter(ax, cloud[shown][:, plane], size=4, alpha=0.9)
    dots.set_facecolor(shades[shown])
    ax.set(title=title, xlabel="second component", aspect="equal")
axes[0].set_ylabel("third component")
plt.show()

# %%
# Was it right?
# -------------
# The rows below are the true fates of the early cells, the columns those that the plan gives them. At this stage
# most cells have passed the first fork of the tree, and few the second: the plan knows the half, guesses the quarter,
# and has no way to know the last fork, which lies ahead.

table = torch.stack([chances[fate == k].mean(0) for k in range(8)])
halves, quarters = (
    float((chances * (torch.arange(8) // size == (fate // size)[:, None])).sum(1).mean())
    for size in (4, 2)
)
print(f"mass in the right half: {halves:.0%}, the right quarter: {quarters:.0%}")

fig, ax = plt.subplots(figsize=(4.6, 3.8))
image = ax.imshow(table, cmap="Blues", vmin=0)
ax.set(xlabel="fate by the plan", ylabel="true fate", xticks=range(8), yticks=range(8))
fig.colorbar(image, label="share of the mass")
plt.show()

# %%
# What it took
# ------------
# In fifty dimensions no box bounds anything, so that all 81 million pairs matter to the solver. But it need not
# visit them often. Eight neighbours at a time are replaced by their centroid; these clouds are solved at all
# temperatures, and two or three sweeps over all pairs do the rest. The last one brings along the gradient and an interval
# that contains the true value.

for level in found.levels[-3:]:
    sizes = "{:,} x {:,}".format(*level.points)
    print(
        f"blur {level.blur:.2f}: {sizes:>15} points, {level.sweeps:4.1f} sweeps, {level.seconds:5.2f} s"
    )
print(f"value {found.value:.3f} in [{found.lower:.3f}, {found.upper:.3f}]")

# %%
# What cannot be had is a plan of few pairs: at this temperature a cell spreads over hundreds of partners. These
# are the effective numbers of partners, :math:`1 / \sum_j p_{ij}^2` for the row p of a cell, of a few hundred cells.

f, g = found.potentials
rows = (f[:300, None] + g - torch.cdist(early[:300], late) ** 2 / 2) / blur**2
partners = 1 / rows.softmax(1).square().sum(1)
fig, ax = plt.subplots(figsize=(5.5, 2.8))
ax.hist(partners.numpy(), bins=np.geomspace(10, n, 40), color="#3b7dd8")
ax.set(xscale="log", xlabel="partners of a cell, of 9,000", ylabel="cells")
plt.show()

# %%
# The whole plan, to be moved: a larger blur forgets the branches, one by one.

PlanViewer(early[:1200], late[:1200], blur=blur, title="Early and late cells")
