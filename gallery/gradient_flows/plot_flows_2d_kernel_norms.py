r"""
Kernel norms and Hausdorff: five flows in the plane
===================================================

A kernel norm compares two clouds as two distributions of charge. Its gradient is a sum of forces between
pairs: the target attracts, the moving particles repel one another. A force is the slope of the kernel. It
decides how far a target is felt, and whether the fine details are found. Compare these curves with
the way to the target, for our two clouds: 0.2 for the nearest particle, 0.45 for half of them.
"""

# sphinx_gallery_thumbnail_number = 3
# sphinx_gallery_tags = ["kernel norms", "Hausdorff", "gradient flow", "2D"]
# sphinx_gallery_parallel = False

import matplotlib.pyplot as plt
import torch
from skimage import data

from sparseot import SamplesLoss
from sparseot.datasets import sample_image
from sparseot_widgets import FlowViewer, gradient_flow
from sparseot_widgets.figures import curves, flow_panels, use_style

use_style()
r = torch.linspace(0.0, 1.0, 400)
forces = {
    "Gaussian, blur 0.5": r / 0.5**2 * torch.exp(-(r**2) / (2 * 0.5**2)),
    "Gaussian, blur 0.1": r / 0.1**2 * torch.exp(-(r**2) / (2 * 0.1**2)),
    "Laplacian, blur 0.1": torch.exp(-r / 0.1) / 0.1,
    "energy": torch.ones_like(r),
}
fig, ax = plt.subplots(figsize=(7, 3.6))
curves(ax, r, forces, xlabel="distance (side of the square = 1)", ylabel="force", log=False)
ax.set_ylim(0, 10)
plt.show()

# %%
# In formulas, the norm is (Gretton et al., 2012, call its root the *maximum mean discrepancy*)
#
# .. math::
#    L(\alpha, \beta) = \tfrac12 \| \alpha - \beta \|_k^2
#    = \tfrac12 \langle \alpha, k \star \alpha \rangle
#    - \langle \alpha, k \star \beta \rangle
#    + \tfrac12 \langle \beta, k \star \beta \rangle .
#
# Gaussian, blur 0.5: sees far, and only far
# ------------------------------------------
# A man is on his way to a horse, along :math:`-N \nabla_{x_i} L` (its loop is written out in
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flow_2d.py`). The kernel is
# :math:`k(x, y) = e^{-|x - y|^2 / 2 \sigma^2}`, :math:`\sigma` = blur.

device = "cuda" if torch.cuda.is_available() else "cpu"
n = 10_000 if device == "cuda" else 1_000
x = 0.5 * sample_image(data.camera() < 60, n, seed=1, device=device)
y = 0.6 * sample_image(~data.horse(), n, seed=2, device=device)
y = y + torch.tensor([0.4, 0.45], device=device)


def show(name, loss):
    flow = gradient_flow(loss, x, y, [0.0, 0.25, 0.5, 1.0, 2.0, 5.0], step=0.05)
    flow_panels(flow.clouds, y, title=f"{name}  ({flow.seconds:.4f} s a step, n = {n:,})")
    plt.show()


show("Gaussian norm, blur 0.5", SamplesLoss("gaussian", blur=0.5))

# %%
# Colours tell the place at :math:`t = 0`. The cloud arrives, its front first. But details smaller
# than the blur weigh next to nothing: it settles as a streak of about the right mean, without legs.
#
# Gaussian, blur 0.1: lost at a distance
# --------------------------------------
# Half of the cloud is more than 4.5 blurs from the target, where the kernel is below :math:`e^{-10}`.
# Only the repulsion between neighbours remains there, and the cloud bursts; half of it leaves the
# picture. Those thrown within sight of the horse line up along its spine, for at short distance the
# repulsion vanishes too.

show("Gaussian norm, blur 0.1", SamplesLoss("gaussian", blur=0.1))

# %%
# Laplacian, blur 0.1: a longer tail, a pointed top
# -------------------------------------------------
# :math:`k(x, y) = e^{-|x - y| / \sigma}` decays more slowly, and its tip at 0 keeps neighbours
# apart: what arrives fills the horse's body. It still has one length scale, which is too few.

show("Laplacian norm, blur 0.1", SamplesLoss("laplacian", blur=0.1))

# %%
# Energy distance: no scale at all
# --------------------------------
# :math:`k(x, y) = -|x - y|` pulls alike at all distances (Székely and Rizzo, 2013): nobody is out of
# sight. But those in front push the rear back as strongly as the target pulls it on: it has to wait.

show("Energy distance", SamplesLoss("energy"))

# %%
# Hausdorff: nearest neighbours, softly
# -------------------------------------
# A cousin (Feydy, 2020, chapter 3) has soft distances to the clouds in the place of :math:`k \star
# \alpha` and :math:`k \star \beta`. At a small blur every particle goes to its *nearest* target point,
# and every target point calls its nearest particle: the few next to the horse leap ahead at once, all
# others crowd at its hind quarters, for nothing in this loss balances the masses.

show("Hausdorff divergence, blur 0.1", SamplesLoss("hausdorff", p=2, blur=0.1))

# %%
# All of them, at any time
# ------------------------
# Play a flow, or drag the time. The paths show who leaps, who waits, and who is thrown out.

losses = ["gaussian", "laplacian", "energy", "hausdorff"]
FlowViewer(x, y, losses=losses, blurs=[0.1, 0.5], frames=21).record(loss=4, blur=2)

# %%
# **What to try next.** The sum of Gaussian losses of blur 0.5, 0.2 and 0.05: sight at all scales, at
# three times the price. Losses that see all scales and balance mass:
# :ref:`sphx_glr_auto_gallery_gradient_flows_plot_flows_2d_transport.py`.
#
# References
# ----------
# - Feydy (2020). *Geometric data analysis, beyond convolutions*. PhD thesis.
# - Gretton, Borgwardt, Rasch, Schölkopf, Smola (2012). A kernel two-sample test. *Journal of Machine
#   Learning Research* 13.
# - Székely, Rizzo (2013). Energy statistics: a class of statistics based on distances. *Journal of
#   Statistical Planning and Inference* 143.
