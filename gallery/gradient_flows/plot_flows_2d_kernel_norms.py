r"""
Kernel norms and Hausdorff: five flows in the plane
===================================================

A kernel norm compares two clouds as an electrician compares two distributions of charge. Five
gradient flows show what the choice of the kernel decides: how far particles can see, and whether
they find the fine details. The last flow belongs to a cousin, the Hausdorff divergence.

With a kernel :math:`k` and weights :math:`1/N`, the loss is half a squared norm (Gretton et al.,
2012, call its root the *maximum mean discrepancy*):

.. math::
   L(\alpha, \beta) = \tfrac12 \| \alpha - \beta \|_k^2
   = \tfrac12 \langle \alpha, k \star \alpha \rangle
   - \langle \alpha, k \star \beta \rangle
   + \tfrac12 \langle \beta, k \star \beta \rangle .

Its gradient is a sum of forces between pairs: particles of the target attract, the moving particles
repel one another.
"""

# sphinx_gallery_thumbnail_number = 3
# sphinx_gallery_tags = ["kernel norms", "Hausdorff", "gradient flow", "2D"]
# sphinx_gallery_parallel = False

import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data

from sparseot import SamplesLoss
from sparseot.datasets import sample_image
from sparseot_widgets import FlowViewer
from sparseot_widgets.figures import curves, flow_panels, use_style

use_style()

# %%
# How far does a kernel reach?
# ----------------------------
# The force between two particles is the slope of the kernel at their distance. Compare the curves
# with the gap between our two clouds, which is about 0.5.

r = np.linspace(0.0, 1.0, 400)
fig, ax = plt.subplots(figsize=(7, 3.6))
forces = {
    "Gaussian, blur 0.5": r / 0.5**2 * np.exp(-(r**2) / (2 * 0.5**2)),
    "Gaussian, blur 0.1": r / 0.1**2 * np.exp(-(r**2) / (2 * 0.1**2)),
    "Laplacian, blur 0.1": np.exp(-r / 0.1) / 0.1,
    "energy": np.ones_like(r),
}
curves(ax, r, forces, xlabel="distance (side of the square = 1)", ylabel="force", log=False)
ax.set_ylim(0, 10)
plt.show()

# %%
# The flow
# --------
# A man (the coat in a photograph) on his way to a horse; explicit Euler steps on
# :math:`\dot x_i = -N \nabla_{x_i} L`, colours by the place at :math:`t = 0`.

device = "cuda" if torch.cuda.is_available() else "cpu"
n = 10_000 if device == "cuda" else 1_000
x = 0.5 * sample_image(data.camera() < 60, n, seed=1, device=device)
y = 0.6 * sample_image(~data.horse(), n, seed=2, device=device)
y = y + torch.tensor([0.4, 0.45], device=device)


def show_flow(name, loss, x=x, y=y, tau=0.05):
    """Follow -N grad of the loss from x towards y and draw the cloud at six times."""
    loss(x, y)  # the first call may compile; keep that out of the timing
    path, steps = [x], round(5.0 / tau)
    start = time.perf_counter()
    for _ in range(steps):
        x = path[-1].clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(x, y), [x])
        path.append(path[-1] - tau * len(x) * gradient)
    title = f"{name}  ({(time.perf_counter() - start) / steps:.4f} s a step, n = {len(x):,})"
    clouds = {t: path[round(t / tau)] for t in [0.0, 0.25, 0.5, 1.0, 2.0, 5.0]}
    flow_panels(clouds, y, title=title)
    plt.show()


# %%
# Gaussian, blur 0.5: sees far, and only far
# ------------------------------------------
# :math:`k(x, y) = e^{-|x - y|^2 / 2 \sigma^2}` with :math:`\sigma` = blur. The cloud arrives, its
# front first. But details smaller than the blur weigh next to nothing: it settles as a streak with
# about the right mean and spread, and no legs.

show_flow("Gaussian norm, blur 0.5", SamplesLoss("gaussian", blur=0.5))

# %%
# Gaussian, blur 0.1: lost at a distance
# --------------------------------------
# At five blurs from the target the kernel is :math:`e^{-12.5}`: the gradient vanishes. Only the
# repulsion between neighbours remains, and the cloud bursts; half of it leaves the picture. Those
# thrown within sight of the horse line up along its spine, for at short distance the repulsion that
# should spread them out vanishes too.

show_flow("Gaussian norm, blur 0.1", SamplesLoss("gaussian", blur=0.1))

# %%
# Laplacian, blur 0.1: a longer tail, a pointed top
# -------------------------------------------------
# :math:`k(x, y) = e^{-|x - y| / \sigma}` decays more slowly, and its tip at 0 keeps neighbours
# apart: what arrives fills the horse's body. It still has one length scale, and one is too few.

show_flow("Laplacian norm, blur 0.1", SamplesLoss("laplacian", blur=0.1))

# %%
# Energy distance: no scale at all
# --------------------------------
# :math:`k(x, y) = -|x - y|` pulls with the same force at all distances (Székely and Rizzo, 2013):
# nothing to tune, nobody out of sight. But those in front push the rear back as strongly as the
# target pulls it on, so that the rear waits for its turn.

show_flow("Energy distance", SamplesLoss("energy"))

# %%
# Hausdorff: nearest neighbours, softly
# -------------------------------------
# The Hausdorff divergence puts soft distances to the clouds in the place of :math:`k \star \alpha`
# and :math:`k \star \beta`. With :math:`a` the symmetric Sinkhorn potential of :math:`\alpha` at
# temperature :math:`\text{blur}^2`, extended to the plane, and :math:`b` that of :math:`\beta`,
#
# .. math:: L = \tfrac12 \langle \alpha, b - a \rangle + \tfrac12 \langle \beta, a - b \rangle .
#
# As the blur goes to 0, :math:`b(x)` tends to :math:`\min_j \tfrac12 |x - y_j|^2` and
# :math:`a(x_i)` to 0: every particle goes to its *nearest* target point, as in the iterated closest
# points of registration software, and every target point calls its nearest particle (Feydy, 2020,
# chapter 3).

show_flow("Hausdorff divergence, blur 0.1", SamplesLoss("hausdorff", p=2, blur=0.1))

# %%
# **What to see.** The whole horse calls the few particles next to it: these scouts leap ahead at
# once. All others walk to the nearest part of the horse, its hind quarters, and crowd there:
# nothing in this loss balances the masses.
#
# All of them, at any time
# ------------------------
# Play a flow, or drag the time, and compare the losses at a short and at a long blur. The paths show
# who leaps, who waits, and who is thrown out.

losses = ["gaussian", "laplacian", "energy", "hausdorff"]
FlowViewer(x, y, losses=losses, blurs=[0.1, 0.5], frames=21).record(loss=4, blur=2)

# %%
# What to try next
# ----------------
# - Sum Gaussian losses of blur 0.5, 0.2 and 0.05: sight at all scales, at three times the price.
# - Losses that see all scales and balance mass:
#   :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_transport.py`.
#
# **References.** A. Gretton, K. Borgwardt, M. Rasch, B. Schölkopf, A. Smola (2012), A kernel
# two-sample test, *JMLR*. G. Székely, M. Rizzo (2013), Energy statistics, *J. Statist. Plann.
# Inference*. J. Feydy (2020), *Geometric data analysis, beyond convolutions*, PhD thesis.
