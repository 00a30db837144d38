r"""
A reach for outliers: flows in a medical table
==============================================

Samples of 357 benign and 212 malignant tumours, each known by the mean radius of its cell nuclei (the
Wisconsin breast cancer table of scikit-learn), make two clouds on the line, one point a sample. The
malignant one has a long tail. A balanced plan must serve it, however far it is. With a ``reach`` the
marginals become a matter of price, :math:`\rho \, \text{KL}` with :math:`\rho = \text{reach}^p`
(Séjourné et al., 2019): to move mass much farther than the reach costs more than to destroy it here
and create it there. How much of its mass does each malignant sample get, then?
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["sinkhorn", "unbalanced", "gradient flow", "1D"]
# sphinx_gallery_parallel = False

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_breast_cancer

from sparseot import SamplesLoss, solve_sample
from sparseot_widgets import FlowViewer, gradient_flow
from sparseot_widgets.figures import PURPLE, SKY, curves, density_1d, flow_panels, use_style

use_style()
table = load_breast_cancer()
radius = torch.tensor(table.data[:, :1], dtype=torch.float32)
radius = (radius - radius.min()) / (radius.max() - radius.min())
x = radius[table.target == 1]  # benign
y = radius[table.target == 0].sort(dim=0).values  # malignant

reaches = {"balanced": None, "reach 0.5": 0.5, "reach 0.2": 0.2, "reach 0.1": 0.1}
served = {}
for name, reach in reaches.items():
    found = solve_sample(x, y, blur=0.01, reach=reach)
    served[name] = len(y) * found.marginal_b
    print(f"{name}: {found.marginal_b.sum():.0%} of the mass is carried")

fig, (top, ax) = plt.subplots(2, 1, figsize=(8.5, 5.6), sharex=True)
density_1d(top, x, SKY, bandwidth=0.02, window=(0.0, 1.0), label=f"benign, {len(x)} samples")
density_1d(top, y, PURPLE, bandwidth=0.02, window=(0.0, 1.0), label=f"malignant, {len(y)} samples")
top.set_ylabel("density")
top.legend()
unit = "range of the mean radius = 1"
labels = {"xlabel": f"mean radius ({unit})", "ylabel": "mass received,\nrelative to its own"}
curves(ax, y[:, 0], served, log=False, **labels)
plt.show()

# %%
# The shorter the reach, the fewer of the large ones the plan serves. What they do not get is not lost
# on the others: those near by get more than their share, for the price is paid on both sides.
#
# Two flows
# ---------
# A gradient hardly pulls towards those left out. But a flow asks for a new one at every step. First
# the balanced flow along :math:`-N \nabla_{x_i} S`
# (:ref:`sphx_glr_auto_gallery_gradient_flows_plot_flow_2d.py` writes the loop out): the front of the
# cloud travels far, to become the long tail.


def show(name):
    loss = SamplesLoss("sinkhorn", p=2, blur=0.01, reach=reaches[name])
    flow = gradient_flow(loss, x, y, [0.0, 0.5, 1.0, 2.0, 5.0, 20.0], step=0.1)
    share = {t: f"{(flow.clouds[t] > 0.6).float().mean():.0%}" for t in (5.0, 20.0)}
    print(f"{name}: beyond 0.6 are {share[5.0]} at t = 5 and {share[20.0]} at t = 20")
    title = f"Sinkhorn, {name}  ({flow.seconds:.4f} s a step, n = {len(x)})"
    flow_panels(flow.clouds, y, title=title, unit=unit, bandwidth=0.02)
    plt.show()


show("balanced")

# %%
# With a reach of 0.1 the pull of far samples is nearly zero, and they are served last:

show("reach 0.1")
print(f"target: {(y > 0.6).float().mean():.0%}")

# %%
# At :math:`t = 5` hardly anybody is in the tail, later they get there all the same. The unbalanced
# divergence, too, is smallest at the target, and each step starts where the last one ended: little by
# little the front goes much farther than the reach. What a reach bounds is one plan, not a flow.
#
# Reaches, at any time
# --------------------
# Play a flow, or drag the time. For one plan, take a reach about as long as the longest move that
# makes sense; to keep a flow away from outliers, stop it early.


def unbalanced(reach):
    return lambda x, y, blur: SamplesLoss(p=2, blur=blur, reach=reach)(x, y)


losses = {name: unbalanced(reach) for name, reach in reaches.items()}
FlowViewer(x, y, losses=losses, blurs=[0.01, 0.1], blur=0.01, frames=26).record(loss=4, blur=2)

# %%
# References
# ----------
# - Séjourné, Feydy, Vialard, Trouvé, Peyré (2019). Sinkhorn divergences for unbalanced optimal
#   transport. *arXiv:1910.12958*.
# - Street, Wolberg, Mangasarian (1993). Nuclear feature extraction for breast tumor diagnosis. *SPIE*
#   1905.
