r"""
Denoising a photograph with neighbours that are not near
========================================================

Noise in one pixel can be averaged away with pixels that show the same thing, wherever they are in
the picture. Who shows the same is a question of neighbours: not of places, but of small patches.
After this page you can let such a graph grow over the 273,280 pixels of a photograph, whose dense
matrix would take 299 GB, and train what it calls alike.

The method is that of non-local means (Buades, Coll and Morel, 2005) with a learnt descriptor.
"""

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["neighbour graph", "learning", "image"]

import time

import matplotlib.pyplot as plt
import torch
from skimage.filters import gaussian
from sklearn.datasets import load_sample_image

from sparseot.nn import KNNGraph
from sparseot_widgets.figures import use_style

use_style()
NOISE, K = 0.15, 24

generator = torch.Generator().manual_seed(0)


def picture(name):
    """A photograph in grey, (H, W) in [0, 1], and the same with noise."""
    grey = torch.tensor(load_sample_image(name) / 255.0, dtype=torch.float32).mean(-1)
    return grey, grey + NOISE * torch.randn(grey.shape, generator=generator)


def psnr(image, truth):
    """Peak signal to noise ratio, in decibels."""
    return float(-10 * (image - truth).square().mean().log10())


clean, noisy = picture("china.jpg")
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.4))
for ax, image, title in ((axes[0], clean, "photograph"), (axes[1], noisy, "with noise")):
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], title=title)
plt.show()

# %%
# A graph of patches
# ------------------
# Each pixel is described by the 5 x 5 patch around it, slightly blurred, and by its place; a linear
# map W takes these 27 numbers to 6. In that space every pixel looks for its neighbours, and the
# denoised picture is a mean of noisy pixels over them, with Gaussian weights. The graph has
# 24 x 273,280 edges; six dimensions are few enough for an exact k-d tree.
#
# .. math:: \hat u = D^{-1} A u, \qquad A_{ij} = e^{-|W p_i - W p_j|^2 / 2 h^2}
#
# W starts as four principal axes of the patches of another photograph, and two for the place. It
# follows the gradient of the error on crops of that one; the picture above is only seen at the end.


def patches(image):
    """The descriptor of each pixel, (H * W, 27): its patch and its place."""
    height, width = image.shape
    smooth = torch.from_numpy(gaussian(image.numpy(), 1.0))
    padded = torch.nn.functional.pad(smooth[None, None], (2, 2, 2, 2), mode="reflect")
    patch = torch.nn.functional.unfold(padded, 5)[0].T
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack((rows, columns), -1).view(-1, 2) / 200
    return torch.cat((patch, place), 1)


class Denoiser(torch.nn.Module):
    """Averages each pixel over its neighbours in the space of described patches."""

    def __init__(self, example):
        super().__init__()
        p = patches(example)
        axes = torch.linalg.svd(p[::7, :25] - p[:, :25].mean(0), full_matrices=False)[2][:4]
        self.W = torch.nn.Parameter(torch.block_diag(axes.T, 4 * torch.eye(2)))
        self.graph = KNNGraph(
            K, bandwidth=0.15, learnable_bandwidth=True, loop=True, normalize="row"
        )

    def forward(self, image):
        A = self.graph(patches(image) @ self.W)
        return (A @ image.reshape(-1)).view(image.shape)


other, other_noisy = picture("flower.jpg")
model = Denoiser(other_noisy)
with torch.no_grad():
    fixed = model(noisy)
optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
for step in range(30):
    top, left = 60 * (step % 5), 70 * (step % 7)
    crop = (slice(top, top + 96), slice(left, left + 96))
    loss = (model(other_noisy[crop]) - other[crop]).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

start = time.perf_counter()
with torch.no_grad():
    A = model.graph(patches(noisy) @ model.W)
    learnt = (A @ noisy.reshape(-1)).view(noisy.shape)
seconds = time.perf_counter() - start
blurred = torch.from_numpy(gaussian(noisy.numpy(), 1.0))
print(f"{A!r} in {seconds:.1f} s")
results = {
    "noisy": noisy,
    "Gaussian blur": blurred,
    "patches, fixed": fixed,
    "patches, learnt": learnt,
}
for name, image in results.items():
    print(f"{name:>16}: {psnr(image, clean):.2f} dB")

# %%
# Before and after
# ----------------

fig, axes = plt.subplots(2, 2, figsize=(9.4, 6.8))
part = (slice(120, 320), slice(180, 480))
for ax, (name, image) in zip(axes.flat, results.items(), strict=True):
    ax.imshow(image[part], cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], title=f"{name}: {psnr(image[part], clean[part]):.2f} dB here")
plt.show()

# %%
# **What to see.** The blur pays for each bit of noise that it removes with a bit of edge. The graph
# averages along edges and across repetitions of the same motif, so the lines of the roofs stay; in
# the sky, where nothing repeats and nothing has to be kept, the blur is as good, and over the whole
# picture the two are close in decibels. Training decides how much a difference in each direction of
# patch space counts, and at which distance to stop; it gains little on the fixed axes, which are
# already those in which patches differ most.
#
# What to try next
# ----------------
# - ``method="forest"``: more dimensions of W, and an approximate graph; measure it with
#   :func:`sparseot.knn_recall`.
#
# References
# ----------
# - Buades, Coll, Morel (2005). A non-local algorithm for image denoising. *CVPR*.
# - Plötz, Roth (2018). Neural nearest neighbors networks. *NeurIPS*.
