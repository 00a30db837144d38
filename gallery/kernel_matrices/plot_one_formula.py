r"""
One formula, six problems
=========================

How far is each of these from each of those? Many methods of statistics and learning ask nothing else, and
differ in what they do with a row of answers: take the least, sum them, average over them. After this page
you can write such a method in three lines, for all pairs of tens of thousands of points, without
storing a pair and without a C++ compiler.

The points are the 26,600 pixels of one photograph. What a pixel *is*, its colour, its place or the patch
around it, decides what distances mean.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["LazyTensor", "clustering", "attention", "eigenvectors", "images"]

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.sparse import diags
from scipy.sparse.linalg import aslinearoperator, eigsh
from skimage import data

from sparseot import LazyTensor
from sparseot_widgets.figures import pictures, use_style

use_style()
torch.manual_seed(0)
H, W = 133, 200
photo = torch.tensor(data.coffee()[:399]).view(H, 3, W, 3, 3).float().mean((1, 3)) / 255
colour = photo.view(-1, 3)
y, x = torch.meshgrid(torch.arange(H) / H, torch.arange(W) / H, indexing="ij")
place = torch.stack((x, y), -1).view(-1, 2)  # the height of the picture is 1


def stretched(f):
    """An image of values from 0 to 1, but for the extreme hundredths."""
    low, high = np.quantile(f, [0.01, 0.99])
    return ((f - low) / (high - low)).reshape(H, W)


def squares(f, g):
    """The formula: squared distances of all rows of f from all rows of g, a symbolic matrix."""
    return ((LazyTensor(f[:, None, :]) - LazyTensor(g[None, :, :])) ** 2).sum(-1)


# 1. Which is nearest? Lloyd's algorithm (1982): hand each colour to the nearest of twelve, take means anew.
c = colour[torch.randperm(len(colour))[:12]]
for _ in range(30):
    label = squares(colour, c).argmin(dim=1).view(-1)
    c = torch.zeros_like(c).index_add(0, label, colour) / label.bincount(minlength=12)[:, None]

pictures({"photograph": photo, "1. twelve colours": c[label].view(H, W, 3)})
plt.show()

# %%
# **What to see.** The palette spends its colours on wood and saucer, where pixels are many.
#
# A :class:`sparseot.LazyTensor` of shape ``(N, 1, D)`` has an axis of rows i, one of shape ``(1, M, D)`` an axis
# of columns j, and a formula of both is a matrix that is *written down*; nothing is computed. To **reduce** it
# over i or j, here by :math:`\arg\min_j |x_i - c_j|^2`, compiles a loop, runs it over all pairs, and gives a tensor.
#
# 2. A mixture: how likely is it?
# -------------------------------
# Let colours be drawn from twelve Gaussians of widths :math:`s_j` and weights :math:`w_j`. The likelihood is
# a *sum* over j, :math:`\log \sum_j e^{\log w_j - 3 \log s_j - |x_i - \mu_j|^2 / 2 s_j^2}` up to a constant, and its
# gradient in all parameters is a formula again, so that any optimiser will do.

mean, log_width, score = c.clone(), torch.full((12, 1), -2.0), torch.zeros(12, 1)
optimiser = torch.optim.Adam([p.requires_grad_() for p in (mean, log_width, score)], lr=0.03)
for _ in range(100):
    offset = LazyTensor((torch.log_softmax(score, 0) - 3 * log_width)[None])
    exponent = offset - squares(colour, mean) / LazyTensor(2 * (2 * log_width).exp()[None])
    surprise = -exponent.logsumexp(dim=1).view(-1)
    optimiser.zero_grad()
    surprise.mean().backward()
    optimiser.step()
surprise = surprise.detach().numpy()

# %%
# 3. Interpolation: what is between?
# ----------------------------------
# Forget nine pixels of ten. The matrix :math:`K_{ij} = e^{-|z_i - z_j| / 0.1}` between the *places* of those left is
# that of a linear system, solved by conjugate gradients, which ask for sums only; the colour of any place is
# then a sum again. It is kriging, or the mean of a Gaussian process (Rasmussen and Williams, 2006).

known = torch.randperm(len(place))[: len(place) // 10]
average = colour[known].mean(0)
K = (-squares(place, place[known]).sqrt() / 0.1).exp()
K_known = (-squares(place[known], place[known]).sqrt() / 0.1).exp()
painted = average + K @ K_known.solve(colour[known] - average, alpha=1e-3, eps=1e-2)

# %%
# 4. Search: which look like it?
# ------------------------------
# Now a pixel is the *patch* of 7 x 7 grey values around it, and the right half has lost its colours. Each
# grey patch there looks for the five most similar ones on the left, :math:`\operatorname{arg\,K\,min}_j` in 49
# dimensions, and takes the mean of their colours (Welsh, Ashikhmin and Mueller, 2002).


def patches(image, side):
    """All patches of a picture (H, W, C), one for each pixel: ``(N, C side^2)``."""
    padded = torch.nn.functional.pad(image.permute(2, 0, 1), 4 * (side // 2,), mode="reflect")
    return torch.nn.functional.unfold(padded[None], side)[0].T.contiguous()


grey = photo.mean(2, keepdim=True)
right = place[:, 0] > 0.5 * W / H
look = patches(grey, 7)
alike = squares(look[right], look[~right]).argKmin(5, dim=1)
tint = colour[~right][alike].mean(1)
half, coloured = colour.clone(), colour.clone()
half[right] = grey.view(-1, 1)[right]
coloured[right] = tint * (half[right].mean(1) / tint.mean(1))[:, None]

# %%
# 5. Attention: what do those say that look like it?
# --------------------------------------------------
# Add noise. A noisy patch asks all others, and the closer they are to it the more their centres count: a
# mean with weights :math:`\operatorname{softmax}_j(-|p_i - p_j|^2 / h^2)`, non-local means (Buades, Coll and Morel,
# 2005). With queries, keys and values it is the sum in the heart of every transformer, over 700 million pairs.

noisy = photo + 0.12 * torch.randn(photo.shape)
query = patches(noisy, 3)
values = LazyTensor(noisy.view(1, -1, 3))
clean = (-squares(query, query) / 0.2).sumsoftmaxweight(values, dim=1)

answers = {"3. interpolation": painted, "4. search": coloured, "5. attention": clean}
shown = {"2. surprise: rare colours are light": stretched(surprise)}
shown |= {"right half without colours": half.view(H, W, 3), "noise": noisy}
for name, found in answers.items():
    error = (found - colour).square().mean().sqrt()
    shown[f"{name}: rms error {error:.3f}"] = found.view(H, W, 3)
pictures(shown, columns=3, cmap="magma")
plt.show()

# %%
# **What to see.** The mixture finds rare what the palette passed over: spoon, rim and crema. Interpolation knows nothing of the picture but smoothness, and draws little tents. Search finds
# the saucer and the crema again, but paints some light wood with crema and some dark wood with saucer: grey
# values alone cannot tell. Attention keeps the rim sharp, for rims ask rims; the noise was 0.12.
#
# 6. Spectra: what holds together?
# --------------------------------
# Last, a pixel is its colour *and* its place, and :math:`K_{ij} = e^{-|u_i - u_j|^2 / 2}` says how alike two are. The
# first eigenvectors of :math:`D^{-1/2} K D^{-1/2}`, :math:`D = K 1`, divided by :math:`\sqrt{D}`, are nearly constant on what
# holds together and change where a cut is cheap: normalised cuts (Shi and Malik, 2000). SciPy takes the lazy
# matrix as it is.

u = torch.cat((colour / 0.15, place / 0.25), 1).numpy()
K = aslinearoperator((-squares(u, u) / 2).exp())
root = np.sqrt(K @ np.ones(len(u), np.float32))
scale = aslinearoperator(diags(1 / root))
found, vectors = eigsh(scale @ K @ scale, k=5, which="LA", tol=1e-3)
shown = {
    rf"6. $f_{k}$,  $\lambda = {found[-1 - k]:.3f}$": stretched(vectors[:, -1 - k] / root)
    for k in (1, 2, 3, 4)
}
pictures(shown, columns=2, cmap="RdBu")
plt.show()

# %%
# **What to see.** The constant has the eigenvalue 1 and is not shown. The first cut is the dark corner, the
# next the white rim; then the wood in front parts from that behind, and the saucer from both.
#
# **What to try next.** Another formula: ``(LazyTensor(f[:, None]) - LazyTensor(g[None])).abs().sum(-1)`` sums
# absolute differences, and its loops are compiled as fast. :doc:`/guide/coming-from-keops` lists what can be
# written. For plain kernels :class:`sparseot.KernelMatrix` knows more: blocks, series and eigenvectors, see
# :ref:`sphx_glr_auto_gallery_kernel_matrices_plot_spectral_coordinates.py`.
#
# **References.** B. Charlier et al. (2021), Kernel operations on the GPU, with autodiff, without memory overflows,
# JMLR 22. A. Buades, B. Coll and J.-M. Morel (2005), A non-local algorithm for image denoising, CVPR. S. Lloyd
# (1982), Least squares quantization in PCM, IEEE Trans. Inf. Theory 28. C. Rasmussen and C. Williams (2006), Gaussian
# processes for machine learning, MIT Press. J. Shi and J. Malik (2000), Normalized cuts and image segmentation, PAMI
# 22. T. Welsh, M. Ashikhmin and K. Mueller (2002), Transferring color to greyscale images, SIGGRAPH.
