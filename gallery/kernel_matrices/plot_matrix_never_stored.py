r"""
A matrix you never store
========================

Twenty thousand points have four hundred million pairs. After this page you can multiply by the
matrix of a kernel over all of them and solve linear systems with it, on a laptop and without ever
holding the matrix: what is stored is the points.

We use it to repaint a photograph from the one pixel in thirteen that was kept, with noise.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["kernel matrix", "regression", "SciPy", "2D"]

import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse.linalg import aslinearoperator, cg
from skimage import data

from sparseot import Diagonal, KernelMatrix, kernels
from sparseot_widgets.figures import pictures, use_style

use_style()
rng = np.random.default_rng(0)
photo = (data.camera() / 255).astype(np.float32)
row, col = np.divmod(rng.choice(photo.size, 20_000, replace=False), 512)
x = np.stack([(col + 0.5) / 512, 1 - (row + 0.5) / 512], axis=1).astype(np.float32)
f = photo[row, col] + 0.05 * rng.standard_normal(len(x), dtype=np.float32)

fig, ax = plt.subplots(figsize=(5.6, 4.8))
discs = ax.scatter(*x.T, c=f, s=3, cmap="gray", vmin=0, vmax=1, linewidths=0)
fig.colorbar(discs, shrink=0.9, label="grey value $f_i$ (0 black, 1 white)")
ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", facecolor="#D5E6F5")  # blue: not known
ax.set(xlabel="$x_1$ (side = 1)", ylabel="$x_2$ (side = 1)")
ax.set_title(f"{len(x):,} noisy pixels of {photo.size:,}")
plt.show()

# %%
# The matrix
# ----------
# We take :math:`K_{ij} = k(x_i, x_j) = e^{-|x_i - x_j| / \sigma}` with :math:`\sigma = 0.02`, ten
# pixels. A :class:`sparseot.KernelMatrix` computes its entries when a product asks for them and forgets
# them at once. Kinds in are kinds out: here NumPy arrays, elsewhere torch tensors with gradients in
# the points and in the vector.

K = KernelMatrix(kernels.Laplacian(0.02), x)
print(K)
print(f"stored, it would take {4e-9 * len(x) ** 2:.1f} GB; the points take {x.nbytes / 1e3:.0f} kB")
distance = np.linalg.norm(x - x[5], axis=1)
near = distance.argsort()[:6]
error = np.abs(K[5, near] - np.exp(-distance[near] / 0.02)).max()
print(f"K[5, near] = {K[5, near].round(3)}, from the formula up to {error:.0e}")

# %%
# One product
# -----------
# To paint the place :math:`z` we may take the *mean* of the known pixels, weighted by the kernel
# (Nadaraya, 1964; Watson, 1964). With :math:`G` the matrix from the points of a grid to the pixels,
# of 65,536 rows, that is a product divided by a sum: :math:`G f / G 1`.

centres = ((np.arange(256) + 0.5) / 256).astype(np.float32)
z = np.stack(np.meshgrid(centres, 1 - centres), axis=-1).reshape(-1, 2)
G = KernelMatrix(kernels.Laplacian(0.02), z, x)
mean = (G @ f) / G.sum()

# %%
# One system
# ----------
# Or we *solve* for coefficients: kernel ridge regression, also known as kriging or as the mean of
# a Gaussian process (Rasmussen and Williams, 2006),
#
# .. math:: (K + \alpha I) \, c = f - \bar f, \qquad \hat f(z) = \bar f + \sum_j k(z, x_j) \, c_j .
#
# Sums and multiples of matrices are matrices, SciPy takes them as they are, and conjugate gradients
# ask for nothing but products.

A = K + 0.3 * Diagonal(np.ones_like(f))
steps = []
c, _ = cg(aslinearoperator(A), f - f.mean(), rtol=1e-2, callback=steps.append)
ridge = f.mean() + G @ c
print(f"{len(steps)} steps of conjugate gradients, one product each")

truth = photo.reshape(256, 2, 256, 2).mean(axis=(1, 3)).ravel()
shown = {"photograph": truth}
for name, values in {"mean": mean, "ridge regression": ridge}.items():
    shown[f"{name}: rms error {np.sqrt(np.mean((values - truth) ** 2)):.3f}"] = values
pictures({name: values.reshape(256, 256) for name, values in shown.items()})
plt.show()

# %%
# **What to see.** Both see the same pixels through the same kernel. The mean blurs by the width of
# the kernel: tripod and face are gone. The system undoes that blur, while the ridge :math:`\alpha`
# keeps it from fitting the noise. A mean can be nearly as good, with an error of 0.059 at a fifth of
# the width; it stands or falls with that choice.
#
# What else asks for products only works likewise, ``eigsh`` and ``svds`` for instance: see
# :ref:`sphx_glr_auto_gallery_kernel_matrices_plot_spectral_coordinates.py`, and the chapter
# :doc:`Kernel matrices </guide/kernel-matrices>` of the user guide.
#
# What to try next
# ----------------
# - :math:`\alpha = 0.03`: twice the steps, and the noise comes back; :math:`\alpha = 3`: blurred.
# - ``kernels.Gaussian(0.01)``: fewer steps, and what is left of the noise is as wide as the kernel.
# - ``engine="tiles"`` in the matrix: the same numbers from plain torch, which also runs on a GPU.
#
# References
# ----------
# - Charlier, Feydy, Glaunès, Collin, Durif (2021). Kernel operations on the GPU, with autodiff,
#   without memory overflows. *Journal of Machine Learning Research* 22.
# - Nadaraya (1964). On estimating regression. *Theory of Probability and its Applications* 9; and
#   Watson (1964). Smooth regression analysis. *Sankhyā* A 26.
# - Rasmussen, Williams (2006). *Gaussian processes for machine learning*, chapter 2. MIT Press.
