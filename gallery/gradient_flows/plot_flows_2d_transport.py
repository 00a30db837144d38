r"""
Sinkhorn divergences: six flows in the plane
============================================

A Sinkhorn divergence has two or three knobs: the exponent ``p`` of the cost, the ``blur`` and, when
mass may be lost, the ``reach``. Six flows of the same cloud towards the same target show what each
of them does.

For a ground cost :math:`C(x, y) = \tfrac1p |x - y|^p` and a temperature
:math:`\varepsilon = \text{blur}^p`,

.. math::
   \text{OT}_\varepsilon(\alpha, \beta) &= \min_{\pi} \; \langle \pi, C \rangle
   + \varepsilon \, \text{KL}(\pi \,|\, \alpha \otimes \beta), \\
   S_\varepsilon(\alpha, \beta) &= \text{OT}_\varepsilon(\alpha, \beta)
   - \tfrac12 \text{OT}_\varepsilon(\alpha, \alpha) - \tfrac12 \text{OT}_\varepsilon(\beta, \beta),

over the plans :math:`\pi` whose marginals are :math:`\alpha` and :math:`\beta`. The divergence runs
from an optimal transport cost (blur to 0) to a kernel norm for :math:`k = -C` (blur to infinity;
Feydy et al., 2019, theorem 1).
"""

# sphinx_gallery_thumbnail_number = 5
# sphinx_gallery_tags = ["sinkhorn", "unbalanced", "gradient flow", "2D"]
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
# Colours tell the place at :math:`t = 0`. Euler steps of 0.05 lead along :math:`-N \nabla_{x_i} S`.

TIMES = [0.0, 0.25, 0.5, 1.0, 2.0, 5.0]
errors = {}  # of each flow, at TIMES


def w2(x, y):
    """The Wasserstein-2 distance, nearly: a small blur, reached in many steps (scaling 0.9)."""
    loss = SamplesLoss("sinkhorn", p=2, blur=0.005, scaling=0.9)
    return (2 * loss(x, y)).clamp(min=0.0).sqrt().item()


def show_flow(name, loss, x=x, y=y, tau=0.05):
    """Follow -N grad of the loss from x towards y and draw the cloud at six times."""
    loss(x, y)  # the first call may compile; keep that out of the timing
    path, steps = [x], round(5.0 / tau)
    start = time.perf_counter()
    for _ in range(steps):
        x = path[-1].clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(x, y), [x])
        path.append(path[-1] - tau * len(x) * gradient)
    seconds = (time.perf_counter() - start) / steps
    title = f"Sinkhorn, {name}  ({seconds:.4f} s a step, n = {len(x):,})"
    clouds = {t: path[round(t / tau)] for t in TIMES}
    flow_panels(clouds, y, title=title)
    plt.show()
    errors[name] = [w2(z, y) for z in clouds.values()]


# %%
# p = 2, blur 1: only the means
# -----------------------------
# At a blur as wide as the picture, the kernel is :math:`-\tfrac12 |x - y|^2` and the divergence
# half the squared distance between the two centres: the man is carried over, and stays a man.

show_flow("p = 2, blur 1", SamplesLoss("sinkhorn", p=2, blur=1.0))

# %%
# p = 2, blur 0.01: each to its partner
# -------------------------------------
# With a blur of a hundredth of the picture each particle walks to its own place in the target, at
# a speed equal to the distance that is left. All arrive together, in order, legs included.

show_flow("p = 2, blur 0.01", SamplesLoss("sinkhorn", p=2, blur=0.01))

# %%
# p = 1, blur 1: the energy distance, nearly
# ------------------------------------------
# For the cost :math:`|x - y|` the limit of a large blur is the energy distance: particles push one
# another, the front leaves first, the rear waits.

show_flow("p = 1, blur 1", SamplesLoss("sinkhorn", p=1, blur=1.0))

# %%
# p = 1, blur 0.01: the earth mover's distance
# --------------------------------------------
# Every particle is pulled with strength one, whatever its distance to go: soon after :math:`t = 1`
# all have arrived. But the temperature is :math:`\text{blur}^1 = 0.01` now, a hundred times that of
# p = 2, and the self term diffuses like heat: on its way the man melts into an evenly spaced drop,
# of width :math:`\sqrt{\varepsilon t}` more than his own. On arrival the two self terms balance,
# and the horse is sharp.

show_flow("p = 1, blur 0.01", SamplesLoss("sinkhorn", p=1, blur=0.01))

# %%
# p = 2, blur 0.01, reach 0.3: mass may be lost
# ---------------------------------------------
# The constraint on the marginals becomes a price, :math:`\rho \, \text{KL}` with
# :math:`\rho = \text{reach}^p` (Séjourné et al., 2019). Beyond the reach it is cheaper to destroy
# mass here and to create it there than to carry it: far particles feel a weak pull, those that can
# find a target near by go first.

show_flow("p = 2, blur 0.01, reach 0.3", SamplesLoss("sinkhorn", p=2, blur=0.01, reach=0.3))

# %%
# Without the self terms: a warning
# ---------------------------------
# At a blur of 0.1, ``debias=False`` keeps :math:`\text{OT}_\varepsilon` alone. Its minimum is not
# the target: every particle goes to an *average* of targets, and the horse shrinks to its skeleton.

loss = SamplesLoss("sinkhorn", p=2, blur=0.1, debias=False)
show_flow("p = 2, blur 0.1, not debiased", loss)

# %%
# One yardstick for all
# ---------------------
# These losses have different units and zeros, so we measure all flows by one ruler: the distance
# :math:`W_2` to the target, at half the blur and with slow annealing.

fig, ax = plt.subplots(figsize=(8.5, 3.6))
curves(ax, TIMES, errors, xlabel="time $t$", ylabel="$W_2$ to the target (side = 1)")
plt.show()

# %%
# Three knobs, at any time
# ------------------------
# Play a flow, or drag the time, at any exponent and blur. At ``p = 1`` watch the cloud melt on its
# way; with a reach, watch who leaves last.

losses = {
    "p = 2": lambda x, y, blur: SamplesLoss(p=2, blur=blur)(x, y),
    "p = 1": lambda x, y, blur: SamplesLoss(p=1, blur=blur)(x, y),
    "p = 2, reach 0.3": lambda x, y, blur: SamplesLoss(p=2, blur=blur, reach=0.3)(x, y),
}
FlowViewer(x, y, losses=losses, blurs=[0.01, 0.1, 1.0], blur=0.01, frames=21).record(loss=3, blur=3)

# %%
# **What to try next.** The last flow again, with ``debias=True``. Or losses without a plan:
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_kernel_norms.py`.
#
# **References.** J. Feydy, T. Séjourné, F.-X. Vialard, S. Amari, A. Trouvé, G. Peyré (2019),
# Interpolating between optimal transport and MMD using Sinkhorn divergences, *AISTATS*.
# T. Séjourné, J. Feydy, F.-X. Vialard, A. Trouvé, G. Peyré (2019), Sinkhorn divergences for
# unbalanced optimal transport, *arXiv:1910.12958*.
