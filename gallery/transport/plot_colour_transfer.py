r"""
Colour transfer, every pixel
============================

A temple gets the colours of a flower. The two photographs have 273,280 pixels each; the usual way is
to sample some thousand of them, to solve a transport problem between the samples, and to guess the
colours of all the rest (Ferradans, Papadakis, Peyré and Aujol, 2014). After this page you can solve it
for *all* pixels on a laptop, know how far the answer is from the true one, and choose what
should happen to colours that have no good partner.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "colour", "images", "unbalanced", "3D"]

import time

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_sample_images

import sparseot as so
from sparseot_widgets import PlanViewer
from sparseot_widgets.figures import pictures, scatter, use_style

use_style()
temple, flower = (torch.tensor(im.copy()) / 255 for im in load_sample_images().images)


def palette(photo):
    """The colours of a photograph, where each pixel's is, and the share of pixels it has."""
    colours, where, counts = photo.reshape(-1, 3).unique(
        dim=0, return_inverse=True, return_counts=True
    )
    return colours, where, counts / counts.sum()


x, where, a = palette(temple)
y, _, b = palette(flower)
print(f"{len(where):,} pixels have {len(x):,} colours; those of the flower {len(y):,}")

start = time.perf_counter()
transport = so.solve_sample(x, y, a, b, blur=0.03, tol=1e-2)
moved = transport.map()
seconds = time.perf_counter() - start
painted = moved[where].reshape(temple.shape)

pictures({"temple": temple, "flower": flower, f"repainted ({seconds:.0f} s)": painted})
plt.show()

# %%
# Pixels of one colour are one point whose weight counts them, so these are the clouds of *all*
# pixels: nothing was sampled. Colours are points of the unit cube, the cost is half their squared
# distance, and a pixel is painted with the mean colour of its partners,
# :math:`T(x_i) = \sum_j P_{ij}\, y_j / \sum_j P_{ij}`.
#
# What the result knows of itself
# -------------------------------
# Six billion pairs of colours were not all visited. The report says how many were, and bounds what
# the others may hold. Both marginals of the plan were summed at the end, over the pairs that a screen
# kept, in double precision; their error is what ``tol`` asked for.

print(transport)
print(f"the true value lies in [{transport.lower:.5f}, {transport.upper:.5f}]")

# %%
# The interval holds whatever the state of the solver: below, the dual value of the potentials, less
# what the unvisited pairs may add; above, the cost of a plan with exact marginals. It is an
# interval for the *entropic* cost at this blur. The temperature costs each colour a spread of one
# blur, 0.03 or eight of 256 grey values.
#
# In the cube of colours
# ----------------------
# Two thousand colours of the temple, before and after. A part of the pale sky goes to the dark leaves,
# since the flower has too few light colours: all mass must go somewhere when transport is *balanced*.

some = torch.multinomial(a, 2000, generator=torch.Generator().manual_seed(0))
fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharex=True, sharey=True)
target = y[torch.multinomial(b, 2000, generator=torch.Generator().manual_seed(1))]
for ax, points, title in zip(
    axes, (x[some], moved[some], target), ("temple", "moved", "flower"), strict=True
):
    scatter(ax, points[:, [0, 2]], size=5, alpha=1).set(facecolor=points.clamp(0, 1).numpy())
    ax.set(title=title, xlabel="red", xlim=(0, 1), ylim=(0, 1), aspect="equal")
axes[0].set_ylabel("blue")
plt.show()

# %%
# Not every colour needs a partner
# --------------------------------
# With ``reach`` mass that would have to go farther than this length is rather created and destroyed
# than moved, at the price :math:`\text{reach}^2\, KL`. Colours then look for partners
# nearby, in whatever amounts there are, and the sky stays light.

start = time.perf_counter()
near = so.solve_sample(x, y, a, b, blur=0.03, reach=0.1, tol=1e-2)
seconds = time.perf_counter() - start
title = f"reach 0.1 ({seconds:.0f} s), mass {near.marginal_a.sum():.2f}"
pictures({"balanced": painted, title: near.map()[where].reshape(temple.shape)})
plt.show()

# %%
# Move ``reach`` below, on two thousand of the colours: mass that goes far is given up first.
#
# Where to go next: :ref:`sphx_glr_auto_gallery_transport_plot_multilevel.py` shows why so few pairs
# suffice, and :ref:`sphx_glr_auto_gallery_transport_plot_choose_blur.py` what the blur decides.

PlanViewer(transport, title="Colours of the temple and of the flower")
