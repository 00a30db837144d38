r"""
Kernel norms and Hausdorff: five flows on the line
==================================================

On the line a cloud is a density, the best transport is known by sorting, and nothing hides behind
anything else: a good place to meet the losses one by one. Here are the kernel norms and the
Hausdorff divergence, first between two intervals, then between two columns of a medical table.

.. math::
   L(\alpha, \beta) = \tfrac12 \| \alpha - \beta \|_k^2
   = \tfrac12 \iint k(x, y) \; \mathrm{d}(\alpha - \beta)(x) \; \mathrm{d}(\alpha - \beta)(y)
"""

# sphinx_gallery_thumbnail_number = 5
# sphinx_gallery_tags = ["kernel norms", "Hausdorff", "gradient flow", "1D"]
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
# All mass sits on :math:`[0, 0.2]` and should go to :math:`[0.6, 1]`. The best map is
# :math:`T(x) = 0.6 + 2x`: everybody keeps their rank, and spacings double. Particles follow
# :math:`\dot x_i = -N \nabla_{x_i} L` in Euler steps of 0.01.

paths = {}  # of each flow: the cloud at all times


def show_flow(name, loss, x=x, y=y, tau=0.01, unit="dimensionless", window=(-0.2, 1.2), h=0.005):
    """Follow -N grad of the loss from x towards y; draw densities of bandwidth h at six times."""
    loss(x, y)  # the first call may compile; keep that out of the timing
    path, steps = [x], round(5.0 / tau)
    start = time.perf_counter()
    for _ in range(steps):
        x = path[-1].clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(x, y), [x])
        path.append(path[-1] - tau * len(x) * gradient)
    title = f"{name}  ({(time.perf_counter() - start) / steps:.4f} s a step, n = {len(x):,})"
    clouds = {t: path[round(t / tau)] for t in [0.0, 0.25, 0.5, 1.0, 2.0, 5.0]}
    flow_panels(clouds, y, title=title, unit=unit, window=window, bandwidth=h)
    plt.show()
    paths[name] = path


# %%
# Gaussian, blur 0.5
# ------------------
# A wide kernel draws the cloud over in good time, then loses interest: on the scale of the blur, a
# heap with a tail and an interval look alike. Colours are ranks at :math:`t = 0`.

show_flow("Gaussian, blur 0.5", SamplesLoss("gaussian", blur=0.5))

# %%
# Gaussian, blur 0.1
# ------------------
# A narrow kernel does not see the target, which is four blurs away. The cloud only feels itself,
# and bursts, as much to the wrong side as to the right one. Those who are thrown within sight of
# the target gather in lumps, for the repulsion that should spread them fades at short distance.

show_flow("Gaussian, blur 0.1", SamplesLoss("gaussian", blur=0.1))

# %%
# Laplacian, blur 0.1
# -------------------
# The same blindness at a distance. But the tip of the kernel at 0 keeps repulsion alive between
# neighbours: what arrives lies flat, as it should.

show_flow("Laplacian, blur 0.1", SamplesLoss("laplacian", blur=0.1))

# %%
# Energy distance
# ---------------
# With :math:`k = -|x - y|` the loss on the line is :math:`\int (F_\alpha - F_\beta)^2`, where the
# :math:`F` are distribution functions, and the speed of a particle at :math:`x` is :math:`2 \,
# (F_\alpha(x) - F_\beta(x))`. Between the intervals :math:`F_\beta = 0`: the particle of rank
# :math:`u` travels at the constant speed :math:`2u`. The first is there at :math:`t = 0.2`, the
# last one (rank 0) never leaves.

show_flow("Energy distance", SamplesLoss("energy"))

# %%
# Hausdorff divergence
# --------------------
# Every particle looks for the nearest points of the target, and all find the same ones: its end at
# 0.6, where they pile up. Every target point looks for the nearest particles, and all find the
# rightmost few, which are sent ahead as scouts.

show_flow("Hausdorff, blur 0.1", SamplesLoss("hausdorff", p=2, blur=0.1))

# %%
# One yardstick
# -------------
# On the line the Wasserstein distance costs one sort, so we can measure all five flows by it. Two
# of them never come closer.


def w2(x, y):
    """The Wasserstein-2 distance of two clouds of equal size on the line: match them by rank."""
    return (x.sort(dim=0).values - y.sort(dim=0).values).square().mean().sqrt().item()


distances = {name: [w2(z, y) for z in path] for name, path in paths.items()}
fig, ax = plt.subplots(figsize=(8.5, 3.6))
times = torch.linspace(0.0, 5.0, 501).tolist()
curves(ax, times, distances, xlabel="time $t$", ylabel="$W_2$ to the target")
plt.show()

# %%
# A column of a table
# -------------------
# The mean radius of cell nuclei in 357 benign and 212 malignant samples (Wisconsin breast cancer
# table, in scikit-learn), rescaled so that the column spans the unit interval. The clouds overlap
# and differ in size. Nothing else changes, and the short kernel now does fairly well.

table = load_breast_cancer()
radius = torch.tensor(table.data[:, :1], dtype=torch.float32, device=device)
radius = (radius - radius.min()) / (radius.max() - radius.min())
clouds = radius[table.target == 1], radius[table.target == 0]

column = {"tau": 0.05, "unit": "range of the mean radius = 1", "window": (0.0, 1.0), "h": 0.02}
show_flow("Gaussian, blur 0.1", SamplesLoss("gaussian", blur=0.1), *clouds, **column)
show_flow("Energy distance", SamplesLoss("energy"), *clouds, **column)

# %%
# All of them, at any time
# ------------------------
# The two intervals again: play a flow, or drag the time. At the short blur, see who is thrown to the
# wrong side; at the long one, how the heap keeps its tail.

losses = ["gaussian", "laplacian", "energy", "hausdorff"]
viewer = FlowViewer(x[::4], y[::4], losses=losses, blurs=[0.1, 0.5], frames=26)
viewer.record(loss=4, blur=2)

# %%
# **What to try next.** A plan,
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_1d_transport.py`, or the plane,
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_kernel_norms.py`.
#
# **References.** A. Gretton et al. (2012), A kernel two-sample test, *JMLR*. G. Székely, M. Rizzo
# (2013), Energy statistics, *J. Statist. Plann. Inference*. J. Feydy (2020), *Geometric data
# analysis, beyond convolutions*, PhD thesis, chapter 3.
