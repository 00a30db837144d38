r"""
A million points
================

The matrix of a kernel between a million points has a trillion entries, four terabytes in single
precision. After this page you can find the smoothest functions on such a cloud on a laptop, in
seconds and with a certificate, without these entries.

The cloud is the noisy Swiss roll of a tutorial of KeOps (Charlier et al., 2021), which takes 51.8 s
on a graphics card for what we do here on two cores.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["kernel matrix", "eigenvectors", "Laplacian", "large", "3D"]

import time

import matplotlib.pyplot as plt
import torch

from sparseot import KernelMatrix, datasets, eigsh, graph_laplacian, kernels
from sparseot_widgets import KernelViewer
from sparseot_widgets.figures import use_style

use_style()

N, SIGMA = 1_000_000, 0.01
x = datasets.swiss_roll(N)
start = time.perf_counter()
K = KernelMatrix(kernels.Gaussian(SIGMA), x, tol=1e-5)
L = graph_laplacian(K, normed=True)
print(K)
print(f"degrees: {time.perf_counter() - start:.1f} s")

shown = torch.randperm(N, generator=torch.Generator().manual_seed(0))[:30_000]


def paint(ax, values, title, **kwargs):
    """Values on a sample of the roll in space; only what is drawn is thinned out."""
    discs = ax.scatter(*x[shown].T, c=values, s=1.8, linewidths=0, depthshade=False, **kwargs)
    ax.view_init(elev=50, azim=-70, roll=0, vertical_axis="y")
    ax.set_box_aspect((1, 1, 0.75), zoom=1.25)
    ax.set_axis_off()
    ax.set_title(title)
    return discs


fig, ax = plt.subplots(figsize=(6.4, 4.6), subplot_kw={"projection": "3d"})
discs = paint(ax, L.degrees[shown], f"30,000 of {N:,} points, seen by a kernel of width {SIGMA}")
fig.colorbar(discs, shrink=0.7, label="degree $D_i$ (points)")
plt.show()

# %%
# None of the pairs
# -----------------
# The Gaussian :math:`e^{-|x_i - x_j|^2 / 2 \sigma^2}` with :math:`\sigma = 0.01` is smooth, hence a short
# Fourier series (Alfke et al., 2018): on this cloud 1.7 million waves stand for the trillion pairs. Sums
# of waves at scattered points are fast Fourier transforms, here FINUFFT's (Barnett et al., 2019). To see
# whether the answer is right, some rows are summed exactly, over all pairs:

print(f"error of a product, from 16 exact rows: {K.error(rows=16):.0e} of the sum of |v|")

# %%
# KeOps's tutorial drops pairs instead: points are sorted into cubes of edge 0.05, and close cubes keep
# 5 % of the matrix. ``pairs=Blocks(5 * SIGMA)`` keeps 1.6 % in boxes that fit tightly; it serves kernels
# that are no short series (:doc:`Kernel matrices </guide/kernel-matrices>`).
#
# Few products
# ------------
# We look for the smallest eigenvalues of the normed Laplacian
#
# .. math:: L = I - D^{-1/2} K D^{-1/2}, \qquad D = K 1 .
#
# They lie close together near zero, so that a Krylov method needs some eight hundred products. But
# the wanted eigenvectors are smooth at the scale :math:`\sigma`: a graph of 27,000 voxels of edge
# :math:`1.5 \sigma` knows them to a percent. ``eigsh`` solves that small problem first, then corrects what
# is smooth in the residuals on the voxels, what is rough by the large matrix (Hackbusch, 1985).

start = time.perf_counter()
low = eigsh(L, 7, "SA")
print(f"eigenpairs: {time.perf_counter() - start:.1f} s, {low.products} products")
KEOPS = [-9.1e-8, 1.5488e-4, 6.0963e-4, 7.9121e-4, 9.4554e-4, 1.3957e-3, 1.9849e-3]
print("eigenvalue   residual   KeOps, other noise")
for value, residual, keops in zip(low.values, low.residuals, KEOPS, strict=True):
    print(f"{value:10.4e}    {residual:.0e}   {keops:10.4e}")

# %%
# The residual :math:`r = |L u - \lambda u|` certifies each line: an eigenvalue lies within :math:`r`,
# and where the next one is :math:`\gamma` away, within :math:`r^2 / \gamma`, here :math:`10^{-7}`.
# Divided by :math:`\sqrt D`, the eigenvectors are the vibrations of a sheet of rubber:

fig, axes = plt.subplots(2, 3, figsize=(9.6, 6.0), subplot_kw={"projection": "3d"})
for k, ax in enumerate(axes.flat, start=1):
    f = (low.vectors[:, k] / L.degrees.sqrt())[shown]
    title = rf"$f_{k}$,  $\lambda = {low.values[k] * 1e4:.2f} \cdot 10^{{-4}}$"
    paint(ax, f / f.abs().max(), title, cmap="RdBu", vmin=-1, vmax=1)
plt.show()

# %%
# **What to see.** Along the roll :math:`f_1`, :math:`f_2` and :math:`f_6` change their sign once, twice
# and three times, like the strings of
# :ref:`sphx_glr_auto_gallery_kernel_matrices_plot_spectral_coordinates.py`; :math:`f_3` changes with the
# height only, :math:`f_4` and :math:`f_5` with both. No function jumps from one turn to the next: at this
# :math:`\sigma` the matrix knows that they are far apart *on the sheet*, although near in space.
#
# **What to try next.** Turn the roll with the mouse or the arrow keys. The eigenvectors below are those of
# 2,000 points, far fewer, so that :math:`\sigma` has to be larger: watch how the turns become one.

KernelViewer(x[shown], sigma=0.05, title="A Swiss roll").record(sigma=11)

# %%
# References
# ----------
# - Charlier, Feydy, Glaunès, Collin, Durif (2021). Kernel operations on the GPU, with autodiff,
#   without memory overflows. *Journal of Machine Learning Research* 22.
# - Barnett, Magland, af Klinteberg (2019). A parallel nonuniform fast Fourier transform library based
#   on an "exponential of semicircle" kernel. *SIAM Journal on Scientific Computing* 41.
# - Alfke, Potts, Stoll, Volkmer (2018). NFFT meets Krylov methods: fast matrix-vector products for the
#   graph Laplacian. *Frontiers in Applied Mathematics and Statistics* 4.
# - Hackbusch (1985). *Multi-grid methods and applications*. Springer.
