r"""
A million points
================

The matrix of a kernel between a million points has a trillion entries, four terabytes in single
precision. After this page you know three ways not to compute nearly all of them, how exact each
is, and how the smoothest functions on such a cloud are found on a laptop, in seconds and with a
certificate.

The cloud is the noisy Swiss roll of a tutorial of KeOps (Charlier et al., 2021), which takes 51.8 s
on a graphics card for what we do here on two cores.
"""

# sphinx_gallery_thumbnail_number = 3
# sphinx_gallery_tags = ["kernel matrix", "eigenvectors", "Laplacian", "large", "3D"]

import time

import matplotlib.pyplot as plt
import numpy as np
import torch

from sparseot import Blocks, KernelMatrix, datasets, eigsh, graph_laplacian, kernels
from sparseot_widgets.figures import use_style

use_style()

N, SIGMA = 1_000_000, 0.01
x = datasets.swiss_roll(N)
shown = torch.randperm(N, generator=torch.Generator().manual_seed(0))[:30_000]


def paint(ax, values, points=shown, **kwargs):
    """A sample of the roll in space; only what is drawn is thinned out."""
    cloud = x[points].numpy()
    ax.scatter(*cloud.T, c=values, s=1.8, linewidths=0, depthshade=False, **kwargs)
    ax.view_init(elev=50, azim=-70, roll=0, vertical_axis="y")
    ax.set_box_aspect((1, 1, 0.75), zoom=1.25)
    ax.set_axis_off()


def timed(what, function):
    """The result of a function; print how long it took."""
    start = time.perf_counter()
    result = function()
    print(f"{what}: {time.perf_counter() - start:.2f} s")
    return result


# %%
# Which pairs matter
# ------------------
# The Gaussian :math:`e^{-|x_i - x_j|^2 / 2 \sigma^2}` with :math:`\sigma = 0.01` has fallen to
# :math:`4 \cdot 10^{-6}` at a distance of :math:`5 \sigma`. A kd-tree cuts the cloud into blocks of
# 64 neighbouring points, each in the smallest box that holds them, and a pair of blocks is kept if its
# boxes come within :math:`5 \sigma` of each other. Both trees are walked together from their roots, so
# that what is far is dropped in large pieces.

near = timed(
    "trees and kept blocks",
    lambda: KernelMatrix(kernels.Gaussian(SIGMA), x, pairs=Blocks(5 * SIGMA)),
)
print(near)
pairs = near.pairs
print(f"{len(pairs.rows):,} blocks, {len(pairs.cols):,} pairs of blocks are kept")

block_of = np.empty(N, int)
block_of[pairs.rows.order] = np.arange(N) // pairs.rows.size
one = block_of[900_000]  # the block of a point on the outer turn
met = np.isin(block_of, pairs.cols[pairs.starts[one] : pairs.starts[one + 1]])

fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.4), subplot_kw={"projection": "3d"})
colours = np.random.default_rng(1).permutation(128) % 20
paint(axes[0], colours[block_of[shown] * 128 // len(pairs.rows)], cmap="tab20")
axes[0].set_title("the tree after seven cuts: 128 pieces")
paint(axes[1], np.where(met[shown], "#C4342D", "#C9CED6"))
axes[1].set_title(f"what one block meets: {met.mean():.2%} of the points")
plt.show()

# %%
# Of all pairs 1.6 % are kept. Cells of edge 0.05 whose *centres* are close, the rule of KeOps's
# tutorial, keep 5.3 %: boxes that fit tightly are worth a factor of three, and a table of all pairs of
# blocks, which would hold 240 million entries, is never made.
#
# Or none of them
# ---------------
# A Gaussian is smooth, hence a short Fourier series, and on this cloud 1.7 million waves stand for
# the trillion pairs. Sums of waves at scattered points are non-uniform fast Fourier transforms (here
# FINUFFT's). That is what ``KernelMatrix`` chooses if you leave the choice to it:

K = KernelMatrix(kernels.Gaussian(SIGMA), x, tol=1e-5)
print(K)
v = torch.randn(N, 2, generator=torch.Generator().manual_seed(1))
series = timed("two products, Fourier series", lambda: K @ v)
blocks = timed("one product, kept blocks    ", lambda: near @ v[:, 0])
print(f"they differ by {(series[:, 0] - blocks).norm() / blocks.norm():.1e}, relatively")
print(f"error of the series on 16 rows summed exactly: {K.error(rows=16):.0e} of the sum of |v|")

# %%
# Few steps instead of many
# -------------------------
# We look for the smallest eigenvalues of the normed Laplacian
#
# .. math:: L = I - D^{-1/2} K D^{-1/2}, \qquad D = K 1 .
#
# They lie close together near zero, so that a Krylov method needs some eight hundred products. But
# the wanted eigenvectors are smooth at the scale :math:`\sigma`: gather the points in voxels of
# :math:`1.5 \sigma`, and a graph of 27,000 voxels knows them to a percent. ``eigsh`` solves that small
# problem, spreads its vectors over the points, and corrects what is smooth in the residuals on the
# voxels, what is rough by the large matrix. This is a multigrid idea (Hackbusch, 1985).

L = timed("degrees", lambda: graph_laplacian(K, normed=True))
low = timed("eigenpairs", lambda: eigsh(L, 7, "SA"))
print(f"{low.products} products, converged: {low.converged}, points alone: {len(L.isolated())}")
KEOPS = [-9.1e-8, 1.5488e-4, 6.0963e-4, 7.9121e-4, 9.4554e-4, 1.3957e-3, 1.9849e-3]
print("eigenvalue   residual   KeOps, other noise")
for value, residual, keops in zip(low.values, low.residuals, KEOPS, strict=True):
    print(f"{value:10.4e}    {residual:.0e}   {keops:10.4e}")

# %%
# The residual :math:`r = |L u - \lambda u|` certifies each line: an eigenvalue lies within :math:`r`,
# and where the next one is :math:`\gamma` away, within :math:`r^2 / \gamma`, here :math:`10^{-7}`.
#
# Read on the cloud, divided by :math:`\sqrt D`, these are the vibrations of a sheet of rubber:

fig, axes = plt.subplots(2, 3, figsize=(9.6, 6.0), subplot_kw={"projection": "3d"})
functions = low.vectors / L.degrees.sqrt()[:, None]
for k, ax in enumerate(axes.flat, start=1):
    f = functions[shown, k]
    paint(ax, f / f.abs().max(), cmap="RdBu", vmin=-1, vmax=1)
    ax.set_title(rf"$f_{k}$,  $\lambda = {low.values[k] * 1e4:.2f} \cdot 10^{{-4}}$")
plt.show()

# %%
# **What to see.** Along the roll :math:`f_1`, :math:`f_2` and :math:`f_6` change their sign once, twice
# and three times, like the strings of
# :ref:`sphx_glr_auto_gallery_kernel_matrices_plot_spectral_coordinates.py`; :math:`f_3` changes with the
# height only, :math:`f_4` and :math:`f_5` with both. No function jumps from one turn to the next: at this
# :math:`\sigma` the matrix knows that they are far apart *on the sheet*, although they are near in
# space. The values of the first few are new coordinates in which the roll lies flat.
#
# What to try next
# ----------------
# - ``SIGMA = 0.02``: eight times fewer waves; with 0.1 the turns begin to touch and the order is lost.
# - ``kernels.Laplacian(SIGMA)`` is no short series; ``pairs=Blocks(...)`` sums it all the same.
# - The same in one call: ``spectral_embedding(x, 6, SIGMA)``, on a scene of the real world:
#   :ref:`sphx_glr_auto_gallery_kernel_matrices_plot_scene_in_pieces.py`.
#
# References
# ----------
# - Charlier, Feydy, Glaunès, Collin, Durif (2021). Kernel operations on the GPU, with autodiff,
#   without memory overflows. *Journal of Machine Learning Research* 22.
# - Barnett, Magland, af Klinteberg (2019). A parallel nonuniform fast Fourier transform library based
#   on an "exponential of semicircle" kernel. *SIAM Journal on Scientific Computing* 41.
# - Alfke, Potts, Stoll, Volkmer (2018). NFFT meets Krylov methods: fast matrix-vector products for the
#   graph Laplacian. *Frontiers in Applied Mathematics and Statistics* 4.
# - Hackbusch (1985). *Multi-grid methods and applications*. Springer.

# %%
# Turn the roll
# -------------
# Thirty thousand of the points, to be turned with the mouse or the arrow keys. The eigenvectors are those
# of 2,000 points, far fewer, so that :math:`\sigma` has to be larger: watch how the turns become one.

from sparseot_widgets import KernelViewer

KernelViewer(x[shown], sigma=0.05, title="A Swiss roll").record(sigma=11)
