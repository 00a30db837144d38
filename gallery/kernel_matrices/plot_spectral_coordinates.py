r"""
Spectral coordinates
====================

A cloud of points that lies along a curve knows nothing of that curve: the points have no order.
The eigenvectors of its kernel matrix find it again. After this page you can compute them for
thousands of points in seconds, say how exact they are, and read them on the cloud.

The example is the spiral of a tutorial of KeOps (Charlier et al., 2021), whose figures we check.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["kernel matrix", "eigenvectors", "Laplacian", "2D"]

import math
import time

import matplotlib.pyplot as plt
import torch

from sparseot import KernelMatrix, eigsh, graph_laplacian, kernels
from sparseot_widgets.figures import scatter, use_style

use_style()

N = 10_000
t = torch.linspace(0, 2 * math.pi, N + 1)[:-1]
x = torch.stack((0.4 + 0.4 * (t / 7) * t.cos(), 0.5 + 0.3 * t.sin()), dim=1)
x += 0.01 * torch.randn(N, 2, generator=torch.Generator().manual_seed(0))

K = KernelMatrix(kernels.Gaussian(0.05), x)
D = K.sum()


def paint(ax, values, cmap, low, high):
    """The cloud, coloured by values."""
    discs = scatter(ax, x, size=3)
    discs.set(array=values.numpy(), cmap=cmap, clim=(low, high))
    ax.set(xlim=(0, 0.85), ylim=(0.1, 0.9))
    return discs


fig, ax = plt.subplots(figsize=(6.2, 4.6))
fig.colorbar(paint(ax, D, "viridis", 0, D.max()), shrink=0.9, label="degree $D_i$ (points)")
ax.set(xlabel="$x_1$", ylabel="$x_2$", title=rf"{N:,} points, seen by a kernel of width 0.05")
plt.show()

# %%
# The matrix and its degrees
# --------------------------
# The Gaussian kernel says who is a neighbour of whom, softly, at the scale :math:`\sigma = 0.05`:
#
# .. math:: K_{ij} = e^{-|x_i - x_j|^2 / 2 \sigma^2}, \qquad D = K 1 .
#
# The degree :math:`D_i` is the number of neighbours of :math:`x_i`, itself included. It is large
# where the curve turns and the points lie densely, and small at the two ends.
#
# Laplacians
# ----------
# On the weighted graph that K describes, a function :math:`f` varies little if neighbours have
# nearly the same value:
#
# .. math:: \langle f, L f \rangle = \tfrac12 \sum_{ij} K_{ij} \, (f_i - f_j)^2 ,
#    \qquad L = \operatorname{diag}(D) - K .
#
# Its first eigenvectors are the smoothest functions that are orthogonal to each other. The normed
# Laplacian :math:`I - D^{-1/2} K D^{-1/2}` divides out the density. None of the three is stored.

L = graph_laplacian(K)
normed = graph_laplacian(K, normed=True)
KEOPS_K = [626.6, 639.7, 666.2, 749.0, 1432.9]
KEOPS_L = [0, 3.488, 14.23, 41.77, 66.87, 77.49, 114.9]


def table(name, operator, k, which, reference=None):
    """Print k eigenvalues of an operator, the norms of their residuals and what KeOps found."""
    start = time.perf_counter()
    pairs = eigsh(operator, k, which)
    seconds = time.perf_counter() - start
    print(f"{name}: {pairs.products} products, {seconds:.1f} s, converged: {pairs.converged}")
    print(f"  {'eigenvalue':>10}   {'residual':>8}" + ("   KeOps" if reference else ""))
    for i, (value, residual) in enumerate(zip(pairs.values, pairs.residuals, strict=True)):
        print(f"  {value:10.4g}   {residual:8.1e}" + (f"   {reference[i]:g}" if reference else ""))
    return pairs


table("K, largest", K, 5, "LA", KEOPS_K)
table("L = diag(D) - K, smallest", L, 7, "SA", KEOPS_L)
waves = table("normed L, smallest", normed, 7, "SA")

# %%
# The figures agree within some percent: the noise is drawn anew. A residual is the norm
# :math:`r = |A u - \lambda u|` for a vector :math:`u` of length one, and it certifies the line it
# stands in: a symmetric matrix has an eigenvalue within :math:`r` of the one printed.
#
# **Which end of the spectrum?** The smallest eigenvalues of the normed Laplacian are one minus the
# largest of :math:`D^{-1/2} K D^{-1/2}`, and they share their eigenvectors. With SciPy's solver ask
# for the largest: it stops when a residual is small *relative to the eigenvalue*, and for an
# eigenvalue of nearly zero that is a demand which single precision cannot meet. Here the tolerance
# is relative to the norm of the matrix, and both ends are alike. The Laplacian that is not normed
# needs several times the products, for its spectrum is as wide as the largest degree.
#
# Vibrations of a curve
# ---------------------
# Divided by :math:`\sqrt{D}`, the eigenvectors of the normed Laplacian are functions on the cloud
# that vary as slowly as possible; the first is constant, here are the next six.

fig, axes = plt.subplots(2, 3, figsize=(9.6, 5.6), sharex=True, sharey=True)
functions = waves.vectors / D.sqrt()[:, None]
for k, ax in enumerate(axes.flat, start=1):
    f = functions[:, k] / functions[:, k].abs().max()
    discs = paint(ax, f, "RdBu", -1, 1)
    ax.set_facecolor("#D8D8D8")  # zero is white
    ax.set_title(rf"$f_{k}$,  $\lambda = {waves.values[k]:.4f}$")
fig.colorbar(discs, ax=axes, shrink=0.6, label="value, relative to the largest")
fig.supxlabel("$x_1$", fontsize=11)
fig.supylabel("$x_2$", fontsize=11)
plt.show()

# %%
# **What to see.** These are the vibrations of a string that lies along the curve: :math:`f_k` has
# exactly :math:`k` changes of sign (white) between one end and the other, although nobody told the
# computer about ends or an order. They are cosines, as in Fourier's series, stretched by the
# density: where points crowd, at the turn, a change is dear and the string is stiff. The short
# inner branch beyond that turn follows it as one piece in :math:`f_1` to :math:`f_3`; only
# :math:`f_5` swings mostly there. The values of the first few are *spectral coordinates* of a
# point: its place in the shape rather than in the plane.
#
# What to try next
# ----------------
# - ``kernels.Gaussian(0.02)``: the turn is less stiff, and the inner branch swings as early as in
#   :math:`f_4`.
# - ``graph_laplacian(K, self_loops=False)``: L is the same, its normed form is SciPy's.
# - Other uses of the same matrix:
#   :ref:`sphx_glr_auto_gallery_kernel_matrices_plot_matrix_never_stored.py`.
#
# References
# ----------
# - Charlier, Feydy, Glaunès, Collin, Durif (2021). Kernel operations on the GPU, with autodiff,
#   without memory overflows. *Journal of Machine Learning Research* 22; figures from the tutorial
#   on SciPy in the documentation of KeOps.
# - Belkin, Niyogi (2003). Laplacian eigenmaps for dimensionality reduction and data
#   representation. *Neural Computation* 15.
# - Coifman, Lafon (2006). Diffusion maps. *Applied and Computational Harmonic Analysis* 21.
# - von Luxburg (2007). A tutorial on spectral clustering. *Statistics and Computing* 17.

# %%
# Move the width
# --------------
# Move :math:`\sigma` until the inner branch swings earlier, or until the two ends of the curve are
# neighbours: the eigenvalues say when. In *spectral coordinates* the cloud stands where its first
# eigenvectors put it, and sorted *along the eigenvector* the kernel matrix is a band.

from sparseot_widgets import KernelViewer

KernelViewer(K, title="The spiral and its kernel matrix").record(sigma=11)
