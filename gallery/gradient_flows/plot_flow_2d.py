r"""
A man becomes a horse: gradient flows in the plane
==================================================

Let the points of a cloud roll down the slope of a loss towards another cloud, and the loss shows
its character. After this page you can follow any loss in four lines, and know what carries a cloud in
one piece, and what tears it.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["sinkhorn", "kernel norms", "gradient flow", "2D"]
# sphinx_gallery_parallel = False

import matplotlib.pyplot as plt
import torch
from skimage import data

from sparseot import SamplesLoss
from sparseot.datasets import sample_image
from sparseot_widgets import FlowViewer, gradient_flow
from sparseot_widgets.figures import curves, flow_panels, use_style

use_style()
device = "cuda" if torch.cuda.is_available() else "cpu"
n = 10_000 if device == "cuda" else 1_000

x = 0.5 * sample_image(data.camera() < 60, n, seed=1, device=device)
y = 0.6 * sample_image(~data.horse(), n, seed=2, device=device)
y = y + torch.tensor([0.4, 0.45], device=device)

loss, tau = SamplesLoss("sinkhorn", p=2, blur=0.01), 0.05
z = x
for _ in range(100):
    z = z.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(z, y), [z])
    z = z - tau * n * gradient

flow_panels({0.0: x, 5.0: z}, y, title="A man and a horse", columns=2)
plt.show()

# %%
# Colours tell the place of each particle at :math:`t = 0`, here and below. The particles :math:`x_1, \dots, x_N`,
# each of mass :math:`1/N`, follow
#
# .. math:: \dot x_i(t) = - N \, \nabla_{x_i} L(\alpha_t, \beta),
#    \qquad \alpha_t = \frac1N \sum_i \delta_{x_i(t)}.
#
# The factor :math:`N` undoes the mass of a particle, so that the speed does not depend on how many
# particles stand for the cloud: in the limit this is the *Wasserstein gradient flow* of :math:`L`
# (Santambrogio, 2017). Explicit Euler steps of length :math:`\tau` are the simplest way to follow it.
#
# On the way: a Sinkhorn divergence
# ---------------------------------
# :func:`sparseot_widgets.gradient_flow` is this loop, and it keeps what we want to look at: the
# clouds and losses at some times, and the seconds that a step takes.
#
# At a small blur our loss is nearly half the squared Wasserstein distance, whose flow is known in
# closed form: each particle goes straight to the place that an optimal map :math:`T` gives it,
#
# .. math:: x_i(t) = e^{-t} \, x_i(0) + (1 - e^{-t}) \, T(x_i(0)), \qquad L(t) = e^{-2t} L(0).

times = [k / 20 for k in range(101)]


def show(name, loss):
    flow = gradient_flow(loss, x, y, times, step=tau)
    clouds = {t: flow.clouds[t] for t in [0.0, 0.25, 0.5, 1.0, 2.0, 5.0]}
    flow_panels(clouds, y, title=f"{name}  ({1e3 * flow.seconds:.0f} ms a step, n = {n:,})")
    plt.show()
    return [value / flow.losses[0] for value in flow.losses]


sinkhorn = show("Sinkhorn divergence, p = 2, blur 0.01", loss)

# %%
# The whole cloud travels at once and arrives everywhere at the same time: at :math:`t = 1` each
# particle has done :math:`1 - e^{-1} = 63\,\%` of its way. Colours stay in order: the head of the
# man ends in the head of the horse. At the end every leg is drawn, sharp to the blur.
#
# The energy distance
# -------------------
# Half the squared norm of :math:`\alpha - \beta` for the kernel :math:`k(x, y) = -|x - y|` (Székely
# and Rizzo, 2013) asks for no plan and no blur. Each target point attracts each particle with the
# same unit force, however far it is, and the particles repel each other with that same force.

energy = show("Energy distance", SamplesLoss("energy"))

# %%
# The cloud tears. Its front leaves at once; its rear hardly moves, for there the pull of the horse
# and the push of those in front have the same strength and opposite directions. Stragglers are still
# on their way at :math:`t = 5`: their share of the loss is too small to wait for. On a logarithmic
# axis the decay of the Sinkhorn flow is a line, until what is left to do is of the size of the blur;
# that of the energy distance is faster at first, then it crawls.

fig, ax = plt.subplots(figsize=(8.5, 3.6))
exact = [(1 - tau) ** (2 * t / tau) for t in times]  # Euler's steps of exp(-2t)
ax.plot(times, exact, ":", color="black", label=r"closed form, $\approx e^{-2t}$")
relative = {"Sinkhorn divergence": sinkhorn, "energy distance": energy}
curves(ax, times, relative, xlabel="time $t$", ylabel="loss, relative to $t = 0$")
ax.set_ylim(bottom=1e-5)
plt.show()

# %%
# Both, at any time
# -----------------
# Play the flow, or drag the time; the choosers set the loss and how the particles are drawn. At a
# blur of 0.1 the Sinkhorn flow arrives as well, but it no longer tells one leg from the other.

FlowViewer(x, y, losses=["sinkhorn", "energy"], blurs=[0.01, 0.1], frames=26).record(loss=2, blur=2)

# %%
# **What to try next.** ``p=1``: the pull is the same for all, and the man melts on his way. More
# losses, side by side: :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_transport.py` and
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_kernel_norms.py`.
#
# References
# ----------
# - Feydy, Séjourné, Vialard, Amari, Trouvé, Peyré (2019). Interpolating between optimal transport
#   and MMD using Sinkhorn divergences. *AISTATS*; section 4 shows such flows.
# - Santambrogio (2017). {Euclidean, metric, and Wasserstein} gradient flows: an overview. *Bulletin
#   of Mathematical Sciences* 7.
# - Székely, Rizzo (2013). Energy statistics: a class of statistics based on distances. *Journal of
#   Statistical Planning and Inference* 143.
