r"""
Sinkhorn divergences: six flows in the plane
============================================

A Sinkhorn divergence has three knobs: the exponent ``p`` of the cost :math:`C = \tfrac1p |x - y|^p`,
the ``blur`` in the temperature :math:`\varepsilon = \text{blur}^p` and, if mass may be lost, the
``reach``. Six flows show what each of them does.
"""

# sphinx_gallery_thumbnail_number = 4
# sphinx_gallery_tags = ["sinkhorn", "unbalanced", "gradient flow", "2D"]
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
times, flows = [0.0, 0.25, 0.5, 1.0, 2.0, 5.0], {}


def show(**knobs):
    name = ", ".join(f"{knob} = {value}" for knob, value in knobs.items())
    flows[name] = flow = gradient_flow(SamplesLoss("sinkhorn", **knobs), x, y, times, step=0.05)
    flow_panels(flow.clouds, y, title=f"{name}  ({flow.seconds:.4f} s a step, n = {n:,})")
    plt.show()


show(p=2, blur=1.0)

# %%
# At a blur as wide as the picture, the divergence is half the squared distance between the centres:
# the man is carried over, and stays a man. Colours tell the place at :math:`t = 0`.
#
# With :math:`\text{OT}_\varepsilon = \min_{\pi} \, \langle \pi, C \rangle
# + \varepsilon \, \text{KL}(\pi \,|\, \alpha \otimes \beta)` over the plans :math:`\pi` between
# :math:`\alpha` and :math:`\beta`,
#
# .. math::
#    S_\varepsilon(\alpha, \beta) = \text{OT}_\varepsilon(\alpha, \beta)
#    - \tfrac12 \text{OT}_\varepsilon(\alpha, \alpha) - \tfrac12 \text{OT}_\varepsilon(\beta, \beta)
#
# runs from an optimal transport cost (blur to 0) to a kernel norm for :math:`k = -C` (blur to infinity;
# Feydy et al., 2019). Particles follow :math:`-N \nabla_{x_i} S_\varepsilon`, by the loop of
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flow_2d.py`.
#
# With a blur of a hundredth of the picture each particle walks to its own place in the target, at
# a speed equal to the distance that is left. All arrive together, in order, legs included:

show(p=2, blur=0.01)

# %%
# p = 1: from the energy distance to that of the earth mover
# ----------------------------------------------------------
# For the cost :math:`|x - y|` the limit of a large blur is the energy distance: particles push one
# another, the front leaves first, the rear waits.

show(p=1, blur=1.0)

# %%
# At a small blur every particle is pulled with strength one, however far it has to go: soon after
# :math:`t = 1` all have arrived. But the temperature is :math:`\text{blur}^1 = 0.01`, a hundred times
# that of p = 2, and the self term diffuses like heat: on its way the cloud melts into a drop.

show(p=1, blur=0.01)

# %%
# A reach: mass may be lost
# -------------------------
# Marginals become a matter of price, :math:`\text{reach}^p \, \text{KL}` (Séjourné et al., 2019).
# Beyond the reach it is cheaper to destroy mass here and to create it there than to carry it: far
# particles feel a weak pull, near ones go first.

show(p=2, blur=0.01, reach=0.3)

# %%
# Without the self terms: a warning
# ---------------------------------
# With ``debias=False``, :math:`\text{OT}_\varepsilon` alone is not least at the target: every particle
# goes to an *average* of targets, and the horse shrinks to its skeleton.

show(p=2, blur=0.1, debias=False)

# %%
# One yardstick for all
# ---------------------
# The losses differ in unit and zero. The ruler is nearly the Wasserstein distance to the target: the
# blur is half of the smallest above, and ``scaling=0.9`` lowers it slowly.

ruler, errors = SamplesLoss("sinkhorn", p=2, blur=0.005, scaling=0.9), {}
for name, flow in flows.items():
    errors[name] = [(2 * ruler(z, y)).clamp(min=0).sqrt().item() for z in flow.clouds.values()]
fig, ax = plt.subplots(figsize=(8.5, 3.6))
curves(ax, times, errors, xlabel="time $t$", ylabel="$W_2$ to the target (side = 1)")
plt.show()

# %%
# Three knobs, at any time
# ------------------------
# Next: losses without a plan, :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_kernel_norms.py`.

losses = {
    "p = 2": lambda x, y, blur: SamplesLoss(p=2, blur=blur)(x, y),
    "p = 1": lambda x, y, blur: SamplesLoss(p=1, blur=blur)(x, y),
    "p = 2, reach 0.3": lambda x, y, blur: SamplesLoss(p=2, blur=blur, reach=0.3)(x, y),
}
FlowViewer(x, y, losses=losses, blurs=[0.01, 0.1, 1.0], blur=0.01, frames=21).record(loss=3, blur=3)

# %%
# References
# ----------
# - Feydy, Séjourné, Vialard, Amari, Trouvé, Peyré (2019). Interpolating between optimal transport
#   and MMD using Sinkhorn divergences. *AISTATS*.
# - Séjourné, Feydy, Vialard, Trouvé, Peyré (2019). Sinkhorn divergences for unbalanced optimal
#   transport. *arXiv:1910.12958*.
