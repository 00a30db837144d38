r"""
The Hessian of a Sinkhorn divergence
====================================

How does a transport cost bend when points move or weights change? The answer is a Hessian, and
there are two ways to get it: differentiate every step of the solver (*unrolling*), or solve first
and differentiate the equations that the solution satisfies (the *implicit function theorem*). After
this page you know what both look like, and why one of them waits for convergence.

The comparison is that of a tutorial of OTT (Cuturi et al., 2022), with its sizes: 15 and 17 points in
a cube, of random weights.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["Sinkhorn divergence", "Hessian", "implicit differentiation"]

import time

import matplotlib.pyplot as plt
import torch

import sparseot as so
from sparseot_widgets import HessianViewer
from sparseot_widgets.figures import use_style

use_style()
generator = torch.Generator().manual_seed(0)
x, y = (torch.rand(n, 3, generator=generator).double() for n in (15, 17))
a, b = (torch.rand(n, generator=generator).double() + 0.1 for n in (15, 17))
a, b = a / a.sum(), b / b.sum()


def matrix(wrt, tol=1e-9, **method):
    found = so.solve_sample(x, y, a, b, blur=0.1, debias=True, tol=tol)
    H = so.hessian(found, wrt, **method)
    return H.to_dense().reshape(H.shape)


names = {"a": "weights", "x": "positions"}
exact = {wrt: matrix(wrt) for wrt in names}

fig, axes = plt.subplots(2, 3, figsize=(9.0, 5.8), layout="constrained")
for row, (wrt, name) in zip(axes, names.items(), strict=True):
    loop = matrix(wrt, method="unrolled", n_iter=100)
    size = float(exact[wrt].abs().quantile(0.99))
    for ax, shown in zip(row, (exact[wrt], loop), strict=False):
        image = ax.imshow(shown, cmap="RdBu", vmin=-size, vmax=size)
    fig.colorbar(image, ax=row[:2], shrink=0.85)
    gap = (exact[wrt] - loop).abs().clamp_min(1e-16)
    fig.colorbar(row[2].imshow(gap.log10(), cmap="viridis"), ax=row[2], shrink=0.85)
    row[0].set_ylabel(f"in {name}, {len(gap)} x {len(gap)}")
for ax, title in zip(axes[0], ("implicit", "unrolled", r"$\log_{10}$ |difference|"), strict=True):
    ax.set_title(title)
plt.setp(axes, xticks=[], yticks=[])
plt.show()

# %%
# The same matrix, nearly. Blue entries are positive, red ones negative. Weights have a sum, so that only
# directions of sum zero count, and rows and columns of the upper matrix add up to zero. In the lower
# one each point has a block of 3 x 3; moving *all* points by v must give :math:`H (1 \otimes v) = a
# \otimes v`, whatever the blur:

v = torch.tensor([1.0, 2.0, 3.0]).double()
moved = (exact["x"] @ v.repeat(15)).view(15, 3)
print(f"largest error of H (1 x v) = a x v: {(moved - a[:, None] * v).abs().max():.0e}")

# %%
# What unrolling waits for
# ------------------------
# Autograd through a loop returns the exact Hessian *of the loop*, which is not yet that of the
# limit: derivatives converge at the speed of the iterates at best. The implicit rule takes potentials
# of any origin and solves one linear system. It does not wait either: the matrix of that system is
# also Newton's for the potentials, so a solve to a percent is taken to rounding on the way.

steps, tolerances = [5, 10, 20, 40, 80], [3e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.6), sharey=True, layout="constrained")
for wrt, name in names.items():
    loops = [matrix(wrt, method="unrolled", n_iter=n) for n in steps]
    rough = [matrix(wrt, tol) for tol in tolerances]
    for ax, at, found in ((left, steps, loops), (right, tolerances, rough)):
        errors = [(H - exact[wrt]).norm() / exact[wrt].norm() for H in found]
        ax.loglog(at, errors, "o-", label=name)
left.set(xlabel="updates in the unrolled loop", ylabel="relative error of the Hessian")
left.set_xscale("linear")
right.set(xlabel="implicit: tolerance of the solve")
right.invert_xaxis()
left.legend()
plt.show()

for method in ({"tol": 1e-3}, {"tol": 1e-3, "method": "unrolled", "n_iter": 100}):
    start = time.perf_counter()
    matrix("x", **method)
    print(f"{1e3 * (time.perf_counter() - start):.1f} ms, solve included, for {method}")

# %%
# All of it, at hand
# ------------------
# The same clouds at five blurs: the slider of the updates shows the loop wait, longer as the blur
# shrinks. Point at a row, and its arrows say how the gradient at each point changes when that one
# moves. What eigenvalues and eigenvectors say about the divergence is another story:
# :ref:`sphx_glr_auto_gallery_curvature_plot_hessians_spectrum.py`.

HessianViewer(x, y, a, b, blur=0.1, debias=True).record(blur=[0.05, 0.07, 0.1, 0.15, 0.3])

# %%
# **What to try next.** ``so.hessian(found, "y")``, a ``reach=0.3``, and ``torch.func.hessian`` for a
# loss of your own.
#
# References
# ----------
# - Cuturi, Meng-Papaxanthos, Tian, Bunne, Davis, Teboul (2022). Optimal transport tools (OTT): a JAX
#   toolbox for all things Wasserstein; the tutorial "Hessians" of its documentation.
