r"""
Averages of shapes
==================

What is half way between a heart and a horse? Not the mean of their pictures, which shows both. The
*barycenter* of some clouds is the cloud that is nearest to all of them:

.. math:: \min_{x_1, \dots, x_n} \; \sum_k w_k \, S(\mu, \nu_k), \qquad \mu = \frac1n \sum_i \delta_{x_i},

with the Sinkhorn divergence :math:`S`. Its points move until the average cannot come nearer (Cuturi and Doucet,
2014; Janati, Cuturi and Gramfort, 2020). The four corners below are data, and all other shapes are averages of them,
each with its own weights. Every average starts from the points of the heart, which keep their colours.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "barycenter", "sinkhorn", "2D", "3D"]

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data

import sparseot as so
from sparseot.datasets import sample_image
from sparseot_widgets import CloudViewer
from sparseot_widgets.figures import curves, pictures, place, scatter, use_style

use_style()
up, right = np.mgrid[1.2:-1.2:200j, -1.2:1.2:200j]
radius, angle = np.hypot(right, up), np.arctan2(right, up)
heart = (right**2 + (up + 0.1) ** 2 - 0.8) ** 3 < right**2 * (up + 0.1) ** 3
star = radius < 0.7 + 0.35 * np.cos(5 * angle)
rings = (abs(radius - 1) < 0.1) | (radius < 0.45)
shapes = [sample_image(shape, 500, seed=1) for shape in (heart, star, rings, ~data.horse())]
blur, steps = 0.02, np.linspace(0, 1, 5)

fig, ax = plt.subplots(figsize=(8, 8))
for s in steps:
    for t in steps:
        shares = [(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t]
        average = so.barycenter(shapes, shares, support=shapes[0], blur=blur, tol=0.1)
        corner = average.points + 1.1 * 4 * torch.tensor([s, -t]).float()
        scatter(ax, corner, place(shapes[0]), size=6, alpha=1)
ax.set_axis_off()
plt.show()

# %%
# Each was found by some steps of :func:`sparseot.barycenter`. In a step, the points go where the maps to the four
# clouds send them, on average, less where the map of the average to itself does:
# :math:`x_i \gets x_i + \sum_k w_k T_k(x_i) - T(x_i)`; a quasi-Newton method then learns from each step what the
# next one should be. The report has the objective, and what is left of a step, in blurs; ``tol=0.1`` ended those
# above where that was a tenth of a blur, which nobody sees.

average = so.barycenter(shapes, support=shapes[0], blur=blur, tol=5e-3)
print(average)

report, end = average.report, average.value
names = {
    "error (blurs)": [step.error for step in report],
    "objective, above its end": [step.value - end for step in report[:-1]] + [np.nan],
}
fig, ax = plt.subplots(figsize=(7, 3.2))
curves(ax, [step.sweeps for step in report], names, xlabel="sweeps of all solves", ylabel="")
plt.show()

# %%
# Why a divergence?
# -----------------
# The entropic cost, which most libraries minimise, prefers clouds that are narrow, and gathers the points of its
# average. The divergence takes off the cost of a cloud to itself, and the average keeps its width, whatever the blur:
# a large one only does not see details.

panels = {
    "entropic, blur 0.1": (0.1, False),
    "debiased, blur 0.1": (0.1, True),
    "debiased, blur 0.02": (0.02, True),
}
fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharex=True, sharey=True)
for ax, (title, (length, debias)) in zip(axes, panels.items(), strict=True):
    found = so.barycenter(shapes[:2], support=shapes[0], blur=length, debias=debias, tol=0.05)
    scatter(ax, found.points, place(shapes[0]), size=5, alpha=1)
    ax.set(title=title, xlabel="$x_1$")
axes[0].set_ylabel("$x_2$")
plt.show()

# %%
# Pixels instead of points
# ------------------------
# With ``free="weights"`` the points stay, here on a grid, and their weights are found. Next to the mean of both
# pictures, which is no shape between them, stands the average.

grid = torch.tensor(np.stack((right, up), -1)[::5, ::5]).reshape(-1, 2)
both = [torch.tensor(shape[::5, ::5]).double().flatten() for shape in (heart, star)]
both = [picture / picture.sum() for picture in both]
found = so.barycenter([grid, grid], masses=both, support=grid, free="weights", blur=0.08, tol=0.05)
images = {"heart": both[0], "star": both[1], "mean": sum(both) / 2, "average": found.weights}
pictures({name: 1 - (w / w.max()).reshape(40, 40).clamp(max=1) for name, w in images.items()})
plt.show()

# %%
# In space
# --------
# Nothing here knows of the plane. A ring, a knot and the sides of a box, clouds of different sizes, and the averages of
# two of them.

generator = torch.Generator().manual_seed(0)


def tube(curve, n, width):
    """Points around a closed curve."""
    t = 2 * torch.pi * torch.rand(n, generator=generator)
    return torch.stack(curve(t), 1) + width * torch.randn(n, 3, generator=generator)


ring = tube(lambda t: (2.5 * t.cos(), 2.5 * t.sin(), 0 * t), 900, 0.15)
knot = tube(
    lambda t: (t.sin() + 2 * (2 * t).sin(), t.cos() - 2 * (2 * t).cos(), -(3 * t).sin()), 1000, 0.1
)
box = 4 * torch.rand(800, 3, generator=generator) - 2
box[torch.arange(800), torch.arange(800) % 3] = 2 * torch.randn(800, generator=generator).sign()
solids = [ring, knot, box]
between = [
    so.barycenter(pair, support=900, blur=0.1, tol=0.1).points for pair in (solids[:2], solids[1:])
]

fig = plt.figure(figsize=(10, 2.6))
for k, x in enumerate((ring, between[0], knot, between[1], box)):
    ax = fig.add_subplot(1, 5, k + 1, projection="3d")
    ax.scatter(*x.T, c=x[:, 2], s=2, alpha=1, cmap="viridis")
    ax.set(xlim=(-3, 3), ylim=(-3, 3), zlim=(-3, 3))
    ax.set_box_aspect((1, 1, 1), zoom=1.4)
    ax.set_axis_off()
plt.show()

# %%
# Turn the average of ring and knot, and look at it from above and from the side.

CloudViewer(between[0], title="Half way between a ring and a knot")

# %%
# Where to go next: :doc:`the guide </guide/averages>` says what happens where masses differ, and what is inside.
