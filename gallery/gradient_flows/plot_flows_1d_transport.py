r"""
Sinkhorn divergences: five flows on the line
============================================

What do ``p``, ``blur`` and ``reach`` do to a Sinkhorn divergence? On the line the best transport is
known: it matches points by rank. Five flows between two intervals, then two in a medical table.

The loss is :math:`S_\varepsilon(\alpha, \beta) = \text{OT}_\varepsilon(\alpha, \beta) - \tfrac12
\text{OT}_\varepsilon(\alpha, \alpha) - \tfrac12 \text{OT}_\varepsilon(\beta, \beta)` for the cost
:math:`\tfrac1p |x - y|^p` and the temperature :math:`\varepsilon = \text{blur}^p`.
"""

# sphinx_gallery_thumbnail_number = 4
# sphinx_gallery_tags = ["sinkhorn", "unbalanced", "gradient flow", "1D"]
# sphinx_gallery_parallel = False

import time

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_breast_cancer

from sparseot import SamplesLoss
from sparseot.datasets import interval
from sparseot_widgets import FlowViewer
from sparseot_widgets.figures import curves, flow_panels, use_style

use_style()

device = "cuda" if torch.cuda.is_available() else "cpu"
n = 10_000 if device == "cuda" else 1_000
x = interval(n, 0.0, 0.2, device=device)
y = interval(n, 0.6, 1.0, device=device)
flow_panels({0.0: x}, y, unit="dimensionless", window=(-0.2, 1.2), columns=1)
plt.show()

# %%
# Two intervals
# -------------
# All mass sits on :math:`[0, 0.2]` and should go to :math:`[0.6, 1]`; the best map is
# :math:`T(x) = 0.6 + 2x`. Euler steps of 0.025 lead along :math:`-N \nabla_{x_i} S_\varepsilon`.

paths = {}  # of each flow: the cloud at all times


def show_flow(name, loss, x=x, y=y, tau=0.025, unit="dimensionless", window=(-0.2, 1.2), h=0.005):
    """Follow -N grad of the loss from x towards y; draw densities of bandwidth h at six times."""
    loss(x, y)  # the first call may compile; keep that out of the timing
    path, steps = [x], round(5.0 / tau)
    start = time.perf_counter()
    for _ in range(steps):
        x = path[-1].clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(x, y), [x])
        path.append(path[-1] - tau * len(x) * gradient)
    seconds = (time.perf_counter() - start) / steps
    title = f"Sinkhorn, {name}  ({seconds:.4f} s a step, n = {len(x):,})"
    clouds = {t: path[round(t / tau)] for t in [0.0, 0.25, 0.5, 1.0, 2.0, 5.0]}
    flow_panels(clouds, y, title=title, unit=unit, window=window, bandwidth=h)
    plt.show()
    paths[name] = path[:: max(1, round(0.025 / tau))]


# %%
# p = 2, blur 0.01
# ----------------
# The loss is nearly :math:`\tfrac12 W_2^2`. Each particle walks straight to its partner at a speed
# equal to the distance left, :math:`x_i(t) = e^{-t} x_i + (1 - e^{-t}) T(x_i)`: at all times the
# cloud is an interval, its colours in order.

show_flow("p = 2, blur 0.01", SamplesLoss("sinkhorn", p=2, blur=0.01))

# %%
# p = 2, blur 1
# -------------
# A blur wider than all in sight compares the means. The heap is moved and keeps its width.

show_flow("p = 2, blur 1", SamplesLoss("sinkhorn", p=2, blur=1.0))

# %%
# p = 1, blur 0.01
# ----------------
# The loss is nearly :math:`W_1`, the earth mover's distance, whose pull is one for all, however far
# they have to go. But mind the temperature: :math:`\varepsilon = \text{blur}^p` is 0.01 here, a
# hundred times more than above. The self term acts like :math:`\tfrac{\varepsilon}{2} \int \alpha
# \log \alpha`, hence like heat: after a time :math:`t` it has spread the heap by a further
# :math:`\sqrt{\varepsilon t}`, which is the bell at :math:`t = 0.25`. On arrival the two self terms
# balance and the edges are sharp again. (Such a pull makes particles tremble: steps half as long.)

