r"""
One formula, six problems
=========================

How far is each of these from each of those? Many methods of statistics and learning ask nothing else, and
differ in what they do with a row of answers: take the least, sum them, average over them. After this page
you can write such a method in a line or two, for all pairs of 26,600 pixels, without storing a pair.
"""

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["LazyTensor", "clustering", "attention", "eigenvectors", "images"]

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.sparse import diags
from scipy.sparse.linalg import aslinearoperator, eigsh
from skimage import data

from sparseot import LazyTensor
from sparseot_widgets import CloudViewer
from sparseot_widgets.figures import pictures, use_style

use_style()
torch.manual_seed(0)
H, W = 133, 200
photo = torch.tensor(data.coffee()[:399]).view(H, 3, W, 3, 3).float().mean((1, 3)) / 255
colour = photo.view(-1, 3)
y, x = torch.meshgrid(torch.arange(H) / H, torch.arange(W) / H, indexing="ij")
place = torch.stack((x, y), -1).view(-1, 2)  # the height of the picture is 1


def squares(f, g):
    """The formula: squared distances of all rows of f from all rows of g, a symbolic matrix."""
    return ((LazyTensor(f[:, None, :]) - LazyTensor(g[None, :, :])) ** 2).sum(-1)


# 1. Which is nearest? Lloyd's algorithm (1982): hand each colour to the nearest of twelve, take means anew.
c = colour[torch.randperm(len(colour))[:12]]
for _ in range(30):
    label = squares(colour, c).argmin(dim=1).view(-1)
    share = label.bincount(minlength=12)[:, None]
    c = torch.zeros_like(c).index_add(0, label, colour) / share

# 2. How likely is it? The density of a mixture of Gaussians around these means, of one width.
width = (colour - c[label]).square().mean().sqrt()
offset = LazyTensor((share / len(colour)).log()[None])
surprise = -(offset - squares(colour, c) / (2 * width**2)).logsumexp(dim=1).view(H, W)

shown = {"photograph": photo, "1. twelve colours": c[label].view(H, W, 3)}
shown["2. surprise: rare is light"] = (surprise - surprise.min()) / surprise.quantile(0.99)
pictures(shown, cmap="magma")
plt.show()

# %%
# **What to see.** The palette spends its colours on wood and saucer, where pixels are many; rare are those in between:
# spoon, rim and crema.
#
# A :class:`sparseot.LazyTensor` of shape ``(N, 1, D)`` has an axis of rows i, one of shape ``(1, M, D)`` an axis
# of columns j, and a formula of both is a matrix that is *written down*; nothing is computed. To **reduce** it
# over i or j, here by :math:`\arg\min_j |x_i - c_j|^2`, compiles a loop, runs it over all pairs, and gives a
# tensor, with gradients in whatever stands in the formula.
#
# Three pictures, mended
# ----------------------
# Now a tenth of the pixels is known; or half of the picture has lost its colours; or all has noise. *Interpolation* solves a
# linear system with a kernel of *places*, by conjugate gradients, which need sums only: kriging, or the mean of
# a Gaussian process (Rasmussen and Williams, 2006). *Search* gives a grey *patch* of 7 x 7 pixels the mean colour of the five most
# similar ones on the left (Welsh, Ashikhmin and Mueller, 2002). *Attention* takes the mean of all pixels, with weights
# :math:`\operatorname{softmax}_j(-|p_i - p_j|^2 / h^2)` of their patches: non-local means (Buades, Coll and Morel, 2005), and
# the sum in the heart of every transformer, here over 700 million pairs.


