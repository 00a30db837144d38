r"""
Look before you solve
=====================

Transport depends on the distances between points and on nothing else. Are they the distances that you mean? After this
page you look at the **shape**, the **units** and the **strays** of a cloud before you solve
anything, and let the data propose a blur. Turn the cloud below with the mouse: 569 tumours, in the units of a table.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["transport", "blur", "real data", "viewer", "3D"]

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_breast_cancer

import sparseot as so
from sparseot_widgets import CloudViewer, PlanViewer
from sparseot_widgets.figures import BLUE, ORANGE, use_style

use_style()
table = load_breast_cancer()
names = ["mean texture", "mean area", "mean smoothness"]
columns = [list(table.feature_names).index(name) for name in names]
points = torch.tensor(table.data[:, columns]).float()
kind = table.target_names[table.target]

CloudViewer(points, labels=kind, names=names, title="569 tumours, as in the table")

# %%
# **What to see.** A needle. The area runs over thousands, the smoothness over a tenth, so that a distance between two tumours is
# their difference in area and nothing else. No solver can know that you did not mean this.

share = points.var(0) / points.var(0).sum()
for name, part in zip(names, share, strict=True):
    print(f"{name:>16}: {part:8.3%} of the mean squared distance")

# %%
# The units
# ---------
# Divide each column by its standard deviation, and all three count alike. From here on, a length, and so the blur, is in
# standard deviations. Look again, now at how far each point is from its fifth neighbour: light points are **strays**.

x = (points - points.mean(0)) / points.std(0)
lonely = so.knn(x, k=5)[0][:, -1]  # distances and indices, nearest first

CloudViewer(x, values=lonely, names=names, unit="std", title="The same, and how lonely each is")

# %%
# Strays matter, because a balanced plan has to carry their mass, however far. Here are the farthest twenty, picked
# out by their numbers, in the plane of area and smoothness.

stray = lonely.argsort()[-20:]
malignant = torch.tensor(table.target == 0)

fig, axes = plt.subplots(1, 2, figsize=(10, 4.0))
for ax, cloud, title in ((axes[0], points, "in the table's units"), (axes[1], x, "in std")):
    for mask, colour, name in ((malignant, ORANGE, "malignant"), (~malignant, BLUE, "benign")):
        ax.scatter(*cloud[mask][:, 1:].T, s=10, color=colour, lw=0, label=name)
    ax.scatter(*cloud[stray][:, 1:].T, s=70, facecolor="none", edgecolor="black", label="strays")
    ax.set(xlabel=names[1], ylabel=names[2], title=title)
axes[0].set_aspect("equal", adjustable="datalim")
axes[1].set_aspect("equal")
axes[1].legend(loc="upper right")
plt.show()

# %%
# **What to see.** Left, with axes of equal scale, the cloud is a line: this is how transport saw it. Right, it is a cloud.
#
# The blur
# --------
# Two questions have to be answered by a number: which details count, and how much time may it take?
# :func:`sparseot.suggest_blur` reads both off the points. Below the **spacing**, a plan would match single points; at the
# **diameter**, it sees the means alone. Twice the spacing is a good start.

benign, ill = x[~malignant], x[malignant]
report = so.suggest_blur(benign, ill)
print(report)

# %%
# Then solve
# ----------
# With a ``reach`` of two standard deviations, mass that would have to go much farther stays where it is.

blur = 2 * report.spacing
for reach in (None, 2.0):
    found = so.solve_sample(benign, ill, blur=blur, reach=reach)
    carried = found.marginal_b * len(ill)
    far = carried[torch.isin(torch.arange(len(x))[malignant], stray)].mean()
    print(f"reach {reach}: {carried.mean():.0%} of the mass is carried, of the strays' {far:.0%}")

# %%
# Try it
# ------
# The same two clouds. Move the blur between the spacing and the diameter that were printed, then the reach.

PlanViewer(benign, ill, blur=blur, unit="std", title="From benign to malignant")

# %%
# **What to try next.** Look at a cloud of your own: ``CloudViewer`` takes arrays, tensors, data frames and what the library
# returns. What the blur does to the result:
# :ref:`sphx_glr_auto_gallery_transport_plot_choose_blur.py`.
#
# References
# ----------
# - Street, Wolberg, Mangasarian (1993). Nuclear feature extraction for breast tumor diagnosis. *SPIE*
#   1905.
