r"""
How to choose blur
==================

The blur is the one number that entropic transport asks of you. It is a length in the units of the
points: the plan spreads every point over partners within about one blur. Larger ones are quicker to solve,
smaller ones see more detail and more noise. After this page you can read off your own clouds what a
blur does to the map and to the value, and which one to take.

The clouds are the colours of two photographs, points of the unit cube; the temple is painted with the
colours of the flower.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "blur", "colour", "images", "3D"]

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_sample_images

import sparseot as so
from sparseot_widgets import PlanViewer
from sparseot_widgets.figures import pictures, use_style

use_style()
temple, flower = (torch.tensor(im[::5, ::5].copy()) / 255 for im in load_sample_images().images)
x, y = (photo.reshape(-1, 3) for photo in (temple, flower))
blurs = (0.02, 0.04, 0.08, 0.16, 0.32)
solved = {blur: so.solve_sample(x, y, blur=blur, tol=1e-2, debias=True) for blur in blurs}

painted = {f"blur {blur:g}": solved[blur].map() for blur in (0.02, 0.08, 0.32)}
painted = {"the temple": x} | painted
pictures({title: colours.reshape(temple.shape) for title, colours in painted.items()})
plt.show()

# %%
# The scales of the clouds
# ------------------------
# A pixel gets the mean colour of its partners, so a blur as large as the cloud paints everything
# in one colour. What is "large" only the data can tell: :func:`sparseot.suggest_blur` measures the
# spacing of the points and the box around them, and estimates what a few blurs would cost. Below the
# spacing, a plan matches single points; here that is the step between grey values.

print(so.suggest_blur(x, y))

# %%
# Value and bias
# --------------
# The cost of the plan :math:`\langle P, C \rangle` grows with the blur, by at most :math:`D\,
# \text{blur}^2 / 2` where the clouds are smooth. The entropic cost counts, in addition, what the
# entropy costs, so neither is zero for equal clouds. The *divergence*, less half the cost of
# each cloud to itself, is: it hardly moves until the blur sees the clouds as blobs, and then falls
# towards half the squared distance of their means.
#
# How small may it be? Two random halves of one photograph have the same colours, so their
# divergence should be zero. What remains is the noise of the sample. It falls with the blur, as
# details that only chance has made are blurred away.

half = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)) < len(x) // 2
one, two = x[half].double(), x[~half].double()
noise = [so.sinkhorn_divergence(one, two, blur=blur, tol=1e-2).item() for blur in blurs]
value = np.array([found.value.item() for found in solved.values()])
linear = np.array([found.value_linear.item() for found in solved.values()])
means = (x.mean(0) - y.mean(0)).square().sum().item() / 2

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6))
axes[0].semilogx(blurs, linear, "s--", label=r"cost of the plan $\langle P, C \rangle$")
axes[0].semilogx(blurs, value, "o-", label="divergence")
axes[0].axhline(means, color="grey", lw=1, ls=":", label="of the means alone")
axes[0].set(xlabel="blur", ylabel="value", ylim=(0, None))
axes[1].loglog(blurs, noise / value, "o-")
axes[1].set(xlabel="blur", title="two halves of one picture: noise / divergence")
axes[0].legend(loc="lower left")
for ax in axes:
    ax.set_xticks(blurs, blurs)
    ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
plt.show()

# %%
# Which one?
# ----------
# Start at the size of the smallest detail that you would miss, never below the spacing, and go up
# while the divergence does not move: all that changes on the way is noise and time. And look at
# the map, here a picture: at a blur of 0.32 sky, roof and lake have nearly one colour.
#
# Try it
# ------
# The same colours, thinned, in the plane that shows most of them. Watch the lines, the number of
# pairs that are visited, and the interval of the value.

PlanViewer(solved[0.08])

# %%
# **What to try next.** Halve the number of pixels: which of the curves move? Where the right answer is known, a blur can be
# judged by it: :ref:`sphx_glr_auto_gallery_transport_plot_known_answer.py`.
#
# References
# ----------
# - Feydy (2020). *Geometric data analysis, beyond convolutions*. PhD thesis, section 3.3.
