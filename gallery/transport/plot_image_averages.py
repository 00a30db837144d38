r"""
Averages of images
==================

The mean of two pictures, pixel by pixel, is a double exposure. The mean in the sense of transport is a
shape between both: mass moves, and the average is the image whose costs to all others have the least sum
(Agueh and Carlier, 2011). After this page you can average images and volumes, know what the blur does to
an average, and how entropy is kept from blurring it (Janati, Cuturi and Gramfort, 2020).
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["transport", "barycenters", "images", "shapes"]

import matplotlib.pyplot as plt
import torch

import sparseot as so
from sparseot_widgets.figures import pictures, use_style

use_style()
n = 64
y, x = torch.meshgrid(*[torch.linspace(-1.2, 1.2, n, dtype=torch.float64)] * 2, indexing="ij")
radius, angle = torch.hypot(x, y), torch.atan2(y, x)
shapes = {
    "ring": (radius < 1) & (radius > 0.65),
    "star": radius < 0.45 + 0.4 * torch.cos(5 * angle - 1.57),
    "cross": (torch.minimum(x.abs(), y.abs()) < 0.22) & (torch.maximum(x.abs(), y.abs()) < 0.95),
    "heart": (x**2 + (1.1 * -y + 0.1 - x.abs() ** 0.7 * 0.6) ** 2) < 0.7,
}
corners = torch.stack([shape.double() / shape.sum() for shape in shapes.values()])

t = torch.linspace(0, 1, 5, dtype=torch.float64)
down, right = (s.reshape(-1) for s in torch.meshgrid(t, t, indexing="ij"))
weights = torch.stack(
    ((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right), 1
)
h = 2.4 / (n - 1)  # the distance of two pixels
found = so.grid_barycenter(corners, weights, spacing=h, blur=0.06, tol=1e-2)
brightest = found.image.flatten(1).amax(1)
pictures(
    {
        " " * k: image / top
        for k, (image, top) in enumerate(zip(found.image, brightest, strict=True))
    },
    columns=5,
    cmap="magma",
)
plt.show()

# %%
# The four shapes stand in the corners, each as weights of the pixels with the sum one. All other images
# are averages, and all 25 were solved together: the weights of an average are a row of ``weights``,
#
# .. math:: \min_\beta \, \sum_k w_k \, S_\varepsilon(\alpha_k, \beta),
#
# with the Sinkhorn divergence S. No pair of pixels was visited. The Gaussian kernel of the solver is a
# product over both axes, so that each sweep is some products with small matrices, for rows and for columns.

print(found)

# %%
# What entropy does, and what removes it
# --------------------------------------
# The average in the sense of the entropic cost alone (``debias=False``) is blurred, for a plan at a
# temperature spreads mass over a blur. The divergence subtracts half of the cost of each image to itself;
# its average is as sharp as the shapes are, at any blur. A larger one only rounds off what is smaller.

half = torch.tensor([0.5, 0.5, 0, 0], dtype=torch.float64)
shown = {"double exposure": corners[:2].mean(0)}
for blur in (0.06, 0.15):
    for debias in (False, True):
        average = so.grid_barycenter(corners, half, spacing=h, blur=blur, debias=debias, tol=1e-2)
        shown[f"{'debiased' if debias else 'entropic'}, blur {blur:g}"] = average.image
pictures({name: image / image.max() for name, image in shown.items()}, cmap="magma")
plt.show()

# %%
# How the mass moves
# ------------------
# Between two images :func:`sparseot.solve_grid` finds the plan, its potentials and the displacement of
# the mass of each pixel, all in the form of images. The value comes with an interval that contains the
# true one, and with exact derivatives in the weights of all pixels.

ring, star = corners[0], corners[1]
transport = so.solve_grid(ring, star, spacing=h, blur=0.06, debias=True, tol=1e-3)
print(transport)
print(f"  the true value is between {transport.lower:.6f} and {transport.upper:.6f}")

way = transport.displacement()
step = 4
rows, columns = torch.meshgrid(torch.arange(0, n, step), torch.arange(0, n, step), indexing="ij")
heavy = ring[rows, columns] > 0
rows, columns = rows[heavy], columns[heavy]
moved = way[rows, columns] / h
fig, ax = plt.subplots(figsize=(5, 5))
ax.imshow(star, cmap="Greys", alpha=0.5)
ax.imshow(ring, cmap="Blues", alpha=0.5)
ax.quiver(
    columns, rows, moved[:, 1], moved[:, 0], angles="xy", scale_units="xy", scale=1, width=0.004
)
ax.set_axis_off()
ax.set_title("from the ring (blue) to the star (grey)")
plt.show()

# %%
# Volumes are averaged by the same call, from ``(K, D, H, W)``; ``dim`` and ``spacing`` say which axes
# are the grid. The chapter :doc:`Images and volumes </guide/grids>` has the rest.
