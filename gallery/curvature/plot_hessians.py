r"""
Curvature of optimal transport
==============================

How does a transport cost bend when points move or weights change? The answer is a Hessian, and
there are two ways to get it: differentiate every step of the solver (*unrolling*), or solve first
and differentiate the equations that the solution satisfies (the *implicit function theorem*). After
this page you know what both look like, why one of them waits for convergence, and what the
eigenvalues of the Hessian say about a loss.

The first comparison is that of a tutorial of OTT (Cuturi et al., 2022), with its sizes.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["Sinkhorn divergence", "Hessian", "implicit differentiation"]

import time

import matplotlib.pyplot as plt
import torch
from skimage import data

import sparseot as so
from sparseot_widgets import HessianViewer
from sparseot_widgets.figures import arrows, curves, place, scatter, use_style

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
# The same matrix, nearly. Blue raises the cost, red lowers it. Weights have a sum, so that only
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
        ax.loglog(
            at, [(H - exact[wrt]).norm() / exact[wrt].norm() for H in found], "o-", label=name
        )
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
# What the eigenvalues say
# ------------------------
# Now a cloud z of 300 points drawn from a picture, compared with a copy of itself: the divergence is
# zero, its gradient too, and the Hessian says how it rises. Its eigenvectors are displacement fields;
# an eigenvalue of :math:`N H` is 1 where the divergence sees a displacement as the Wasserstein
# distance does, :math:`\tfrac12 \sum_i a_i |v_i|^2`, and 0 where it sees nothing.

z = so.datasets.sample_image(~data.horse(), 300, dtype=torch.float64)
spectra = {}
for blur in (0.02, 0.05, 0.15):
    H = so.hessian(so.solve_sample(z, z.clone(), blur=blur, debias=True, tol=1e-8))
    spectra[f"blur {blur}"] = torch.linalg.eigh(len(z) * H.to_dense().reshape(H.shape))

fig, ax = plt.subplots(figsize=(7.4, 3.4))
series = {name: values.flip(0) for name, (values, _) in spectra.items()}
curves(ax, range(1, 601), series, xlabel="rank", ylabel="eigenvalue of $N H$", log=False)
plt.show()

values, vectors = spectra["blur 0.15"]
fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.4), sharex=True, sharey=True)
for ax, k in zip(axes, (-1, -12, -200), strict=True):
    field = vectors[:, k].view(-1, 2)
    scatter(ax, z, "#BBBBBB", size=6)
    arrows(ax, z, 0.1 * field / field.norm(dim=1).max(), color=place(z))
    ax.set(title=f"rank {-k}: {values[k]:.2f}", xticks=[], yticks=[])
plt.show()

# %%
# **What to see.** The curve falls from 1 to 0 at a rank that grows as the blur shrinks: fields that
# vary slowly over a blur are stiff, noise below the blur is free. Two eigenvalues are exactly 1, those
# of the translations; a few fields that stretch the cloud lie somewhat above. So a Sinkhorn divergence
# is nearly the Wasserstein distance for all that is larger than the blur, and blind below. It also says
# when gradient descent is enough, and when not: :ref:`sphx_glr_auto_gallery_curvature_plot_newton.py`.
#
# What to try next
# ----------------
# - ``reach=0.3``: the translations' eigenvalue falls below 1, as distant mass may be given up.
# - ``so.hessian(found, "y")``, and ``torch.func.hessian`` for a loss of your own.
#
# References
# ----------
# - Cuturi, Meng-Papaxanthos, Tian, Bunne, Davis, Teboul (2022). Optimal transport tools (OTT): a JAX
#   toolbox for all things Wasserstein; the tutorial "Hessians" of its documentation.
# - Feydy, Séjourné, Vialard, Amari, Trouvé, Peyré (2019). Interpolating between optimal transport
#   and MMD using Sinkhorn divergences. *AISTATS*.

# %%
# All of it, at hand
# ------------------
# Thirty of those points and a rotated copy, at five blurs: the slider of the updates shows the loop
# wait, longer as the blur shrinks. Point at a row, and its arrows say how the gradient at each point
# changes when that one moves.

z = z[::10]
turned = (z - 0.5) @ torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=z.dtype) + 0.5
HessianViewer(z, turned, blur=0.1, debias=True).record(blur=[0.05, 0.07, 0.1, 0.15, 0.3])
