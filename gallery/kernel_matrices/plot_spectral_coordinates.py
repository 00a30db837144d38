r"""
Spectral coordinates
====================

A cloud of points may lie along a curve, but its points have no order.
The eigenvectors of its kernel matrix find it again. After this page you can compute them for
thousands of points in seconds, say how exact they are, and read them on the cloud.

The example is the spiral of a tutorial of KeOps (Charlier et al., 2021), whose figures we check.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["kernel matrix", "eigenvectors", "Laplacian", "2D"]

import matplotlib.pyplot as plt

from sparseot import KernelMatrix, datasets, eigsh, graph_laplacian, kernels
from sparseot_widgets import KernelViewer
from sparseot_widgets.figures import use_style

use_style()

x = datasets.spiral(10_000)
K = KernelMatrix(kernels.Gaussian(0.05), x)
D = K.sum()


def paint(ax, values, cmap, low, high):
    """The cloud, coloured by values."""
    discs = ax.scatter(*x.T, c=values, s=3, cmap=cmap, vmin=low, vmax=high, linewidths=0)
    ax.set(xlim=(0, 0.85), ylim=(0.1, 0.9), aspect="equal")
    return discs


fig, ax = plt.subplots(figsize=(6.2, 4.6))
fig.colorbar(paint(ax, D, "viridis", 0, D.max()), shrink=0.9, label="degree $D_i$ (points)")
ax.set(xlabel="$x_1$", ylabel="$x_2$", title="10,000 points, seen by a kernel of width 0.05")
plt.show()

# %%
# Smooth functions on a graph
# ---------------------------
# The Gaussian kernel says who is a neighbour of whom, softly, at the scale :math:`\sigma = 0.05`, and
# the degree :math:`D_i` counts the neighbours of :math:`x_i`, itself included. On this weighted graph
# a function :math:`f` varies little if neighbours have nearly the same value:
#
# .. math:: \langle f, L f \rangle = \tfrac12 \sum_{ij} K_{ij} \, (f_i - f_j)^2 ,
#    \qquad K_{ij} = e^{-|x_i - x_j|^2 / 2 \sigma^2}, \quad L = \operatorname{diag}(K 1) - K .
#
# The first eigenvectors of the Laplacian L are the smoothest functions that are orthogonal to each
# other. The normed one, :math:`I - D^{-1/2} K D^{-1/2}`, divides out the density. None is stored.

KEOPS_K = [626.6, 639.7, 666.2, 749.0, 1432.9]
KEOPS_L = [0, 3.488, 14.23, 41.77, 66.87, 77.49, 114.9]


def table(name, pairs, reference):
    """Print eigenvalues, the norms of their residuals and what KeOps found."""
    print(f"{name}: {pairs.products} products, converged: {pairs.converged}")
    print("  eigenvalue   residual   KeOps")
    for value, residual, keops in zip(pairs.values, pairs.residuals, reference, strict=True):
        print(f"  {value:10.4g}   {residual:8.1e}   {keops}")


table("K, largest", eigsh(K, 5, "LA"), KEOPS_K)
table("L, smallest", eigsh(graph_laplacian(K), 7, "SA"), KEOPS_L)
waves = eigsh(graph_laplacian(K, normed=True), 7, "SA")

# %%
# The figures agree within some percent: the noise is drawn anew. A residual is the norm
# :math:`r = |A u - \lambda u|` for a vector :math:`u` of length one, and it certifies the line it
# stands in: a symmetric matrix has an eigenvalue within :math:`r` of the one printed. With SciPy's own
# solver, take the *largest* eigenvalues of :math:`D^{-1/2} K D^{-1/2}`: the chapter
# :doc:`Kernel matrices </guide/kernel-matrices>` says why.
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
plt.show()

# %%
# **What to see.** These are the vibrations of a string that lies along the curve: :math:`f_k` has
# exactly :math:`k` changes of sign (white) between one end and the other, although neither ends nor an
# order were given. They are cosines, as in Fourier's series, stretched by the
# density: where points crowd, at the turn, a change is dear and the string is stiff. The short
# inner branch beyond that turn follows it as one piece in :math:`f_1` to :math:`f_3`; its end
# swings in :math:`f_4`, and most of all in :math:`f_5`. The values of the first few are *spectral coordinates* of a
# point: its place in the shape rather than in the plane.
#
# **What to try next.** Move :math:`\sigma` until the inner branch swings earlier, or until the two ends
# of the curve are neighbours: the eigenvalues say when. In *spectral coordinates* the cloud stands where
# its first eigenvectors put it; sorted *along the eigenvector*, the kernel matrix is a band.

KernelViewer(K, title="The spiral and its kernel matrix").record(sigma=11)

# %%
# References
# ----------
# - Charlier, Feydy, Glaunès, Collin, Durif (2021). Kernel operations on the GPU, with autodiff,
#   without memory overflows. *Journal of Machine Learning Research* 22; figures from the tutorial
#   on SciPy in the documentation of KeOps.
# - Belkin, Niyogi (2003). Laplacian eigenmaps for dimensionality reduction and data
#   representation. *Neural Computation* 15.
# - Coifman, Lafon (2006). Diffusion maps. *Applied and Computational Harmonic Analysis* 21.
# - von Luxburg (2007). A tutorial on spectral clustering. *Statistics and Computing* 17.
