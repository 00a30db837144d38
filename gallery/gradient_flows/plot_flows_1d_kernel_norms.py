r"""
Kernel norms and Hausdorff: five flows on the line
==================================================

On the line a cloud is a density, and nothing hides behind anything else: a good place to meet the
losses one by one. All mass sits on :math:`[0, 0.2]` and should go to :math:`[0.6, 1]`; the best map
is :math:`T(x) = 0.6 + 2x`, which keeps ranks and doubles spacings. After this page you know which
losses find it, and how the others fail.
"""

# sphinx_gallery_thumbnail_number = 4
# sphinx_gallery_tags = ["kernel norms", "Hausdorff", "gradient flow", "1D"]
# sphinx_gallery_parallel = False

import matplotlib.pyplot as plt
import torch

from sparseot import SamplesLoss
from sparseot.datasets import interval
from sparseot_widgets import FlowViewer, gradient_flow
from sparseot_widgets.figures import curves, flow_panels, use_style

use_style()
device = "cuda" if torch.cuda.is_available() else "cpu"
n = 10_000 if device == "cuda" else 1_000
x = interval(n, 0.0, 0.2, device=device)
y = interval(n, 0.6, 1.0, device=device)

times = [k / 20 for k in range(101)]
flows = {}


def show(name, loss, step=0.01):
    flows[name] = flow = gradient_flow(loss, x, y, times, step=step)
    clouds = {t: flow.clouds[t] for t in [0.0, 0.25, 0.5, 1.0, 2.0, 5.0]}
    title = f"{name}  ({flow.seconds:.4f} s a step, n = {n:,})"
    flow_panels(clouds, y, title=title, unit="dimensionless", window=(-0.2, 1.2), bandwidth=0.005)
    plt.show()


show("Gaussian, blur 0.5", SamplesLoss("gaussian", blur=0.5))

# %%
# A wide kernel draws the cloud over in good time, but not into place: on the scale of the blur, a heap
# with a tail and an interval are nearly the same. Colours are ranks at :math:`t = 0`. Particles follow
# :math:`\dot x_i = -N \nabla_{x_i} L`, by the loop of
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flow_2d.py`, where
#
# .. math::
#    L(\alpha, \beta) = \tfrac12 \| \alpha - \beta \|_k^2
#    = \tfrac12 \iint k(x, y) \; \mathrm{d}(\alpha - \beta)(x) \; \mathrm{d}(\alpha - \beta)(y)
#
# is a kernel norm, here of the Gaussian :math:`k = e^{-|x - y|^2 / 2 \sigma^2}`, :math:`\sigma` = blur.
#
# Gaussian, blur 0.1
# ------------------
# The target is four blurs away, where a narrow kernel is zero. What is left is the repulsion between the
# particles: the cloud bursts, at first as much to the wrong side as to the right one. Those that come
# within a blur of the target gather in lumps, for the repulsion that should spread them fades at short
# distance.

show("Gaussian, blur 0.1", SamplesLoss("gaussian", blur=0.1))

# %%
# Laplacian, blur 0.1
# -------------------
# At a distance it is zero as well. But the tip of the kernel at 0 keeps the repulsion between
# neighbours strong: what arrives lies flat, as it should.

show("Laplacian, blur 0.1", SamplesLoss("laplacian", blur=0.1))

# %%
# Energy distance
# ---------------
# With :math:`k = -|x - y|` the loss on the line is :math:`\int (F_\alpha - F_\beta)^2`, where the
# :math:`F` are distribution functions, and the speed of a particle at :math:`x` is :math:`2 \,
# (F_\alpha(x) - F_\beta(x))`. Between the intervals :math:`F_\beta = 0`: the particle of rank
# :math:`u` travels at the constant speed :math:`2u`. The first is there at :math:`t = 0.2`, the
# last one (rank 0) never leaves.

show("Energy distance", SamplesLoss("energy"))

# %%
# Hausdorff divergence
# --------------------
# Every particle looks for the nearest points of the target, and all find the same ones: its end at
# 0.6, where they pile up. Every target point looks for the nearest particles, and all find the
# rightmost few, which run ahead of the rest.

show("Hausdorff, blur 0.1", SamplesLoss("hausdorff", p=2, blur=0.1), step=0.025)

# %%
# One yardstick
# -------------
# On the line the Wasserstein distance costs one sort: match by rank (the points of y stand in order).
# Measured by it, two of the five flows end no closer than they began.

distances = {
    name: [(z.sort(dim=0).values - y).square().mean().sqrt().item() for z in flow.clouds.values()]
    for name, flow in flows.items()
}
fig, ax = plt.subplots(figsize=(8.5, 3.6))
curves(ax, times, distances, xlabel="time $t$", ylabel="$W_2$ to the target")
plt.show()

# %%
# All of them, at any time
# ------------------------
# Play a flow, or drag the time. At the short blur, see who is thrown to the wrong side; at the long
# one, how the heap keeps its tail.

losses = ["gaussian", "laplacian", "energy", "hausdorff"]
FlowViewer(x[::4], y[::4], losses=losses, blurs=[0.1, 0.5], frames=26).record(loss=4, blur=2)

# %%
# **What to try next.** Put the target in sight, ``y - 0.6``: the short kernels arrive, too. Or take a
# plan: :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_1d_transport.py`.
#
# References
# ----------
# - Feydy (2020). *Geometric data analysis, beyond convolutions*. PhD thesis, chapter 3.
# - Gretton, Borgwardt, Rasch, Schölkopf, Smola (2012). A kernel two-sample test. *Journal of Machine
#   Learning Research* 13.
# - Székely, Rizzo (2013). Energy statistics: a class of statistics based on distances. *Journal of
#   Statistical Planning and Inference* 143.
