r"""
Sinkhorn divergences: five flows on the line
============================================

What do ``p``, ``blur`` and ``reach`` do to a Sinkhorn divergence? On the line the best transport is
known, for it matches points by rank. All mass sits on :math:`[0, 0.2]` and should go to
:math:`[0.6, 1]`, by :math:`T(x) = 0.6 + 2x`. After this page you can tell by a flow which of the three is
set wrong.
"""

# sphinx_gallery_thumbnail_number = 3
# sphinx_gallery_tags = ["sinkhorn", "unbalanced", "gradient flow", "1D"]
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
times, flows = [k / 20 for k in range(101)], {}


def show(step=0.025, **knobs):
    name = ", ".join(f"{knob} = {value}" for knob, value in knobs.items())
    flows[name] = flow = gradient_flow(SamplesLoss("sinkhorn", **knobs), x, y, times, step=step)
    clouds = {t: flow.clouds[t] for t in [0.0, 0.25, 0.5, 1.0, 2.0, 5.0]}
    title = f"Sinkhorn, {name}  ({flow.seconds:.4f} s a step, n = {n:,})"
    flow_panels(clouds, y, title=title, unit="dimensionless", window=(-0.2, 1.2))
    plt.show()


show(p=2, blur=0.01)

# %%
# The loss is nearly :math:`\tfrac12 W_2^2`. Each particle walks straight to its partner at a speed
# equal to the distance left, :math:`x_i(t) = e^{-t} x_i + (1 - e^{-t}) T(x_i)`: at all times the
# cloud is an interval, its colours (ranks at :math:`t = 0`) in order. What particles follow, by the loop of
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flow_2d.py`, is :math:`-N \nabla_{x_i} S_\varepsilon`, with
#
# .. math::
#    S_\varepsilon(\alpha, \beta) = \text{OT}_\varepsilon(\alpha, \beta)
#    - \tfrac12 \text{OT}_\varepsilon(\alpha, \alpha) - \tfrac12 \text{OT}_\varepsilon(\beta, \beta)
#
# for the cost :math:`\tfrac1p |x - y|^p` and the temperature :math:`\varepsilon = \text{blur}^p`.
#
# A blur wider than all in sight compares the means. The heap is moved and keeps its width:

show(p=2, blur=1.0)

# %%
# p = 1
# -----
# The loss is nearly :math:`W_1`, the earth mover's distance, whose pull is one for all, however far
# they have to go. But mind the temperature: :math:`\varepsilon = \text{blur}^p` is 0.01 here, a
# hundred times more than above. The self term acts like :math:`\tfrac{\varepsilon}{2} \int \alpha
# \log \alpha`, hence like heat: after a time :math:`t` it has spread the heap by a further
# :math:`\sqrt{\varepsilon t}`, which is the bell at :math:`t = 0.25`. On arrival the two self terms
# balance and the edges are sharp again. (Such a pull makes particles tremble: steps half as long.)

show(p=1, blur=0.01, step=0.0125)

# %%
# A large blur leads to the energy distance: the rear, held back by its own front, hardly starts.

show(p=1, blur=1.0)

# %%
# A reach
# -------
# The marginals become a matter of price, :math:`\rho \, \text{KL}` with
# :math:`\rho = \text{reach}^p` (Séjourné et al., 2019). To move mass much farther than the reach
# costs more than to destroy it here and create it there. The front is pulled harder than the rear,
# and the far end of the target is served last. What a reach is for:
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_1d_unbalanced.py`.

show(p=2, blur=0.01, reach=0.3)

# %%
# One yardstick
# -------------
# On the line the Wasserstein distance costs one sort. The dotted line is the closed form
# :math:`e^{-t} W_2(\alpha_0, \beta)` of the exact flow for p = 2.

distances = {
    name: [(z.sort(dim=0).values - y).square().mean().sqrt().item() for z in flow.clouds.values()]
    for name, flow in flows.items()
}
fig, ax = plt.subplots(figsize=(8.5, 3.6))
exact = (y - x).square().mean().sqrt().item() * torch.exp(-torch.tensor(times))
ax.plot(times, exact, ":", color="black", label="closed form, p = 2")
curves(ax, times, distances, xlabel="time $t$", ylabel="$W_2$ to the target")
plt.show()

# %%
# Three knobs, at any time
# ------------------------
# Play a flow, or drag the time, at any exponent and blur: colours stay in order in all of them, up to
# the trembling at p = 1.

losses = {
    "p = 2": lambda x, y, blur: SamplesLoss(p=2, blur=blur)(x, y),
    "p = 1": lambda x, y, blur: SamplesLoss(p=1, blur=blur)(x, y),
    "p = 2, reach 0.3": lambda x, y, blur: SamplesLoss(p=2, blur=blur, reach=0.3)(x, y),
}
viewer = FlowViewer(x[::4], y[::4], losses=losses, blurs=[0.01, 0.1, 1.0], blur=0.01, frames=26)
viewer.record(loss=3, blur=3)

# %%
# Next: the plane, :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_transport.py`.
#
# References
# ----------
# - Feydy, Séjourné, Vialard, Amari, Trouvé, Peyré (2019). Interpolating between optimal transport
#   and MMD using Sinkhorn divergences. *AISTATS*.
# - Séjourné, Feydy, Vialard, Trouvé, Peyré (2019). Sinkhorn divergences for unbalanced optimal
#   transport. *arXiv:1910.12958*.