def patches(image, side):
    """All patches of a picture (H, W, C), one for each pixel: ``(N, C side^2)``."""
    padded = torch.nn.functional.pad(image.permute(2, 0, 1), 4 * (side // 2,), mode="reflect")
    return torch.nn.functional.unfold(padded[None], side)[0].T.contiguous()


# 3. What is between? K_ij = exp(-|z_i - z_j| / 0.1) is both the system and the answer.
known = torch.randperm(len(place))[: len(place) // 10]
average = colour[known].mean(0)
K = (-squares(place, place[known]).sqrt() / 0.1).exp()
K_known = (-squares(place[known], place[known]).sqrt() / 0.1).exp()
painted = average + K @ K_known.solve(colour[known] - average, alpha=1e-3, eps=1e-2)

# 4. Which look like it? The nearest five in 49 dimensions.
right = place[:, 0] > 0.5 * W / H
grey = photo.mean(2, keepdim=True)
look = patches(grey, 7)
coloured = colour.clone()
coloured[right] = colour[~right][squares(look[right], look[~right]).argKmin(5, dim=1)].mean(1)

# 5. What do those say that look like it? A mean over all, weighted.
noisy = photo + 0.12 * torch.randn(photo.shape)
query, values = patches(noisy, 3), LazyTensor(noisy.view(1, -1, 3))
clean = (-squares(query, query) / 0.2).sumsoftmaxweight(values, dim=1)

left = torch.ones_like(colour).index_copy(0, known, colour[known]).view(H, W, 3)
bare = torch.where(right.view(H, W, 1), grey, photo)
shown = {"a tenth": left, "half without colours": bare, "noise: rms error 0.12": noisy}
answers = {"3. interpolation": painted, "4. search": coloured, "5. attention": clean}
for name, found in answers.items():
    error = (found - colour).square().mean().sqrt()
    shown[f"{name}: rms error {error:.3f}"] = found.view(H, W, 3)
pictures(shown, columns=3)
plt.show()

# %%
# **What to see.** Interpolation draws little tents. Search finds saucer and crema again, but mistakes some dark wood for
# saucer: grey values cannot tell them apart. Attention keeps the rim sharp, for patches on a rim resemble each other.
#
# 6. What holds together?
# -----------------------
# Last, a pixel is its colour *and* its place, and :math:`K_{ij} = e^{-|u_i - u_j|^2 / 2}` says how alike two are. The
# first eigenvectors of :math:`D^{-1/2} K D^{-1/2}`, :math:`D = K 1`, divided by :math:`\sqrt{D}`, are nearly constant
# on what holds together and change where a cut is cheap: normalised cuts (Shi and Malik, 2000). SciPy takes the
# lazy matrix as it is.

u = torch.cat((colour / 0.15, place / 0.25), 1).numpy()
K = aslinearoperator((-squares(u, u) / 2).exp())
root = np.sqrt(K @ np.ones(len(u), np.float32))
scale = aslinearoperator(diags(1 / root))
found, vectors = eigsh(scale @ K @ scale, k=4, which="LA", tol=1e-3)
ranks = (vectors / root[:, None]).argsort(0).argsort(0) / len(u)
name = r"6. $f_{}$,  $\lambda = {:.3f}$".format
shown = {name(k, found[-1 - k]): ranks[:, -1 - k].reshape(H, W) for k in (1, 2, 3)}
pictures(shown, cmap="RdBu")
plt.show()

# %%
# **What to see.** Each function, drawn in ranks, changes slowly on what holds together and jumps where it does not: at
# the rim, at the edge of the saucer, where the dark corner begins. The constant, of eigenvalue 1, is not shown. Below, the
# pixels as a cloud of colours, painted by the first function. Turn it, or draw a lasso around the bright end.

CloudViewer(colour, values=ranks[:, -2], names=["red", "green", "blue"], title="Pixels as colours")

# %%
# **What to try next.** Another formula: ``(LazyTensor(f[:, None]) - LazyTensor(g[None])).abs().sum(-1)`` sums
# absolute differences. :doc:`/guide/coming-from-keops` lists what can be written; for plain kernels :class:`sparseot.KernelMatrix`
# knows more, see :ref:`sphx_glr_auto_gallery_kernel_matrices_plot_spectral_coordinates.py`.
#
# References
# ----------
# - Buades, Coll, Morel (2005). A non-local algorithm for image denoising. *CVPR*.
# - Charlier, Feydy, Glaunès, Collin, Durif (2021). Kernel operations on the GPU, with autodiff, without memory overflows. *JMLR* 22.
# - Lloyd (1982). Least squares quantization in PCM. *IEEE Transactions on Information Theory* 28.
# - Rasmussen, Williams (2006). *Gaussian processes for machine learning*. MIT Press.
# - Shi, Malik (2000). Normalized cuts and image segmentation. *IEEE PAMI* 22.
# - Welsh, Ashikhmin, Mueller (2002). Transferring color to greyscale images. *SIGGRAPH*.