show_flow("p = 1, blur 0.01", SamplesLoss("sinkhorn", p=1, blur=0.01), tau=0.0125)

# %%
# p = 1, blur 1
# -------------
# A large blur leads to the energy distance: the rear, held back by its own front, hardly starts.

show_flow("p = 1, blur 1", SamplesLoss("sinkhorn", p=1, blur=1.0))

# %%
# p = 2, blur 0.01, reach 0.3
# ---------------------------
# The marginals become a matter of price, :math:`\rho \, \text{KL}` with
# :math:`\rho = \text{reach}^2` (Séjourné et al., 2019). To move mass much farther than the reach
# costs more than to destroy it here and create it there. The cloud is drawn out: the front is
# pulled harder than the rear, and the far end of the target is served last.

show_flow("p = 2, blur 0.01, reach 0.3", SamplesLoss("sinkhorn", p=2, blur=0.01, reach=0.3))

# %%
# One yardstick
# -------------
# On the line the Wasserstein distance costs one sort. The dotted line is the closed form
# :math:`e^{-t} W_2(\alpha_0, \beta)` of the exact flow for p = 2.


def w2(x, y):
    """The Wasserstein-2 distance of two clouds of equal size on the line: match them by rank."""
    return (x.sort(dim=0).values - y.sort(dim=0).values).square().mean().sqrt().item()


times = torch.linspace(0.0, 5.0, 201)
fig, ax = plt.subplots(figsize=(8.5, 3.6))
ax.plot(times, w2(x, y) * torch.exp(-times), ":", color="black", label="closed form, p = 2")
distances = {name: [w2(z, y) for z in path] for name, path in paths.items()}
curves(ax, times.tolist(), distances, xlabel="time $t$", ylabel="$W_2$ to the target")
plt.show()

# %%
# A column of a table
# -------------------
# The mean radius of cell nuclei in 357 benign and 212 malignant samples (Wisconsin breast cancer
# table of scikit-learn), rescaled to the unit interval. A balanced plan must serve the few very
# large nuclei on the right; with a reach of 0.1 it leaves them out, and sends nobody far.

table = load_breast_cancer()
radius = torch.tensor(table.data[:, :1], dtype=torch.float32, device=device)
radius = (radius - radius.min()) / (radius.max() - radius.min())
clouds = radius[table.target == 1], radius[table.target == 0]

column = {"tau": 0.05, "unit": "range of the mean radius = 1", "window": (0.0, 1.0), "h": 0.02}
for reach in [None, 0.1]:
    loss = SamplesLoss("sinkhorn", p=2, blur=0.01, reach=reach)
    show_flow(f"p = 2, blur 0.01, reach {reach}", loss, *clouds, **column)

# %%
# Three knobs, at any time
# ------------------------
# The two intervals again, at any exponent and blur: play a flow, or drag the time. The colours, ranks
# at :math:`t = 0`, stay in order in all of them.

losses = {
    "p = 2": lambda x, y, blur: SamplesLoss(p=2, blur=blur)(x, y),
    "p = 1": lambda x, y, blur: SamplesLoss(p=1, blur=blur)(x, y),
    "p = 2, reach 0.3": lambda x, y, blur: SamplesLoss(p=2, blur=blur, reach=0.3)(x, y),
}
viewer = FlowViewer(x[::4], y[::4], losses=losses, blurs=[0.01, 0.1, 1.0], blur=0.01, frames=26)
viewer.record(loss=3, blur=3)

# %%
# **What to try next.** Losses without a plan,
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_1d_kernel_norms.py`, or the plane,
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_transport.py`.
#
# **References.** J. Feydy et al. (2019), Interpolating between optimal transport and MMD using
# Sinkhorn divergences, *AISTATS*. T. Séjourné et al. (2019), Sinkhorn divergences for unbalanced
# optimal transport, *arXiv:1910.12958*.
