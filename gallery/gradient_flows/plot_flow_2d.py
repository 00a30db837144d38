r"""
A man becomes a horse: gradient flows in the plane
==================================================

Let the points of a cloud roll down the slope of a loss towards another cloud, and the loss shows
its character. We watch two losses do it: a Sinkhorn divergence, which moves every point to its
partner along a straight line, and the energy distance, which pulls everything at once.

The particles :math:`x_1, \dots, x_N`, each of mass :math:`1/N`, follow

.. math:: \dot x_i(t) = - N \, \nabla_{x_i} L(\alpha_t, \beta),
   \qquad \alpha_t = \frac1N \sum_i \delta_{x_i(t)}.

The factor :math:`N` undoes the mass of a particle, so that the speed does not depend on how many
particles stand for the cloud: in the limit this is the *Wasserstein gradient flow* of :math:`L`
(Santambrogio, 2017).
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["sinkhorn", "kernel norms", "gradient flow", "2D"]
# sphinx_gallery_parallel = False

import time

import matplotlib.pyplot as plt
import torch
from skimage import data

from sparseot import SamplesLoss
from sparseot.datasets import sample_image
from sparseot_widgets import FlowViewer
from sparseot_widgets.figures import curves, flow_panels, use_style

use_style()

device = "cuda" if torch.cuda.is_available() else "cpu"
n = 10_000 if device == "cuda" else 1_000

x = 0.5 * sample_image(data.camera() < 60, n, seed=1, device=device)
y = 0.6 * sample_image(~data.horse(), n, seed=2, device=device)
y = y + torch.tensor([0.4, 0.45], device=device)
flow_panels({0.0: x}, y, title="A man and a horse", columns=1)
plt.show()

# %%
# Colours tell the place of each particle at :math:`t = 0`, here and below.
#
# The flow, by the simplest of schemes
# ------------------------------------
# Explicit Euler steps of length :math:`\tau = 0.05` take us from :math:`t = 0` to :math:`t = 5`.
# We keep the cloud at six times, the loss at all of them, and the seconds that a step takes.

TIMES = [0.0, 0.25, 0.5, 1.0, 2.0, 5.0]
TAU = 0.05


def flow(loss, x, y):
    """Follow -N grad from x towards y: the clouds at TIMES, the losses, the seconds a step."""
    loss(x, y)  # the first call may compile; keep that out of the timing
    x, values, clouds = x.clone(), [], {}
    start = time.perf_counter()
    for step in range(round(TIMES[-1] / TAU) + 1):
        if (t := round(step * TAU, 6)) in TIMES:
            clouds[t] = x.clone()
        x.requires_grad_(True)
        value = loss(x, y)
        (gradient,) = torch.autograd.grad(value, [x])
        x = x.detach() - TAU * len(x) * gradient
        values.append(value.item())
    return clouds, values, (time.perf_counter() - start) / len(values)


# %%
# Sinkhorn divergence, p = 2
# --------------------------
# At a small blur the loss is nearly half the squared Wasserstein distance, whose flow is known in
# closed form: each particle goes straight to the place that an optimal map :math:`T` gives it,
#
# .. math:: x_i(t) = e^{-t} \, x_i(0) + (1 - e^{-t}) \, T(x_i(0)), \qquad L(t) = e^{-2t} L(0).

clouds, sinkhorn, seconds = flow(SamplesLoss("sinkhorn", p=2, blur=0.01), x, y)
title = "Sinkhorn divergence, p = 2, blur 0.01"
fig = flow_panels(clouds, y, title=f"{title}  ({1e3 * seconds:.0f} ms a step, n = {n:,})")
plt.show()

# %%
# **What to see.** The whole cloud travels at once, shrinking or stretching as it must, and arrives
# everywhere at the same time: at :math:`t = 1` each particle has done :math:`1 - e^{-1} = 63\,\%`
# of its way. Colours, given by the place at :math:`t = 0`, stay in order: the head of the man ends
# in the head of the horse. At the end every leg is drawn, sharp to the blur.
#
# Energy distance
# ---------------
# The energy distance (Székely and Rizzo, 2013) is half the squared norm of :math:`\alpha - \beta`
# for the kernel :math:`k(x, y) = -|x - y|`:
#
# .. math:: L = \mathbb{E}|X - Y| - \tfrac12 \mathbb{E}|X - X'| - \tfrac12 \mathbb{E}|Y - Y'|.
#
# It asks for no plan and no blur. Each target point attracts each particle with the same unit
# force, however far it is, and the particles repel each other with that same force.

clouds, energy, seconds = flow(SamplesLoss("energy"), x, y)
fig = flow_panels(clouds, y, title=f"Energy distance  ({1e3 * seconds:.0f} ms a step, n = {n:,})")
plt.show()

# %%
# **What to see.** The cloud tears. Its front leaves at once, pulled by the horse and pushed by
# everybody behind; its rear hardly moves, for there the pull of the horse and the push of those in
# front have the same strength and opposite directions. The body of the horse is filled from the
# near side, the legs late, and some stragglers are still on their way at :math:`t = 5`: their share
# of the loss is so small that nobody waits for them. In exchange, a step is cheap.
#
# Two curves
# ----------
# On a logarithmic axis an exponential decay is a line.

times = [k * TAU for k in range(len(sinkhorn))]
fig, ax = plt.subplots(figsize=(8.5, 3.6))
exact = [(1 - TAU) ** (2 * k) for k in range(len(sinkhorn))]
ax.plot(
    times, exact, ":", color="black", label=r"closed form, $(1 - \tau)^{2t/\tau} \approx e^{-2t}$"
)
relative = {
    "Sinkhorn divergence": [v / sinkhorn[0] for v in sinkhorn],
    "energy distance": [v / energy[0] for v in energy],
}
curves(ax, times, relative, xlabel="time $t$", ylabel="loss, relative to $t = 0$")
ax.set_ylim(bottom=1e-5)
plt.show()

# %%
# The Sinkhorn flow stays close to the closed form of the Wasserstein distance until what is left to
# do is of the size of the blur. The energy distance falls faster at first, then it crawls.
#
# Both, at any time
# -----------------
# Play the flow, or drag the time; the choosers set the loss and how the particles are drawn. At a
# blur of 0.1 the Sinkhorn flow arrives as well, but it no longer tells one leg from the other.

FlowViewer(x, y, losses=["sinkhorn", "energy"], blurs=[0.01, 0.1], frames=26).record(loss=2, blur=2)

# %%
# What to try next
# ----------------
# - ``blur=0.1``: the hind legs run into one another; ``blur=1``: the man is moved, and stays a man.
# - ``p=1`` in the Sinkhorn loss: the pull is the same for all, and the man melts on his way.
# - Ten losses side by side: :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_transport.py`
#   and :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_kernel_norms.py`.
#
# References
# ----------
# - Santambrogio (2017). {Euclidean, metric, and Wasserstein} gradient flows: an overview.
#   *Bulletin of Mathematical Sciences*.
# - Székely, Rizzo (2013). Energy statistics: a class of statistics based on distances.
#   *Journal of Statistical Planning and Inference*.
# - Feydy et al. (2019). Interpolating between optimal transport and MMD using Sinkhorn
#   divergences. *AISTATS*, section 4 shows such flows.
